//! `timing.csv`: seconds by part since a method began.

use super::spans::{Seconds, spent};
use super::tables::series::{self, Series};
use hig::timing::PARTS;
use std::io::{self, BufRead};
use std::path::Path;

/// The file in the folder of a method.
pub const FILE: &str = "timing.csv";

/// The first line.
pub const HEADER: &str = "update,part,seconds";

/// The clock of one method.
#[derive(Debug)]
pub struct Clock {
    /// What the program had spent when the method began, less what it had spent before that in an
    /// earlier program.
    zero: Seconds,
}

impl Clock {
    /// Starts now, from what an earlier program has left in the file of a folder, or from zero without one.
    pub fn resume(folder: &Path) -> Self {
        let mut zero = spent();
        let told = read(&folder.join(FILE)).unwrap_or_default();
        for Series { name, value, .. } in told {
            let place = PARTS.iter().position(|known| *known == name);
            let last = value.last().filter(|seconds| seconds.is_finite());
            if let (Some(place), Some(seconds)) = (place, last) {
                zero[place] -= seconds;
            }
        }
        Self { zero }
    }

    /// Seconds of each part until now.
    pub fn seconds(&self) -> Seconds {
        let spent = spent();
        std::array::from_fn(|i| spent[i] - self.zero[i])
    }

    /// The lines of one evaluation.
    pub fn rows(&self, update: usize) -> String {
        let told = PARTS.iter().zip(self.seconds());
        told.map(|(part, seconds)| format!("{update},{part},{seconds:.6}\n"))
            .collect()
    }
}

/// Reads the file. No file, or another table, gives nothing.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Series>> {
    series::read(path, "part", "seconds")
}

/// Reads the text of such a file.
///
/// # Errors
/// A line that is too long for a table.
pub fn parse(source: impl BufRead) -> io::Result<Vec<Series>> {
    series::parse(source, "part", "seconds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_from_the_last_rows_of_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let text = "update,part,seconds\n1,gram,0.5\n2,gram,1.5\n2,record,0.25\n2,step,";
        std::fs::write(folder.path().join(FILE), text).unwrap();
        let told = Clock::resume(folder.path()).rows(9);
        let of = |part: &str| {
            let row = told.lines().find(|row| row.split(',').nth(1) == Some(part));
            row.unwrap()
                .split(',')
                .nth(2)
                .unwrap()
                .parse::<f64>()
                .unwrap()
        };
        assert!((of("gram") - 1.5).abs() < 0.2 && (of("record") - 0.25).abs() < 0.2);
        assert_eq!(told.lines().count(), PARTS.len());
        assert!(told.starts_with("9,forward,"));
        let read = parse(format!("{HEADER}\n{told}").as_bytes()).unwrap();
        let names: Vec<&str> = read.iter().map(|series| series.name.as_str()).collect();
        assert_eq!(names, PARTS);
    }
}
