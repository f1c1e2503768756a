//! `warnings.csv`: what a training warned of.

use super::tables::rows::{Table, number, open, text};
use crate::run_folder::bounded_file::TEXT;
use std::io::{self, BufRead};
use std::path::Path;

/// Warnings that are kept; a training gives each of its few kinds once or a few times.
const MOST: usize = 1000;

/// Something that a training noticed in itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Warning {
    /// The update after which it was noticed.
    pub update: f64,
    /// Its short name.
    pub name: String,
    /// What is the matter.
    pub message: String,
    /// What to do about it.
    pub advice: String,
}

/// Reads the warnings of a file, the first 1000. No file, or another table, gives none.
///
/// # Errors
/// The file is there and cannot be read.
pub fn warnings(path: &Path) -> io::Result<Vec<Warning>> {
    match open(path)? {
        Some(file) => parse(file),
        None => Ok(Vec::new()),
    }
}

/// Reads the text of such a file, of which nothing after its first MiB.
///
/// # Errors
/// None.
pub fn parse(source: impl BufRead) -> io::Result<Vec<Warning>> {
    let mut warnings = Vec::new();
    let mut table = Table::of(source.take(TEXT))?;
    let Some([update, name, message, advice]) =
        table.places(["update", "name", "message", "advice"])
    else {
        return Ok(warnings);
    };
    while let Some(row) = table.next_row()? {
        warnings.push(Warning {
            update: number(&row[update]),
            name: text(&row[name]),
            message: text(&row[message]),
            advice: text(&row[advice]),
        });
        if warnings.len() == MOST {
            break;
        }
    }
    Ok(warnings)
}
