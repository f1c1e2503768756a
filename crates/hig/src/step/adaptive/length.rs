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

/// Updates over which its noise is.
const NOISE_SPAN: f64 = 24.0;

/// A rise of ln(loss) that is always one, and the standard deviations of its average that make one.
const RISE: f64 = 1.0;
const DEVIATIONS: f64 = 3.0;

/// What an update that made progress multiplies s by.
const LENGTHENED: f64 = 0.97;

/// What a stall multiplies s by.
const SHORTENED: f64 = 1.5;

/// What a rise, or an update that is taken back, multiplies s by.
const CUT: f64 = 2.0;

/// The least s.
const LEAST: f64 = 0.05;

/// The s beyond which a step would do nothing.
const MOST: f64 = 1e6;

/// The part of a step that the first update of a training takes that begins again, and its growth with
/// each further one.
const FIRST: f64 = 0.1;
const GROWTH: f64 = 1.1;

/// Fall of ln(loss) from the first batch on by which much has been learned: to a tenth.
const LEARNED: f64 = std::f64::consts::LN_10;

/// The scale of steps, and the level of the loss.
#[derive(Debug)]
pub struct Length {
    /// s.
    inverse: f64,
    /// Whether steps were seen to be too long for other samples.
    careful: bool,
    /// Whether the first steps are short.
    gradual: bool,
    /// Variance of ln(loss), the lowest average of it, and the updates since.
    variance: f64,
    lowest: f64,
    since_lowest: f64,
    /// Effective degrees of freedom of the last step, as a part of the rows of its batch.
    freedom: f64,
    updates: f64,
    average: f64,
    /// ln(loss) of the first batch, and whether the average has been far below it.
    first: f64,
    learned: bool,
}

impl Length {
    /// Begins at a μ.
    pub fn new(momentum: f64) -> Self {
        Self {
            inverse: 1.0 - momentum,
            careful: false,
            gradual: false,
            variance: 0.0,
            lowest: 0.0,
            since_lowest: 0.0,
            freedom: 0.0,
            updates: 0.0,
            average: 0.0,
            first: 0.0,
            learned: false,
        }
    }

    /// Begins at a μ, with steps that grow to their length from a tenth of it.
    pub fn gradual(momentum: f64) -> Self {
        Self {
            gradual: true,
            ..Self::new(momentum)
        }
    }

    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.number("inverse", &mut self.inverse);
        state.flag("careful", &mut self.careful);
        state.flag("gradual", &mut self.gradual);
        state.number("variance", &mut self.variance);
        state.number("lowest", &mut self.lowest);
        state.number("since_lowest", &mut self.since_lowest);
        state.number("freedom", &mut self.freedom);
        state.number("updates", &mut self.updates);
        state.number("average", &mut self.average);
        state.number("first", &mut self.first);
        state.flag("learned", &mut self.learned);
    }

    /// μ.
    pub fn momentum(&self) -> f64 {
        let bound = 1.0 - self.freedom.min(1.0).powi(4);
        (1.0 - self.inverse).min(bound).max(0.0)
    }

    /// β.
    pub fn part(&self) -> f64 {
        let begun = match self.gradual {
            true => FIRST * GROWTH.powf(self.updates - 1.0),
            false => 1.0,
        };
        self.inverse.recip().min(begun).min(1.0)
    }

    /// Hears the loss of a new batch.
    pub fn hear(&mut self, loss: f64) {
        // A loss of 0 is a new low and no infinite one.
        let loss = loss.max(f64::MIN_POSITIVE).ln();
        if self.updates == 0.0 {
            (self.average, self.lowest, self.first) = (loss, loss, loss);
        }
        self.updates += 1.0;
        self.since_lowest += 1.0;
        let surprise = (loss - self.average).powi(2);
        self.variance += (surprise - self.variance) / NOISE_SPAN.min(self.updates);
        self.average += (loss - self.average) / SPAN.min(self.updates);
        self.learned |= self.average <= self.first - LEARNED;
        if self.average < self.lowest {
            self.lowest = self.average;
            self.since_lowest = 0.0;
        }
        if self.careful {
            return;
        }
        let deviation = (self.variance / (2.0 * SPAN - 1.0)).sqrt();
        let rises = self.average > self.lowest + (0.05 + DEVIATIONS * deviation).min(RISE);
        let stalls = self.since_lowest > 8.0 + self.updates / 8.0;
        match rises || stalls {
            true => self.cut(),
            false => self.scale(LENGTHENED),
        }
    }

    /// Whether new batches have shown that much was learned.
    pub fn has_learned(&self) -> bool {
        self.learned
    }

    /// Hears what new batches say of the trend.
    pub fn learn(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Progress if self.careful => self.scale(LENGTHENED),
            Verdict::Stall if self.careful => self.scale(SHORTENED),
            Verdict::Rise => {
                // Whatever momentum there was, it is the first to go.
                self.inverse = self.inverse.max(1.0 / CUT);
                self.careful = true;
                self.cut();
            }
            Verdict::Progress | Verdict::Stall | Verdict::Open => {}
        }
    }

    /// Hears how many degrees of freedom the step had that a batch of so many rows was asked for.
    pub fn hear_freedom(&mut self, freedom: f64, rows: usize) {
        self.freedom = freedom / rows as f64;
    }

    /// Steps go half as far; before they were seen to be too long, no less far than without momentum.
    pub fn cut(&mut self) {
        self.lowest = self.average;
        self.since_lowest = 0.0;
        self.scale(CUT);
    }

    fn scale(&mut self, factor: f64) {
        let most = if self.careful { MOST } else { 1.0 };
        self.inverse = (self.inverse * factor).clamp(LEAST, most);
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

    #[test]
    fn falling_losses_lengthen_steps_and_a_rise_takes_momentum_before_it_shortens_them() {
        let mut length = Length::new(0.5);
        assert_eq!((length.momentum(), length.part()), (0.5, 1.0));
        for k in 0..200 {
            length.hear(0.9_f64.powi(k));
        }
        assert_eq!((length.momentum(), length.part()), (1.0 - LEAST, 1.0));
        for _ in 0..10 {
            length.hear(1.0);
        }
        assert_eq!(length.part(), 1.0);
        assert!(length.momentum() < 0.9);
        let mut length = Length::new(0.5);
        length.learn(Verdict::Rise);
        assert_eq!((length.momentum(), length.part()), (0.0, 1.0));
        length.learn(Verdict::Rise);
        assert_eq!((length.momentum(), length.part()), (0.0, 0.5));
        length.learn(Verdict::Stall);
        assert_eq!(length.part(), 0.5 / SHORTENED);
        length.learn(Verdict::Progress);
        assert!(length.part() > 0.5 / SHORTENED);
    }

    #[test]
    fn much_is_learned_once_the_averaged_loss_is_a_tenth_of_the_first() {
        let mut length = Length::new(0.5);
        for _ in 0..100 {
            length.hear(2.0);
            assert!(!length.has_learned());
        }
        // One batch of luck is no evidence.
        length.hear(0.1);
        assert!(!length.has_learned());
        for _ in 0..100 {
            length.hear(0.19);
        }
        assert!(length.has_learned());
        length.hear(1e3);
        assert!(length.has_learned());
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
                    0 => length.learn(Verdict::Progress),
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
