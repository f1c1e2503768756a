//! Files that are read whole, for which they must be small.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Bytes of a configuration, an outcome or another text for people; ours have a few thousand.
pub const TEXT: u64 = 1 << 20;

/// The bytes of a file.
///
/// # Errors
/// It cannot be read, or has more bytes than `most`, of which no more are read.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    bounded(File::open(path)?, most)
}

/// The text of a file.
///
/// # Errors
/// As [`read`], and a text that is not UTF-8.
pub fn read_text(path: &Path, most: u64) -> io::Result<String> {
    let bytes = read(path, most)?;
    String::from_utf8(bytes).map_err(|e| io::Error::new(ErrorKind::InvalidData, e))
}

/// The text of a small file for people, in which what is no UTF-8 is replaced; none where there is no
/// file.
///
/// # Errors
/// It is there and cannot be read, or has more bytes than [`TEXT`].
pub fn text_if_any(path: &Path) -> io::Result<Option<String>> {
    match read(path, TEXT) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The bytes of a source.
///
/// # Errors
/// As [`read`].
fn bounded(source: impl Read, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let reason = format!("it has more than {most} bytes, expected at most as many");
        return Err(io::Error::new(ErrorKind::InvalidData, reason));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endless_file_is_refused_and_one_of_the_largest_size_read() {
        let error = bounded(io::repeat(b'a'), 1000).unwrap_err().to_string();
        assert!(error.contains("more than 1000 bytes"), "{error}");
        assert_eq!(bounded(&[7; 1000][..], 1000).unwrap(), [7; 1000]);
    }
}
