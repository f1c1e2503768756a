//! Notes of what could not be read in a folder.

use super::tables::{Marks, ledger};
use super::{TABLES, bounded_file};
use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

/// Collects what could not be read.
pub struct Notes {
    root: PathBuf,
    notes: Vec<String>,
}

impl Notes {
    /// Of the files in a folder.
    pub fn new(root: &Path) -> Self {
        let (root, notes) = (root.to_owned(), Vec::new());
        Self { root, notes }
    }

    fn add(&mut self, file: &str, reason: impl Display) {
        let path = self.root.join(file);
        self.notes.push(format!("{}: {reason}", path.display()));
    }

    /// What a reader makes of a file; nothing, with a note, where it cannot be read.
    pub fn take<T: Default>(&mut self, file: &str, read: impl Fn(&Path) -> io::Result<T>) -> T {
        let path = self.root.join(file);
        // A folder from elsewhere must not show what lies outside it.
        if path.is_symlink() {
            self.add(file, "is a symbolic link, which is not followed");
            return T::default();
        }
        match read(&path) {
            Ok(value) => value,
            Err(error) => {
                self.add(file, format_args!("cannot be read ({error})"));
                T::default()
            }
        }
    }

    /// Notes which tables of a folder do not hold what they were to.
    pub fn check(&mut self, folder: &str, marks: &Marks) {
        for (name, wrong) in ledger::check(&self.root.join(folder), &TABLES, marks) {
            self.add(&format!("{folder}/{name}"), wrong);
        }
    }

    /// A TOML file; empty where there is none.
    pub fn table(&mut self, file: &str) -> toml::Table {
        self.maybe_table(file).unwrap_or_default()
    }

    /// A TOML file; none where there is none, or, with a note, where it cannot be read.
    pub fn maybe_table(&mut self, file: &str) -> Option<toml::Table> {
        let text = self.take(file, bounded_file::text_if_any)?;
        match text.parse() {
            Ok(table) => Some(table),
            Err(error) => {
                self.add(file, format_args!("is no TOML ({})", error.message()));
                None
            }
        }
    }

    /// What could not be read, for the user.
    pub fn told(self) -> Vec<String> {
        self.notes
    }
}
