//! What a command ends with beside failures: refusals of what the user gave, ends that the user asked for,
//! and trainings that diverged.

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

/// All is trained and shown, but some methods diverged.
#[derive(Debug)]
pub struct Diverged {
    methods: Vec<String>,
}

impl Diverged {
    /// With their names.
    pub fn error(methods: Vec<String>) -> anyhow::Error {
        anyhow::Error::new(Self { methods })
    }
}

impl std::fmt::Display for Diverged {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let methods = self.methods.join(", ");
        write!(f, "not every method ended well: {methods} diverged")
    }
}

impl std::error::Error for Diverged {}
