//! Refusals: errors in what the user gave.

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
