//! Eigenvalues of a symmetric matrix with its eigenvectors left in factors.
//!
//! K = Q·T·Qᵀ with reflections Q, by way of a band, and T tridiagonal; T = Z·Λ·Zᵀ by the implicit QL
//! method (Parlett, "The Symmetric Eigenvalue Problem", sections 7.4 and 8.12; Golub and Van Loan,
//! "Matrix Computations", section 8.3). A step asks only for Zᵀ·Qᵀ·g and for Q·Z·c: the reflections
//! and the rotations that Z is made of are kept and applied to one vector, which costs O(n²) where
//! forming the eigenvectors costs O(n³).

use super::band::{self, Reflections};
use super::chase::{self, Chase};
use super::eigen::{Scaled, scaled};
use crate::error::Result;
use crate::matrix::{Mat, MatMut};
use crate::simd::vectorised;
use std::ops::Range;

/// A factored eigendecomposition.
#[derive(Debug)]
pub(super) struct Tridiagonal {
    /// From K to a band, and from there to T.
    reflections: Reflections,
    chase: Chase,
    /// Whether the rotations count the rows from the last one.
    reversed: bool,
    rotations: Rotations,
    /// Eigenvalues, largest first.
    values: Vec<f64>,
    /// Where each of them stands after QL.
    places: Vec<usize>,
}

impl Tridiagonal {
    /// Decomposes a symmetric matrix, of which the lower half is read; none where the iteration does
    /// not converge.
    pub(super) fn new(gram: &Mat<f64>, name: &'static str) -> Result<Option<Self>> {
        let n = gram.nrows();
        let Scaled { mut matrix, scale } = scaled(gram, name)?;
        let reflections = band::reduce(&mut matrix);
        let (diagonals, chase) = chase::tridiagonalise(matrix.as_ref());
        let (mut diagonal, mut beside) = (diagonals.diagonal, diagonals.beside);
        // The QL method is accurate and quick where the large entries stand at the end.
        let size = |part: &[f64]| part.iter().map(|d| d.abs()).sum::<f64>();
        let (start, end) = diagonal.split_at(n / 2);
        let reversed = size(start) > size(end);
        if reversed {
            diagonal.reverse();
            beside.reverse();
        }
        beside.push(0.0);
        let Some(rotations) = Rotations::diagonalise(&mut diagonal, &mut beside) else {
            return Ok(None);
        };
        let mut places: Vec<usize> = (0..n).collect();
        places.sort_by(|a, b| diagonal[*b].total_cmp(&diagonal[*a]));
        Ok(Some(Self {
            reflections,
            chase,
            reversed,
            rotations,
            values: places.iter().map(|i| diagonal[*i] * scale).collect(),
            places,
        }))
    }

    /// Eigenvalues, largest first.
    pub(super) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Uᵀ·g: the coefficients of g in the eigenvectors.
    pub(super) fn project(&self, g: &[f64]) -> Vec<f64> {
        let mut v = g.to_vec();
        let column = MatMut::from_column_major_slice_mut(&mut v, g.len(), 1);
        self.reflections.apply_transposed(column);
        self.chase.apply_transposed(&mut v);
        if self.reversed {
            v.reverse();
        }
        self.rotations.apply_transposed(&mut v);
        self.places.iter().map(|i| v[*i]).collect()
    }

    /// U·c: the combination of the eigenvectors with given coefficients.
    pub(super) fn combine(&self, c: &[f64]) -> Vec<f64> {
        let mut v = vec![0.0; c.len()];
        for (c, i) in c.iter().zip(&self.places) {
            v[*i] = *c;
        }
        self.rotations.apply(&mut v, 1);
        if self.reversed {
            v.reverse();
        }
        self.chase.apply(&mut v, 1);
        let column = MatMut::from_column_major_slice_mut(&mut v, c.len(), 1);
        self.reflections.apply(column);
        v
    }

    /// The eigenvectors of a range of places (n × range), all at once.
    pub(super) fn eigenvectors(&self, range: Range<usize>) -> Mat<f64> {
        let (n, count) = (self.places.len(), range.len());
        if count == 0 {
            return Mat::zeros(n, 0);
        }
        let mut rows = vec![0.0; n * count];
        for (k, place) in range.enumerate() {
            rows[self.places[place] * count + k] = 1.0;
        }
        self.rotations.apply(&mut rows, count);
        if self.reversed {
            rows = rows.chunks_exact(count).rev().flatten().copied().collect();
        }
        self.chase.apply(&mut rows, count);
        let mut vectors = Mat::from_fn(n, count, |i, k| rows[i * count + k]);
        self.reflections.apply(vectors.as_mut());
        vectors
    }
}

