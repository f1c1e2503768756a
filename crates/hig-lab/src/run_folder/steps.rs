//! `steps.csv`: what the steps told of themselves, by quantity.

use super::tables::series::{self, Series};
use std::io::{self, BufRead};
use std::path::Path;

/// The file in the folder of a method.
pub const FILE: &str = "steps.csv";

/// The first line.
pub const HEADER: &str = "update,quantity,value";

/// The lines of one evaluation.
pub fn rows(update: usize, told: &[(&str, f64)]) -> String {
    let row = |(name, value): &(&str, f64)| format!("{update},{name},{value:e}\n");
    told.iter().map(row).collect()
}

/// Reads the file. No file, or another table, gives nothing.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Series>> {
    series::read(path, "quantity", "value")
}

/// Reads the text of such a file.
///
/// # Errors
/// A line that is too long for a table.
pub fn parse(source: impl BufRead) -> io::Result<Vec<Series>> {
    series::parse(source, "quantity", "value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let text = [
            format!("{HEADER}\n"),
            rows(3, &[("rank", 7.0), ("kappa", 1.0 / 3.0)]),
            rows(5, &[("rank", 8.0)]),
        ];
        let read = parse(text.concat().as_bytes()).unwrap();
        let told = |name: &str, update: &[f64], value: &[f64]| Series {
            name: name.into(),
            update: update.into(),
            value: value.into(),
        };
        let rank = told("rank", &[3.0, 5.0], &[7.0, 8.0]);
        assert_eq!(read, [rank, told("kappa", &[3.0], &[1.0 / 3.0])]);
    }
}
