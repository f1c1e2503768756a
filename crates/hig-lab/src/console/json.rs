//! One JSON object a line on standard output, for machines.

use super::pace::Pace;
use crate::console::output::write_object;
use crate::run_folder::outcome::Outcome;
use hig::Result;
use hig::trainer::{Evaluation, Flow, Observer, Progress};
use hig::warnings::Warning;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Progress and evaluations of a training.
#[derive(Debug)]
pub struct Objects {
    method: String,
    every: Duration,
    told: Instant,
    pace: Pace,
}

impl Objects {
    /// Of one method; its progress at most once in `every`.
    pub fn new(method: &str, every: Duration) -> Self {
        Self {
            method: method.to_owned(),
            every,
            told: Instant::now(),
            pace: Pace::new(),
        }
    }
}

impl Observer for Objects {
    fn progress(&mut self, now: &Progress<'_>) -> Result<Flow> {
        let left = self.pace.left(now);
        if self.told.elapsed() >= self.every {
            self.told = Instant::now();
            let fields = json!({
                "method": self.method,
                "update": now.update,
                "epoch": now.epoch,
                "seconds": now.seconds,
                "batch_loss": now.batch_loss,
                "budget_used": now.budget_used,
                "seconds_left": left,
            });
            tell("progress", fields);
        }
        Ok(Flow::Continue)
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        self.pace.evaluation(now);
        let step = now.diagnostics.iter().map(|(name, v)| (*name, *v));
        let fields = json!({
            "method": self.method,
            "update": now.update,
            "epoch": now.epoch,
            "seconds": now.seconds,
            "train_loss": now.train_loss,
            "validation_loss": now.validation_loss,
            "test_loss": now.test_loss,
            "best_test_loss": self.pace.best,
            "step": numbers(step),
        });
        tell("evaluation", fields);
        Ok(Flow::Continue)
    }
}

/// The end of a training.
pub fn ended(method: &str, outcome: &Outcome) {
    let fields = json!({
        "method": method,
        "updates": outcome.updates,
        "epochs": outcome.epochs,
        "seconds": outcome.seconds,
        "train_loss": outcome.train_loss,
        "test_loss": outcome.test_loss,
        "returned": outcome.returned,
        "last_train_loss": outcome.last.train,
        "last_test_loss": outcome.last.test,
        "consumed": outcome.consumed,
        "ended": outcome.reason.name(),
        "stop": outcome.stop,
    });
    tell("end", fields);
}

/// What goes wrong.
pub fn warning(method: &str, warning: &Warning) {
    let fields = json!({
        "method": method,
        "update": warning.update,
        "name": warning.name,
        "message": warning.message,
        "advice": warning.advice,
    });
    tell("warning", fields);
}

/// Named numbers as an object; those that are not finite, for which JSON has no word, are null.
fn numbers<'a>(numbers: impl IntoIterator<Item = (&'a str, f64)>) -> Value {
    let numbers = numbers.into_iter();
    Value::Object(
        numbers
            .map(|(name, v)| (name.to_owned(), json!(v)))
            .collect(),
    )
}

/// Writes an object with the name of the event in it.
pub fn tell(event: &str, mut fields: Value) {
    fields["event"] = event.into();
    write_object(format_args!("{fields}\n"));
}
