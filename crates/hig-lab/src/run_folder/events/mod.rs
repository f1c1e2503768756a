//! Event files, by which TensorBoard shows a training while it runs.
//!
//! A file is a sequence of records (`tf_record`), each a message of protocol buffers (`event`). Every
//! process writes a file of its own: TensorBoard reads those of a folder in the order of their names,
//! and what a later one begins with takes the place of what an earlier one has from that update on.

mod event;
pub mod scalars;
mod tf_record;

use event::{Event, What};
use hig::{Error, Result};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use event::Value;

/// What the name of every event file holds, by which TensorBoard finds it.
const MARK: &str = "tfevents";

/// Whether a file is an event file, by its name.
pub fn is_one(name: &OsStr) -> bool {
    name.to_string_lossy().contains(MARK)
}

/// One event file.
#[derive(Debug)]
pub struct Board {
    path: PathBuf,
    file: File,
    begun: bool,
}

impl Board {
    /// Starts a file in a folder.
    pub fn create(folder: &Path) -> Result<Self> {
        let now = since_epoch();
        // Seconds first, so that names stand in the order of time.
        let name = format!(
            "events.out.{MARK}.{}.{:09}.hig.{}",
            now.as_secs(),
            now.subsec_nanos(),
            std::process::id()
        );
        let path = folder.join(name);
        let file = File::create_new(&path).map_err(|e| Error::file(&path, e))?;
        let mut board = Self {
            path,
            file,
            begun: false,
        };
        board.write(&[Event::at(now, 0, What::Version)])?;
        Ok(board)
    }

    /// Whether a folder has event files, as one of a training that was begun with them.
    pub fn found(folder: &Path) -> bool {
        let named =
            |entry: std::io::Result<std::fs::DirEntry>| entry.is_ok_and(|e| is_one(&e.file_name()));
        std::fs::read_dir(folder).is_ok_and(|mut entries| entries.any(named))
    }

    /// Writes values of one update, by name.
    pub fn tell(&mut self, update: usize, values: Vec<(String, Value)>) -> Result<()> {
        let now = since_epoch();
        let mut events = Vec::new();
        if !self.begun {
            self.begun = true;
            events.push(Event::at(now, update, What::Start));
        }
        events.push(Event::at(now, update, What::Values(values)));
        self.write(&events)
    }

    /// One write for all, so that a reader meanwhile sees whole records, or a rest that it waits for.
    fn write(&mut self, events: &[Event]) -> Result<()> {
        let bytes: Vec<u8> = events
            .iter()
            .flat_map(|event| tf_record::framed(&event.encoded()))
            .collect();
        self.file
            .write_all(&bytes)
            .map_err(|e| Error::file(&self.path, e))
    }
}

fn since_epoch() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
