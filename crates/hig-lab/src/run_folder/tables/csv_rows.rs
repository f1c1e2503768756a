//! CSV files row by row, as text.

use super::super::bounded_file;
use super::whole_lines::WholeLines;
use csv::ByteRecord;
use std::fs::File;
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::path::Path;

/// Columns that a table may have; ours have a few for each number of an output.
const COLUMNS: usize = 1 << 16;

/// A file to read, or none where there is none.
pub fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match bounded_file::open(path) {
        Ok(file) => Ok(Some(BufReader::with_capacity(1 << 16, file))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The header of a CSV file and its rows.
pub struct Table<R> {
    reader: csv::Reader<WholeLines<R>>,
    names: Vec<String>,
    row: ByteRecord,
}

impl<R: BufRead> Table<R> {
    /// Reads the header.
    pub fn of(source: R) -> io::Result<Self> {
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .from_reader(WholeLines::of(source));
        let header = reader.byte_headers().map_err(io::Error::from)?;
        if header.len() > COLUMNS {
            let reason = format!("{} columns, expected at most {COLUMNS}", header.len());
            return Err(io::Error::new(ErrorKind::InvalidData, reason));
        }
        let names = header.iter().map(text).collect();
        Ok(Self {
            reader,
            names,
            row: ByteRecord::new(),
        })
    }

    /// The names in the header.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Places of columns, or none unless all are there.
    pub fn places<const N: usize>(&self, names: [&str; N]) -> Option<[usize; N]> {
        let mut places = [0; N];
        for (place, name) in places.iter_mut().zip(names) {
            *place = self.names.iter().position(|n| n == name)?;
        }
        Some(places)
    }

    /// The next row with as many cells as the header.
    pub fn next_row(&mut self) -> io::Result<Option<&ByteRecord>> {
        loop {
            self.reader.get_mut().renew();
            if !self.reader.read_byte_record(&mut self.row)? {
                return Ok(None);
            }
            if self.row.len() == self.names.len() {
                return Ok(Some(&self.row));
            }
        }
    }
}

/// A cell as text; what is no UTF-8 is replaced.
pub fn text(cell: &[u8]) -> String {
    String::from_utf8_lossy(cell).into_owned()
}

/// A cell as a number; NaN if it is none.
pub fn number(cell: &[u8]) -> f64 {
    let text = std::str::from_utf8(cell).ok();
    text.and_then(|t| t.trim().parse().ok()).unwrap_or(f64::NAN)
}
