//! What settings may be, as data: the sentence, the check, the schema of configuration files and the
//! examples in tests all follow from it.

use super::{Choice, LARGEST_COUNT, Value, Word};
use std::fmt::{self, Display, Formatter};
use std::marker::PhantomData;

/// What a setting may be. As text it completes "it must be …".
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Allowed {
    /// A finite number in an interval.
    Number(Interval),
    /// A finite number other than zero.
    NonZero,
    /// A count of at least this, and at most [`LARGEST_COUNT`].
    Count(usize),
    /// Any number of counts, each of at least this.
    Counts(usize),
    /// Yes or no.
    Flag,
    /// One of these.
    Words(&'static [Word]),
    /// A finite number in an interval, or one of these.
    NumberOr(Interval, &'static [Word]),
    /// A count of at least this, and at most [`LARGEST_COUNT`], or one of these.
    CountOr(usize, &'static [Word]),
}

/// Numbers between two ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Where it begins; none: every number below is in it.
    pub least: Option<End>,
    /// Where it ends; none: every number above is in it.
    pub most: Option<End>,
}

/// An end of an interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct End {
    /// Where it is.
    pub at: f64,
    /// Whether the number there belongs to the interval.
    pub included: bool,
    /// What a setting of that value stands for; empty where there is nothing to say.
    pub meaning: &'static str,
}

impl End {
    /// An end that belongs to its interval.
    pub const fn included(at: f64) -> Option<Self> {
        Self::meaning(at, "")
    }

    /// An end that does not belong to its interval.
    pub const fn excluded(at: f64) -> Option<Self> {
        Some(Self {
            at,
            included: false,
            meaning: "",
        })
    }

    /// An end that belongs to its interval and has a meaning of its own.
    pub const fn meaning(at: f64, meaning: &'static str) -> Option<Self> {
        Some(Self {
            at,
            included: true,
            meaning,
        })
    }
}

impl Interval {
    /// Whether a number is finite and in it.
    pub fn contains(&self, number: f64) -> bool {
        let above = |end: End| number > end.at || (end.included && number == end.at);
        let below = |end: End| number < end.at || (end.included && number == end.at);
        number.is_finite() && self.least.is_none_or(above) && self.most.is_none_or(below)
    }
}

impl Display for Interval {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let lower = |end: End| match end.included {
            true => format!("at least {}", end.at),
            false => format!("above {}", end.at),
        };
        let upper = |end: End| match end.included {
            true => format!("at most {}", end.at),
            false => format!("below {}", end.at),
        };
        let named = |end: End| match end.meaning {
            "" => end.at.to_string(),
            meaning => format!("{} ({meaning})", end.at),
        };
        match (self.least, self.most) {
            (None, None) => write!(f, "a finite number"),
            (Some(end), None) if end.included => write!(f, "a finite number of {}", lower(end)),
            (Some(end), None) => write!(f, "a finite number {}", lower(end)),
            (None, Some(end)) if end.included => write!(f, "a finite number of {}", upper(end)),
            (None, Some(end)) => write!(f, "a finite number {}", upper(end)),
            (Some(least), Some(most)) if least.included && most.included => {
                write!(f, "between {} and {}", named(least), named(most))
            }
            (Some(least), Some(most)) => write!(f, "{} and {}", lower(least), upper(most)),
        }
    }
}

