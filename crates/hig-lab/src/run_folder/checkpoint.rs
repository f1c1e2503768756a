//! `checkpoint.safetensors`: the state of a training, to go on from.

use crate::error::Refused;
use anyhow::Result;
use hig::files::SavedState;
use hig::trainer::{CheckpointWriter, EVALUATED, Identity, Start, recover};
use std::path::Path;
use std::time::Duration;

/// The file in the folder of a method.
pub const FILE: &str = "checkpoint.safetensors";

/// The note that tells the place of the method in its chain, from 0.
const PHASE: &str = "phase";

/// What writes the checkpoints of a training, at least `interval` apart.
pub fn writer(folder: &Path, interval: Duration, training: &Identity) -> CheckpointWriter {
    let mut writer = CheckpointWriter::new(&folder.join(FILE), interval);
    writer.belongs_to(training);
    writer
}

/// Notes that a method of the chain is at work.
pub fn note_phase(writer: &mut CheckpointWriter, place: usize) {
    writer.note(PHASE, &place.to_string());
}

/// A place to go on from.
#[derive(Debug)]
pub struct Stopped {
    /// The state of the training.
    pub start: Start,
    /// The place of the method in its chain.
    pub phase: usize,
    /// The last evaluation that belongs to it.
    pub evaluated: Option<usize>,
    /// What was wrong with newer checkpoints.
    pub passed_over: Vec<String>,
}

/// The newest checkpoint of a training that can be read; none where there is none.
///
/// # Errors
/// There are checkpoints, and none of them can be used.
pub fn read(folder: &Path, training: &Identity) -> Result<Option<Stopped>> {
    let accept = |state: &SavedState| training.accepts(state);
    let found = recover(&folder.join(FILE), accept).map_err(|e| {
        let advice = "remove them to train the method from the start";
        Refused::because(format_args!("{e}; {advice}"))
    })?;
    let Some((state, refused)) = found else {
        return Ok(None);
    };
    let number = |name: &str| state.text(name).and_then(|text| text.parse().ok());
    Ok(Some(Stopped {
        phase: number(PHASE).unwrap_or(0),
        evaluated: number(EVALUATED),
        start: Start::resume(state)?,
        passed_over: refused.iter().map(ToString::to_string).collect(),
    }))
}

/// Refuses a checkpoint of another training. One that is missing or cannot be read says nothing.
///
/// # Errors
/// It belongs to another training.
pub fn check(folder: &Path, training: &Identity) -> Result<()> {
    let path = folder.join(FILE);
    let Ok(state) = SavedState::load(&path) else {
        return Ok(());
    };
    training
        .accepts(&state)
        .map_err(|reason| Refused::because(format_args!("{}: {reason}", path.display())))
}
