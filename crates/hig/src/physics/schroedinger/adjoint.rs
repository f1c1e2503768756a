//! Cotangents of the final state carried back through all steps, all of a sample at once.
//!
//! A step costs one solve a cotangent. Each goes from the first point to the last and back while its
//! numbers are in the first cache, eight samples side by side in vector registers and two cotangents
//! at a time, so that one need not wait for the other; products and sums are fused.

use super::super::Lanes;
use super::{Complex, StepMatrix};
use crate::linalg::simd::{Simd, WithSimd};

/// What is carried back through the steps of one group of samples.
pub(super) struct Backwards<'a> {
    pub(super) matrix: &'a StepMatrix,
    /// u of each step.
    pub(super) control: &'a [Lanes],
    /// The conjugate of the final state; afterwards that of the first, perhaps with the other sign.
    pub(super) state: &'a mut [Complex<Lanes>],
    /// The cotangents v of the final state (count × points inside); afterwards as the state.
    pub(super) cotangents: &'a mut [Complex<Lanes>],
    /// s of each step (steps × count), to which is added.
    pub(super) slopes: &'a mut [Complex<Lanes>],
}

impl WithSimd for Backwards<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F64_LANES {
            8 => self.run::<S, 1>(simd),
            4 => self.run::<S, 2>(simd),
            2 => self.run::<S, 4>(simd),
            _ => self.run::<S, 8>(simd),
        }
    }
}

impl Backwards<'_> {
    /// With so many vectors for the lanes of a number.
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(self, simd: S) {
        let n = self.state.len();
        let zeros = |count: usize| vec![Complex::<Lanes>::zero(); count];
        let mut solver = Solver::<S, VECTORS> {
            with: Arithmetic { simd },
            hopping: [simd.splat_f64s(self.matrix.hopping); VECTORS],
            pivots: zeros(n),
            carries: zeros(n),
            forces: zeros(n),
            halfway: zeros(2 * n),
        };
        let sums = self.slopes.chunks_exact_mut(self.cotangents.len() / n);
        for (u, sums) in self.control.iter().zip(sums).rev() {
            self.matrix.eliminate(*u, &mut solver.pivots);
            for (carry, pivot) in solver.carries.iter_mut().zip(&solver.pivots) {
                *carry = pivot.scale(self.matrix.hopping).times_i();
            }
            // The conjugate of ψ′ goes to that of ψ by the step that takes ψ to ψ′.
            solver.solve(
                [&mut self.state[..]],
                #[inline(always)]
                |solver, j, [phi]| {
                    let phi = solver.with.store(&phi).conjugate();
                    solver.forces[j] = phi.scale(2.0 * self.matrix.dipole[j]);
                },
            );
            let mut pairs = self.cotangents.chunks_exact_mut(2 * n);
            let mut of_pairs = sums.chunks_exact_mut(2);
            for (pair, sums) in pairs.by_ref().zip(of_pairs.by_ref()) {
                let (first, second) = pair.split_at_mut(n);
                solver.add_slopes([first, second], sums);
            }
            let (last, of_last) = (pairs.into_remainder(), of_pairs.into_remainder());
            if !of_last.is_empty() {
                solver.add_slopes([last], of_last);
            }
        }
    }
}

/// A number of each lane in vector registers.
type Wide<S, const VECTORS: usize> = [<S as Simd>::f64s; VECTORS];

/// A step's matrix, eliminated, and memory for what is solved.
struct Solver<S: Simd, const VECTORS: usize> {
    with: Arithmetic<S, VECTORS>,
    hopping: Wide<S, VECTORS>,
    /// 1/pivot of each point.
    pivots: Vec<Complex<Lanes>>,
    /// What a point's result takes of the next one's: -1/pivot times the entry beside it.
    carries: Vec<Complex<Lanes>>,
    /// 2αx_j·φ_j of each point.
    forces: Vec<Complex<Lanes>>,
    /// Right-hand sides on the way back, point by point.
    halfway: Vec<Complex<Lanes>>,
}

