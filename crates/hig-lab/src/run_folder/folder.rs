//! The folder of a run, or of another command that leaves results, and its lock.

use super::{METHOD_FILES, bounded_file, config, events, given, metrics, provenance, summary};
use crate::error::Refused;
use anyhow::{Context, Result};
use hig::files::{Lock, sync_folder, write_whole};
use std::ffi::OsStr;
use std::fs::{self, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The files that commands of this program leave at the top of a folder.
const RESULTS: [&str; 9] = [
    config::FILE,
    provenance::FILE,
    given::WEIGHTS,
    given::DATA,
    summary::FILE,
    "table.md",
    "trials.csv",
    "statements.md",
    "results.md",
];

/// Held by the process that works in a folder. The lock goes with the process, however it ends.
const LOCK: &str = ".lock";

/// The folder of finished trainings of a command that can go on.
const TRIALS: &str = "trials";

/// The folder of the shards of a sweep, each a folder of its own.
const SHARDS: &str = "shards";

/// The folder of figures.
const FIGURES: &str = "figures";

/// A writable folder for results, in which no other process works.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    _lock: Lock,
}

impl Folder {
    /// Opens `out`, or the next free `runs/NAME-N`. Existing results are refused unless `force`
    /// says to replace them.
    pub fn open(out: Option<&Path>, name: &str, force: bool) -> Result<Self> {
        let root = match out {
            Some(path) => path.to_owned(),
            None => next_free(name)?,
        };
        Self::prepare(root, force, |_| false)
    }

    /// Opens the folder of a run to go on with it.
    pub fn reopen(root: &Path) -> Result<Self> {
        if root.join(config::FILE).symlink_metadata().is_err() {
            return Err(Refused::because(format_args!(
                "{}: it has no {}, expected the folder of a run",
                root.display(),
                config::FILE
            )));
        }
        Self::prepare(root.to_owned(), false, |_| true)
    }

    /// Opens `out`, or `runs/NAME`, for a command that goes on from the trainings finished there;
    /// `force` starts anew.
    pub fn open_to_continue(out: Option<&Path>, name: &str, force: bool) -> Result<Self> {
        Self::prepare(folder_to_continue(out, name), force, |root| {
            root.join(TRIALS).is_dir() || root.join(SHARDS).is_dir()
        })
    }

    /// Opens the folder of a shard of such a command, such as `3-of-8`.
    pub fn open_shard(out: Option<&Path>, name: &str, shard: &str, force: bool) -> Result<Self> {
        let root = folder_to_continue(out, name).join(SHARDS).join(shard);
        Self::prepare(root, force, |root| root.join(TRIALS).is_dir())
    }

    /// The folders of all shards that were begun, in none of which another process works.
    pub fn shards(&self) -> Result<Vec<Self>> {
        let folder = self.root.join(SHARDS);
        let mut paths: Vec<_> = entries(&folder).filter(|path| path.is_dir()).collect();
        paths.sort();
        let open = |path| Self::prepare(path, false, |_| true);
        paths.into_iter().map(open).collect()
    }

    fn prepare(root: PathBuf, force: bool, may_continue: fn(&Path) -> bool) -> Result<Self> {
        let refuse =
            |reason: String| Refused::because(format_args!("--out {}: {reason}", root.display()));
        if root.exists() && !root.is_dir() {
            return Err(refuse("it is a file, expected a folder".into()));
        }
        if let Some((path, what)) = foreign(&root) {
            return Err(refuse(format!(
                "{} is {what}; expected the files of a run",
                path.display()
            )));
        }
        let occupied = root.is_dir()
            && fs::read_dir(&root)
                .map_err(|e| refuse(format!("cannot be read ({e})")))?
                .any(|entry| entry.is_ok_and(|entry| entry.file_name() != LOCK));
        if occupied && !force && !may_continue(&root) {
            return Err(refuse(
                "there are results already; name another folder or replace them with --force"
                    .into(),
            ));
        }
        if let Some(path) = blocked(&root) {
            return Err(refuse(format!(
                "{} is in the way of results of that name; move it, or name another folder",
                path.display()
            )));
        }
        fs::create_dir_all(&root).map_err(|e| refuse(format!("cannot be created ({e})")))?;
        let lock = match Lock::take(&root.join(LOCK)) {
            Ok(Ok(lock)) => lock.stay(),
            Ok(Err(holder)) => {
                return Err(refuse(format!(
                    "another process ({holder}) works in this folder"
                )));
            }
            Err(e) => return Err(refuse(format!("is not writable ({e})"))),
        };
        remove_drafts(&root.join(FIGURES));
        if occupied && force {
            remove_results(&root).map_err(|e| refuse(format!("cannot be replaced ({e})")))?;
        }
        Ok(Self { root, _lock: lock })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// Refuses a file where the folder of a method will be.
    ///
    /// # Errors
    /// There is one.
    pub fn check_method(&self, method: &str) -> Result<()> {
        let path = self.root.join(folder_of(method));
        match path.exists() && !path.is_dir() {
            false => Ok(()),
            true => Err(Refused::because(format_args!(
                "{}: it is a file, where the folder of {method} will be; move it",
                path.display()
            ))),
        }
    }

    /// A folder in it, created.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        let created = fs::create_dir_all(&path).and_then(|()| sync_folder(&self.root));
        created.with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }

