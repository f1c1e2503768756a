//! Tables with a name in every row: `update,quantity,value`.

use super::bounded_rows::Bounded;
use super::csv_rows::{Table, number, open, text};
use std::io::{self, BufRead};
use std::path::Path;

/// Names that a table may have; further ones are left out.
const NAMES: usize = 256;
/// Bytes of a name; a longer one is none of ours.
const LONGEST: usize = 256;
/// Rows of one name in memory; longer ones are thinned while they are read.
const ROWS: usize = 1 << 17;

/// One quantity over the updates.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// What it is.
    pub name: String,
    /// Updates after which it was told.
    pub update: Vec<f64>,
    /// What was told.
    pub value: Vec<f64>,
}

/// Reads the columns `update`, `name` and `value` of a file, by their names in its header; the
/// series in the order in which they first appear. No file, or another table, gives none.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path, name: &str, value: &str) -> io::Result<Vec<Series>> {
    match open(path)? {
        Some(file) => parse(file, name, value),
        None => Ok(Vec::new()),
    }
}

/// Reads the text of such a file.
///
/// # Errors
/// A line that is too long for a table.
pub fn parse(source: impl BufRead, name: &str, value: &str) -> io::Result<Vec<Series>> {
    let mut table = Table::of(source)?;
    let Some([update, name, value]) = table.places(["update", name, value]) else {
        return Ok(Vec::new());
    };
    let mut found: Vec<(Vec<u8>, Bounded)> = Vec::new();
    while let Some(row) = table.next_row()? {
        let place = match found.iter().position(|(known, _)| known == &row[name]) {
            Some(place) => place,
            None if found.len() < NAMES && row[name].len() <= LONGEST => {
                found.push((row[name].to_vec(), Bounded::new(2, ROWS, None)));
                found.len() - 1
            }
            None => continue,
        };
        found[place]
            .1
            .push(&[number(&row[update]), number(&row[value])]);
    }
    let series = found.into_iter().map(|(name, rows)| {
        let mut columns = rows.columns().into_iter();
        Series {
            name: text(&name),
            update: columns.next().unwrap_or_default(),
            value: columns.next().unwrap_or_default(),
        }
    });
    Ok(series.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_by_their_names() {
        let text = "update,quantity,value\n1,rank,3e1\n1,error,1e-9\n2,rank,inf\n3,rank,1e";
        let series = parse(text.as_bytes(), "quantity", "value").unwrap();
        assert_eq!(series.len(), 2);
        assert_eq!(series[0].name, "rank");
        assert_eq!(series[0].update, [1.0, 2.0]);
        assert_eq!(series[0].value, [30.0, f64::INFINITY]);
        assert_eq!(series[1].name, "error");
        assert_eq!(series[1].value, [1e-9]);
        let other = parse("a,b\n1,2\n".as_bytes(), "quantity", "value").unwrap();
        assert_eq!(other, []);
    }

    #[test]
    fn a_table_of_endless_names_stays_bounded() {
        let mut text = "update,part,seconds\n".to_owned();
        (0..2 * NAMES).for_each(|k| text += &format!("{k},part{k},1\n"));
        assert_eq!(
            parse(text.as_bytes(), "part", "seconds").unwrap().len(),
            NAMES
        );
    }
}
