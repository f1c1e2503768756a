//! How the training of a method ended, as `outcome.toml` in its folder tells.

use crate::run_folder::bounded_file;
use anyhow::{Context, Result};
use hig::tensors::write_whole;
use hig::trainer::{Outcome, Stop};
use std::path::Path;

/// The file.
pub const OUTCOME: &str = "outcome.toml";

/// The end of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Updates done.
    pub updates: usize,
    /// Passes over the training samples.
    pub epochs: f64,
    /// Time of the updates alone.
    pub seconds: f64,
    /// Mean loss of the training samples.
    pub train_loss: f64,
    /// Mean loss of the test samples.
    pub test_loss: f64,
    /// Why it ended, in words.
    pub stop: String,
    /// Why it ended, in kinds.
    pub kind: Kind,
    /// What an update consumed, in words: "Gram matrix, 512 x 2956".
    pub consumed: String,
    /// The methods in order, each with the update that it began after.
    pub phases: Vec<(usize, String)>,
}

/// Kinds of ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The budget is used up.
    Budget,
    /// The user asked for it.
    Interrupted,
    /// A loss or a parameter would not be finite.
    Diverged,
    /// Something failed, such as a full disk.
    Failed,
}

impl Kind {
    const NAMES: [(&'static str, Self); 4] = [
        ("budget", Self::Budget),
        ("interrupted", Self::Interrupted),
        ("diverged", Self::Diverged),
        ("failed", Self::Failed),
    ];

    fn of(stop: &Stop) -> Self {
        match stop {
            Stop::Budget => Self::Budget,
            Stop::Asked => Self::Interrupted,
            Stop::LossNotFinite { .. } | Stop::ParametersNotFinite { .. } => Self::Diverged,
            Stop::Failed { .. } => Self::Failed,
        }
    }

    /// Its name in files.
    pub fn name(self) -> &'static str {
        let names = Self::NAMES.iter();
        names
            .clone()
            .find(|(_, kind)| *kind == self)
            .map_or("", |(name, _)| name)
    }
}

impl Ended {
    /// The end that an outcome tells of.
    pub fn new(outcome: &Outcome, consumed: String, phases: Vec<(usize, String)>) -> Self {
        Self {
            updates: outcome.updates,
            epochs: outcome.epochs,
            seconds: outcome.seconds,
            train_loss: outcome.train_loss,
            test_loss: outcome.test_loss,
            stop: outcome.stop.to_string(),
            kind: Kind::of(&outcome.stop),
            consumed,
            phases,
        }
    }

    /// One line for a training that has just ended.
    pub fn line(&self, method: &str) -> String {
        format!(
            "{method:<6} {:>8} updates in {:.1} s: train loss {:.2e}, test loss {:.2e} ({})",
            self.updates, self.seconds, self.train_loss, self.test_loss, self.stop
        )
    }

    /// Writes the file whole.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_whole(&folder.join(OUTCOME), self.text().as_bytes())?;
        Ok(())
    }

    /// Reads the file; none where it is missing or damaged, as after a training that did not end.
    pub fn read(folder: &Path) -> Option<Self> {
        Self::parse(&bounded_file::read_text(&folder.join(OUTCOME), bounded_file::TEXT).ok()?)
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        self.to_toml().to_string()
    }

    /// Reads the text of the file; none where it is damaged.
    pub fn parse(text: &str) -> Option<Self> {
        Self::from_toml(&text.parse().ok()?)
    }

    /// Removes the file: the training goes on.
    pub fn forget(folder: &Path) -> Result<()> {
        let path = folder.join(OUTCOME);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| path.display().to_string())
            }
            _ => Ok(()),
        }
    }

    fn to_toml(&self) -> toml::Table {
        let phases = self
            .phases
            .iter()
            .map(|(update, name)| toml::Value::Array(vec![count(*update), name.clone().into()]));
        toml::Table::from_iter([
            ("updates".into(), count(self.updates)),
            ("epochs".into(), self.epochs.into()),
            ("seconds".into(), self.seconds.into()),
            ("train_loss".into(), self.train_loss.into()),
            ("test_loss".into(), self.test_loss.into()),
            ("stop".into(), self.stop.clone().into()),
            ("ended".into(), self.kind.name().into()),
            ("consumed".into(), self.consumed.clone().into()),
            ("phases".into(), toml::Value::Array(phases.collect())),
        ])
    }

    fn from_toml(table: &toml::Table) -> Option<Self> {
        let float = |name: &str| table.get(name)?.as_float();
        let text = |name: &str| Some(table.get(name)?.as_str()?.to_owned());
        let count = |value: &toml::Value| usize::try_from(value.as_integer()?).ok();
        let ended = text("ended")?;
        let phases = table.get("phases")?.as_array()?.iter().map(|phase| {
            let [update, name] = &phase.as_array()?[..] else {
                return None;
            };
            Some((count(update)?, name.as_str()?.to_owned()))
        });
        Some(Self {
            updates: count(table.get("updates")?)?,
            epochs: float("epochs")?,
            seconds: float("seconds")?,
            train_loss: float("train_loss")?,
            test_loss: float("test_loss")?,
            stop: text("stop")?,
            kind: Kind::NAMES.iter().find(|(name, _)| *name == ended)?.1,
            consumed: text("consumed")?,
            phases: phases.collect::<Option<_>>()?,
        })
    }
}

fn count(number: usize) -> toml::Value {
    toml::Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_end_travels_through_its_file() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Ended::read(folder.path()), None);
        for (_, kind) in Kind::NAMES {
            let ended = Ended {
                updates: 7,
                epochs: 0.1 + 0.2,
                seconds: 1e-9,
                train_loss: 1e-300,
                test_loss: f64::INFINITY,
                stop: "failed after update 7: \"x\"".into(),
                kind,
                consumed: "gradient, 1 x 2".into(),
                phases: vec![(0, "adam".into()), (5, "hig".into())],
            };
            ended.write(folder.path()).unwrap();
            assert_eq!(Ended::read(folder.path()), Some(ended));
        }
        std::fs::write(folder.path().join(OUTCOME), "updates = 7").unwrap();
        assert_eq!(Ended::read(folder.path()), None);
        Ended::forget(folder.path()).unwrap();
        Ended::forget(folder.path()).unwrap();
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            (updates, kind) in (0..=i64::MAX as usize, 0..4_usize),
            numbers in prop::array::uniform4(any::<f64>()),
            texts in prop::array::uniform2(any::<String>()),
            phases in prop::collection::vec((0..=i64::MAX as usize, any::<String>()), 0..4),
        ) {
            let [epochs, seconds, train_loss, test_loss] = numbers;
            let [stop, consumed] = texts;
            let kind = Kind::NAMES[kind].1;
            let ended = Ended {
                updates, epochs, seconds, train_loss, test_loss, stop, kind, consumed, phases,
            };
            let text = ended.text();
            let read = Ended::parse(&text).unwrap();
            prop_assert_eq!(read.text(), text);
            // Of NaN only that it is one is written.
            if numbers.iter().all(|number| !number.is_nan()) {
                prop_assert_eq!(read, ended);
            }
        }
    }
}
