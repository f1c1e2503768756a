//! Settings that are one of a few words.

use super::{SettingType, Value};

/// A word that a setting may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Word {
    /// The word, as in `--set name=word`.
    pub name: &'static str,
    /// What it stands for, in one line.
    pub meaning: &'static str,
}

/// A type with a few values, each with a word for it; [`choices!`](crate::choices!) implements it.
pub trait Choice: Copy + PartialEq + 'static {
    /// All values.
    const VALUES: &'static [Self];
    /// Their words, in the same order.
    const WORDS: &'static [Word];

    /// The word for this value.
    fn word(self) -> &'static str;

    /// The value that a word stands for.
    fn named(word: &str) -> Option<Self> {
        let found = Self::VALUES.iter().find(|value| value.word() == word);
        found.copied()
    }
}

impl<T: Choice> SettingType for T {
    fn parse(text: &str) -> Option<Self> {
        Self::named(text)
    }
    fn value(&self) -> Value {
        Value::Word(self.word().into())
    }
}

/// Gives the values of an enumeration their words: [`Choice`](crate::settings::Choice), `name()`,
/// `Display`, and `FromStr` with an error that suggests the nearest word.
///
/// ```
/// #[derive(Debug, Clone, Copy, PartialEq)]
/// pub enum Season { Summer, Winter }
///
/// hig::choices! {
///     Season, "season" {
///         Summer = "summer", "June to August";
///         Winter = "winter", "December to February";
///     }
/// }
///
/// assert_eq!("winter".parse::<Season>()?, Season::Winter);
/// assert!("wintr".parse::<Season>().unwrap_err().to_string().contains("did you mean `winter`?"));
/// # Ok::<(), hig::Error>(())
/// ```
#[macro_export]
macro_rules! choices {
    ($name:ident, $kind:literal { $( $value:ident = $word:literal, $meaning:literal; )* }) => {
        impl $crate::settings::Choice for $name {
            const VALUES: &'static [Self] = &[$( Self::$value ),*];
            const WORDS: &'static [$crate::settings::Word] = &[
                $( $crate::settings::Word { name: $word, meaning: $meaning } ),*
            ];

            fn word(self) -> &'static str {
                self.name()
            }
        }

        impl $name {
            /// The word for it in settings.
            pub fn name(self) -> &'static str {
                match self { $( Self::$value => $word ),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.name())
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::Error;

            fn from_str(word: &str) -> $crate::Result<Self> {
                let found = <Self as $crate::settings::Choice>::named(word);
                found.ok_or_else(|| $crate::Error::unknown($kind, word, [$( $word ),*]))
            }
        }
    };
}