impl<S: Simd, const VECTORS: usize> Solver<S, VECTORS> {
    /// Solves A·z = v for each v and takes v to v - 2z, a step with the other sign: it changes with
    /// the state's, and products of the two are what is asked for. Hands every point's z to `visit`,
    /// from the last one down.
    #[inline(always)]
    fn solve<const COUNT: usize>(
        &mut self,
        v: [&mut [Complex<Lanes>]; COUNT],
        mut visit: impl FnMut(&mut Self, usize, [Complex<Wide<S, VECTORS>>; COUNT]),
    ) {
        let (with, simd) = (self.with, self.with.simd);
        let zero = [simd.splat_f64s(0.0); VECTORS];
        let zero = Complex { re: zero, im: zero };
        let mut before = [zero; COUNT];
        let halfway = self.halfway.chunks_exact_mut(COUNT);
        for (j, (pivot, halfway)) in self.pivots.iter().zip(halfway).enumerate() {
            let pivot = with.load(pivot);
            for (t, before) in before.iter_mut().enumerate() {
                let r = with.load(&v[t][j]);
                let r = Complex {
                    re: with.less(r.re, self.hopping, before.im),
                    im: with.plus(r.im, self.hopping, before.re),
                };
                *before = with.times(pivot, r);
                halfway[t] = with.store(before);
            }
        }
        let mut after = [zero; COUNT];
        let two = [simd.splat_f64s(2.0); VECTORS];
        for j in (0..self.pivots.len()).rev() {
            let carry = with.load(&self.carries[j]);
            for (t, after) in after.iter_mut().enumerate() {
                let z = with.load(&self.halfway[j * COUNT + t]);
                let z = with.add_product(z, carry, *after);
                let old = with.load(&v[t][j]);
                v[t][j] = with.store(&Complex {
                    re: with.less(old.re, two, z.re),
                    im: with.less(old.im, two, z.im),
                });
                *after = z;
            }
            visit(self, j, after);
        }
    }

    /// The same, with Σ_j 2αx_j·φ_j·z_j of each added to its sum.
    #[inline(always)]
    fn add_slopes<const COUNT: usize>(
        &mut self,
        v: [&mut [Complex<Lanes>]; COUNT],
        sums: &mut [Complex<Lanes>],
    ) {
        let mut totals: [Complex<Wide<S, VECTORS>>; COUNT] = std::array::from_fn(
            #[inline(always)]
            |t| self.with.load(&sums[t]),
        );
        self.solve(
            v,
            #[inline(always)]
            |solver, j, z| {
                let force = solver.with.load(&solver.forces[j]);
                for (total, z) in totals.iter_mut().zip(z) {
                    *total = solver.with.add_product(*total, force, z);
                }
            },
        );
        for (sum, total) in sums.iter_mut().zip(&totals) {
            *sum = self.with.store(total);
        }
    }
}

/// Arithmetic with complex numbers in vector registers.
#[derive(Clone, Copy)]
struct Arithmetic<S, const VECTORS: usize> {
    simd: S,
}

impl<S: Simd, const VECTORS: usize> Arithmetic<S, VECTORS> {
    #[inline(always)]
    fn load(&self, number: &Complex<Lanes>) -> Complex<Wide<S, VECTORS>> {
        Complex {
            re: wide::<S, VECTORS>(&number.re),
            im: wide::<S, VECTORS>(&number.im),
        }
    }

    #[inline(always)]
    fn store(&self, number: &Complex<Wide<S, VECTORS>>) -> Complex<Lanes> {
        Complex {
            re: narrow::<S, VECTORS>(&number.re),
            im: narrow::<S, VECTORS>(&number.im),
        }
    }

