//! How the training of a method ended, as `outcome.toml` in its folder tells.

use super::bounded_file;
use super::tables::Marks;
use super::tables::ledger::Mark;
use anyhow::{Context, Result};
use hig::files::write_whole;
use hig::trainer::{self, Losses, Stop};
use std::path::Path;

/// The file.
pub const FILE: &str = "outcome.toml";

/// The end of a training.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Updates done.
    pub updates: usize,
    /// Passes over the training samples.
    pub epochs: f64,
    /// Time of the updates alone.
    pub seconds: f64,
    /// The update after which the weights that the training returned stood.
    pub returned: usize,
    /// Mean loss of the training samples with these weights.
    pub train_loss: f64,
    /// Mean loss of the test samples with these weights.
    pub test_loss: f64,
    /// The losses of the best weights; none where no loss was finite, and in files of older versions.
    pub best: Option<Losses>,
    /// The losses of the last weights.
    pub last: Losses,
    /// Why it ended, in words.
    pub stop: String,
    /// Why it ended, as one of a few reasons.
    pub reason: Reason,
    /// What an update consumed, in words: "Gram matrix, 512 x 2956".
    pub consumed: String,
    /// The methods in order, each with the update that it began after.
    pub phases: Vec<(usize, String)>,
    /// What the tables of the method held; nothing where that is not known.
    pub tables: Marks,
}

/// Reasons to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// The budget is used up.
    Budget,
    /// The user asked for it.
    Interrupted,
    /// Something failed, such as a full disk.
    Failed,
    /// A loss or a parameter would not be finite.
    Diverged,
}

impl Reason {
    const NAMES: [(&'static str, Self); 4] = [
        ("budget", Self::Budget),
        ("interrupted", Self::Interrupted),
        ("diverged", Self::Diverged),
        ("failed", Self::Failed),
    ];

    /// By its name in files; the budget where it is another.
    pub fn named(name: &str) -> Self {
        let mut names = Self::NAMES.iter();
        let found = names.find(|(known, _)| *known == name);
        found.map_or(Self::Budget, |(_, reason)| *reason)
    }

    /// By the words of a [`Stop`], where nothing else tells.
    pub fn of_words(stop: &str) -> Self {
        match stop {
            "interrupted" => Self::Interrupted,
            stop if stop.starts_with("failed after") => Self::Failed,
            stop if stop.starts_with("loss is")
                || stop.starts_with("test loss is")
                || stop.starts_with("validation loss is")
                || stop.contains("is not finite") =>
            {
                Self::Diverged
            }
            _ => Self::Budget,
        }
    }

    fn of(stop: &Stop) -> Self {
        match stop {
            Stop::Budget => Self::Budget,
            Stop::Asked => Self::Interrupted,
            Stop::LossNotFinite { .. }
            | Stop::ValidationLossNotFinite { .. }
            | Stop::TestLossNotFinite { .. }
            | Stop::ParametersNotFinite { .. } => Self::Diverged,
            Stop::Failed { .. } => Self::Failed,
        }
    }

    /// Its name in files.
    pub fn name(self) -> &'static str {
        let names = Self::NAMES.iter();
        names
            .clone()
            .find(|(_, reason)| *reason == self)
            .map_or("", |(name, _)| name)
    }
}

/// How a training stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Not begun.
    Waiting,
    /// A process is at work in the run's folder.
    Running,
    /// It has ended. After an interruption or a failure `hig resume` goes on.
    Ended(Reason),
}

impl State {
    /// In a word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Ended(Reason::Budget) => "finished",
            Self::Ended(reason) => reason.name(),
        }
    }

    /// By the reason that an outcome tells, whether there are metrics, and whether a process holds the
    /// lock of the run.
    pub fn of(ended: Option<Reason>, begun: bool, held: bool) -> Self {
        match (ended, begun, held) {
            (Some(reason), _, _) => Self::Ended(reason),
            (None, false, _) => Self::Waiting,
            (None, true, true) => Self::Running,
            (None, true, false) => Self::Ended(Reason::Interrupted),
        }
    }
}

