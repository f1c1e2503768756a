//! Tables that are shortened to where a training goes on.

use anyhow::{Context, Result};
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::Path;

/// Makes the tables of these names in a folder end with the rows of an update, the last that is evaluated
/// before the training goes on; without one they are removed. Other files stay as they are.
pub fn cut_tables(folder: &Path, names: &[&str], evaluated: Option<usize>) -> Result<()> {
    for name in names {
        let path = folder.join(name);
        let cut = match evaluated {
            Some(evaluated) => cut_table(&path, evaluated),
            None => fs::remove_file(&path),
        };
        match cut {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            cut => cut.with_context(|| path.display().to_string())?,
        }
    }
    Ok(())
}

/// Shortens a table to the whole lines before the first one of a later update.
fn cut_table(path: &Path, evaluated: usize) -> io::Result<()> {
    let mut table = BufReader::new(File::options().read(true).write(true).open(path)?);
    let (mut row, mut kept) = (Vec::new(), 0);
    for i in 0.. {
        row.clear();
        table.read_until(b'\n', &mut row)?;
        let cell = row.split(|byte| *byte == b',').next();
        let update = cell.and_then(|cell| str::from_utf8(cell).ok()?.parse::<usize>().ok());
        let later = i > 0 && update.is_some_and(|update| update > evaluated);
        if row.last() != Some(&b'\n') || later {
            break;
        }
        kept += row.len() as u64;
    }
    let file = table.get_ref();
    if kept < file.metadata()?.len() {
        file.set_len(kept)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_end_where_the_training_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.csv");
        let other = folder.path().join("a.toml");
        let text = "update,x\n0,1\n3,2\n3,\"two\nlines\"\n7,4\n9,";
        for (evaluated, kept) in [
            (Some(9), &text[..text.len() - 2]),
            (Some(7), &text[..text.len() - 2]),
            (Some(6), "update,x\n0,1\n3,2\n3,\"two\nlines\"\n"),
            (Some(0), "update,x\n0,1\n"),
        ] {
            fs::write(&path, text).unwrap();
            fs::write(&other, "9,").unwrap();
            cut_tables(folder.path(), &["a.csv", "b.csv"], evaluated).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), kept);
            assert_eq!(fs::read_to_string(&other).unwrap(), "9,");
        }
        cut_tables(folder.path(), &["a.csv"], None).unwrap();
        assert!(!path.exists() && other.exists());
    }
}
