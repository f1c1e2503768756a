//! `checkpoint.safetensors`: the state of a training, to go on from.

use super::TABLES;
use super::tables::{Ledger, Marks};
use crate::error::Refused;
use anyhow::Result;
use hig::files::SavedState;
use hig::trainer::{
    Beginning, Checkpoint, CheckpointWriter, EVALUATED, Evaluation, Flow, Identity, Observer,
    Start, recover,
};
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// The file in the folder of a method.
pub const FILE: &str = "checkpoint.safetensors";

/// The note that tells the place of the method in its chain, from 0.
const PHASE: &str = "phase";

/// The note that tells what the tables beside it held, as [`Marks`] do.
const HELD: &str = "tables";

/// Someone beside the training who remembers something of it.
pub trait Remembering {
    /// What is remembered of the first updates, of which there may have been one more.
    fn state(&mut self, update: usize) -> SavedState;
}

/// Writes the checkpoints of a training, each after all rows of the tables that it counts on are on the
/// disk, with what somebody beside it remembers. It has to observe after those who write the tables.
pub struct Checkpoints {
    writer: CheckpointWriter,
    tables: Ledger,
    beside: Rc<RefCell<dyn Remembering>>,
}

impl Checkpoints {
    /// Of a training that begins, or goes on after an evaluation, at least `interval` apart.
    ///
    /// # Errors
    /// A table cannot be read.
    pub fn open(
        folder: &Path,
        interval: Duration,
        training: &Identity,
        evaluated: Option<usize>,
        beside: Rc<RefCell<dyn Remembering>>,
    ) -> hig::Result<Self> {
        let mut writer = CheckpointWriter::new(&folder.join(FILE), interval);
        writer.belongs_to(training);
        if let Some(update) = evaluated {
            writer.evaluated(update);
        }
        let tables = Ledger::open(folder, &TABLES, evaluated.unwrap_or(0))?;
        Ok(Self {
            writer,
            tables,
            beside,
        })
    }

    /// Notes that a method of the chain is at work.
    pub fn note_phase(&mut self, place: usize) {
        self.writer.note(PHASE, &place.to_string());
    }

    /// What the tables hold at the end, after a last look.
    ///
    /// # Errors
    /// A table cannot be read, or the disk fails.
    pub fn end(mut self, update: usize) -> hig::Result<Marks> {
        self.tables.note(update)?;
        self.tables.sync()?;
        Ok(self.tables.now())
    }
}

impl Observer for Checkpoints {
    fn begin(&mut self, now: &Beginning<'_>) -> hig::Result<()> {
        self.writer.begin(now)
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> hig::Result<Flow> {
        self.tables.note(now.update)?;
        self.writer.evaluation(now)
    }

    fn takes_checkpoints(&self) -> bool {
        true
    }

    fn checkpoint(&mut self, now: &mut Checkpoint<'_>) -> hig::Result<Flow> {
        if !self.writer.is_due(now) {
            return Ok(Flow::Continue);
        }
        self.tables.sync()?;
        let held = self.tables.at(now.update).text();
        self.writer.note(HELD, &held);
        let (update, last) = (now.update, now.last);
        let mut state = || {
            let mut state = (now.state)();
            state.extend(self.beside.borrow_mut().state(update));
            state
        };
        let mut whole = Checkpoint {
            update,
            last,
            state: &mut state,
        };
        self.writer.checkpoint(&mut whole)
    }
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
    /// What the tables held then.
    pub tables: Marks,
    /// All of the state, for those beside the training who remember something.
    pub state: SavedState,
    /// What was wrong with newer checkpoints.
    pub passed_over: Vec<String>,
}

/// The newest checkpoint of a training that can be read; none where there is none.
///
/// # Errors
/// There are checkpoints, and none of them can be used.
pub fn read(folder: &Path, training: &Identity) -> Result<Option<Stopped>> {
    let held = |state: &SavedState| state.text(HELD).and_then(Marks::parse);
    let accept = |state: &SavedState| {
        training.accepts(state)?;
        match held(state) {
            Some(_) => Ok(()),
            None => {
                Err("it does not tell what the tables held: another version wrote it".to_owned())
            }
        }
    };
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
        tables: held(&state).unwrap_or_default(),
        start: Start::resume(state.clone())?,
        state,
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
