//! The best parameters so far, and what new batches say of those that are shown beside them.
//!
//! A step that fits its own batch says nothing of other samples: there it mends in proportion to its
//! length, and disturbs with the square of it. Beyond a length that no batch can tell of itself each
//! step raises the loss of other samples by a factor, and a training of such steps explodes although
//! every one of them does on its own batch what the model promised. Each new batch is therefore asked
//! for two losses before it is trained on, at what is shown and at what is kept. Their ratio has
//! little of the luck of the batch, and its average over many batches decides.

use crate::files::Exchange;

/// Batches over which ratios are averaged.
const SPAN: f64 = 16.0;

/// Batches over which their noise is.
const NOISE_SPAN: f64 = 48.0;

/// Batches that the first estimate of the noise counts for, a standard deviation of ln(loss).
const PRIOR: f64 = 4.0;
const PRIOR_DEVIATION: f64 = 0.5;

/// The least fall of ln(loss) that is a progress.
const PROGRESS: f64 = 0.02;

/// A rise is a growth of ln(loss) by this part of what was learned, between these bounds: many trainings
/// that end well pass through a tenfold loss and more, and a bounded loss of which little was taken off
/// cannot grow far.
const LOST: f64 = 0.5;
const LEAST_RISE: f64 = 0.3;
const LARGEST_RISE: f64 = 3.0;

/// Standard errors of the mean that either must exceed.
const SURE: f64 = 2.0;

/// Batches before a rise is sure.
const RISE_HEARD: f64 = 4.0;

/// The largest ratio that a batch counts for, as a logarithm.
const LARGEST: f64 = 4.0;

/// Updates without progress that make a stall: a number, and a part of the training so far.
const PATIENCE: f64 = 16.0;
const PATIENCE_PART: f64 = 0.125;

/// What new batches say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// What is shown is better than what was kept until now, and is kept.
    Progress,
    /// Nothing is sure.
    Open,
    /// For long nothing was better than what is kept.
    Stall,
    /// What is shown is far worse than what is kept.
    Rise,
}

/// Parameters, and how the loss of new batches compares to theirs.
#[derive(Debug)]
pub struct Kept {
    /// The best parameters so far.
    pub parameters: Vec<f64>,
    /// Batches since they were kept, or gone back to.
    heard: f64,
    /// Mean and variance of ln(loss of what is shown / loss of what is kept).
    mean: f64,
    variance: f64,
    /// How far ln(loss) is known to have fallen below that of the start: the sum of the means by which
    /// parameters came to be kept, each over the batches since the ones before.
    learned: f64,
    updates: f64,
    /// Updates since the last progress or stall.
    since: f64,
}

impl Kept {
    /// Keeps the parameters of a start.
    pub fn new(parameters: &[f64]) -> Self {
        Self {
            parameters: parameters.to_vec(),
            heard: 0.0,
            mean: 0.0,
            variance: PRIOR_DEVIATION * PRIOR_DEVIATION,
            learned: 0.0,
            updates: 0.0,
            since: 0.0,
        }
    }

    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.over_parameters("parameters", &mut self.parameters);
        state.number("heard", &mut self.heard);
        state.number("mean", &mut self.mean);
        state.number("variance", &mut self.variance);
        state.number("learned", &mut self.learned);
        state.number("updates", &mut self.updates);
        state.number("since", &mut self.since);
    }

    /// Hears the losses of a new batch at the parameters that are shown and at those that are kept.
    pub fn hear(&mut self, shown: &[f64], loss: f64, loss_of_kept: f64) -> Verdict {
        self.updates += 1.0;
        self.since += 1.0;
        self.average(ratio(loss, loss_of_kept));
        let count = self.heard.min(SPAN);
        let error = (self.variance / (2.0 * count - 1.0)).sqrt();
        if self.mean < -PROGRESS.max(SURE * error) {
            self.parameters.copy_from_slice(shown);
            self.learned -= self.mean;
            self.heard = 0.0;
            self.since = 0.0;
            return Verdict::Progress;
        }
        let rise = (LOST * self.learned).clamp(LEAST_RISE, LARGEST_RISE);
        if self.heard >= RISE_HEARD && self.mean > rise.max(SURE * error) {
            self.heard = 0.0;
            return Verdict::Rise;
        }
        if self.since > PATIENCE + PATIENCE_PART * self.updates {
            self.since = 0.0;
            return Verdict::Stall;
        }
        Verdict::Open
    }

    /// Hears that what is shown leads nowhere.
    pub fn give_up(&mut self) -> Verdict {
        self.heard = 0.0;
        Verdict::Rise
    }

    fn average(&mut self, ratio: f64) {
        if self.heard == 0.0 {
            self.mean = 0.0;
        }
        self.heard += 1.0;
        let surprise = ratio - self.mean;
        self.mean += surprise / self.heard.min(SPAN);
        // The first one has no mean to differ from.
        if self.heard > 1.0 {
            let count = NOISE_SPAN.min(PRIOR + self.updates);
            self.variance += (surprise * surprise - self.variance) / count;
        }
    }
}

