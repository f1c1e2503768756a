//! Values of settings in plain types, and the types that a setting may have.

use super::Allowed;

/// A value in plain types, for configuration files and tables.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A real number.
    Number(f64),
    /// A count.
    Count(usize),
    /// Yes or no.
    Flag(bool),
    /// Several counts, such as layer widths.
    Counts(Vec<usize>),
    /// One of a fixed set of words.
    Word(String),
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Number(v) if *v != 0.0 && (v.abs() < 1e-3 || v.abs() >= 1e6) => {
                write!(f, "{v:e}")
            }
            Value::Number(v) => write!(f, "{v}"),
            Value::Count(v) => write!(f, "{v}"),
            Value::Flag(v) => write!(f, "{v}"),
            Value::Counts(v) => {
                let words: Vec<String> = v.iter().map(ToString::to_string).collect();
                write!(f, "{}", words.join(","))
            }
            Value::Word(v) => write!(f, "{v}"),
        }
    }
}

/// A type that can be a setting.
pub trait SettingType: Sized {
    /// Reads the text of `--set`.
    fn parse(text: &str) -> Option<Self>;
    /// The value in plain types.
    fn value(&self) -> Value;
    /// What a text that is refused should have been, where that is more than what is `allowed`.
    fn expected(_text: &str, allowed: Allowed) -> String {
        allowed.to_string()
    }
}

impl SettingType for f64 {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn value(&self) -> Value {
        Value::Number(*self)
    }
}

/// The largest count: files tell counts by the integers of TOML, which end there.
pub const LARGEST_COUNT: usize = i64::MAX as usize;

impl SettingType for usize {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok().filter(|count| *count <= LARGEST_COUNT)
    }
    fn value(&self) -> Value {
        Value::Count(*self)
    }
    fn expected(text: &str, allowed: Allowed) -> String {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match digits && Self::parse(text).is_none() {
            true => format!("{allowed} and at most {LARGEST_COUNT}"),
            false => allowed.to_string(),
        }
    }
}

impl SettingType for bool {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn value(&self) -> Value {
        Value::Flag(*self)
    }
}

impl SettingType for Vec<usize> {
    fn parse(text: &str) -> Option<Self> {
        let text = text.trim_matches(['[', ']']);
        text.split(',')
            .filter(|part| !part.trim().is_empty())
            .map(|part| SettingType::parse(part.trim()))
            .collect()
    }
    fn value(&self) -> Value {
        Value::Counts(self.clone())
    }
}
