//! A row of the table: one method of one run.

use super::Column;
use crate::run_folder::outcome::State;
use crate::run_folder::{Method, Run};
use serde_json::{Map, Value, json};
use std::cmp::Ordering;
use std::path::PathBuf;

/// One method of one run.
#[derive(Debug)]
pub struct Row {
    /// The run's name.
    pub run: String,
    /// The run's folder, by which its settings are found.
    pub path: PathBuf,
    /// The method's name.
    pub method: String,
    state: State,
    /// In the order of [`Self::NAMES`], from `updates` on.
    numbers: [Option<f64>; 8],
}

impl Row {
    /// The columns in files.
    pub const NAMES: [&str; 11] = [
        "run",
        "method",
        "state",
        "updates",
        "seconds",
        "ms_per_update",
        "train_loss",
        "test_loss",
        "last_test_loss",
        "best_test_loss",
        "seconds_to_common_loss",
    ];

    /// Of a method, with its seconds to a test loss.
    pub fn of(run: &Run, method: &Method, loss: Option<f64>) -> Self {
        let updates = method.updates();
        let seconds = method.seconds();
        let pace = updates.zip(seconds).filter(|(updates, _)| *updates > 0.0);
        Self {
            run: run.name.clone(),
            path: run.path.clone(),
            method: method.name.clone(),
            state: method.state,
            numbers: [
                updates,
                seconds,
                pace.map(|(updates, seconds)| 1e3 * seconds / updates),
                method.train_loss(),
                method.test_loss(),
                method.last_test_loss(),
                method.history.best_test_loss(),
                loss.and_then(|loss| method.history.seconds_to(loss)),
            ],
        }
    }

    /// As a person reads it.
    pub fn cells(&self) -> Vec<String> {
        let format: [fn(f64) -> String; 8] = [
            |v| format!("{v:.0}"),
            seconds,
            |v| format!("{v:.3}"),
            |v| format!("{v:.2e}"),
            |v| format!("{v:.2e}"),
            |v| format!("{v:.2e}"),
            |v| format!("{v:.2e}"),
            seconds,
        ];
        let numbers = self.numbers.iter().zip(format);
        let numbers = numbers.map(|(v, format)| v.map_or("-".to_owned(), format));
        self.words().into_iter().chain(numbers).collect()
    }

    /// With all digits.
    pub fn exact(&self) -> Vec<String> {
        let numbers = self.numbers.iter();
        let numbers = numbers.map(|v| v.map_or(String::new(), digits));
        self.words().into_iter().chain(numbers).collect()
    }

    /// By names; numbers that are not finite are null.
    pub fn json(&self) -> Map<String, Value> {
        let words = self.words().map(Value::String).into_iter();
        let [updates, numbers @ ..] = &self.numbers;
        let updates = json!(updates.map(|updates| updates as i64));
        let values = words
            .chain([updates])
            .chain(numbers.iter().map(|v| json!(v)));
        let names = Self::NAMES.iter().map(|name| (*name).to_owned());
        names.zip(values).collect()
    }

    /// Which of two comes first; what is not known, or no number, comes last.
    pub fn order(&self, other: &Self, column: Column) -> Ordering {
        let place = match column {
            Column::Run => return self.run.cmp(&other.run),
            Column::Method => return self.method.cmp(&other.method),
            Column::State => return self.state.cmp(&other.state),
            Column::Updates => 0,
            Column::Seconds => 1,
            Column::MsPerUpdate => 2,
            Column::TrainLoss => 3,
            Column::TestLoss => 4,
            Column::LastTestLoss => 5,
            Column::BestTestLoss => 6,
            Column::SecondsToLoss => 7,
        };
        let key = |row: &Self| row.numbers[place].filter(|v| !v.is_nan());
        match (key(self), key(other)) {
            (Some(a), Some(b)) => a.total_cmp(&b),
            (a, b) => b.is_some().cmp(&a.is_some()),
        }
    }

    fn words(&self) -> [String; 3] {
        let state = self.state.name().to_owned();
        [self.run.clone(), self.method.clone(), state]
    }
}

fn seconds(value: f64) -> String {
    let digits = if value < 100.0 { 3 } else { 1 };
    format!("{value:.digits$}")
}

/// Whole numbers without a fraction, the others with an exponent where that is shorter.
fn digits(value: f64) -> String {
    if value == value.trunc() && value.abs() < 1e15 {
        format!("{value:.0}")
    } else {
        format!("{value:e}")
    }
}
