//! How many combinations of the rows of each sample a step decomposes.

use crate::settings::{Allowed, Rule, SettingType, Value, Word};

/// m, the rows of a [`Sketch`](crate::objective::Sketch) for each sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Combinations {
    /// A number of them; 0 stands for all rows.
    Fixed(usize),
    /// As many as suit the batch and the rows of its samples.
    Auto,
}

/// Rows of a batch up to which `auto` keeps them all.
const FEW: usize = 256;

/// Combinations of a sample, as long as a batch does not have [`MANY`] of them: then fewer.
const EACH: usize = 16;
const MANY: usize = 1024;
const LEAST: usize = 4;

/// How many times as many rows a sample must have: with half as many combinations as rows and few samples
/// the smallest singular values of S·J are far below those of J, and steps along them do harm.
const TIMES: usize = 4;

impl Combinations {
    /// m for a batch of samples, each of so many rows; 0 where all of them are kept.
    pub fn of(self, samples: usize, components: usize) -> usize {
        match self {
            Self::Fixed(number) => number,
            // What the combinations leave out of one sample no other one brings in.
            Self::Auto if samples == 1 || samples.saturating_mul(components) <= FEW => 0,
            Self::Auto if components < TIMES * EACH => 0,
            Self::Auto => (MANY / samples).clamp(LEAST, EACH),
        }
    }
}

impl From<usize> for Combinations {
    fn from(number: usize) -> Self {
        Self::Fixed(number)
    }
}

const AUTO: Word = Word {
    name: "auto",
    meaning: "16 for samples of at least 64 rows in batches of several with more than 256, fewer above 64 samples; else all rows",
};

/// A count, or `auto`.
pub const ANY_COMBINATIONS: Rule<Combinations> = Rule::new(Allowed::CountOr(0, &[AUTO]));

impl SettingType for Combinations {
    fn parse(text: &str) -> Option<Self> {
        match text == AUTO.name {
            true => Some(Self::Auto),
            false => usize::parse(text).map(Self::Fixed),
        }
    }
    fn value(&self) -> Value {
        match self {
            Self::Fixed(number) => number.value(),
            Self::Auto => Value::Word(AUTO.name.into()),
        }
    }
    fn expected(text: &str, allowed: Allowed) -> String {
        usize::expected(text, allowed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_rows_are_kept_and_many_samples_have_fewer_combinations_each() {
        let of = |samples, components| Combinations::Auto.of(samples, components);
        assert_eq!([of(4, 64), of(1000, 63), of(1, 1)], [0, 0, 0]);
        assert_eq!([of(5, 64), of(64, 64), of(2, 4096)], [16, 16, 16]);
        // Such as the closure of a trainer, all of whose rows are one sample.
        assert_eq!(of(1, 4096), 0);
        assert_eq!([of(128, 64), of(256, 64), of(10_000, 64)], [8, 4, 4]);
        assert_eq!(Combinations::Fixed(7).of(5, 3), 7);
    }
}