    /// The folder of finished trainings.
    pub fn trials(&self) -> PathBuf {
        self.root.join(TRIALS)
    }

    /// Writes a file whole.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        write_whole(&self.root.join(name), text.as_bytes())?;
        Ok(())
    }
}

/// `out`, or `runs/NAME`.
fn folder_to_continue(out: Option<&Path>, name: &str) -> PathBuf {
    out.map_or_else(|| Path::new("runs").join(name), Path::to_owned)
}

/// Something else than a file where this program writes and reads its own, and what it is: the targets of
/// links would be overwritten, and who opens a FIFO may wait for ever.
fn foreign(root: &Path) -> Option<(PathBuf, &'static str)> {
    let at_top = |name: &OsStr| name == LOCK || RESULTS.iter().any(|known| name == *known);
    let folders = |name: &OsStr| name == TRIALS || name == SHARDS || name == FIGURES;
    let of_a_method = |name: &OsStr| METHOD_FILES.iter().any(|known| name == *known);
    entries(root).find_map(|path| {
        let name = path.file_name().unwrap_or_default();
        if path.is_symlink() && (path.is_dir() || folders(name)) {
            return Some((path, LINK));
        }
        if path.is_dir() {
            let all = name == TRIALS;
            let mut own = entries(&path)
                .filter(|file| all || of_a_method(file.file_name().unwrap_or_default()));
            return own.find_map(odd);
        }
        match at_top(name) {
            true => odd(path),
            false => None,
        }
    })
}

const LINK: &str = "a symbolic link, which is not followed";

/// What a path is, where that is no regular file.
fn odd(path: PathBuf) -> Option<(PathBuf, &'static str)> {
    let about = path.symlink_metadata().ok()?;
    if about.is_file() {
        return None;
    }
    let what = match about.is_symlink() {
        true => LINK,
        false => bounded_file::kind(&about),
    };
    Some((path, what))
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| Some(entry.ok()?.path()))
}

/// A folder where results will be a file, or a file where they will be a folder.
fn blocked(root: &Path) -> Option<PathBuf> {
    let file = RESULTS.map(|name| root.join(name)).into_iter();
    let folder = [TRIALS, SHARDS, FIGURES]
        .map(|name| root.join(name))
        .into_iter();
    file.filter(|path| path.is_dir())
        .chain(folder.filter(|path| path.exists() && !path.is_dir()))
        .next()
}

/// The folder of a method, or of a chain such as `adam:500+hig`.
pub fn folder_of(method: &str) -> String {
    method.replace(':', "-")
}

/// Creates the next free `runs/NAME-N`, so that no other process takes it meanwhile.
fn next_free(name: &str) -> Result<PathBuf> {
    let runs = Path::new("runs");
    let refuse = |e| Refused::because(format_args!("{}: cannot be created ({e})", runs.display()));
    fs::create_dir_all(runs).map_err(refuse)?;
    for n in 1.. {
        let path = runs.join(format!("{name}-{n}"));
        match fs::create_dir(&path) {
            Ok(()) => return Ok(path),
            Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
            Err(e) => return Err(refuse(e)),
        }
    }
    unreachable!("there is always a next number")
}

/// Removes what processes left that were killed while they drew: nobody else works in a folder that is held.
/// What cannot be removed harms nobody.
fn remove_drafts(figures: &Path) {
    let drafts = entries(figures).filter(|path| is_draft(path.file_name().unwrap_or_default()));
    for draft in drafts {
        let _ = fs::remove_file(draft);
    }
}

/// Whether it is the name of a figure before it has its own: `.NAME.PROCESS.tmp`.
fn is_draft(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    let rest = name
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".tmp"));
    let process = rest.and_then(|rest| Some(rest.rsplit_once('.')?.1));
    process.is_some_and(|text| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
}

/// Removes what an earlier run left, and nothing else that may lie in the folder.
fn remove_results(root: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && (name == FIGURES || name == TRIALS || name == SHARDS) {
            fs::remove_dir_all(&path)?;
        } else if path.is_dir() && path.join(metrics::FILE).is_file() {
            remove_method(&path)?;
        } else if RESULTS.iter().any(|known| name == *known) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Removes the files of a method, and its folder where nothing else lies in it.
fn remove_method(folder: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        // Drafts are what a process left that was killed while it wrote.
        let text = name.to_string_lossy();
        let draft = text.starts_with('.') && text.ends_with(".part");
        if draft || events::is_one(name) || METHOD_FILES.iter().any(|known| name == *known) {
            fs::remove_file(&path)?;
        }
    }
    match fs::remove_dir(folder) {
        Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
        removed => removed,
    }
}

/// Whether a process works in the folder. The lock is shared, so that readers do not take each other
/// for the run, and is let go at once.
pub fn held(path: &Path) -> bool {
    bounded_file::open(&path.join(LOCK))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
