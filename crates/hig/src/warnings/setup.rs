//! The method that is watched, so that advice names its own settings.

use super::{Finding, Wording};
use crate::settings::{Setting, Value};

/// A method with its settings and those of its training.
pub struct Setup {
    settings: Vec<Setting>,
    wording: Wording,
}

impl Setup {
    /// By its settings, for a user who writes them so.
    pub fn of(settings: Vec<Setting>, wording: Wording) -> Self {
        Self { settings, wording }
    }

    /// As [`Setup::of`], for the same user.
    pub fn another(&self, settings: Vec<Setting>) -> Self {
        Self::of(settings, self.wording)
    }

    /// A setting with a value, as the user writes it.
    pub fn setting(&self, name: &str, value: &str) -> String {
        (self.wording.setting)(name, value)
    }

    /// A method, as the user writes it.
    pub fn method(&self, name: &str) -> String {
        (self.wording.method)(name)
    }

    /// A method that goes on from where another has ended, as the user writes it.
    pub fn chain(&self, first: &str, second: &str) -> String {
        (self.wording.chain)(first, second)
    }

    /// The seed, as the user writes it.
    pub fn seed(&self) -> &'static str {
        self.wording.seed
    }

    /// A setting, where the method or its training has it.
    pub fn value(&self, name: &str) -> Option<&Value> {
        let mut settings = self.settings.iter();
        settings.find(|s| s.name == name).map(|s| &s.value)
    }

    /// A setting that is a number.
    pub fn number(&self, name: &str) -> Option<f64> {
        match self.value(name)? {
            Value::Number(value) => Some(*value),
            Value::Count(value) => Some(*value as f64),
            _ => None,
        }
    }

    /// Whether a setting is a word.
    pub fn is(&self, name: &str, word: &str) -> bool {
        self.value(name).is_some_and(|v| v.to_string() == word)
    }

    /// Whether the method decomposes J.
    pub fn decomposes(&self) -> bool {
        self.value("route").is_some() && !self.is_gradient()
    }

    /// Whether the method takes its step as it comes, without trying others.
    pub fn tries_once(&self) -> bool {
        self.value("trials").is_none() && self.value("halvings").is_none()
    }

    /// Gradient descent as a member of the spectral family.
    fn is_gradient(&self) -> bool {
        self.number("exponent") == Some(-1.0)
    }

    /// "a smaller cutoff (now 1e-6)", where there is such a setting and it has a say.
    fn change(&self, how: &str, name: &str) -> Option<String> {
        let value = self.value(name)?;
        let idle = match name {
            "cutoff" => self.is("treatment", "damp") || self.is_gradient(),
            "exponent" => self.is_gradient(),
            // With trials it is sought, and the setting is where the search begins.
            "damping" => {
                let truncates = self.value("treatment").is_some() && !self.is("treatment", "damp");
                truncates || self.value("trials").is_some()
            }
            _ => false,
        };
        let least = how.ends_with("smaller") && self.number(name) == Some(0.0);
        (!idle && !least).then(|| format!("{how} {name} (now {value})"))
    }

    /// A finding whose advice lists what the method can change, then what anybody can.
    pub fn finding(
        &self,
        message: String,
        changes: &[(&str, &str)],
        others: impl IntoIterator<Item = String>,
    ) -> Finding {
        let own = changes
            .iter()
            .filter_map(|(how, name)| self.change(how, name));
        let all: Vec<String> = own.chain(others).collect();
        let advice = match all.as_slice() {
            [one] => format!("try {one}"),
            [first @ .., last] => format!("try {} or {last}", first.join(", ")),
            [] => String::new(),
        };
        Finding { message, advice }
    }
}
