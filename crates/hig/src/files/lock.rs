//! Files that one process at a time holds.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A file that is held, by a lock of the operating system: it goes with the process, however that ends.
/// The file tells the process that holds it, and is removed when it is let go.
#[derive(Debug)]
pub struct Lock {
    file: File,
    path: PathBuf,
    stays: bool,
}

impl Lock {
    /// Takes a file, which is made where there is none. Where another process, or another part of this
    /// one, holds it, the answer is what the file tells of that: the number of the process.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn take(path: &Path) -> io::Result<Result<Self, String>> {
        loop {
            let mut file = File::options()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)?;
            if !taken(&file) {
                return Ok(Err(holder(path)));
            }
            // Whoever held it before may have removed it meanwhile.
            if !is_at(&file, path) {
                continue;
            }
            let told = file.set_len(0);
            let _ = told.and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
            return Ok(Ok(Self {
                file,
                path: path.to_owned(),
                stays: false,
            }));
        }
    }

    /// Leaves the file where it is, for those who look whether it is held.
    pub fn stay(mut self) -> Self {
        self.stays = true;
        self
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Before it is let go, and only where the next one would notice.
        if cfg!(unix) && !self.stays && is_at(&self.file, &self.path) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// What the file tells of who holds it, which is short unless somebody else wrote there.
fn holder(path: &Path) -> String {
    const MOST: u64 = 100;
    let mut told = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST).read_to_end(&mut told));
    let _ = read;
    String::from_utf8_lossy(&told).trim().to_owned()
}

fn taken(file: &File) -> bool {
    // Whoever only looks whether it is held holds it for a moment.
    for _ in 0..20 {
        match file.try_lock() {
            Ok(()) => return true,
            Err(TryLockError::WouldBlock) => std::thread::sleep(Duration::from_millis(25)),
            // Some network file systems have no locks; work there goes on as it did without.
            Err(TryLockError::Error(_)) => return true,
        }
    }
    false
}

/// Whether an open file is the one of a name.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let same = |a: &fs::Metadata, b: &fs::Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => same(&open, &named),
        _ => false,
    }
}

/// Elsewhere a file that is open is not removed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_holds_a_file_and_leaves_none_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let first = Lock::take(&path).unwrap().unwrap();
        let holder = Lock::take(&path).unwrap().unwrap_err();
        assert_eq!(holder, std::process::id().to_string());
        drop(first);
        assert!(!cfg!(unix) || !path.exists());
        // As a process leaves it that was killed.
        fs::write(&path, "123456").unwrap();
        let second = Lock::take(&path).unwrap().unwrap().stay();
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            std::process::id().to_string()
        );
        drop(second);
        assert!(path.exists());
        assert!(Lock::take(&path).unwrap().is_ok());
        assert!(Lock::take(&folder.path().join("missing/x.lock")).is_err());
    }

    #[test]
    fn never_do_two_hold_it_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.lock");
        let held = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let Ok(Ok(lock)) = Lock::take(&path) else {
                            continue;
                        };
                        use std::sync::atomic::Ordering::SeqCst;
                        assert!(!held.swap(true, SeqCst));
                        std::thread::yield_now();
                        assert!(held.swap(false, SeqCst));
                        drop(lock);
                    }
                });
            }
        });
    }
}
