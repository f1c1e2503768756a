//! A small tridiagonal matrix by the implicit QL method, its rotations kept (Parlett, "The Symmetric
//! Eigenvalue Problem", section 8.12; Golub and Van Loan, "Matrix Computations", section 8.3).

use crate::linalg::simd::vectorised;
use std::ops::Range;

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
