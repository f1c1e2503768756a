//! Lengths along a direction at which the loss falls enough.

use crate::error::Result;
use crate::linalg::dot;
use crate::objective::Linearized;

/// The part of what a line promises that the loss must fall by, c₁ of the first Wolfe condition
/// (Nocedal and Wright 2006, equation 3.4 and the value named there).
pub(super) const SUFFICIENT_DECREASE: f64 = 1e-4;

/// Whether a loss meets the first Wolfe condition against that at the start of the line, of which
/// `promised` is length times slope downwards, and `rounding` the relative size of what is no
/// difference. A loss that is not finite is no decrease.
pub(super) fn falls_enough(start: f64, loss: f64, promised: f64, rounding: f64) -> bool {
    loss.is_finite() && loss <= start - SUFFICIENT_DECREASE * promised + rounding * start.abs()
}

/// The slope gᵀJv and the curvature vᵀJᵀCJv of the quadratic model of a batch's loss along v, of which J·v
/// (length n) is given.
///
/// # Errors
/// A loss that cannot tell its curvature; a simulator that fails.
pub(super) fn quadratic_model(at: &dyn Linearized, image: &[f64]) -> Result<(f64, f64)> {
    let squares = image.iter().zip(at.curvature()?).map(|(i, c)| c * i * i);
    Ok((dot(at.cotangent(), image), squares.sum()))
}

/// Backtracking (Nocedal and Wright 2006, algorithm 3.1): the first of the lengths t, t/2, t/4, … at
/// which the loss falls enough, after so many halvings at most.
///
/// # Errors
/// Those of the loss.
pub(super) fn backtrack(
    start: f64,
    slope: f64,
    first: f64,
    halvings: usize,
    mut loss_at: impl FnMut(f64) -> Result<f64>,
) -> Result<Option<f64>> {
    let mut length = first;
    for _ in 0..=halvings {
        let loss = loss_at(length)?;
        if loss < start && falls_enough(start, loss, length * slope, 0.0) {
            return Ok(Some(length));
        }
        length *= 0.5;
    }
    Ok(None)
}
