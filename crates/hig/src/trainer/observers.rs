//! What watches a training: progress, metrics, diagnostics, checkpoints.

use super::{Budget, Outcome};
use crate::error::{Error, Result};
use crate::files::SavedState;
use crate::problem::Problem;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// Whether a training goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flow {
    /// Go on.
    Continue,
    /// End now; everything computed so far is kept.
    Stop,
}

/// State after an update.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// Parameters now.
    pub parameters: &'a [f64],
    /// Updates done.
    pub update: usize,
    /// Passes over the training samples.
    pub epoch: f64,
    /// Seconds of training.
    pub seconds: f64,
    /// Loss of the batch before the update.
    pub batch_loss: f64,
    /// Used fraction of the budget.
    pub budget_used: f64,
    /// Whether the update left every parameter as it was, as after a line search that found nothing.
    pub unchanged: bool,
}

/// State at an evaluation; the first is update 0, the last the last update.
pub struct Evaluation<'a> {
    /// The problem.
    pub problem: &'a Problem,
    /// Parameters now.
    pub parameters: &'a [f64],
    /// Updates done.
    pub update: usize,
    /// Passes over the training samples.
    pub epoch: f64,
    /// Seconds of training; the time of evaluations is not counted.
    pub seconds: f64,
    /// Mean loss of all training samples, without those that are held out.
    pub train_loss: f64,
    /// Mean loss of the held-out samples; NaN where there are none.
    pub validation_loss: f64,
    /// Mean loss of all test samples.
    pub test_loss: f64,
    /// Whether the parameters are the best so far, by the loss of the held-out samples or, where there
    /// are none, of the training samples.
    pub best: bool,
    /// Loss of the last batch before its update; NaN where no update precedes.
    pub batch_loss: f64,
    /// n, the rows of J of the last batch; 0 where no update precedes.
    pub rows: usize,
    /// What the last step told about itself.
    pub diagnostics: &'a [(&'static str, f64)],
    /// Singular values of the last step, largest first; see [`Update`](crate::step::Update::spectrum).
    pub spectrum: &'a [f64],
}

/// A training about to begin, or to go on.
pub struct Beginning<'a> {
    /// The problem.
    pub problem: &'a Problem,
    /// How long it may go on.
    pub budget: &'a Budget,
    /// Updates done before.
    pub update: usize,
}

/// Something that watches a training. An error ends the training; what was computed is kept.
pub trait Observer {
    /// Called once all else is found to be in order, before anything is computed: the place to try what
    /// will be needed later, such as a file.
    ///
    /// # Errors
    /// Whatever should refuse the training.
    fn begin(&mut self, _: &Beginning<'_>) -> Result<()> {
        Ok(())
    }

    /// Called after every update; must be quick.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn progress(&mut self, _: &Progress<'_>) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// Whether it takes checkpoints. Where one does, the state before each update is held, so that a
    /// training that fails leaves one as well.
    fn takes_checkpoints(&self) -> bool {
        false
    }

    /// Called after every update, and after the evaluation that may belong to it. Where the update, its
    /// evaluation or an observer failed, it is called with the state before that update.
    ///
    /// # Errors
    /// Whatever should end the training.
    fn checkpoint(&mut self, _: &mut Checkpoint<'_>) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// Called at every evaluation.
    ///
    /// # Errors
    /// Whatever should end the training, such as a full disk.
    fn evaluation(&mut self, _: &Evaluation<'_>) -> Result<Flow> {
        Ok(Flow::Continue)
    }

    /// Called with what the training ended with.
    ///
    /// # Errors
    /// What the outcome should tell as its end, unless something had failed before.
    fn end(&mut self, _: &Outcome) -> Result<()> {
        Ok(())
    }
}

/// A place in a training from which it can go on.
pub struct Checkpoint<'a> {
    /// Updates done.
    pub update: usize,
    /// Whether the training ends here, before a last evaluation.
    pub last: bool,
    /// Makes the state, to be given to [`Start::resume`](super::Start::resume).
    pub state: &'a mut dyn FnMut() -> SavedState,
}

/// Writes `update,epoch,seconds,train_loss,test_loss` rows as they come.
#[derive(Debug)]
pub struct MetricsWriter {
    path: PathBuf,
    file: File,
}

impl MetricsWriter {
    /// Goes on with a file, or begins one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn open(path: &Path) -> Result<Self> {
        let start = || -> std::io::Result<File> {
            let mut file = File::options().create(true).append(true).open(path)?;
            if file.metadata()?.len() == 0 {
                file.write_all(b"update,epoch,seconds,train_loss,test_loss\n")?;
            }
            Ok(file)
        };
        let file = start().map_err(|e| Error::file(path, e))?;
        let path = path.to_owned();
        Ok(Self { path, file })
    }
}

impl Observer for MetricsWriter {
    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        // One write a row, so that a kill leaves whole rows.
        let row = format!(
            "{},{:.6},{:.6},{:e},{:e}\n",
            now.update, now.epoch, now.seconds, now.train_loss, now.test_loss
        );
        self.file
            .write_all(row.as_bytes())
            .map_err(|e| Error::file(&self.path, e))?;
        Ok(Flow::Continue)
    }
}
