//! One method of a run.

use super::folder::folder_of;
use super::history::History;
use super::notes::Notes;
use super::outcome::{self, Outcome, State};
use super::spectrum::Spectrum;
use super::tables::Columns;
use super::tables::series::Series;
use super::{diagnostics, metrics, pictures, spectrum, steps, timing, warnings};
use hig::warnings::Warning;
use serde_json::Value;
use std::path::Path;

/// What a method has left so far.
#[derive(Debug, Clone)]
pub struct Method {
    /// Its name, such as `adam:500+hig`.
    pub name: String,
    /// How it stands.
    pub state: State,
    /// How it ended; nothing as long as it has not.
    pub outcome: Option<Outcome>,
    /// Its evaluations.
    pub history: History,
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
    pub phases: Vec<(usize, String)>,
    /// Pictures of the system, as they were written.
    pub pictures: Option<Value>,
}

impl Method {
    pub(super) fn read(
        run: &Path,
        name: &str,
        summary: Option<&Outcome>,
        held: bool,
        notes: &mut Notes,
    ) -> Self {
        let own = folder_of(name);
        let file = |file: &str| format!("{own}/{file}");
        let history = notes.take(&file(metrics::FILE), metrics::read);
        let begun = history.is_some();
        let history = history.unwrap_or_default();
        let told = notes.maybe_table(&file(outcome::FILE));
        // An outcome that is there and cannot be read is no reason to believe an older summary.
        let older = summary.filter(|_| !run.join(file(outcome::FILE)).exists() && !held);
        let ended = told.as_ref().map(outcome::reason);
        let ended = ended.or_else(|| older.map(|outcome| outcome.reason));
        let outcome = told.as_ref().and_then(Outcome::from_toml);
        let outcome = outcome.or_else(|| older.cloned());
        if let Some(outcome) = &outcome {
            notes.check(&own, &outcome.tables);
        }
        let diagnostics = notes.take(&file(diagnostics::FILE), diagnostics::read);
        Self {
            name: name.to_owned(),
            state: State::of(ended, begun, held),
            phases: phases(name, outcome.as_ref(), &history),
            outcome,
            history,
            diagnostics: diagnostics.unwrap_or_default(),
            steps: notes.take(&file(steps::FILE), steps::read),
            spectrum: notes.take(&file(spectrum::FILE), spectrum::read),
            timing: notes.take(&file(timing::FILE), timing::read),
            warnings: notes.take(&file(warnings::FILE), warnings::read),
            pictures: notes.take(&file(pictures::FILE), pictures::read),
        }
    }

    /// Updates done.
    pub fn updates(&self) -> Option<f64> {
        self.last(|outcome| outcome.updates as f64, &self.history.updates)
    }

    /// Seconds of training.
    pub fn seconds(&self) -> Option<f64> {
        self.last(|outcome| outcome.seconds, &self.history.seconds)
    }

    /// Mean loss of the test samples with the last weights.
    pub fn last_test_loss(&self) -> Option<f64> {
        self.last(|outcome| outcome.last.test, &self.history.test_loss)
    }

    /// Mean loss of the training samples now; after the end with the weights that were returned.
    pub fn train_loss(&self) -> Option<f64> {
        self.last(|outcome| outcome.train_loss, &self.history.train_loss)
    }

    /// Mean loss of the test samples now; after the end with the weights that were returned.
    pub fn test_loss(&self) -> Option<f64> {
        self.last(|outcome| outcome.test_loss, &self.history.test_loss)
    }

    /// A number of the outcome, or else the last one of the evaluations.
    fn last(&self, told: fn(&Outcome) -> f64, series: &[f64]) -> Option<f64> {
        let told = self.outcome.as_ref().map(told);
        told.or_else(|| series.last().copied())
    }
}

/// The parts of a chain: as the outcome tells them, or else from the name, as far as they began.
fn phases(name: &str, outcome: Option<&Outcome>, history: &History) -> Vec<(usize, String)> {
    if let Some(outcome) = outcome.filter(|outcome| !outcome.phases.is_empty()) {
        return outcome.phases.clone();
    }
    let reached = history.updates.last().copied();
    let mut begins = 0;
    let mut phases = Vec::new();
    for part in name.split('+') {
        let (method, until) = part.split_once(':').unwrap_or((part, ""));
        phases.push((begins, method.to_owned()));
        match until.parse::<usize>() {
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
        for (update, begun) in [(0, 1), (499, 1), (500, 1), (501, 2), (701, 3)] {
            let history = History {
                updates: vec![f64::from(update)],
                ..History::default()
            };
            let all = [(0, "adam"), (500, "lm"), (700, "hig")];
            let all = all.map(|(update, name)| (update, name.to_owned()));
            assert_eq!(phases("adam:500+lm:700+hig", None, &history), all[..begun]);
        }
    }
}
