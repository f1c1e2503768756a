//! What the blocks of points of a field count.

use crate::settings::Rule;

/// What each block of points counts in the loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weights {
    /// What it says itself, by default 1.
    Equal,
    /// As [`Residuals::balanced`](super::Residuals::balanced) has it.
    Balanced,
}

crate::choices! {
    Weights, "weights" {
        Equal = "equal", "a mean square of each block, all with weight 1";
        Balanced = "balanced", "such that every block has the same part in the curvature of the loss at the start";
    }
}

/// Any weights, as a setting.
pub const ANY_WEIGHTS: Rule<Weights> = Rule::any();
