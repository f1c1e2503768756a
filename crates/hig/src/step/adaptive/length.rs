//! How far steps go: one number for momentum and for the part of a step that is taken.
//!
//! With momentum μ a direction that all batches agree on is followed 1/(1 - μ) times as far as one
//! batch says; a part β of each step follows it β times as far. Both trade speed for what batches do
//! to each other's samples, so that they are one scale here: its inverse s is 1 - μ below 1, and 1/β
//! above. What new batches say over many updates ([`Kept`](super::kept::Kept)) moves along it.
//!
//! Momentum is bounded as well by how far a batch determines a step: a step with as many degrees of
//! freedom as the batch has rows fits anything, and what later batches do not see of it is never
//! corrected.

use super::kept::Verdict;
use crate::files::Exchange;

/// Updates over which the loss is averaged.
const SPAN: f64 = 10.0;

/// What an update that made progress multiplies s by.
const LENGTHENED: f64 = 0.97;

/// Updates that one progress counts for at most, before and after the first stall or rise.
const PROGRESS_SPANS: (f64, f64) = (3.0, 1.0);

/// What a stall multiplies s by, while there is momentum and after it.
const SHORTENED: (f64, f64) = (2.0, 1.5);

/// What a rise, or an update that is taken back, multiplies s by.
const CUT: f64 = 2.0;

/// The least s.
const LEAST: f64 = 0.05;

/// The s beyond which a step would do nothing.
const MOST: f64 = 1e6;

/// The scale of steps, and the level of the loss.
#[derive(Debug)]
pub struct Length {
    /// s.
    inverse: f64,
    /// Effective degrees of freedom of the last step, as a part of the rows of its batch.
    freedom: f64,
    updates: f64,
    average: f64,
    /// Whether there was a stall or a rise.
    was_too_long: bool,
}

impl Length {
    /// Begins at a μ.
    pub fn new(momentum: f64) -> Self {
        Self {
            inverse: 1.0 - momentum,
            freedom: 0.0,
            updates: 0.0,
            average: 0.0,
            was_too_long: false,
        }
    }

    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.number("inverse", &mut self.inverse);
        state.number("freedom", &mut self.freedom);
        state.number("updates", &mut self.updates);
        state.number("average", &mut self.average);
        state.flag("was_too_long", &mut self.was_too_long);
    }

    /// μ.
    pub fn momentum(&self) -> f64 {
        let bound = 1.0 - self.freedom.min(1.0).powi(4);
        (1.0 - self.inverse).min(bound).max(0.0)
    }

    /// β.
    pub fn part(&self) -> f64 {
        self.inverse.recip().min(1.0)
    }

    /// Hears the loss of a new batch.
    pub fn hear(&mut self, loss: f64) {
        // A loss of 0 is a new low and no infinite one.
        let loss = loss.max(f64::MIN_POSITIVE).ln();
        self.updates += 1.0;
        self.average += (loss - self.average) / SPAN.min(self.updates);
    }

    /// Hears what new batches say of the trend.
    pub fn learn(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Open => {}
            Verdict::Progress { after } => {
                let (first, later) = PROGRESS_SPANS;
                let span = if self.was_too_long { later } else { first };
                self.scale(LENGTHENED.powf(after.min(span)));
            }
            Verdict::Stall => {
                self.was_too_long = true;
                let (momentum, part) = SHORTENED;
                self.scale(if self.inverse < 1.0 { momentum } else { part });
            }
            Verdict::Rise => {
                self.was_too_long = true;
                // Whatever momentum there was, it is the first to go.
                self.inverse = self.inverse.max(1.0 / CUT);
                self.cut();
            }
        }
    }

    /// Hears how many degrees of freedom the step had that a batch of so many rows was asked for.
    pub fn hear_freedom(&mut self, freedom: f64, rows: usize) {
        self.freedom = freedom / rows as f64;
    }

    /// Steps go half as far.
    pub fn cut(&mut self) {
        self.scale(CUT);
    }

    fn scale(&mut self, factor: f64) {
        self.inverse = (self.inverse * factor).clamp(LEAST, MOST);
    }

    /// The averaged loss of the last batches; infinite before the first.
    pub fn level(&self) -> f64 {
        match self.updates > 0.0 {
            true => self.average.exp(),
            false => f64::INFINITY,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PROGRESS: Verdict = Verdict::Progress { after: 1.0 };

    #[test]
    fn progress_lengthens_and_momentum_goes_before_the_step_is_shortened() {
        let mut length = Length::new(0.5);
        assert_eq!((length.momentum(), length.part()), (0.5, 1.0));
        for _ in 0..200 {
            length.learn(PROGRESS);
        }
        assert_eq!((length.momentum(), length.part()), (1.0 - LEAST, 1.0));
        length.learn(Verdict::Rise);
        assert_eq!((length.momentum(), length.part()), (0.0, 1.0));
        length.learn(Verdict::Rise);
        assert_eq!((length.momentum(), length.part()), (0.0, 0.5));
        length.learn(Verdict::Stall);
        assert_eq!(length.part(), 0.5 / SHORTENED.1);
    }

    #[test]
    fn a_batch_that_any_step_fits_leaves_no_momentum() {
        let mut length = Length::new(0.9);
        length.hear_freedom(10.0, 100);
        assert_eq!(length.momentum(), 0.9);
        for freedom in [100.0, 101.0] {
            length.hear_freedom(freedom, 100);
            assert_eq!(length.momentum(), 0.0);
        }
    }

    #[test]
    fn a_loss_of_zero_or_beyond_numbers_is_heard() {
        let mut length = Length::new(0.5);
        for loss in [1.0, 0.0, f64::MAX] {
            length.hear(loss);
        }
        assert!(length.level().is_finite());
    }

    proptest! {
        #[test]
        fn any_history_leaves_a_step(history in prop::collection::vec(0..5, 0..300)) {
            let mut length = Length::new(0.5);
            for event in history {
                match event {
                    0 => length.learn(PROGRESS),
                    1 => length.learn(Verdict::Open),
                    2 => length.learn(Verdict::Stall),
                    3 => length.learn(Verdict::Rise),
                    _ => length.cut(),
                }
                prop_assert!((0.0..1.0).contains(&length.momentum()));
                prop_assert!(length.part() > 0.0 && length.part() <= 1.0);
            }
        }
    }
}
