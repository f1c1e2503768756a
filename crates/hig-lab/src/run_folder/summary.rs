//! How a training ended, as far as it has.

use super::run::METHODS;
use super::tables::rows::{Table, number, open, text};
use crate::run_folder::bounded_file::TEXT;
use std::io::{self, BufRead};
use std::path::Path;

/// How a training stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not begun.
    Waiting,
    /// A process is at work in the run's folder.
    Running,
    /// Ended by its budget.
    Finished,
    /// Stopped before its end; `hig resume` goes on.
    Interrupted,
    /// Ended by an error.
    Failed,
    /// Ended by a loss that is no number.
    Diverged,
}

impl State {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Diverged => "diverged",
        }
    }

    /// By the outcome that was written, whether there are metrics, and whether a process holds the
    /// lock of the run.
    pub fn of(outcome: Option<&toml::Table>, begun: bool, held: bool) -> Self {
        if let Some(outcome) = outcome {
            return match outcome.get("ended").and_then(toml::Value::as_str) {
                Some("interrupted") => Self::Interrupted,
                Some("failed") => Self::Failed,
                Some("diverged") => Self::Diverged,
                _ => Self::Finished,
            };
        }
        match (begun, held) {
            (false, _) => Self::Waiting,
            (true, true) => Self::Running,
            (true, false) => Self::Interrupted,
        }
    }
}

/// The outcomes in a `summary.csv`, by method: all that runs of older versions left of them.
///
/// # Errors
/// The file is there and cannot be read.
pub fn summary(path: &Path) -> io::Result<Vec<(String, toml::Table)>> {
    match open(path)? {
        Some(file) => parse_summary(file),
        None => Ok(Vec::new()),
    }
}

/// Reads the text of such a file: of its first MiB the outcomes of 1000 methods.
///
/// # Errors
/// None.
pub fn parse_summary(source: impl BufRead) -> io::Result<Vec<(String, toml::Table)>> {
    let mut outcomes = Vec::new();
    let mut table = Table::of(source.take(TEXT))?;
    let names = [
        "method",
        "updates",
        "seconds",
        "train_loss",
        "test_loss",
        "consumes",
        "stop",
    ];
    let Some([method, updates, seconds, train, test, consumes, stop]) = table.places(names) else {
        return Ok(outcomes);
    };
    while let (true, Some(row)) = (outcomes.len() < METHODS, table.next_row()?) {
        let mut outcome = toml::Table::new();
        let stop = text(&row[stop]);
        outcome.insert("updates".into(), (number(&row[updates]) as i64).into());
        for (key, place) in [
            ("seconds", seconds),
            ("train_loss", train),
            ("test_loss", test),
        ] {
            outcome.insert(key.into(), number(&row[place]).into());
        }
        outcome.insert("consumed".into(), text(&row[consumes]).into());
        outcome.insert("ended".into(), ended(&stop).into());
        outcome.insert("stop".into(), stop.into());
        outcomes.push((text(&row[method]), outcome));
    }
    Ok(outcomes)
}

/// The kind of an end that is only told in words.
fn ended(stop: &str) -> &'static str {
    match stop {
        "interrupted" => "interrupted",
        stop if stop.starts_with("failed after") => "failed",
        stop if stop.starts_with("loss is") || stop.contains("is not finite") => "diverged",
        _ => "budget",
    }
}
