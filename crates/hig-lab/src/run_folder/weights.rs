//! `weights.safetensors`: the weights of a method, at the end or on the way.

use hig::Problem;
use hig::trainer::{Evaluation, Flow, Observer};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file in the folder of a method.
pub const FILE: &str = "weights.safetensors";

/// Writes the file from time to time, each time whole or not at all.
#[derive(Debug)]
pub struct WeightsWriter {
    path: PathBuf,
    interval: Duration,
    written: Instant,
}

impl WeightsWriter {
    /// Writes at evaluations that come at least `interval` after the last time.
    pub fn new(folder: &Path, interval: Duration) -> Self {
        Self {
            path: folder.join(FILE),
            interval,
            written: Instant::now(),
        }
    }
}

impl Observer for WeightsWriter {
    fn evaluation(&mut self, now: &Evaluation<'_>) -> hig::Result<Flow> {
        if now.train_loss.is_finite() && self.written.elapsed() >= self.interval {
            now.problem.save_parameters(now.parameters, &self.path)?;
            self.written = Instant::now();
        }
        Ok(Flow::Continue)
    }
}

/// Writes the file.
///
/// # Errors
/// The file cannot be written.
pub fn write(problem: &Problem, parameters: &[f64], folder: &Path) -> hig::Result<()> {
    problem.save_parameters(parameters, &folder.join(FILE))
}

/// Reads the file.
///
/// # Errors
/// There is none, or it does not fit the problem.
pub fn read(problem: &Problem, folder: &Path) -> hig::Result<Vec<f64>> {
    problem.load_parameters(&folder.join(FILE))
}
