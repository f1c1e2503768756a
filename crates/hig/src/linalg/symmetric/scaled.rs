//! A symmetric matrix at a scale where nothing overflows.

use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, power_of_two};
use crate::linalg::simd::vectorised;

/// Divides the lower half of a symmetric matrix by a power of two that brings its entries to about 1:
/// far from there the squares inside an iteration would overflow or vanish. Returns what to multiply
/// eigenvalues by; refuses what is not finite.
pub(super) fn bring_to_one(gram: &mut Mat<f64>, name: &'static str) -> Result<f64> {
    let n = gram.nrows();
    let largest = (0..n).fold(0.0_f64, |m, i| m.max(gram[(i, i)].abs()));
    let scale = power_of_two(largest);
    // The sum of numbers about 1 is finite if and only if all of them are.
    let mut sum = 0.0;
    for j in 0..n {
        let column = &mut gram.col_as_slice_mut(j)[j..];
        sum += vectorised(
            #[inline(always)]
            || divide(column, scale),
        );
    }
    if sum.is_finite() {
        return Ok(scale);
    }
    Err(Error::Decomposition {
        matrix: name,
        size: n,
        reason: "it is not finite, or squares of inputs and derivatives are beyond the range of \
                 numbers; try a smaller learning rate"
            .into(),
    })
}

/// Divides by a power of two; returns the sum of the sizes.
#[inline(always)]
fn divide(values: &mut [f64], scale: f64) -> f64 {
    const LANES: usize = 8;
    let mut sums = [0.0; LANES];
    let factor = 1.0 / scale;
    let mut chunks = values.chunks_exact_mut(LANES);
    for chunk in &mut chunks {
        for (sum, v) in sums.iter_mut().zip(chunk) {
            *v *= factor;
            *sum += v.abs();
        }
    }
    for v in chunks.into_remainder() {
        *v *= factor;
        sums[0] += v.abs();
    }
    sums.iter().sum()
}
