//! A table of numbers in a CSV file, by the names of its columns.

use super::bounded_rows::Bounded;
use super::csv_rows::{Table, number, open};
use std::io::{self, BufRead};
use std::path::Path;

/// Numbers that a table may hold in memory, 32 MiB; longer ones are thinned while they are read.
const MOST: usize = 1 << 22;

/// The columns of a table, all of one length. A cell that is empty or no number is NaN.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Columns {
    names: Vec<String>,
    values: Vec<Vec<f64>>,
}

impl Columns {
    /// Reads a CSV file with a header; none where there is no file.
    ///
    /// A last line without its newline is still being written and left out, as are lines whose
    /// number of cells is not the header's. Of more than 4 million numbers rows are left out evenly,
    /// never the first, the last, or the one with the lowest `test_loss`.
    ///
    /// # Errors
    /// The file is there and cannot be read, or has a line of more than 4 MiB.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        open(path)?.map(Self::of).transpose()
    }

    /// Reads the text of such a file.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn of(source: impl BufRead) -> io::Result<Self> {
        Self::parse(source, MOST)
    }

    fn parse(source: impl BufRead, most: usize) -> io::Result<Self> {
        let mut table = Table::of(source)?;
        let names = table.names().to_vec();
        if names.is_empty() {
            return Ok(Self::default());
        }
        let lows = names.iter().position(|name| name == "test_loss");
        let mut kept = Bounded::new(names.len(), most / names.len(), lows);
        let mut row = Vec::with_capacity(names.len());
        while let Some(cells) = table.next_row()? {
            row.clear();
            row.extend(cells.iter().map(number));
            kept.push(&row);
        }
        let values = kept.columns();
        Ok(Self { names, values })
    }

    /// The names of the columns, in their order.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// A column; the first one of that name.
    pub fn get(&self, name: &str) -> Option<&[f64]> {
        let place = self.names.iter().position(|n| n == name)?;
        Some(&self.values[place])
    }

    /// The columns with their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        let values = self.values.iter().map(Vec::as_slice);
        self.names.iter().map(String::as_str).zip(values)
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.values.first().map_or(0, Vec::len)
    }

    /// The same columns with some of the rows.
    pub fn select(&self, rows: &[usize]) -> Self {
        let select = |column: &Vec<f64>| rows.iter().map(|i| column[*i]).collect();
        Self {
            names: self.names.clone(),
            values: self.values.iter().map(select).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Columns {
        Columns::parse(text.as_bytes(), MOST).unwrap()
    }

    #[test]
    fn columns_are_found_by_name_and_unfinished_or_odd_lines_left_out() {
        let columns =
            parse("update,rank,loss\n0,,1e-3\n1,12,inf\n7\nx,NaN,\"2\"\n\n2,3,4,5\n3,4,5.");
        assert_eq!(columns.names(), ["update", "rank", "loss"]);
        assert_eq!(columns.rows(), 3);
        let update = columns.get("update").unwrap();
        assert_eq!(&update[..2], [0.0, 1.0]);
        assert!(update[2].is_nan());
        let rank = columns.get("rank").unwrap();
        assert!(rank[0].is_nan() && rank[1] == 12.0 && rank[2].is_nan());
        assert_eq!(columns.get("loss").unwrap(), [1e-3, f64::INFINITY, 2.0]);
        assert_eq!(columns.get("seconds"), None);
        assert_eq!(columns.select(&[1]).get("rank").unwrap(), [12.0]);
    }

    #[test]
    fn a_file_that_has_just_begun_has_no_rows() {
        for text in [
            "",
            "upd",
            "update,loss",
            "update,loss\n",
            "update,loss\n0,1e",
        ] {
            let columns = parse(text);
            assert_eq!(columns.rows(), 0, "{text:?}");
        }
        assert_eq!(parse("update,loss\n0,1e").get("loss"), Some(&[][..]));
        let folder = tempfile::TempDir::new().unwrap();
        assert_eq!(Columns::read(&folder.path().join("no.csv")).unwrap(), None);
        assert!(Columns::read(folder.path()).is_err());
    }

    #[test]
    fn a_long_file_keeps_its_lowest_test_loss() {
        let mut text = "update,test_loss\n".to_owned();
        for k in 0..10_000 {
            text += &format!("{k},{}\n", (f64::from(k) - 4321.0).abs() + 0.5);
        }
        let columns = Columns::parse(text.as_bytes(), 200).unwrap();
        assert!(columns.rows() <= 102);
        let losses = columns.get("test_loss").unwrap();
        assert!(losses.contains(&0.5));
        assert_eq!(columns.get("update").unwrap().last(), Some(&9999.0));
    }

    #[test]
    fn bytes_that_are_no_text_are_no_numbers() {
        let columns = Columns::parse(&b"a,b\n\xff\xfe,1\n\0\0\0,2\n"[..], MOST).unwrap();
        assert_eq!(columns.get("b").unwrap(), [1.0, 2.0]);
        assert!(columns.get("a").unwrap().iter().all(|v| v.is_nan()));
    }
}
