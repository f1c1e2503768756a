//! How a training stands: losses, rate, time left.

use hig::trainer::{Evaluation, Progress};
use std::time::Duration;

/// What an observer knows of a training.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Test loss of the last evaluation.
    pub loss: f64,
    /// The lowest test loss so far.
    pub best: f64,
    first: Option<(usize, f64, f64)>,
}

impl Pace {
    /// Of a training that is about to begin, or to go on.
    pub fn new() -> Self {
        Self {
            loss: f64::NAN,
            best: f64::INFINITY,
            first: None,
        }
    }

    /// Takes note of an evaluation.
    pub fn evaluation(&mut self, now: &Evaluation<'_>) {
        self.loss = now.test_loss;
        self.best = self.best.min(now.test_loss);
    }

    /// Updates a second of training.
    pub fn rate(now: &Progress<'_>) -> f64 {
        now.update as f64 / now.seconds.max(1e-9)
    }

    /// Seconds of training that are left, from the share of the budget that was used since this process
    /// began: a run that is resumed may go on at another speed. NaN until there is something to go by.
    pub fn left(&mut self, now: &Progress<'_>) -> f64 {
        let first = *self
            .first
            .get_or_insert((now.update, now.seconds, now.budget_used));
        let (update, seconds, used) = first;
        if now.update == update {
            return f64::NAN;
        }
        let speed = (now.budget_used - used) / (now.seconds - seconds);
        ((1.0 - now.budget_used).max(0.0) / speed).max(0.0)
    }
}

/// A time as people say it; "?" where it is not known.
pub fn time(seconds: f64) -> String {
    // Beyond a century a time says only that the work will not end.
    if !(0.0..3e9).contains(&seconds) {
        return "?".into();
    }
    indicatif::HumanDuration(Duration::from_secs(seconds.ceil() as u64)).to_string()
}
