//! Eigenvalues of a symmetric matrix with its eigenvectors left in factors.
//!
//! K = Q·T·Qᵀ with Householder reflectors Q and T tridiagonal, T = Z·Λ·Zᵀ by the implicit QL method
//! (Parlett, "The Symmetric Eigenvalue Problem", sections 7.4 and 8.12; Golub and Van Loan, "Matrix
//! Computations", section 8.3). A step asks only for Zᵀ·Qᵀ·g and for Q·Z·c: the reflectors and the
//! rotations that Z is made of are kept and applied to one vector, which costs O(n²) where forming
//! the eigenvectors costs O(n³).

use super::eigen::{Scaled, scaled};
use crate::error::Result;
use crate::matrix::{Mat, MatMut, MatRef};
use crate::simd::vectorised;
use faer::dyn_stack::{MemBuffer, MemStack, StackReq};
use faer::linalg::evd::tridiag;
use faer::linalg::{householder, qr};
use faer::{Conj, Par};
use std::ops::Range;

/// A factored eigendecomposition.
#[derive(Debug)]
pub(super) struct Tridiagonal {
    /// Reflectors of Q below the subdiagonal.
    reflectors: Mat<f64>,
    /// Coefficients of the blocks of reflectors.
    coefficients: Mat<f64>,
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
        let block = qr::no_pivoting::factor::recommended_block_size::<f64>(n, n);
        let mut coefficients = Mat::zeros(block, n.saturating_sub(1));
        let mut memory = MemBuffer::new(tridiag::tridiag_in_place_scratch::<f64>(
            n,
            Par::Seq,
            Default::default(),
        ));
        tridiag::tridiag_in_place(
            matrix.as_mut(),
            coefficients.as_mut(),
            Par::Seq,
            MemStack::new(&mut memory),
            Default::default(),
        );
        let mut diagonal: Vec<f64> = (0..n).map(|i| matrix[(i, i)]).collect();
        let mut beside: Vec<f64> = (1..n).map(|i| matrix[(i, i - 1)]).collect();
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
            reflectors: matrix,
            coefficients,
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
        self.reflect(
            MatMut::from_column_major_slice_mut(&mut v, g.len(), 1),
            true,
        );
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
        self.reflect(
            MatMut::from_column_major_slice_mut(&mut v, c.len(), 1),
            false,
        );
        v
    }

    /// The eigenvectors of a range of places (n × range), all at once.
    pub(super) fn eigenvectors(&self, range: Range<usize>) -> Mat<f64> {
        let (n, count) = (self.places.len(), range.len());
        let mut rows = vec![0.0; n * count];
        for (k, place) in range.enumerate() {
            rows[self.places[place] * count + k] = 1.0;
        }
        self.rotations.apply(&mut rows, count);
        let row = |i: usize| if self.reversed { n - 1 - i } else { i };
        let mut vectors = Mat::from_fn(n, count, |i, k| rows[row(i) * count + k]);
        self.reflect(vectors.as_mut(), false);
        vectors
    }

    /// Q·V or Qᵀ·V in place; the first row is never reflected.
    fn reflect(&self, v: MatMut<'_, f64>, transposed: bool) {
        let (n, count) = (v.nrows(), v.ncols());
        if n < 2 || count == 0 {
            return;
        }
        type Request = fn(usize, usize, usize) -> StackReq;
        type Apply =
            fn(MatRef<'_, f64>, MatRef<'_, f64>, Conj, MatMut<'_, f64>, Par, &mut MemStack);
        let (request, apply): (Request, Apply) = if transposed {
            (
                householder::apply_block_householder_sequence_transpose_on_the_left_in_place_scratch::<f64>,
                householder::apply_block_householder_sequence_transpose_on_the_left_in_place_with_conj,
            )
        } else {
            (
                householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>,
                householder::apply_block_householder_sequence_on_the_left_in_place_with_conj,
            )
        };
        let request = request(n - 1, self.coefficients.nrows(), count);
        apply(
            self.reflectors.as_ref().submatrix(1, 0, n - 1, n - 1),
            self.coefficients.as_ref(),
            Conj::No,
            v.subrows_mut(1, n - 1),
            Par::Seq,
            MemStack::new(&mut MemBuffer::new(request)),
        );
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
