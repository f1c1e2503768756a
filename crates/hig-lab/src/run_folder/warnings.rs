//! `warnings.csv`: what a training warned of.

use super::bounded_file::TEXT;
use super::tables::csv_rows::{Table, number, open, text};
use hig::warnings::Warning;
use std::io::{self, BufRead};
use std::path::Path;

/// The file in the folder of a method.
pub const FILE: &str = "warnings.csv";

/// Its first line.
pub const HEADER: &str = "update,name,message,advice";

/// Warnings that are kept; a training gives each of its few kinds once or a few times.
const MOST: usize = 1000;

/// A line of `warnings.csv`.
pub fn row(warning: &Warning) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let (message, advice) = (quoted(&warning.message), quoted(&warning.advice));
    format!("{},{},{message},{advice}\n", warning.update, warning.name)
}

/// Reads the warnings of a file, the first 1000. No file, or another table, gives none.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<Warning>> {
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
        let update = number(&row[update]);
        if update.is_nan() {
            continue;
        }
        warnings.push(Warning {
            update: update as usize,
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn rows_are_quoted_and_read_again() {
        let warning = Warning {
            update: 3,
            name: "rank".into(),
            message: "a \"b\", c".into(),
            advice: "try d".into(),
        };
        assert_eq!(row(&warning), "3,rank,\"a \"\"b\"\", c\",\"try d\"\n");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert_eq!(read(&path).unwrap(), []);
        let rows = [row(&warning), row(&warning)].concat();
        let text = format!("{HEADER}\n{rows}none,rank,without,an update\n");
        std::fs::write(&path, text).unwrap();
        assert_eq!(read(&path).unwrap(), [warning.clone(), warning]);
    }

    proptest! {
        #[test]
        fn whatever_a_warning_says_is_read_again(
            update in 0..1_usize << 53,
            (message, advice) in any::<(String, String)>(),
        ) {
            let warning = Warning { update, name: "rank".into(), message, advice };
            let text = format!("{HEADER}\n{}{}", row(&warning), row(&warning));
            let read = parse(text.as_bytes()).unwrap();
            prop_assert_eq!(read, [warning.clone(), warning]);
        }
    }
}