/// ln(loss / other), bounded; two losses of 0 are alike, and NaN is the worst.
fn ratio(loss: f64, other: f64) -> f64 {
    let positive = |loss: f64| match loss.is_nan() {
        true => f64::MAX,
        false => loss.clamp(f64::MIN_POSITIVE, f64::MAX),
    };
    (positive(loss).ln() - positive(other).ln()).clamp(-LARGEST, LARGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is heard of losses that follow a law, beside a kept loss that is told when it changes.
    fn verdicts(
        updates: usize,
        loss: impl Fn(usize) -> f64,
        luck: impl Fn(usize) -> f64,
    ) -> Vec<Verdict> {
        let (mut kept, mut level) = (Kept::new(&[0.0]), loss(0));
        let hear = |k: usize| {
            let verdict = kept.hear(&[k as f64], loss(k) * luck(k), level * luck(k));
            if let Verdict::Progress = verdict {
                assert_eq!(kept.parameters, [k as f64]);
                level = loss(k);
            }
            verdict
        };
        (0..updates).map(hear).collect()
    }

    /// A factor between 1/30 and 30 that batches differ by.
    fn luck(k: usize) -> f64 {
        30_f64.powf((k as f64 * 2.4).sin())
    }

    #[test]
    fn it_tells_falling_from_standing_from_rising_through_the_luck_of_batches() {
        let falling = verdicts(100, |k| 0.95_f64.powi(k as i32), luck);
        let count =
            |of: &[Verdict], like: fn(&Verdict) -> bool| of.iter().filter(|v| like(v)).count();
        let progress: fn(&Verdict) -> bool = |v| matches!(v, Verdict::Progress);
        assert!(count(&falling, progress) > 10);
        assert_eq!(
            count(&falling, |v| matches!(v, Verdict::Stall | Verdict::Rise)),
            0
        );

        let standing = verdicts(400, |_| 1.0, luck);
        assert_eq!(count(&standing, progress), 0);
        assert_eq!(count(&standing, |v| *v == Verdict::Rise), 0);
        let stalls = count(&standing, |v| *v == Verdict::Stall);
        assert!((4..20).contains(&stalls), "{stalls} stalls");

        let rising = verdicts(60, |k| 1.2_f64.powi(k as i32), luck);
        assert!(count(&rising, |v| *v == Verdict::Rise) > 0);
        assert_eq!(count(&rising, progress), 0);
    }

    #[test]
    fn half_of_what_was_learned_is_a_rise_where_that_is_little_and_not_where_it_is_much() {
        // The loss falls to a part, and then grows by a factor.
        let rises = |part: f64, factor: f64| {
            let loss = |k: usize| match k < 50 {
                true => part.powf(k as f64 / 50.0),
                false => part * factor,
            };
            let verdicts = verdicts(80, loss, luck);
            verdicts.contains(&Verdict::Rise)
        };
        // Of a loss that fell to a third, to where it began; of one that fell far, tenfold and a hundredfold.
        assert!(rises(0.3, 3.0) && !rises(0.3, 1.2));
        assert!(!rises(1e-4, 10.0) && rises(1e-4, 100.0));
    }

    #[test]
    fn what_leads_nowhere_is_a_rise() {
        let mut kept = Kept::new(&[0.0]);
        assert_eq!(kept.hear(&[1.0], 1.0, 1.0), Verdict::Open);
        assert_eq!(kept.give_up(), Verdict::Rise);
        assert_eq!(kept.parameters, [0.0]);
    }

    #[test]
    fn what_is_no_number_is_the_worst() {
        assert_eq!(ratio(f64::NAN, 1.0), LARGEST);
        assert_eq!(ratio(f64::INFINITY, 1.0), LARGEST);
        assert_eq!(ratio(0.0, 0.0), 0.0);
        assert_eq!(ratio(0.0, 1.0), -LARGEST);
        let verdicts = verdicts(10, |k| if k == 0 { 1.0 } else { f64::NAN }, |_| 1.0);
        assert!(verdicts.contains(&Verdict::Rise));
    }
}
