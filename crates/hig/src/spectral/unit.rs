//! The unit in which J is squared.
//!
//! K has squares of J's numbers, and what is asked of K squares them again: a J far from 1 is first
//! divided by a power of two, which is exact. That it is far shows in its singular values, or in their
//! failure, so that an ordinary J costs nothing.

use crate::error::Result;
use crate::linalg::matrix::power_of_two;
use crate::objective::Jacobian;
use std::ops::RangeInclusive;

/// Largest singular values whose fourth powers, and those of the small ones, are far from overflow
/// and from underflow.
const ORDINARY: RangeInclusive<f64> = 1e-38..=1e38;

/// Whether a J of this largest singular value may be squared as it is.
pub(super) fn is_ordinary(largest: f64) -> bool {
    ORDINARY.contains(&largest)
}

/// The power of two nearest to the size of J, from one product; none where that is ordinary, 0 or not
/// finite.
///
/// # Errors
/// A simulator that fails.
pub(super) fn of(jacobian: &dyn Jacobian) -> Result<Option<f64>> {
    // Irrational weights: rows of J that are multiples of each other do not cancel in their sum.
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let weights = (1..=jacobian.rows()).map(|i| (i as f64 * GOLDEN).fract() - 0.5);
    let sums = jacobian.vjp(&weights.collect::<Vec<_>>())?;
    let size = sums.iter().fold(0.0_f64, |most, v| most.max(v.abs()));
    let extreme = size > 0.0 && size.is_finite() && !is_ordinary(size);
    Ok(extreme.then(|| power_of_two(size)))
}
