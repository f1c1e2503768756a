//! A warning, as people and `warnings.csv` read it.

/// A warning.
#[derive(Debug, Clone, PartialEq)]
pub struct Warning {
    /// Updates done when it was raised.
    pub update: usize,
    /// Name of the cause.
    pub name: String,
    /// What happens, with numbers.
    pub message: String,
    /// What to try.
    pub advice: String,
}

impl Warning {
    /// A line of `warnings.csv`.
    pub fn row(&self) -> String {
        let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
        let (message, advice) = (quoted(&self.message), quoted(&self.advice));
        format!("{},{},{message},{advice}\n", self.update, self.name)
    }
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.advice)
    }
}
