//! The loss explodes.

use super::{Cause, Finding, Recent, Setup, View};
use crate::error::Error;
use crate::files::Exchange;
use crate::trainer::{Outcome, Stop};

pub const NAME: &str = "explosion";

/// Multiple of the loss at the start: a training so far above where random weights began has lost
/// everything, and what it learns from there on it would learn faster from new weights.
const ABOVE_START: f64 = 10.0;

/// Multiple of the least loss so far. Trainings that end well jump by a factor of hundreds and come
/// back where the least loss is 1e-8.
const ABOVE_BEST: f64 = 1000.0;

/// Multiple of the least loss so far for a loss that is back at this part of the start: what was learned is
/// lost. The methods that are compared on the systems stay below 2 up there, but for Gauss-Newton where it
/// does fail; `lm` on few samples of the nonlinear oscillators passes 11 on its way to 38, where it ends.
const LOST: f64 = 20.0;
const OF_START: f64 = 0.5;

/// Multiple of the least loss so far for a loss that rises from evaluation to evaluation. Trainings that
/// come back by themselves have risen like that to 26 times their best.
const RISING: f64 = 100.0;

/// Evaluations in a row that must be so far above: one alone is a jump.
const IN_A_ROW: usize = 4;

#[derive(Debug)]
pub struct Explosion {
    start: Option<f64>,
    best: f64,
    recent: Recent,
}

impl Default for Explosion {
    fn default() -> Self {
        Self {
            start: None,
            best: f64::INFINITY,
            recent: Recent::new(IN_A_ROW),
        }
    }
}

impl Explosion {
    /// The loss at the start.
    fn hear(&mut self, loss: f64) -> f64 {
        self.best = self.best.min(loss);
        self.recent.push(loss);
        *self.start.get_or_insert(loss)
    }
}

impl Cause for Explosion {
    fn name(&self) -> &'static str {
        NAME
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.optional_number("start", &mut self.start);
        state.number("best", &mut self.best);
        self.recent.exchange("recent", state);
    }

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let loss = view.now.train_loss;
        if !loss.is_finite() {
            return Some(finding(format!("the training loss is {loss}"), view.setup));
        }
        let start = self.hear(loss);
        let least = self.recent.full()?.fold(f64::INFINITY, f64::min);
        let recent = self.recent.full()?;
        let rises = recent.clone().zip(recent.skip(1)).all(|(a, b)| a < b);
        let above = least / self.best;
        let (what, of, factor) = if least > ABOVE_START * start {
            ("at the start", start, loss / start)
        } else if above > ABOVE_BEST {
            ("at its best", self.best, loss / self.best)
        } else if above > LOST && least >= OF_START * start {
            let what = "at its best, and back where it began";
            (what, self.best, loss / self.best)
        } else if above > RISING && rises {
            ("at its best, and rises", self.best, loss / self.best)
        } else {
            return None;
        };
        let message =
            format!("the training loss is {loss:.1e}, {factor:.0e} times the {of:.1e} {what}");
        Some(finding(message, view.setup))
    }

    fn end(&mut self, outcome: &Outcome, setup: &Setup) -> Option<Finding> {
        let message = match &outcome.stop {
            Stop::LossNotFinite { loss, cause, .. } => {
                told(format!("the loss of a batch is {loss}"), cause.as_ref())
            }
            Stop::ParametersNotFinite { cause, .. } => {
                told("an update is not finite".to_owned(), cause.as_ref())
            }
            _ => return None,
        };
        Some(finding(message, setup))
    }
}

fn told(what: String, cause: Option<&Error>) -> String {
    match cause {
        Some(cause) => format!("{what} ({cause})"),
        None => what,
    }
}

fn finding(message: String, setup: &Setup) -> Finding {
    let changes = [
        ("a smaller", "learning_rate"),
        ("a larger", "cutoff"),
        ("a smaller", "exponent"),
        ("more", "damping"),
    ];
    // Steps with a choice of lengths refuse such updates already.
    let others = setup.tries_once().then(|| {
        let [adaptive, damped] = ["adaptive-hig", "lm"].map(|name| setup.method(name));
        format!(
            "a method that refuses updates that raise the loss of the batch, such as {adaptive} or \
             {damped}"
        )
    });
    setup.finding(message, &changes, others)
}
