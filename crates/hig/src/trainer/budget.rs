//! How long a training may go on.

use crate::error::{Error, Result};

/// Limits of a training; the first one reached ends it.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Budget {
    /// Updates.
    pub updates: Option<usize>,
    /// Passes over the training samples.
    pub epochs: Option<f64>,
    /// Seconds of training, without evaluation.
    pub seconds: Option<f64>,
}

impl Budget {
    /// A number of updates.
    pub fn updates(count: usize) -> Self {
        Self {
            updates: Some(count),
            ..Self::default()
        }
    }

    /// A number of passes over the training samples.
    pub fn epochs(count: f64) -> Self {
        Self {
            epochs: Some(count),
            ..Self::default()
        }
    }

    /// Seconds of training.
    pub fn seconds(seconds: f64) -> Self {
        Self {
            seconds: Some(seconds),
            ..Self::default()
        }
    }

    /// The used fraction of the limit that is nearest.
    pub fn used(&self, updates: usize, epochs: f64, seconds: f64) -> f64 {
        let fraction = |used: f64, limit: Option<f64>| match limit {
            Some(limit) if limit > 0.0 => used / limit,
            Some(_) => 1.0,
            None => 0.0,
        };
        // Epochs are summed from batch sizes; half a sample in a million must not cost an update.
        fraction(updates as f64, self.updates.map(|u| u as f64))
            .max(fraction(epochs * (1.0 + 1e-9), self.epochs))
            .max(fraction(seconds, self.seconds))
    }

    /// The limits in a text of [`Display`](std::fmt::Display); none where it is another text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut budget = Self::default();
        for limit in text.split(", ").filter(|limit| !limit.is_empty()) {
            match limit.split_once(' ')? {
                (count, "updates") => budget.updates = Some(count.parse().ok()?),
                (count, "epochs") => budget.epochs = Some(count.parse().ok()?),
                (count, "seconds") => budget.seconds = Some(count.parse().ok()?),
                _ => return None,
            }
        }
        Some(budget)
    }

    /// Checks that there is a limit and that each is a number.
    ///
    /// # Errors
    /// No limit at all, or one that is negative or not finite.
    pub fn check(&self) -> Result<()> {
        if *self == Self::default() {
            return Err(Error::setting(
                "budget",
                "unlimited",
                "a number of updates, epochs or seconds",
            ));
        }
        for (name, limit) in [("epochs", self.epochs), ("seconds", self.seconds)] {
            if let Some(limit) = limit
                && !(limit.is_finite() && limit >= 0.0)
            {
                return Err(Error::setting(name, limit, "a finite number of at least 0"));
            }
        }
        Ok(())
    }
}

/// "200 updates, 3 epochs, 60 seconds".
impl std::fmt::Display for Budget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let updates = self.updates.map(|count| format!("{count} updates"));
        let epochs = self.epochs.map(|count| format!("{count} epochs"));
        let seconds = self.seconds.map(|count| format!("{count} seconds"));
        let limits: Vec<String> = [updates, epochs, seconds].into_iter().flatten().collect();
        f.pad(&limits.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_read_from_its_text() {
        for budget in [
            Budget::updates(7),
            Budget::epochs(0.1 + 0.2),
            Budget {
                updates: Some(0),
                epochs: Some(1e-300),
                seconds: Some(60.0),
            },
        ] {
            assert_eq!(Budget::parse(&budget.to_string()), Some(budget));
        }
        for other in ["7", "7 days", "x updates", "-1 updates", "1 updates; 2"] {
            assert_eq!(Budget::parse(other), None, "{other}");
        }
    }
}