/// Z as the product of the plane rotations of the QL method.
#[derive(Debug, Default)]
pub(super) struct Rotations {
    /// Cosine and sine, sweep after sweep.
    angles: Vec<[f64; 2]>,
    /// Planes (i, i + 1) of each sweep, from the last one down to the first.
    sweeps: Vec<Range<usize>>,
}

impl Rotations {
    /// Turns a tridiagonal matrix (diagonal, and the entries beside it with a last one to spare)
    /// into its eigenvalues; none where the iteration does not converge.
    pub(super) fn diagonalise(d: &mut [f64], e: &mut [f64]) -> Option<Self> {
        // The matrix is scaled to about 1: less than this is below the rounding of its largest
        // eigenvalue, which is all that the Gram routes count on.
        const NEGLIGIBLE: f64 = 1e-2 * f64::EPSILON;
        const MOST_SWEEPS: usize = 60;
        let n = d.len();
        let mut rotations = Self::default();
        for l in 0..n {
            for sweep in 0.. {
                let negligible = |m: &usize| {
                    let size = d[*m].abs() + d[*m + 1].abs();
                    e[*m].abs() <= (f64::EPSILON * size).max(NEGLIGIBLE)
                };
                let m = (l..n - 1).find(negligible).unwrap_or(n - 1);
                if m == l {
                    break;
                }
                if sweep == MOST_SWEEPS {
                    return None;
                }
                rotations.sweep(d, e, l, m);
            }
        }
        Some(rotations)
    }

    /// One implicit QL sweep with Wilkinson's shift over the unreduced block l..=m.
    fn sweep(&mut self, d: &mut [f64], e: &mut [f64], l: usize, m: usize) {
        let half = (d[l + 1] - d[l]) / (2.0 * e[l]);
        let root = half.hypot(1.0).copysign(half);
        // What is left of the diagonal entry after the shift, and the bulge that is chased.
        let mut shifted = d[m] - d[l] + e[l] / (half + root);
        let (mut sine, mut cosine, mut carried) = (1.0, 1.0, 0.0);
        let mut first = l;
        for i in (l..m).rev() {
            let bulge = sine * e[i];
            let beside = cosine * e[i];
            let length = (bulge * bulge + shifted * shifted).sqrt();
            e[i + 1] = length;
            if length == 0.0 {
                d[i + 1] -= carried;
                first = i + 1;
                break;
            }
            (sine, cosine) = (bulge / length, shifted / length);
            let rest = d[i + 1] - carried;
            let mixed = (d[i] - rest) * sine + 2.0 * cosine * beside;
            carried = sine * mixed;
            d[i + 1] = rest + carried;
            shifted = cosine * mixed - beside;
            self.angles.push([cosine, sine]);
        }
        if first == l {
            d[l] -= carried;
            e[l] = shifted;
        }
        e[m] = 0.0;
        self.sweeps.push(first..m);
    }

    /// Zᵀ·v in place.
    pub(super) fn apply_transposed(&self, v: &mut [f64]) {
        let mut angles = self.angles.iter();
        for sweep in &self.sweeps {
            for (i, [c, s]) in sweep.clone().rev().zip(&mut angles) {
                let (low, high) = (v[i], v[i + 1]);
                v[i] = c * low - s * high;
                v[i + 1] = s * low + c * high;
            }
        }
    }

