//! Writing a file whole or not at all.

use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Writes a file given by name, as [`WholeFile`] does.
///
/// # Errors
/// The file cannot be written; an existing regular file is then left as it was.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut file = WholeFile::create(path)?;
        file.write_all(bytes)?;
        file.finish()
    };
    write().map_err(|e| Error::file(path, e))
}

/// A file given by name that is being written. A regular file, or one that is not there yet, is whole or
/// left as it was: it is written under a temporary name, synced, then renamed. Of a symbolic link the file
/// that it points to is written, and the link stays. Anything else, such as a device or a FIFO, is written
/// to as it is.
#[derive(Debug)]
pub struct WholeFile {
    file: File,
    /// Where the bytes are, and where they belong; none for what is written to as it is.
    draft: Option<(PathBuf, PathBuf)>,
}

impl WholeFile {
    /// Begins to write.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn create(path: &Path) -> io::Result<Self> {
        let Some(place) = place(path)? else {
            let file = File::options().write(true).open(path)?;
            return Ok(Self { file, draft: None });
        };
        let (file, temporary) = temporary(&place)?;
        let draft = Some((temporary, place));
        Ok(Self { file, draft })
    }

    /// Puts what was written where it belongs. Without this call nothing changes there.
    ///
    /// # Errors
    /// It cannot be put there.
    pub fn finish(mut self) -> io::Result<()> {
        let Some((temporary, place)) = &self.draft else {
            return self.file.flush();
        };
        self.file.sync_all()?;
        fs::rename(temporary, place)?;
        sync_folder(place.parent().unwrap_or(Path::new("")))?;
        self.draft = None;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some((temporary, _)) = &self.draft {
            let _ = fs::remove_file(temporary);
        }
    }
}

/// Where the regular file of that name is, or will be; none where there is something else.
fn place(path: &Path) -> io::Result<Option<PathBuf>> {
    /// Links that a system follows at most.
    const LINKS: usize = 40;
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Ok(None);
    }
    let mut place = path.to_owned();
    for _ in 0..LINKS {
        let Ok(next) = fs::read_link(&place) else {
            return Ok(Some(place));
        };
        // A link such as /dev/stdout stands for an open file, which has no other name.
        if ["/dev", "/proc"].iter().any(|own| place.starts_with(own)) {
            return Ok(None);
        }
        place = place.parent().unwrap_or(Path::new("")).join(next);
    }
    let reason = "a symbolic link that leads to itself";
    Err(io::Error::new(ErrorKind::InvalidInput, reason))
}

/// A new file beside another, with a short name, since the other's may be as long as names can be. It is
/// locked as long as it is written, by which one is known that a killed process has left.
fn temporary(place: &Path) -> io::Result<(File, PathBuf)> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    remove_drafts(place.parent().unwrap_or(Path::new("")));
    loop {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = place.with_file_name(format!(".{}-{count}.part", std::process::id()));
        match File::create_new(&path) {
            Ok(file) => {
                // Where there are no locks, drafts stay.
                let taken = matches!(file.try_lock(), Err(TryLockError::WouldBlock));
                // Another process may have taken it for one that was left, before it was locked.
                if !taken && path.exists() {
                    return Ok((file, path));
                }
            }
            // Left by an earlier process of the same number.
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
}

/// Removes what killed processes have left in a folder, once in a process. What cannot be removed stays.
fn remove_drafts(folder: &Path) {
    static SEEN: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    if !seen.insert(folder.to_owned()) {
        return;
    }
    let folder = match folder == Path::new("") {
        true => Path::new("."),
        false => folder,
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let regular = entry.file_type().is_ok_and(|kind| kind.is_file());
        if !regular || !is_draft(&entry.file_name().to_string_lossy()) {
            continue;
        }
        let path = entry.path();
        let file = File::options().write(true).open(&path);
        if let Ok(file) = file.as_ref()
            && file.try_lock().is_ok()
        {
            let _ = fs::remove_file(&path);
        }
    }
}

/// Whether it is such a name: `.PROCESS-COUNT.part`.
fn is_draft(name: &str) -> bool {
    let number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let rest = name
        .strip_prefix('.')
        .and_then(|rest| rest.strip_suffix(".part"));
    let parts = rest.and_then(|rest| rest.split_once('-'));
    parts.is_some_and(|(process, count)| number(process) && number(count))
}

/// Brings to the disk which files and folders are in a folder; without it a power failure may take back
/// that one was created or renamed.
///
/// # Errors
/// The folder is not there, or the disk fails.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    // A folder can be opened as a file on Unix only.
    if cfg!(unix) {
        let folder = match folder == Path::new("") {
            true => Path::new("."),
            false => folder,
        };
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::{FileTypeExt, symlink};
    use std::process::Command;

    #[test]
    fn a_link_stays_and_its_target_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("inner")).unwrap();
        fs::write(path("inner/target"), "old").unwrap();
        symlink("inner/target", path("link")).unwrap();
        symlink("link", path("second")).unwrap();
        symlink("inner/missing", path("dangling")).unwrap();
        for (link, target) in [
            ("link", "inner/target"),
            ("second", "inner/target"),
            ("dangling", "inner/missing"),
        ] {
            write_whole(&path(link), link.as_bytes()).unwrap();
            assert!(path(link).is_symlink(), "{link}");
            assert_eq!(fs::read_to_string(path(target)).unwrap(), link);
        }
        assert_eq!(fs::read_dir(path("inner")).unwrap().count(), 2);
        symlink("ring", path("ring")).unwrap();
        let error = write_whole(&path("ring"), b"x").unwrap_err().to_string();
        assert!(error.contains("leads to itself"), "{error}");
    }

    #[test]
    fn a_fifo_is_written_to_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("fifo");
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
        let reader = path.clone();
        let reader = std::thread::spawn(move || {
            let mut text = String::new();
            File::open(reader)
                .unwrap()
                .read_to_string(&mut text)
                .unwrap();
            text
        });
        write_whole(&path, b"through").unwrap();
        assert_eq!(reader.join().unwrap(), "through");
        assert!(fs::metadata(&path).unwrap().file_type().is_fifo());
        write_whole(Path::new("/dev/null"), b"x").unwrap();
        assert!(
            fs::metadata("/dev/null")
                .unwrap()
                .file_type()
                .is_char_device()
        );
    }

    #[test]
    fn drafts_that_nobody_writes_are_removed_and_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mine = [
            ".notes.part",
            ".1-2.part.txt",
            ".-2.part",
            "1-2.part",
            ".a-2.part",
        ];
        for name in mine.iter().chain(&[".123-0.part", ".4-56.part"]) {
            fs::write(path(name), "half").unwrap();
        }
        let written = File::create(path(".77-0.part")).unwrap();
        written.lock().unwrap();
        let mut file = WholeFile::create(&path("file")).unwrap();
        file.write_all(b"text").unwrap();
        // Another process looks while this one writes.
        let draft = file.draft.as_ref().unwrap().0.clone();
        assert!(File::open(&draft).unwrap().try_lock().is_err());
        file.finish().unwrap();
        let mut left: Vec<String> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = [&mine[..], &[".77-0.part", "file"]].concat();
        expected.sort_unstable();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_name_as_long_as_names_can_be_is_written_and_a_failure_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x".repeat(255));
        write_whole(&path, b"first").unwrap();
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"half").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