    /// a·b.
    #[inline(always)]
    fn times(
        &self,
        a: Complex<Wide<S, VECTORS>>,
        b: Complex<Wide<S, VECTORS>>,
    ) -> Complex<Wide<S, VECTORS>> {
        Complex {
            re: self.less(self.product(a.re, b.re), a.im, b.im),
            im: self.plus(self.product(a.re, b.im), a.im, b.re),
        }
    }

    /// sum + a·b.
    #[inline(always)]
    fn add_product(
        &self,
        sum: Complex<Wide<S, VECTORS>>,
        a: Complex<Wide<S, VECTORS>>,
        b: Complex<Wide<S, VECTORS>>,
    ) -> Complex<Wide<S, VECTORS>> {
        Complex {
            re: self.less(self.plus(sum.re, a.re, b.re), a.im, b.im),
            im: self.plus(self.plus(sum.im, a.re, b.im), a.im, b.re),
        }
    }

    /// a·b of real numbers.
    #[inline(always)]
    fn product(&self, a: Wide<S, VECTORS>, b: Wide<S, VECTORS>) -> Wide<S, VECTORS> {
        std::array::from_fn(
            #[inline(always)]
            |i| self.simd.mul_f64s(a[i], b[i]),
        )
    }

    /// sum + a·b of real numbers.
    #[inline(always)]
    fn plus(
        &self,
        sum: Wide<S, VECTORS>,
        a: Wide<S, VECTORS>,
        b: Wide<S, VECTORS>,
    ) -> Wide<S, VECTORS> {
        std::array::from_fn(
            #[inline(always)]
            |i| self.simd.mul_add_e_f64s(a[i], b[i], sum[i]),
        )
    }

    /// sum - a·b of real numbers.
    #[inline(always)]
    fn less(
        &self,
        sum: Wide<S, VECTORS>,
        a: Wide<S, VECTORS>,
        b: Wide<S, VECTORS>,
    ) -> Wide<S, VECTORS> {
        std::array::from_fn(
            #[inline(always)]
            |i| self.simd.negate_mul_add_e_f64s(a[i], b[i], sum[i]),
        )
    }
}

#[inline(always)]
fn wide<S: Simd, const VECTORS: usize>(lanes: &Lanes) -> Wide<S, VECTORS> {
    let (vectors, _) = S::as_simd_f64s(&lanes.0);
    std::array::from_fn(
        #[inline(always)]
        |i| vectors[i],
    )
}

#[inline(always)]
fn narrow<S: Simd, const VECTORS: usize>(vectors: &Wide<S, VECTORS>) -> Lanes {
    let mut lanes = Lanes::ZERO;
    S::as_mut_simd_f64s(&mut lanes.0).0.copy_from_slice(vectors);
    lanes
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::super::{InfiniteWell, Schroedinger};
    use crate::linalg::Mat;
    use crate::linalg::simd::narrower;
    use crate::physics::{Simulator, rows_transposed_times};

    /// An odd number of cotangents and one that is even, on vectors of every width: each product with a
    /// single cotangent is that of the rows.
    #[test]
    fn rows_and_single_products_agree_on_machines_with_narrower_vectors() {
        for points in [9, 10] {
            let physics = Schroedinger::new(InfiniteWell { points }, 12, 0.05);
            let control = Mat::from_fn(11, 12, |i, j| (0.9 * i as f64 + 0.4 * j as f64).sin());
            let (state, width) = (Mat::zeros(11, 0), 2 * (points - 2));
            let w = Mat::from_fn(11, width, |i, j| (1.1 * i as f64 - 0.3 * j as f64).cos());
            let record = physics.record(state.as_ref(), control.as_ref()).unwrap();
            let own = record.rows().unwrap();
            narrower::each(|| {
                let rows = record.rows().unwrap();
                assert!((&rows - &own).norm_max() < 1e-13);
                let single = record.vjp(w.as_ref()).unwrap();
                let of_rows = rows_transposed_times(&rows, w.as_ref());
                assert!((single - of_rows).norm_max() < 1e-13);
            });
        }
    }
}
