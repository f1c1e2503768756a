//! Checkpoints in files: written whole or not at all, the one before kept, damage recognised.

use super::Training;
use super::observers::{Checkpoint, Evaluation, Flow, Observer};
use crate::error::{Error, Result};
use crate::files::SavedState;
use crate::problem::Problem;
use crate::settings::Settings;
use crate::step::Method;
use crate::timing::part;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writes the whole state of a training from time to time, and where it ends.
///
/// ```
/// use hig::step::Adam;
/// use hig::systems::{System, Toy};
/// use hig::trainer::{Budget, CheckpointWriter, Start, Training, recover, train};
/// use std::time::Duration;
///
/// let problem = Toy::default().problem(0);
/// let fresh = problem.initial_parameters(0);
/// let run = |start: Start, updates, observers: &mut [&mut dyn hig::trainer::Observer]| {
///     train(&problem, &Adam::default(), start, &Training::default(), Budget::updates(updates), 0, observers)
/// };
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("toy.safetensors");
/// let mut writer = CheckpointWriter::new(&path, Duration::from_secs(30));
/// run(fresh.clone().into(), 20, &mut [&mut writer])?;
/// let (state, _) = recover(&path, |_| Ok(()))?.expect("it was just written");
/// let resumed = run(Start::resume(state)?, 50, &mut [])?;
/// assert_eq!(resumed.parameters, run(fresh.into(), 50, &mut [])?.parameters);
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug)]
pub struct CheckpointWriter {
    path: PathBuf,
    interval: Duration,
    written: Instant,
    notes: Vec<(String, String)>,
    /// The last evaluation, and the one before it.
    evaluated: [Option<usize>; 2],
}

/// The note that tells the update of the last evaluation before a checkpoint; rows of later ones are
/// written again by whoever goes on from there.
pub const EVALUATED: &str = "evaluated";

impl CheckpointWriter {
    /// Writes to `path` after updates that come at least `interval` after the last time.
    pub fn new(path: &Path, interval: Duration) -> Self {
        Self {
            path: path.to_owned(),
            interval,
            written: Instant::now(),
            notes: Vec::new(),
            evaluated: [None; 2],
        }
    }

    /// Tries whether checkpoints can be written, without changing a file that is there.
    ///
    /// # Errors
    /// The folder does not exist or may not be written to; the path is that of a folder.
    pub fn check(&self) -> Result<()> {
        if self.path.is_dir() {
            return Err(Error::file(&self.path, "it is a folder, expected a file"));
        }
        let fresh = self.path.with_extension("new");
        let there = fresh.exists();
        let opened = File::options().create(true).append(true).open(&fresh);
        let tried = opened.and_then(|_| match there {
            true => Ok(()),
            false => std::fs::remove_file(&fresh),
        });
        tried.map_err(|e| Error::file(&self.path, format!("a checkpoint cannot be written: {e}")))
    }

    /// Adds or replaces a text that each checkpoint carries, such as whose it is.
    pub fn note(&mut self, name: &str, text: &str) {
        self.notes.retain(|(known, _)| known != name);
        self.notes.push((name.into(), text.into()));
    }

    /// Whether it will write at this place of the training.
    pub fn is_due(&self, now: &Checkpoint<'_>) -> bool {
        now.last || self.written.elapsed() >= self.interval
    }

    /// Tells of an evaluation before the first that it hears of itself.
    pub fn evaluated(&mut self, update: usize) {
        self.evaluated = [Some(update), self.evaluated[0]];
    }
}

impl Observer for CheckpointWriter {
    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        self.evaluated(now.update);
        Ok(Flow::Continue)
    }

    fn takes_checkpoints(&self) -> bool {
        true
    }

    fn checkpoint(&mut self, now: &mut Checkpoint<'_>) -> Result<Flow> {
        if !self.is_due(now) {
            return Ok(Flow::Continue);
        }
        let _part = part!(RECORD);
        let mut state = (now.state)();
        for (name, text) in &self.notes {
            state.set_text(name, text.clone());
        }
        // A training that failed goes on from before its last update, and may have been evaluated after it.
        let evaluated = self.evaluated.into_iter().flatten();
        if let Some(update) = evaluated.filter(|update| *update <= now.update).max() {
            state.set_text(EVALUATED, update.to_string());
        }
        let fresh = self.path.with_extension("new");
        state.save(&fresh)?;
        let moved =
            |from: &Path, to: &Path| std::fs::rename(from, to).map_err(|e| Error::file(to, e));
        // A kill between the two leaves the one before, which `recover` finds.
        if self.path.exists() {
            moved(&self.path, &before(&self.path))?;
        }
        moved(&fresh, &self.path)?;
        let (path, update) = (self.path.display(), now.update);
        tracing::debug!("{path}: checkpoint after update {update}");
        self.written = Instant::now();
        Ok(Flow::Continue)
    }
}

/// A text that is the same for two trainings as long as their problem, method, settings and seed are,
/// as far as these can be compared: of the objective the parameter arrays and the rows of a sample, of the
/// samples the numbers.
pub fn fingerprint(
    problem: &Problem,
    method: &dyn Method,
    training: &Training,
    seed: u64,
) -> String {
    let mut sum = crc32fast::Hasher::new();
    for setting in [method.settings(), training.settings()].concat() {
        sum.update(format!("{} = {}\n", setting.name, setting.value).as_bytes());
    }
    for view in problem.parameters() {
        let extents: Vec<String> = view.shape.iter().map(usize::to_string).collect();
        sum.update(format!("{} {}\n", view.name, extents.join(" x ")).as_bytes());
    }
    let rows = problem.objective.rows(1);
    sum.update(format!("seed {seed}, {rows} rows a sample\n").as_bytes());
    let data = [&problem.train, &problem.test].map(|d| [&d.input, &d.state, &d.target]);
    for matrix in data.into_iter().flatten() {
        for value in matrix.col_iter().flat_map(|column| column.iter().copied()) {
            sum.update(&value.to_bits().to_le_bytes());
        }
    }
    format!("{} {:08x}", method.name(), sum.finalize())
}

/// Where the checkpoint before the one in `path` is kept: `NAME.previous.EXTENSION`.
pub fn before(path: &Path) -> PathBuf {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_extension(format!("previous.{extension}"))
}

/// The state of the last checkpoint that is whole and that `accept` finds to be the right one, with
/// what was wrong with later ones; none where there is no file at all.
///
/// # Errors
/// There are checkpoints, but none that can be used; the message tells why, file by file.
pub fn recover(
    path: &Path,
    accept: impl Fn(&SavedState) -> Result<(), String>,
) -> Result<Option<(SavedState, Vec<Error>)>> {
    let mut refused = Vec::new();
    // One that was written but not yet moved is newer than both.
    let candidates = [path.with_extension("new"), path.to_owned(), before(path)];
    for (i, candidate) in candidates
        .iter()
        .enumerate()
        .filter(|(_, path)| path.exists())
    {
        let checked = SavedState::load(candidate).and_then(|state| match accept(&state) {
            Ok(()) => Ok(state),
            Err(reason) => Err(Error::file(candidate, reason)),
        });
        match checked {
            Ok(state) => return Ok(Some((state, refused))),
            // Left by a process that was killed while it wrote.
            Err(_) if i == 0 => {}
            Err(error) => refused.push(error),
        }
    }
    match refused.is_empty() {
        true => Ok(None),
        false => {
            let reasons: Vec<String> = refused.iter().map(Error::to_string).collect();
            let reason = format!("no checkpoint can be used: {}", reasons.join("; "));
            Err(Error::file(path.parent().unwrap_or(path), reason))
        }
    }
}
