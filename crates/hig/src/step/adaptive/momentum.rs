//! How much of the last update the next one begins with.
//!
//! Momentum is worth what it does over many updates, so that no single batch can tell. It grows while
//! the loss of new batches, measured before each is trained on, goes on reaching new lows, and is cut
//! where that stalls or where it rises beyond its own noise. And it is bounded by how far a batch
//! determines a step: a step with as many degrees of freedom as the batch has rows fits anything, and
//! what later batches do not see of it is never corrected.

use crate::files::Exchange;

/// Updates over which the loss is averaged.
const SPAN: f64 = 10.0;

/// Updates over which its noise is.
const NOISE_SPAN: f64 = 24.0;

/// A rise of ln(loss) that is always one.
const RISE: f64 = 1.0;

/// Standard deviations of the averaged ln(loss) that make a rise.
const DEVIATIONS: f64 = 3.0;

/// Relative shrinking of 1 - μ with each update.
const GROWTH: f64 = 0.03;

/// Growth of 1 - μ where the loss stalls or rises.
const CUT: f64 = 2.0;

/// The least 1 - μ.
const LEAST_SHARE: f64 = 0.05;

/// μ, and what it is controlled by.
#[derive(Debug)]
pub struct Momentum {
    /// 1 - μ.
    share: f64,
    /// Effective degrees of freedom of the last step, as a part of the rows of its batch.
    freedom: f64,
    updates: f64,
    average: f64,
    variance: f64,
    lowest: f64,
    since_lowest: f64,
}

impl Momentum {
    /// Begins at a μ.
    pub fn new(first: f64) -> Self {
        Self {
            share: 1.0 - first,
            freedom: 0.0,
            updates: 0.0,
            average: 0.0,
            variance: 0.0,
            lowest: 0.0,
            since_lowest: 0.0,
        }
    }

    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.number("share", &mut self.share);
        state.number("freedom", &mut self.freedom);
        state.number("updates", &mut self.updates);
        state.number("average", &mut self.average);
        state.number("variance", &mut self.variance);
        state.number("lowest", &mut self.lowest);
        state.number("since_lowest", &mut self.since_lowest);
    }

    /// μ.
    pub fn value(&self) -> f64 {
        let bound = 1.0 - self.freedom.min(1.0).powi(4);
        (1.0 - self.share).min(bound)
    }

    /// Hears the loss of a new batch.
    pub fn hear(&mut self, loss: f64) {
        // A loss of 0 is a new low and no infinite one.
        let loss = loss.max(f64::MIN_POSITIVE).ln();
        if self.updates == 0.0 {
            (self.average, self.lowest) = (loss, loss);
        }
        self.updates += 1.0;
        self.since_lowest += 1.0;
        let surprise = (loss - self.average).powi(2);
        self.variance += (surprise - self.variance) / NOISE_SPAN.min(self.updates);
        self.average += (loss - self.average) / SPAN.min(self.updates);
        if self.average < self.lowest {
            self.lowest = self.average;
            self.since_lowest = 0.0;
        }
        let deviation = (self.variance / (2.0 * SPAN - 1.0)).sqrt();
        let rises = self.average > self.lowest + (0.05 + DEVIATIONS * deviation).min(RISE);
        let stalls = self.since_lowest > 8.0 + self.updates / 8.0;
        if rises || stalls {
            self.cut();
        } else {
            self.share *= 1.0 - GROWTH;
        }
        self.share = self.share.clamp(LEAST_SHARE, 1.0);
    }

    /// Hears how many degrees of freedom the step had that a batch of so many rows was asked for.
    pub fn hear_freedom(&mut self, freedom: f64, rows: usize) {
        self.freedom = freedom / rows as f64;
    }

    /// What was too much is halved or less.
    pub fn cut(&mut self) {
        self.share = (self.share * CUT).min(1.0);
        self.lowest = self.average;
        self.since_lowest = 0.0;
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

    fn after(losses: impl Iterator<Item = f64>) -> Momentum {
        let mut momentum = Momentum::new(0.5);
        losses.for_each(|loss| momentum.hear(loss));
        momentum
    }

    #[test]
    fn it_grows_while_the_loss_falls_and_goes_where_it_does_not() {
        let falling = |updates: i32| (0..updates).map(|k| 0.9_f64.powi(k));
        let mut last = 0.5;
        for updates in [5, 20, 60] {
            let value = after(falling(updates)).value();
            assert!(value > last);
            last = value;
        }
        assert!(after(falling(500)).value() <= 1.0 - LEAST_SHARE);
        let cut_within = |updates: i32, loss: &dyn Fn(i32) -> f64| {
            let mut momentum = after(falling(60));
            (0..updates).any(|k| {
                let before = momentum.value();
                momentum.hear(loss(k));
                momentum.value() < before
            })
        };
        let end = 0.9_f64.powi(59);
        assert!(!cut_within(30, &|k| end * 0.9_f64.powi(k)));
        assert!(cut_within(30, &|_| 4.0 * end));
        assert!(cut_within(10, &|k| end * 4_f64.powi(k)));
    }

    #[test]
    fn a_batch_that_any_step_fits_leaves_none() {
        let mut momentum = Momentum::new(0.9);
        momentum.hear_freedom(10.0, 100);
        assert_eq!(momentum.value(), 0.9);
        momentum.hear_freedom(100.0, 100);
        assert_eq!(momentum.value(), 0.0);
        momentum.hear_freedom(101.0, 100);
        assert_eq!(momentum.value(), 0.0);
    }

    #[test]
    fn a_loss_of_zero_or_beyond_numbers_is_heard() {
        let mut momentum = after([1.0, 0.0, 0.0].into_iter());
        assert!(momentum.value().is_finite() && momentum.level().is_finite());
        momentum.hear(f64::MAX);
        assert!((0.0..1.0).contains(&momentum.value()));
    }
}
