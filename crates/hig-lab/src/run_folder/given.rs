//! Initial weights and training samples that a run was given, of which its folder holds copies: the
//! files themselves may change.

use hig::{Problem, Result};
use std::path::Path;

/// The initial weights, in the folder of a run.
pub const WEIGHTS: &str = "given-weights.safetensors";
/// The training samples, in the folder of a run.
pub const DATA: &str = "given-data.safetensors";

/// Keeps the weights.
pub fn keep_weights(problem: &Problem, weights: &[f64], folder: &Path) -> Result<()> {
    let path = folder.join(WEIGHTS);
    problem.save_parameters(weights, &path)
}

/// Keeps the samples.
pub fn keep_data(problem: &Problem, folder: &Path) -> Result<()> {
    problem.train.save(&folder.join(DATA))
}
