//! A symmetric matrix at a scale where nothing overflows.

use crate::error::{Error, Result};
use crate::matrix::Mat;

/// A symmetric matrix divided by a power of two that brings its entries to about 1: far from there
/// the squares inside an iteration would overflow or vanish.
pub(super) struct Scaled {
    /// The scaled matrix; only the lower half is meant.
    pub(super) matrix: Mat<f64>,
    /// What to multiply eigenvalues by.
    pub(super) scale: f64,
}

/// Scales a symmetric matrix, of which the lower half is read; refuses what is not finite.
pub(super) fn scaled(gram: &Mat<f64>, name: &'static str) -> Result<Scaled> {
    let n = gram.nrows();
    let finite = (0..n).all(|j| gram.col_as_slice(j)[j..].iter().all(|v| v.is_finite()));
    if !finite {
        return Err(Error::Decomposition {
            matrix: name,
            size: n,
            reason: "it is not finite; try a smaller learning rate".into(),
        });
    }
    let largest = (0..n).fold(0.0_f64, |m, i| m.max(gram[(i, i)].abs()));
    let scale = power_of_two(largest);
    Ok(Scaled {
        matrix: faer::Scale(1.0 / scale) * gram,
        scale,
    })
}

/// The power of two nearest to a number, by which scaling is exact; 1 where there is none.
pub(in super::super) fn power_of_two(value: f64) -> f64 {
    if value > 0.0 && value.is_finite() {
        value.log2().round().clamp(-1000.0, 1000.0).exp2()
    } else {
        1.0
    }
}
