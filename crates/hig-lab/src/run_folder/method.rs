//! One method of a run.

use super::run::Notes;
use super::spectrum::{Spectrum, spectra};
use super::summary::State;
use super::tables::series::{Series, series};
use super::tables::{Columns, rows};
use super::warnings::{Warning, warnings};
use crate::run_folder::folder::folder_of;
use crate::run_folder::outcome::OUTCOME;
use serde_json::Value;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of `pictures.json`; a field of 256 × 256 values has one million.
const PICTURES: u64 = 1 << 24;

/// What a method has left so far.
#[derive(Debug, Clone)]
pub struct Method {
    /// Its name, such as `adam:500+hig`.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// How it ended; nothing as long as it has not.
    pub outcome: Option<toml::Table>,
    /// `update`, `epoch`, `seconds`, `train_loss`, `test_loss` at the evaluations.
    pub metrics: Columns,
    /// What the lab observed of the network and the system.
    pub diagnostics: Columns,
    /// What the steps told of themselves.
    pub steps: Vec<Series>,
    /// Singular values of J.
    pub spectrum: Vec<Spectrum>,
    /// Seconds so far by what they were spent on.
    pub timing: Vec<Series>,
    /// What it warned of.
    pub warnings: Vec<Warning>,
    /// Updates at which a method of a chain took over, with its name.
    pub phases: Vec<(i64, String)>,
    /// Pictures of the system, as they were written.
    pub pictures: Option<Value>,
}

impl Method {
    pub(super) fn read(
        run: &Path,
        name: &str,
        summary: Option<&toml::Table>,
        held: bool,
        notes: &mut Notes,
    ) -> Self {
        let own = folder_of(name);
        let file = |file: &str| format!("{own}/{file}");
        let metrics = notes.take(&file("metrics.csv"), Columns::read);
        let begun = metrics.is_some();
        let metrics = metrics.unwrap_or_default();
        let outcome = notes.maybe_table(&file(OUTCOME));
        // An outcome that is there and cannot be read is no reason to believe an older summary.
        let older = summary.filter(|_| !run.join(file(OUTCOME)).exists() && !held);
        let outcome = outcome.or_else(|| older.cloned());
        let diagnostics = notes.take(&file("diagnostics.csv"), Columns::read);
        Self {
            name: name.to_owned(),
            state: State::of(outcome.as_ref(), begun, held),
            phases: phases(name, outcome.as_ref(), &metrics),
            outcome,
            metrics,
            diagnostics: diagnostics.unwrap_or_default(),
            steps: notes.take(&file("steps.csv"), |p| series(p, "quantity", "value")),
            spectrum: notes.take(&file("spectrum.csv"), spectra),
            timing: notes.take(&file("timing.csv"), |p| series(p, "part", "seconds")),
            warnings: notes.take(&file("warnings.csv"), warnings),
            pictures: notes.take(&file("pictures.json"), pictures),
        }
    }

    /// A number of the outcome, or else the last one of a column of the metrics.
    pub fn last(&self, outcome: &str, column: &str) -> Option<f64> {
        let told = self.outcome.as_ref().and_then(|o| o.get(outcome));
        let told = told.and_then(|v| v.as_float().or_else(|| Some(v.as_integer()? as f64)));
        told.or_else(|| self.metrics.get(column)?.last().copied())
    }

    /// The lowest test loss of all evaluations.
    pub fn best_test_loss(&self) -> Option<f64> {
        let losses = self.metrics.get("test_loss")?.iter().copied();
        losses.filter(|loss| !loss.is_nan()).min_by(f64::total_cmp)
    }

    /// Seconds of training until an evaluation found a test loss no larger than `loss`.
    pub fn seconds_to(&self, loss: f64) -> Option<f64> {
        let losses = self.metrics.get("test_loss")?;
        let place = losses.iter().position(|l| *l <= loss)?;
        Some(self.metrics.get("seconds")?[place])
    }
}

fn pictures(path: &Path) -> io::Result<Option<Value>> {
    match rows::open(path)? {
        Some(file) => parse_pictures(file),
        None => Ok(None),
    }
}

/// Reads the text of `pictures.json`; none where it holds something else.
///
/// # Errors
/// It is no JSON, or of more than 16 MiB.
pub fn parse_pictures(source: impl Read) -> io::Result<Option<Value>> {
    let value: Value = serde_json::from_reader(source.take(PICTURES))?;
    Ok(value
        .get("pictures")
        .is_some_and(Value::is_array)
        .then_some(value))
}

/// The parts of a chain: as the outcome tells them, or else from the name, as far as they began.
fn phases(name: &str, outcome: Option<&toml::Table>, metrics: &Columns) -> Vec<(i64, String)> {
    let told = outcome.and_then(|o| o.get("phases")?.as_array());
    if let Some(told) = told {
        let phase = |phase: &toml::Value| {
            let [update, name] = phase.as_array()?.as_slice() else {
                return None;
            };
            Some((update.as_integer()?, name.as_str()?.to_owned()))
        };
        return told.iter().filter_map(phase).collect();
    }
    let reached = metrics.get("update").and_then(|u| u.last().copied());
    let mut begins = 0;
    let mut phases = Vec::new();
    for part in name.split('+') {
        let (method, until) = part.split_once(':').unwrap_or((part, ""));
        phases.push((begins, method.to_owned()));
        match until.parse() {
            Ok(until) if reached.is_some_and(|reached| reached > until as f64) => begins = until,
            _ => break,
        }
    }
    phases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_tells_its_phases_as_far_as_it_has_come() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("metrics.csv");
        for (update, begun) in [(0, 1), (499, 1), (500, 1), (501, 2), (701, 3)] {
            std::fs::write(&path, format!("update\n{update}\n")).unwrap();
            let metrics = Columns::read(&path).unwrap().unwrap();
            let all = [(0, "adam"), (500, "lm"), (700, "hig")];
            let all = all.map(|(update, name)| (update, name.to_owned()));
            assert_eq!(phases("adam:500+lm:700+hig", None, &metrics), all[..begun]);
        }
    }
}
