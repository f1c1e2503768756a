//! Files of a run folder, which may be from elsewhere: what is no regular file is not opened, since a FIFO
//! or a device may never end or never begin, and what is read whole must be small.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::path::Path;

/// Bytes of a configuration, an outcome or another text for people; ours have a few thousand.
pub const TEXT: u64 = 1 << 20;

/// Opens a regular file to read it.
///
/// # Errors
/// It cannot be opened, or is something else.
pub fn open(path: &Path) -> io::Result<File> {
    open_as(File::options().read(true), path)
}

/// Opens a regular file that is there to read it, to add to it and to shorten it.
///
/// # Errors
/// As [`open`].
pub fn open_to_change(path: &Path) -> io::Result<File> {
    open_as(File::options().read(true).append(true), path)
}

fn open_as(options: &OpenOptions, path: &Path) -> io::Result<File> {
    // To open a FIFO waits for whoever opens its other end.
    regular(&fs::metadata(path)?)?;
    let file = options.open(path)?;
    regular(&file.metadata()?)?;
    Ok(file)
}

/// Refuses what is no regular file, with what it is.
fn regular(about: &Metadata) -> io::Result<()> {
    if about.is_file() {
        return Ok(());
    }
    let reason = format!("it is {}, expected a file", kind(about));
    Err(io::Error::new(ErrorKind::InvalidInput, reason))
}

/// What something other than a file is.
pub fn kind(about: &Metadata) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        let found = about.file_type();
        if found.is_fifo() {
            return "a FIFO";
        }
        if found.is_socket() {
            return "a socket";
        }
        if found.is_char_device() || found.is_block_device() {
            return "a device";
        }
    }
    if about.is_dir() {
        "a folder"
    } else {
        "no file"
    }
}

/// The bytes of a file.
///
/// # Errors
/// It cannot be read, is no regular file, or has more bytes than `most`, of which no more are read.
pub fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    bounded(open(path)?, most)
}

/// The bytes of a file that a user named, which may come through a FIFO.
///
/// # Errors
/// It cannot be read, or has more bytes than `most`, of which no more are read.
pub fn read_named(path: &Path, most: u64) -> io::Result<Vec<u8>> {
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

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_is_refused_by_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        for (path, what) in [
            (fifo.as_path(), "a FIFO"),
            (&socket, "a socket"),
            (Path::new("/dev/zero"), "a device"),
            (folder.path(), "a folder"),
        ] {
            for opened in [open(path), open_to_change(path)] {
                let message = opened.unwrap_err().to_string();
                assert_eq!(message, format!("it is {what}, expected a file"));
            }
        }
    }

    #[test]
    fn an_endless_file_is_refused_and_one_of_the_largest_size_read() {
        let error = bounded(io::repeat(b'a'), 1000).unwrap_err().to_string();
        assert!(error.contains("more than 1000 bytes"), "{error}");
        assert_eq!(bounded(&[7; 1000][..], 1000).unwrap(), [7; 1000]);
    }
}
