//! Checkpoints in files: written whole or not at all, the one before kept, damage recognised, one
//! training a file.

use super::Identity;
use super::observers::{Beginning, Checkpoint, Evaluation, Flow, Observer};
use crate::error::{Error, Result};
use crate::files::{Lock, SavedState};
use crate::timing::part;
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writes the whole state of a training from time to time, and where it ends. While it is there, no other
/// writes to the same file.
///
/// ```
/// use hig::step::Adam;
/// use hig::systems::{System, Toy};
/// use hig::trainer::{Budget, CheckpointWriter, Identity, Start, Training, recover, train};
/// use std::time::Duration;
///
/// let problem = Toy::default().problem(0);
/// let fresh = problem.initial_parameters(0);
/// let (method, training) = (Adam::default(), Training::default());
/// let run = |start: Start, updates, observers: &mut [&mut dyn hig::trainer::Observer]| {
///     train(&problem, &method, start, &training, Budget::updates(updates), 0, observers)
/// };
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("toy.safetensors");
/// let identity = Identity::of(&problem, &method, &training, &fresh, 0)?;
/// let mut writer = CheckpointWriter::new(&path, Duration::from_secs(30));
/// writer.belongs_to(&identity);
/// run(fresh.clone().into(), 20, &mut [&mut writer])?;
/// let kept = recover(&path, |state| identity.accepts(state))?;
/// let (state, _) = kept.expect("it was just written");
/// let resumed = run(Start::resume(state)?, 50, &mut [&mut writer])?;
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
    /// Held as long as checkpoints may be written.
    lock: Option<Lock>,
}

/// The note that tells the budget under which a checkpoint was written.
pub(super) const BUDGET: &str = "budget";

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
            lock: None,
        }
    }

    /// Takes the file for the training to come: tries whether checkpoints can be written, without changing
    /// one that is there, and keeps others from it. [`train`](super::train) does so before the first
    /// update; who reads the file before that calls it first.
    ///
    /// # Errors
    /// The folder does not exist or may not be written to; the path is that of a folder; another training
    /// writes there.
    pub fn hold(&mut self) -> Result<()> {
        if self.lock.is_some() {
            return Ok(());
        }
        let refuse = |reason: String| Err(Error::file(&self.path, reason));
        let cannot = |e| refuse(format!("a checkpoint cannot be written: {e}"));
        if self.path.is_dir() {
            return refuse("it is a folder, expected a file".into());
        }
        let (fresh, lock) = (fresh(&self.path), self.path.with_extension(LOCK));
        if [&fresh, &lock].contains(&&self.path) {
            return refuse("a name that ends in .new or .lock is taken beside every checkpoint; name it .safetensors".into());
        }
        let lock = match Lock::take(&lock) {
            Ok(Ok(lock)) => lock,
            Ok(Err(holder)) => {
                return refuse(format!(
                    "another training (process {holder}) keeps its checkpoints there; name another file, or \
                     let it end"
                ));
            }
            Err(e) => return cannot(e),
        };
        let there = fresh.exists();
        let opened = File::options().create(true).append(true).open(&fresh);
        let tried = opened.and_then(|_| match there {
            true => Ok(()),
            false => std::fs::remove_file(&fresh),
        });
        if let Err(e) = tried {
            return cannot(e);
        }
        self.lock = Some(lock);
        Ok(())
    }

    /// Lets each checkpoint tell which training it belongs to, for [`Identity::accepts`].
    pub fn belongs_to(&mut self, training: &Identity) {
        for (name, text) in training.notes() {
            self.note(&name, &text);
        }
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
    fn begin(&mut self, now: &Beginning<'_>) -> Result<()> {
        self.note(BUDGET, &now.budget.to_string());
        self.hold()
    }

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
        let fresh = fresh(&self.path);
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

/// What the file ends in that is held by the training that writes checkpoints.
const LOCK: &str = "lock";

/// Where a checkpoint is written before it is moved to its place.
fn fresh(path: &Path) -> PathBuf {
    path.with_extension("new")
}

/// Where the checkpoint before the one in `path` is kept: `NAME.previous.EXTENSION`.
pub fn before(path: &Path) -> PathBuf {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    path.with_extension(format!("previous.{extension}"))
}

/// Makes room for another training: the checkpoint in a file, if there is one, is moved to
/// `NAME.replaced.EXTENSION`, over what was set aside before, and older ones of its training are removed.
///
/// # Errors
/// A file cannot be moved or removed.
pub fn set_aside(path: &Path) -> Result<()> {
    let extension = path.extension().unwrap_or_default().to_string_lossy();
    let aside = path.with_extension(format!("replaced.{extension}"));
    let done = |path: &Path, done: std::io::Result<()>| match done {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::file(path, e)),
        _ => Ok(()),
    };
    done(path, std::fs::rename(path, aside))?;
    for old in [fresh(path), before(path)] {
        done(&old, std::fs::remove_file(&old))?;
    }
    Ok(())
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
    let mut refused: Vec<Error> = Vec::new();
    // One that was written but not yet moved is newer than both.
    let candidates = [fresh(path), path.to_owned(), before(path)];
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
    let (Some(first), rest) = (refused.first(), refused.get(1..).unwrap_or_default()) else {
        return Ok(None);
    };
    // Of two for the same reason, one tells it.
    let mut reasons = vec![first.to_string()];
    for error in rest {
        if !matches!((error, first), (Error::File { reason: a, .. }, Error::File { reason: b, .. }) if a == b)
        {
            reasons.push(error.to_string());
        }
    }
    let reason = format!("no checkpoint can be used: {}", reasons.join("; "));
    Err(Error::file(path.parent().unwrap_or(path), reason))
}
