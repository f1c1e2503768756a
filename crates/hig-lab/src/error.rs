//! What a command ends with beside failures: refusals of what the user gave, ends that the user asked for,
//! and trainings that did not end well.

use std::path::{Path, PathBuf};

/// An error in what the user gave; nothing has been computed or written yet.
#[derive(Debug)]
pub struct Refused(String);

impl Refused {
    /// With its message.
    pub fn because(message: impl std::fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Self(message.to_string()))
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Many trainings that the user has ended before all were done; those that were are kept.
#[derive(Debug)]
pub struct Interrupted {
    folder: PathBuf,
}

impl Interrupted {
    /// With the folder of the finished trainings.
    pub fn error(folder: &Path) -> anyhow::Error {
        let folder = folder.to_owned();
        anyhow::Error::new(Self { folder })
    }
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let folder = self.folder.display();
        write!(
            f,
            "interrupted; the same command with --out {folder} goes on from the finished trainings"
        )
    }
}

impl std::error::Error for Interrupted {}

/// All is trained and shown, but not every method ended well.
#[derive(Debug)]
pub struct EndedBadly {
    diverged: Vec<String>,
    failed: Vec<String>,
}

impl EndedBadly {
    /// With the names of those that diverged, and of those that failed.
    pub fn error(diverged: Vec<String>, failed: Vec<String>) -> anyhow::Error {
        anyhow::Error::new(Self { diverged, failed })
    }
}

impl std::fmt::Display for EndedBadly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ends = [(&self.diverged, "diverged"), (&self.failed, "failed")];
        let ends = ends.iter().filter(|(methods, _)| !methods.is_empty());
        let ends: Vec<String> = ends
            .map(|(methods, end)| format!("{} {end}", methods.join(", ")))
            .collect();
        write!(f, "not every method ended well: {}", ends.join("; "))
    }
}

impl std::error::Error for EndedBadly {}
