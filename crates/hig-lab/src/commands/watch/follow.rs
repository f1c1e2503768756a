//! Runs as JSON, read again when their files have changed.

use crate::page;
use crate::run_folder::folder::held;
use crate::run_folder::{self, Run};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// A folder of a run or of several, and what was read of it.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    held: Mutex<Held>,
    /// Held by the one who reads.
    reading: Mutex<()>,
}

#[derive(Debug, Clone, Default)]
struct Held {
    version: u64,
    runs: Vec<Known>,
}

/// A run as it was last read.
#[derive(Debug, Clone)]
struct Known {
    path: PathBuf,
    /// Whether a process worked there, and the files.
    files: (bool, Vec<Trace>),
    json: Arc<str>,
    /// The reading that found it changed.
    version: u64,
}

/// By what a file is seen to have changed.
type Trace = (PathBuf, u64, Option<SystemTime>);

impl Follower {
    /// Of the run, or the runs, in a folder that need not be there yet.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            held: Mutex::default(),
            reading: Mutex::default(),
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what has changed. Gives the number of the last reading that found something.
    pub fn refresh(&self) -> u64 {
        let _alone = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        // Long files are read without keeping those waiting who ask for what is there.
        let mut before = self.held().clone();
        let paths = run_folder::runs_in(&self.path);
        let version = before.version + 1;
        let mut changed = before.runs.len() != paths.len();
        let mut runs = Vec::new();
        for path in paths {
            let known = before.runs.iter().position(|run| run.path == path);
            let known = known.map(|place| before.runs.swap_remove(place));
            // A run that is killed changes no file: its lock tells.
            let files = (held(&path), traces(&path));
            let run = match known {
                Some(run) if run.files == files => run,
                known => {
                    let json: Arc<str> = page::run_json(&Run::read(&path)).into();
                    match known {
                        Some(run) if run.json == json => Known { files, ..run },
                        _ => Known {
                            path,
                            files,
                            json,
                            version,
                        },
                    }
                }
            };
            changed |= run.version == version;
            runs.push(run);
        }
        let version = if changed { version } else { before.version };
        *self.held() = Held { version, runs };
        version
    }

    /// The document of the runs that changed after a reading, 0 for all; and the number of the last
    /// reading.
    pub fn since(&self, version: u64) -> (String, u64) {
        let held = self.held();
        let changed = held.runs.iter().filter(|run| run.version > version);
        let data = page::data(changed.map(|run| &*run.json), true);
        (data, held.version)
    }
}

const READ: [&str; 3] = ["csv", "json", "toml"];

/// The files of a run and of its methods that are read.
fn traces(run: &Path) -> Vec<Trace> {
    let mut traces = Vec::new();
    let mut folders = vec![(run.to_owned(), true)];
    while let Some((folder, outer)) = folders.pop() {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let Ok(about) = entry.metadata() else {
                continue;
            };
            let path = entry.path();
            let read = path
                .extension()
                .is_some_and(|e| READ.iter().any(|known| e == *known));
            if about.is_file() && read {
                traces.push((path, about.len(), about.modified().ok()));
            } else if about.is_dir() && outer && entry.file_name() != "figures" {
                folders.push((path, false));
            }
        }
    }
    traces.sort();
    traces
}