impl Outcome {
    /// The end of a training, with what its updates consumed, its phases, and what its tables hold.
    pub fn new(
        outcome: &trainer::Outcome,
        consumed: String,
        phases: Vec<(usize, String)>,
        tables: Marks,
    ) -> Self {
        Self {
            updates: outcome.updates,
            epochs: outcome.epochs,
            seconds: outcome.seconds,
            returned: outcome.update,
            train_loss: outcome.train_loss,
            test_loss: outcome.test_loss,
            best: outcome.best,
            last: outcome.last,
            stop: outcome.stop.to_string(),
            reason: Reason::of(&outcome.stop),
            consumed,
            phases,
            tables,
        }
    }

    /// One line for a training that has just ended.
    pub fn line(&self, method: &str) -> String {
        let earlier = match self.returned == self.updates {
            true => String::new(),
            false => format!(
                " with the weights after update {}, {:.2e} and {:.2e} with the last",
                self.returned, self.last.train, self.last.test
            ),
        };
        format!(
            "{method:<6} {:>8} updates in {:.1} s: train loss {:.2e}, test loss {:.2e}{earlier} ({})",
            self.updates, self.seconds, self.train_loss, self.test_loss, self.stop
        )
    }

    /// Writes the file whole.
    pub fn write(&self, folder: &Path) -> Result<()> {
        write_whole(&folder.join(FILE), self.text().as_bytes())?;
        Ok(())
    }

    /// Reads the file; none where it is missing or damaged, as after a training that did not end.
    pub fn read(folder: &Path) -> Option<Self> {
        Self::parse(&bounded_file::read_text(&folder.join(FILE), bounded_file::TEXT).ok()?)
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
        let path = folder.join(FILE);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                Err(e).with_context(|| path.display().to_string())
            }
            _ => Ok(()),
        }
    }

    /// As the table of the file.
    pub fn to_toml(&self) -> toml::Table {
        let phases = self
            .phases
            .iter()
            .map(|(update, name)| toml::Value::Array(vec![count(*update), name.clone().into()]));
        let tables = self.tables.0.iter();
        let tables: toml::Table = tables
            .map(|(name, mark)| (name.clone(), mark.to_string().into()))
            .collect();
        let best = self.best.iter().map(|best| ("best".into(), losses(best)));
        let all = toml::Table::from_iter([
            ("updates".into(), count(self.updates)),
            ("epochs".into(), self.epochs.into()),
            ("seconds".into(), self.seconds.into()),
            ("train_loss".into(), self.train_loss.into()),
            ("test_loss".into(), self.test_loss.into()),
            ("returned".into(), count(self.returned)),
            ("last".into(), losses(&self.last)),
            ("stop".into(), self.stop.clone().into()),
            ("ended".into(), self.reason.name().into()),
            ("consumed".into(), self.consumed.clone().into()),
            ("phases".into(), toml::Value::Array(phases.collect())),
            ("tables".into(), tables.into()),
        ]);
        all.into_iter().chain(best).collect()
    }

    /// Reads the table of the file; none where something is missing.
    pub fn from_toml(table: &toml::Table) -> Option<Self> {
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
        let updates = count(table.get("updates")?)?;
        let (train_loss, test_loss) = (float("train_loss")?, float("test_loss")?);
        // Older versions returned the last weights and told nothing of others.
        let last = match table.get("last") {
            Some(told) => read_losses(told)?,
            None => last(updates, train_loss, test_loss),
        };
        let best = match table.get("best") {
            Some(told) => Some(read_losses(told)?),
            None => None,
        };
        let returned = match table.get("returned") {
            Some(told) => count(told)?,
            None => updates,
        };
        Some(Self {
            updates,
            epochs: float("epochs")?,
            seconds: float("seconds")?,
            returned,
            train_loss,
            test_loss,
            best,
            last,
            stop: text("stop")?,
            reason: Reason::NAMES.iter().find(|(name, _)| *name == ended)?.1,
            consumed: text("consumed")?,
            phases: phases.collect::<Option<_>>()?,
            tables: tables(table)?,
        })
    }
}

/// What the tables held; nothing where that is not told, none where it is told in another way.
fn tables(table: &toml::Table) -> Option<Marks> {
    let Some(told) = table.get("tables") else {
        return Some(Marks::default());
    };
    let marks = told.as_table()?.iter();
    let marks = marks.map(|(name, mark)| Some((name.clone(), Mark::parse(mark.as_str()?)?)));
    marks.collect::<Option<_>>().map(Marks)
}

/// Losses of the last weights, of which nothing else is known.
pub fn last(update: usize, train: f64, test: f64) -> Losses {
    Losses {
        update,
        train,
        validation: f64::NAN,
        test,
    }
}

