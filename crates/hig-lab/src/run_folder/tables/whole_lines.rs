//! The whole lines of a file that may be growing while it is read.

use std::io::{self, BufRead, Read};

/// More bytes than a line of any table of ours has; what is longer is no table.
const LONGEST: u64 = 1 << 22;

/// Passes on what is complete: the last line only if it ends in a newline.
#[derive(Debug)]
pub struct WholeLines<R> {
    source: R,
    line: Vec<u8>,
    given: usize,
    /// Bytes that may still be given out.
    left: u64,
}

impl<R: BufRead> WholeLines<R> {
    /// The whole lines of a source.
    pub fn of(source: R) -> Self {
        Self {
            source,
            line: Vec::new(),
            given: 0,
            left: LONGEST,
        }
    }

    /// Lets another row be read. One in which a quote is opened goes over lines, to the end of the
    /// file where none closes it.
    pub fn renew(&mut self) {
        self.left = LONGEST;
    }

    fn next_line(&mut self) -> io::Result<()> {
        self.line.clear();
        self.given = 0;
        let mut bounded = (&mut self.source).take(LONGEST);
        bounded.read_until(b'\n', &mut self.line)?;
        if self.line.last() == Some(&b'\n') {
            return Ok(());
        }
        if self.line.len() as u64 == LONGEST {
            return Err(endless());
        }
        self.line.clear();
        Ok(())
    }
}

impl<R: BufRead> Read for WholeLines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.given == self.line.len() {
            self.next_line()?;
        }
        let rest = &self.line[self.given..];
        let count = rest.len().min(buffer.len());
        self.left = self.left.checked_sub(count as u64).ok_or_else(endless)?;
        buffer[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

fn endless() -> io::Error {
    let reason = format!("a line of more than {LONGEST} bytes: this is no table");
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_without_its_end_is_left_out() {
        for (text, whole) in [
            ("a\nb\n", "a\nb\n"),
            ("a\nb\n12.", "a\nb\n"),
            ("header", ""),
            ("", ""),
            ("\n\nx", "\n\n"),
        ] {
            let mut read = String::new();
            let mut lines = WholeLines::of(text.as_bytes());
            lines.read_to_string(&mut read).unwrap();
            assert_eq!(read, whole, "{text:?}");
        }
    }

    #[test]
    fn a_row_goes_over_few_lines_and_a_table_over_many() {
        let text = "a line\n".repeat(LONGEST as usize / 4);
        let mut lines = WholeLines::of(text.as_bytes());
        assert!(io::copy(&mut lines, &mut io::sink()).is_err());
        let mut lines = WholeLines::of(text.as_bytes());
        let mut buffer = [0; 1000];
        let mut read = 0;
        loop {
            lines.renew();
            match lines.read(&mut buffer).unwrap() {
                0 => break,
                count => read += count,
            }
        }
        assert_eq!(read, text.len());
    }

    #[test]
    fn a_file_without_lines_is_refused_before_it_fills_the_memory() {
        let endless = io::BufReader::new(io::repeat(0));
        let error = io::copy(&mut WholeLines::of(endless), &mut io::sink()).unwrap_err();
        assert!(error.to_string().contains("no table"), "{error}");
    }
}