impl Allowed {
    /// Whether a value is allowed; one of another kind is not.
    pub fn holds(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Number(interval), Value::Number(v)) => interval.contains(*v),
            (Self::NonZero, Value::Number(v)) => v.is_finite() && *v != 0.0,
            (Self::Count(least) | Self::CountOr(least, _), Value::Count(v)) => v >= least,
            (Self::Counts(least), Value::Counts(v)) => v.iter().all(|v| v >= least),
            (Self::Flag, Value::Flag(_)) => true,
            (Self::NumberOr(interval, _), Value::Number(v)) => interval.contains(*v),
            (
                Self::Words(words) | Self::NumberOr(_, words) | Self::CountOr(_, words),
                Value::Word(v),
            ) => words.iter().any(|word| word.name == v),
            _ => false,
        }
    }

    /// The words that it may be; none for a setting that is never a word.
    pub fn words(&self) -> Vec<&'static str> {
        match self {
            Self::Words(words) | Self::NumberOr(_, words) | Self::CountOr(_, words) => {
                words.iter().map(|word| word.name).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Texts for tests: the ends of what is allowed, something inside, and what lies just outside.
    pub fn examples(&self) -> Examples {
        let texts = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        match self {
            Self::Number(interval) => interval.examples(),
            Self::NonZero => Examples {
                accepted: texts(&["-2", "1e-9", "-5e-324"]),
                refused: [texts(&["0", "-0"]), no_numbers()].concat(),
            },
            Self::Count(least) => Examples {
                accepted: [*least, least + 6, LARGEST_COUNT]
                    .map(|v| v.to_string())
                    .into(),
                refused: [below(*least), texts(&["1.5", "two", "9223372036854775808"])].concat(),
            },
            Self::Counts(least) => {
                let few = |last: usize| format!("{},{last}", least + 3);
                Examples {
                    accepted: vec![
                        String::new(),
                        least.to_string(),
                        few(*least),
                        format!("[{}, {least}]", least + 3),
                    ],
                    refused: [
                        below(*least),
                        least.checked_sub(1).map(few).into_iter().collect(),
                        texts(&["4,x", "9223372036854775808"]),
                    ]
                    .concat(),
                }
            }
            Self::Flag => Examples {
                accepted: texts(&["true", "false"]),
                refused: texts(&["", "yes", "1"]),
            },
            Self::Words(words) => Examples {
                accepted: words.iter().map(|word| word.name.to_owned()).collect(),
                refused: texts(&["", "-", "no such word", "1"]),
            },
            Self::NumberOr(interval, words) => interval.examples().and(words),
            Self::CountOr(least, words) => Self::Count(*least).examples().and(words),
        }
    }
}

impl Interval {
    fn examples(&self) -> Examples {
        let ends = [
            self.least
                .map(|end| (end, end.at.next_up(), end.at.next_down())),
            self.most
                .map(|end| (end, end.at.next_down(), end.at.next_up())),
        ];
        let (mut accepted, mut refused) = (Vec::new(), no_numbers());
        for (end, inside, outside) in ends.into_iter().flatten() {
            accepted.push(inside);
            match end.included {
                true => accepted.push(end.at),
                false => refused.push(end.at.to_string()),
            }
            refused.push(outside.to_string());
        }
        accepted.push(match (self.least, self.most) {
            (Some(least), Some(most)) => 0.5 * (least.at + most.at),
            (Some(least), None) => least.at + 2.0,
            (None, Some(most)) => most.at - 2.0,
            (None, None) => -2.0,
        });
        Examples {
            accepted: accepted.iter().map(f64::to_string).collect(),
            refused,
        }
    }
}

/// Texts that a setting must accept and refuse.
#[derive(Debug, Clone, PartialEq)]
pub struct Examples {
    /// Each of these is allowed.
    pub accepted: Vec<String>,
    /// None of these is.
    pub refused: Vec<String>,
}

impl Examples {
    /// The same where these words are allowed too.
    fn and(mut self, words: &[Word]) -> Self {
        let names = words.iter().map(|word| word.name.to_owned());
        self.accepted.extend(names);
        self
    }
}

/// What is no finite number.
fn no_numbers() -> Vec<String> {
    ["inf", "-inf", "NaN", "x", "", "1,2"]
        .map(str::to_owned)
        .into()
}

/// Whole numbers below a count.
fn below(least: usize) -> Vec<String> {
    let one_less = least.checked_sub(1).map(|v| v.to_string());
    one_less.into_iter().chain(["-1".to_owned()]).collect()
}

impl Display for Allowed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(interval) => write!(f, "{interval}"),
            Self::NonZero => write!(f, "a finite number other than 0"),
            Self::Count(0) => write!(f, "a whole number"),
            Self::Count(least) => write!(f, "a whole number of at least {least}"),
            Self::Counts(0) => write!(f, "whole numbers, separated by commas"),
            Self::Counts(least) => {
                write!(f, "whole numbers of at least {least}, separated by commas")
            }
            Self::Flag => write!(f, "true or false"),
            Self::NumberOr(interval, _) => {
                write!(f, "{interval}, or {}", self.words().join(" or "))
            }
            Self::CountOr(least, _) => {
                write!(
                    f,
                    "{}, or {}",
                    Self::Count(*least),
                    self.words().join(" or ")
                )
            }
            Self::Words(_) => match self.words().split_last() {
                Some((last, [])) => write!(f, "{last}"),
                Some((last, others)) => write!(f, "{} or {last}", others.join(", ")),
                None => Ok(()),
            },
        }
    }
}

/// What a setting of type T may be.
#[derive(Debug)]
pub struct Rule<T> {
    /// The rule as data.
    pub allowed: Allowed,
    of: PhantomData<fn(&T)>,
}

impl<T> Clone for Rule<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Rule<T> {}

impl<T> Rule<T> {
    /// What is allowed, for a type that reads such values.
    pub const fn new(allowed: Allowed) -> Self {
        Self {
            allowed,
            of: PhantomData,
        }
    }
}

impl Rule<f64> {
    /// A finite number between two ends.
    pub const fn between(least: Option<End>, most: Option<End>) -> Self {
        Self::new(Allowed::Number(Interval { least, most }))
    }
}

impl Rule<usize> {
    /// A count of at least this.
    pub const fn at_least(least: usize) -> Self {
        Self::new(Allowed::Count(least))
    }
}

impl<T: Choice> Rule<T> {
    /// Any of the type's values.
    pub const fn any() -> Self {
        Self::new(Allowed::Words(T::WORDS))
    }
}

/// A finite number above zero.
pub const POSITIVE: Rule<f64> = Rule::between(End::excluded(0.0), None);
/// A finite number, zero or above.
pub const NON_NEGATIVE: Rule<f64> = Rule::between(End::included(0.0), None);
/// A finite number other than zero.
pub const NON_ZERO: Rule<f64> = Rule::new(Allowed::NonZero);
/// Zero or above and below one.
pub const FRACTION: Rule<f64> = Rule::between(End::included(0.0), End::excluded(1.0));
/// Above zero and at most one.
pub const PART: Rule<f64> = Rule::between(End::excluded(0.0), End::included(1.0));
/// The exponents of the spectral family.
pub const EXPONENT: Rule<f64> = Rule::between(
    End::meaning(-1.0, "gradient descent"),
    End::meaning(1.0, "Gauss-Newton"),
);
/// A count of one or more.
pub const AT_LEAST_ONE: Rule<usize> = Rule::at_least(1);
/// Any count.
pub const ANY_COUNT: Rule<usize> = Rule::at_least(0);
/// Widths of hidden layers.
pub const WIDTHS: Rule<Vec<usize>> = Rule::new(Allowed::Counts(1));
/// Yes or no.
pub const FLAG: Rule<bool> = Rule::new(Allowed::Flag);
