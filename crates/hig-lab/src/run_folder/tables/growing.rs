//! Tables that grow by whole lines while others read them.

use hig::{Error, Result};
use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

/// A file of lines.
#[derive(Debug)]
pub struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Goes on with a file, or begins one.
    pub fn open(path: PathBuf, header: &str) -> Result<Self> {
        let opened = File::options().create(true).append(true).open(&path);
        let file = opened.map_err(|e| Error::file(&path, e))?;
        let begun = file.metadata().is_ok_and(|file| file.len() > 0);
        let mut lines = Self { path, file };
        if !begun {
            lines.write(&format!("{header}\n"))?;
        }
        Ok(lines)
    }

    /// Writes whole lines at once, so that a kill leaves no part of one.
    pub fn write(&mut self, text: &str) -> Result<()> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|e| Error::file(&self.path, e))
    }
}