    /// Z·V in place, for `count` vectors side by side (row-major: one row for each plane's axis).
    pub(super) fn apply(&self, v: &mut [f64], count: usize) {
        vectorised(
            #[inline(always)]
            || {
                let mut angles = self.angles.iter().rev();
                for sweep in self.sweeps.iter().rev() {
                    for (i, [c, s]) in sweep.clone().zip(&mut angles) {
                        let (low, high) = v[i * count..(i + 2) * count].split_at_mut(count);
                        for (low, high) in low.iter_mut().zip(high) {
                            (*low, *high) = (c * *low + s * *high, c * *high - s * *low);
                        }
                    }
                }
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix;
    use proptest::prelude::*;

    /// Largest entries of U·Λ·Uᵀ - K and of Uᵀ·U - 1, and of what one vector says of U.
    fn errors(gram: &Mat<f64>) -> [f64; 4] {
        let n = gram.nrows();
        let parts = Tridiagonal::new(gram, "test matrix").unwrap().unwrap();
        let u = parts.eigenvectors(0..n);
        let scaled = Mat::from_fn(n, n, |i, j| u[(i, j)] * parts.values()[j]);
        let residual = matrix::product(scaled.as_ref(), u.transpose()) - gram;
        let overlap = matrix::product(u.transpose(), u.as_ref()) - Mat::<f64>::identity(n, n);
        let g: Vec<f64> = (0..n).map(|i| (0.7 * i as f64).sin() + 0.1).collect();
        let largest = |a: &[f64], b: &[f64]| {
            let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
            differences.fold(0.0, f64::max)
        };
        let formed = matrix::apply_transposed(u.as_ref(), &g);
        [
            residual.norm_max(),
            overlap.norm_max(),
            largest(&parts.project(&g), &formed),
            largest(&parts.combine(&formed), &g),
        ]
    }

    fn assert_small(gram: &Mat<f64>) {
        let tolerance = 1e-13 * (gram.nrows() as f64).sqrt().max(1.0);
        let [residual, rest @ ..] = errors(gram);
        let scale = gram.norm_max().max(f64::MIN_POSITIVE);
        assert!(
            residual <= tolerance * scale,
            "residual {residual:e} of {scale:e}"
        );
        assert!(rest.iter().all(|e| *e <= tolerance), "{rest:?}");
    }

    fn from_spectrum(n: usize, spectrum: &[f64], seed: f64) -> Mat<f64> {
        let basis = Mat::from_fn(n, n, |i, j| ((i * n + j) as f64 * seed).sin());
        let q = basis.qr().compute_Q();
        let scaled = Mat::from_fn(n, n, |i, j| q[(i, j)] * spectrum[j]);
        let gram = matrix::product(scaled.as_ref(), q.transpose());
        Mat::from_fn(n, n, |i, j| 0.5 * (gram[(i, j)] + gram[(j, i)]))
    }

    #[test]
    fn every_size_around_the_width_of_the_band() {
        for n in (1..=3)
            .chain(14..=20)
            .chain([31, 32, 33, 34, 47, 48, 49, 95, 96, 97, 130, 400])
        {
            let spectrum: Vec<f64> = (0..n).map(|i| 0.9_f64.powi(i as i32)).collect();
            assert_small(&from_spectrum(n, &spectrum, 1.234_567));
        }
    }

    #[test]
    fn matrices_with_nothing_to_reflect() {
        for n in [1, 5, 40, 100] {
            assert_small(&Mat::zeros(n, n));
            assert_small(&Mat::identity(n, n));
            assert_small(&Mat::from_fn(
                n,
                n,
                |i, j| if i == j { i as f64 } else { 0.0 },
            ));
            assert_small(&Mat::from_fn(n, n, |_, _| 1.0));
            let second = Mat::from_fn(n, n, |i, j| [2.0, -1.0, 0.0][i.abs_diff(j).min(2)]);
            assert_small(&second);
            // Two blocks that know nothing of each other.
            assert_small(&Mat::from_fn(n, n, |i, j| {
                f64::from((i < n / 2) == (j < n / 2))
            }));
        }
    }

    #[test]
    fn entries_that_cannot_be_squared() {
        for scale in [1e-300, 1e-160, 1e-12, 1e150, 1e300] {
            let spectrum: Vec<f64> = (0..60).map(|i| scale * 0.5_f64.powi(i)).collect();
            assert_small(&from_spectrum(60, &spectrum, 0.377));
        }
        let tiny = |i: usize, j: usize| 1e-170 * ((i * 31 + j * 31 + i * j) as f64).sin();
        let mut gram = Mat::from_fn(60, 60, |i, j| if i == j { 0.0 } else { tiny(i, j) });
        gram[(0, 0)] = 1.0;
        assert_small(&gram);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_symmetric_matrix(n in 1_usize..120, rank in 1_usize..120, decay in 0.3_f64..1.0, seed in 0.1_f64..3.0) {
            let spectrum: Vec<f64> = (0..n)
                .map(|i| if i < rank { decay.powi(i as i32) } else { 0.0 })
                .collect();
            assert_small(&from_spectrum(n, &spectrum, seed));
        }
    }
}
