//! How far the training of a method has come, as its folder tells.

use crate::error::Refused;
use crate::experiment::Experiment;
use crate::experiment::trials::fingerprint;
use crate::method_chain::Contender;
use crate::run_folder::outcome::{Ended, Kind};
use anyhow::{Context, Result};
use hig::memory::Memory;
use hig::trainer::{EVALUATED, Start, recover};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;

/// The checkpoint in the folder of a method.
pub const CHECKPOINT: &str = "checkpoint.safetensors";
/// The weights beside it.
pub const WEIGHTS: &str = "weights.safetensors";

/// The note of a checkpoint that tells which training it belongs to.
pub const WHOSE: &str = "training";
/// The note of a checkpoint that tells the place of the method in its chain, from 0.
pub const PHASE: &str = "phase";

/// Where a training stands.
pub enum Standing {
    /// It has not begun.
    Fresh,
    /// It was stopped or killed.
    Stopped(Box<Stopped>),
    /// It has ended by itself: there are the parameters it ended with.
    Ended(Ended, Vec<f64>),
}

/// A place to go on from.
pub struct Stopped {
    /// The state of the training.
    pub start: Start,
    /// The place of the method in its chain.
    pub phase: usize,
    /// The last evaluation that belongs to it.
    pub evaluated: Option<usize>,
}

impl Standing {
    /// Reads the folder of a contender; tells what was wrong with checkpoints that it passed over.
    pub fn of(
        experiment: &Experiment,
        contender: &Contender,
        folder: &Path,
    ) -> Result<(Self, Vec<String>)> {
        if let Some(ended) = Ended::read(folder) {
            let over = match ended.kind {
                Kind::Diverged => true,
                Kind::Interrupted | Kind::Failed => false,
                Kind::Budget => {
                    let used = experiment
                        .budget
                        .used(ended.updates, ended.epochs, ended.seconds);
                    used >= 1.0
                }
            };
            let weights = experiment
                .problem
                .network
                .load_parameters(&folder.join(WEIGHTS));
            if let (true, Ok(weights)) = (over, weights) {
                return Ok((Self::Ended(ended, weights), Vec::new()));
            }
        }
        let whose = whose(experiment, contender);
        let accept = |state: &Memory| match state.text(WHOSE) == Some(&whose) {
            true => Ok(()),
            false => Err("it belongs to a training with other settings".to_owned()),
        };
        let found = recover(&folder.join(CHECKPOINT), accept).map_err(|e| {
            let advice = "remove them to train the method from the start";
            Refused::because(format_args!("{e}; {advice}"))
        })?;
        let Some((state, refused)) = found else {
            return Ok((Self::Fresh, Vec::new()));
        };
        let number = |name: &str| state.text(name).and_then(|text| text.parse().ok());
        let stopped = Stopped {
            phase: number(PHASE).unwrap_or(0).min(contender.phases.len() - 1),
            evaluated: number(EVALUATED),
            start: Start::resume(state)?,
        };
        let refused = refused.iter().map(ToString::to_string).collect();
        Ok((Self::Stopped(Box::new(stopped)), refused))
    }
}

/// A name for a training that is the same as long as its numbers are: a longer budget may follow.
pub fn whose(experiment: &Experiment, contender: &Contender) -> String {
    let text = experiment.configuration();
    let mut table: toml::Table = text.parse().expect("it is written as TOML");
    table.remove("budget");
    if let Some(run) = table.get_mut("run").and_then(toml::Value::as_table_mut) {
        run.remove("version");
        run.remove("methods");
    }
    if let Some(methods) = table.get_mut("method").and_then(toml::Value::as_table_mut) {
        methods.retain(|name, _| *name == contender.name);
    }
    format!(
        "{} {:016x}",
        contender.name,
        fingerprint(&table.to_string())
    )
}

/// Makes the tables in a folder end with the rows of an update, the last that is evaluated before the
/// training goes on; without one they are removed.
pub fn cut_tables(folder: &Path, evaluated: Option<usize>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| folder.display().to_string())?;
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "csv") {
            continue;
        }
        let Some(evaluated) = evaluated else {
            fs::remove_file(&path).with_context(|| path.display().to_string())?;
            continue;
        };
        cut_table(&path, evaluated).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Shortens a table to the whole lines before the first one of a later update.
fn cut_table(path: &Path, evaluated: usize) -> io::Result<()> {
    let mut table = BufReader::new(File::options().read(true).write(true).open(path)?);
    let (mut row, mut kept) = (Vec::new(), 0);
    for i in 0.. {
        row.clear();
        table.read_until(b'\n', &mut row)?;
        let cell = row.split(|byte| *byte == b',').next();
        let update = cell.and_then(|cell| str::from_utf8(cell).ok()?.parse::<usize>().ok());
        let later = i > 0 && update.is_some_and(|update| update > evaluated);
        if row.last() != Some(&b'\n') || later {
            break;
        }
        kept += row.len() as u64;
    }
    let file = table.get_ref();
    if kept < file.metadata()?.len() {
        file.set_len(kept)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_end_where_the_training_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let other = folder.path().join("a.toml");
        let text = "update,x\n0,1\n3,2\n3,\"two\nlines\"\n7,4\n9,";
        for (evaluated, kept) in [
            (Some(9), &text[..text.len() - 2]),
            (Some(7), &text[..text.len() - 2]),
            (Some(6), "update,x\n0,1\n3,2\n3,\"two\nlines\"\n"),
            (Some(0), "update,x\n0,1\n"),
        ] {
            fs::write(&path, text).unwrap();
            fs::write(&other, "9,").unwrap();
            cut_tables(folder.path(), evaluated).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), kept);
            assert_eq!(fs::read_to_string(&other).unwrap(), "9,");
        }
        cut_tables(folder.path(), None).unwrap();
        assert!(!path.exists() && other.exists());
    }
}