/// Losses as a table; that of held-out samples where there are such.
fn losses(losses: &Losses) -> toml::Value {
    let mut table = toml::Table::from_iter([
        ("update".into(), count(losses.update)),
        ("train_loss".into(), losses.train.into()),
        ("test_loss".into(), losses.test.into()),
    ]);
    if !losses.validation.is_nan() {
        table.insert("validation_loss".into(), losses.validation.into());
    }
    toml::Value::Table(table)
}

fn read_losses(told: &toml::Value) -> Option<Losses> {
    let table = told.as_table()?;
    let float = |name: &str| table.get(name)?.as_float();
    let validation = match table.get("validation_loss") {
        Some(told) => told.as_float()?,
        None => f64::NAN,
    };
    Some(Losses {
        update: usize::try_from(table.get("update")?.as_integer()?).ok()?,
        train: float("train_loss")?,
        validation,
        test: float("test_loss")?,
    })
}

/// The reason that the table of such a file tells, even one in which other things are missing.
pub fn reason(table: &toml::Table) -> Reason {
    let name = table.get("ended").and_then(toml::Value::as_str);
    Reason::named(name.unwrap_or_default())
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
        assert_eq!(Outcome::read(folder.path()), None);
        for (updates, (_, reason)) in (7..).zip(Reason::NAMES) {
            let outcome = Outcome {
                updates,
                epochs: 0.1 + 0.2,
                seconds: 1e-9,
                returned: 3,
                train_loss: 1e-300,
                test_loss: f64::INFINITY,
                best: (updates == 7).then_some(Losses {
                    validation: 0.5,
                    ..last(3, 1e-300, f64::INFINITY)
                }),
                last: Losses {
                    validation: f64::INFINITY,
                    ..last(updates, 0.25, 1.0)
                },
                stop: "failed after update 7: \"x\"".into(),
                reason,
                consumed: "gradient, 1 x 2".into(),
                phases: vec![(0, "adam".into()), (5, "hig".into())],
                tables: Marks::parse("metrics.csv 17 0badcafe\n").unwrap(),
            };
            outcome.write(folder.path()).unwrap();
            assert_eq!(Outcome::read(folder.path()), Some(outcome));
        }
        // As an older version wrote it.
        let older = "updates = 7\nepochs = 1.0\nseconds = 1.0\ntrain_loss = 0.5\ntest_loss = 0.25\n\
                     stop = \"budget used\"\nended = \"budget\"\nconsumed = \"\"\nphases = []\n";
        let older = Outcome::parse(older).unwrap();
        assert_eq!((older.returned, older.best), (7, None));
        assert_eq!(
            (older.last.update, older.last.train, older.last.test),
            (7, 0.5, 0.25)
        );
        std::fs::write(folder.path().join(FILE), "updates = 7").unwrap();
        assert_eq!(Outcome::read(folder.path()), None);
        Outcome::forget(folder.path()).unwrap();
        Outcome::forget(folder.path()).unwrap();
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(
            (updates, reason) in (0..=i64::MAX as usize, 0..4_usize),
            numbers in prop::array::uniform4(any::<f64>()),
            texts in prop::array::uniform2(any::<String>()),
            phases in prop::collection::vec((0..=i64::MAX as usize, any::<String>()), 0..4),
            tables in prop::collection::btree_map(any::<String>(), any::<(u64, u32)>(), 0..4),
        ) {
            let [epochs, seconds, train_loss, test_loss] = numbers;
            let [stop, consumed] = texts;
            let reason = Reason::NAMES[reason].1;
            let mark = |(name, (bytes, sum))| (name, Mark { bytes, sum });
            let tables = Marks(tables.into_iter().map(mark).collect());
            let best = Losses { validation: seconds, ..last(updates / 2, epochs, test_loss) };
            let best = (updates % 2 == 0).then_some(best);
            let last = Losses { validation: epochs, ..last(updates, seconds, train_loss) };
            let returned = updates / 3;
            let outcome = Outcome {
                updates, epochs, seconds, returned, train_loss, test_loss, best, last, stop, reason,
                consumed, phases, tables,
            };
            let text = outcome.text();
            let read = Outcome::parse(&text).unwrap();
            prop_assert_eq!(read.text(), text);
            // Of NaN only that it is one is written.
            if numbers.iter().all(|number| !number.is_nan()) {
                prop_assert_eq!(read, outcome);
            }
        }
    }
}
