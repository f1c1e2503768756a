//! How work tells of itself while it goes on: bars in a terminal, plain lines where there is none, JSON
//! for machines, or nothing; and the log and the faults beside it.

pub mod interrupt;
pub mod output;
pub mod table;
pub mod terminal;

mod bar;
pub mod fault;
mod json;
mod lines;
pub mod log;
mod many_trainings;
mod pace;

use crate::run_folder::outcome::Outcome;
use hig::trainer::Observer;
use hig::warnings::Warning;
use output::{note, say};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use many_trainings::ManyTrainings;

/// Time between two lines of a training.
const LINES: Duration = Duration::from_secs(10);
/// Time between two objects of a training's progress.
const OBJECTS: Duration = Duration::from_secs(1);

/// How work tells of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reporting {
    /// Progress bars on standard error.
    Bars,
    /// Lines on standard error, for files and pipes.
    Lines,
    /// One JSON object a line on standard output, and nothing else there.
    Json,
    /// Results only.
    Quiet,
}

impl Reporting {
    /// Bars where a person looks, lines where a file or a pipe does.
    pub fn here() -> Self {
        if std::io::stderr().is_terminal() {
            Self::Bars
        } else {
            Self::Lines
        }
    }

    /// What shows the progress of a training; a bar goes when it is dropped.
    pub fn progress(self, method: &str) -> Box<dyn Observer> {
        match self {
            Self::Bars => Box::new(bar::Bar::new(method)),
            Self::Lines => Box::new(lines::Lines::new(method, LINES, |line| note!("{line}"))),
            Self::Json => Box::new(json::Objects::new(method, OBJECTS)),
            Self::Quiet => Box::new(Silence),
        }
    }

    /// Tells how many rows a batch has, where a sample has several.
    pub fn rows(self, method: &str, batch: usize, rows: usize) {
        let told = matches!(self, Self::Bars | Self::Lines);
        if told && rows > batch {
            let each = rows / batch.max(1);
            note!("{method}: {rows} rows a batch, of {batch} samples with {each} each");
        }
    }

    /// Tells that a training has ended.
    pub fn ended(self, method: &str, outcome: &Outcome) {
        match self {
            Self::Bars | Self::Lines => note!("{}", outcome.line(method)),
            Self::Json => json::ended(method, outcome),
            Self::Quiet => {}
        }
    }

    /// Tells what goes wrong in a training.
    pub fn warning(self, method: &str, warning: &Warning) {
        match self {
            Self::Json => json::warning(method, warning),
            _ => tracing::warn!("{method}, update {}: {warning}", warning.update),
        }
    }

    /// Tells of the files that were drawn, and a machine where the results are.
    pub fn drawn(self, folder: &Path, files: &[PathBuf]) {
        for file in files {
            say!("{}", file.display());
        }
        self.results(folder, files);
    }

    /// Tells a machine where the results are.
    pub fn results(self, folder: &Path, files: &[PathBuf]) {
        let files = || files.iter().map(|file| file.display().to_string());
        self.event("results", || {
            json!({
                "folder": folder.display().to_string(),
                "files": files().collect::<Vec<_>>(),
                "interrupted": interrupt::asked(),
            })
        });
    }

    /// Tells a machine of something; people read it elsewhere.
    pub fn event(self, name: &str, fields: impl FnOnce() -> Value) {
        if self == Self::Json {
            json::tell(name, fields());
        }
    }
}

/// Tells why the work ends with an exit code.
pub fn failure(error: &anyhow::Error, code: u8) {
    let word = if code == interrupt::EXIT_INTERRUPTED {
        ""
    } else {
        "error: "
    };
    note!("{word}{error:#}");
    self::error(&format!("{error:#}"), code);
}

/// Tells a machine, where one reads, why the work ends with an exit code.
fn error(message: &str, code: u8) {
    if crate::console::output::reserved() {
        json::tell("error", json!({ "message": message, "exit_code": code }));
    }
}

struct Silence;

impl Observer for Silence {}
