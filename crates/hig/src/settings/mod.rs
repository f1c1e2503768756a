//! Typed settings that describe themselves.
//!
//! A system or a method declares its settings once with [`settings!`](crate::settings!): the struct,
//! the defaults, the allowed ranges and the one-line meanings. `hig list`, `--set`, the
//! configuration of a run, its schema and the checks all read that one declaration.

mod choice;
mod declare;
mod rule;
mod value;

pub use choice::{Choice, Word};
pub use declare::{Field, GROUP, Group, NO_SETTING, NoSetting};
pub use rule::{
    ANY_COUNT, AT_LEAST_ONE, Allowed, EXPONENT, End, Examples, FLAG, FRACTION, Interval,
    NON_NEGATIVE, NON_ZERO, PART, POSITIVE, Rule, WIDTHS,
};
pub use value::{LARGEST_COUNT, SettingType, Value};

use crate::error::Result;

/// One setting as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Name, as in `--set name=value`.
    pub name: &'static str,
    /// Current value, in the form that [`Settings::set`] reads.
    pub value: Value,
    /// What it must be.
    pub allowed: Allowed,
    /// Meaning, in one or two lines.
    pub about: &'static str,
}

/// A setting that was changed because of something else, to be told.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// Its name.
    pub name: &'static str,
    /// The value that it had.
    pub from: Value,
    /// The value that it has now.
    pub to: Value,
    /// Why, in a few words.
    pub reason: &'static str,
}

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            name,
            from,
            to,
            reason,
        } = self;
        write!(f, "{name} = {to} instead of {from}: {reason}")
    }
}

/// Something with settings that can be listed, set by name and checked.
pub trait Settings {
    /// All settings with their current values, in the order of declaration.
    fn settings(&self) -> Vec<Setting>;

    /// Sets one by name from text.
    ///
    /// # Errors
    /// Unknown name (the nearest known one is suggested), text of the wrong kind, value out of range.
    fn set(&mut self, name: &str, text: &str) -> Result<()>;

    /// Checks every value against its range, for structs filled in by hand.
    ///
    /// # Errors
    /// The first value out of range.
    fn check(&self) -> Result<()>;

    /// Whether a setting of that name exists.
    fn has(&self, name: &str) -> bool {
        self.settings().iter().any(|s| s.name == name)
    }
}
