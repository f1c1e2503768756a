//! Typed settings that describe themselves.
//!
//! A system or a method declares its settings once with [`settings!`](crate::settings!): the struct,
//! the defaults, the allowed ranges and the one-line meanings. `hig list`, `--set`, the
//! configuration of a run and the checks all read that one declaration.

use crate::error::{Error, Result};

/// One setting as it stands now.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Name, as in `--set name=value`.
    pub name: &'static str,
    /// Current value, in the form that [`Settings::set`] reads.
    pub value: Value,
    /// What it must be.
    pub allowed: &'static str,
    /// Meaning, in one or two lines.
    pub about: &'static str,
}

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

/// A type that can be a setting.
pub trait SettingType: Sized {
    /// Reads the text of `--set`.
    fn parse(text: &str) -> Option<Self>;
    /// The value in plain types.
    fn value(&self) -> Value;
    /// What a text that is refused should have been, where that is more than what is `allowed`.
    fn expected(_text: &str, allowed: &str) -> String {
        allowed.to_owned()
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
    fn expected(text: &str, allowed: &str) -> String {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match digits && Self::parse(text).is_none() {
            true => format!("{allowed} and at most {LARGEST_COUNT}"),
            false => allowed.to_owned(),
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

/// An allowed range: its description and its test.
#[derive(Clone, Copy)]
pub struct Rule<T> {
    /// Completes "it must be …".
    pub text: &'static str,
    /// Whether the value is allowed.
    pub holds: fn(&T) -> bool,
}

/// A finite number above zero.
pub const POSITIVE: Rule<f64> = Rule {
    text: "a finite number above 0",
    holds: |v| v.is_finite() && *v > 0.0,
};
/// A finite number, zero or above.
pub const NON_NEGATIVE: Rule<f64> = Rule {
    text: "a finite number of at least 0",
    holds: |v| v.is_finite() && *v >= 0.0,
};
/// A finite number other than zero.
pub const NON_ZERO: Rule<f64> = Rule {
    text: "a finite number other than 0",
    holds: |v| v.is_finite() && *v != 0.0,
};
/// Zero or above and below one.
pub const FRACTION: Rule<f64> = Rule {
    text: "at least 0 and below 1",
    holds: |v| (0.0..1.0).contains(v),
};
/// The exponents of the spectral family.
pub const EXPONENT: Rule<f64> = Rule {
    text: "between -1 (gradient descent) and 1 (Gauss-Newton)",
    holds: |v| (-1.0..=1.0).contains(v),
};
/// A count of one or more.
pub const AT_LEAST_ONE: Rule<usize> = Rule {
    text: "a whole number of at least 1",
    holds: |v| *v >= 1,
};
/// Any count.
pub const ANY_COUNT: Rule<usize> = Rule {
    text: "a whole number",
    holds: |_| true,
};
/// Widths of hidden layers.
pub const WIDTHS: Rule<Vec<usize>> = Rule {
    text: "whole numbers of at least 1, separated by commas",
    holds: |v| v.iter().all(|w| *w >= 1),
};
/// Yes or no.
pub const FLAG: Rule<bool> = Rule {
    text: "true or false",
    holds: |_| true,
};

/// Parses, checks and stores one setting; the error names the field.
///
/// # Errors
/// Text of the wrong kind or a value out of range.
pub fn assign<T: SettingType>(
    slot: &mut T,
    field: &str,
    text: &str,
    allowed: &str,
    holds: fn(&T) -> bool,
) -> Result<()> {
    match T::parse(text.trim()) {
        Some(value) if holds(&value) => {
            *slot = value;
            Ok(())
        }
        None => Err(Error::setting(
            field,
            text,
            T::expected(text.trim(), allowed),
        )),
        _ => Err(Error::setting(field, text, allowed)),
    }
}

/// Declares a settings struct: `pub name: Type = default, RULE;` with a doc comment each.
///
/// ```
/// use hig::settings::{Settings, POSITIVE};
///
/// hig::settings! {
///     /// A pendulum.
///     pub struct Pendulum {
///         /// Length in metres.
///         pub length: f64 = 1.0, POSITIVE;
///     }
/// }
///
/// let mut pendulum = Pendulum::default();
/// pendulum.set("length", "2.5")?;
/// assert_eq!(pendulum.length, 2.5);
/// let message = pendulum.set("length", "-1").unwrap_err().to_string();
/// assert_eq!(message, "length = -1 is not possible: it must be a finite number above 0");
/// # Ok::<(), hig::Error>(())
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$meta:meta])*
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])* pub $field:ident : $kind:ty = $default:expr, $rule:expr; )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $kind, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::settings::Settings for $name {
            fn settings(&self) -> Vec<$crate::settings::Setting> {
                vec![ $( $crate::settings::Setting {
                    name: stringify!($field),
                    value: $crate::settings::SettingType::value(&self.$field),
                    allowed: $rule.text,
                    about: concat!($($doc),*).trim(),
                } ),* ]
            }

            fn set(&mut self, name: &str, text: &str) -> $crate::Result<()> {
                match name {
                    $( stringify!($field) => {
                        let rule: $crate::settings::Rule<$kind> = $rule;
                        $crate::settings::assign(&mut self.$field, name, text, rule.text, rule.holds)
                    } )*
                    _ => Err($crate::Error::unknown(
                        "setting", name, [$( stringify!($field) ),*] as [&str; _],
                    )),
                }
            }

            fn check(&self) -> $crate::Result<()> {
                $( {
                    let rule: $crate::settings::Rule<$kind> = $rule;
                    if !(rule.holds)(&self.$field) {
                        let value = $crate::settings::SettingType::value(&self.$field);
                        return Err($crate::Error::setting(stringify!($field), value, rule.text));
                    }
                } )*
                Ok(())
            }
        }
    };
}
