//! Parameters to go back to, where new batches find that steps have made things far worse.
//!
//! The quadratic model of a step knows nothing of what lies beyond it. New batches do: whenever the
//! factors are renewed, and when a loss stands out among those before it, the batch is asked for its loss at
//! the parameters that were kept as well. The ratio of the two has little of the luck of the batch.

use crate::files::Exchange;

/// Batches over which ln(loss) is averaged.
const SPAN: f64 = 10.0;

/// The loss of a batch, as a multiple of the average, that stands out.
const STANDS_OUT: f64 = 3.0;

/// The loss, as a multiple of that of what is kept, from which training goes back.
const FAR_WORSE: f64 = 2.0;

/// What a batch says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Go on.
    GoOn,
    /// Go on, and keep these.
    Keep,
    /// Go back to what is kept.
    GoBack,
}

/// What is kept, and the level of the losses.
#[derive(Debug, Clone)]
pub struct Ward {
    /// The parameters.
    pub kept: Vec<f64>,
    /// The average of ln(loss), its first value, and how many batches it has heard.
    level: f64,
    first: f64,
    heard: f64,
}

impl Ward {
    /// Keeps the parameters of a start.
    pub fn new(parameters: &[f64]) -> Self {
        Self {
            kept: parameters.to_vec(),
            level: 0.0,
            first: 0.0,
            heard: 0.0,
        }
    }

    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.over_parameters("kept", &mut self.kept);
        state.number("level", &mut self.level);
        state.number("first", &mut self.first);
        state.number("heard", &mut self.heard);
    }

    /// Whether a loss stands out among those before.
    pub fn stands_out(&self, loss: f64) -> bool {
        let usual = self.heard == 0.0 || logarithm(loss) <= self.level + STANDS_OUT.ln();
        !(usual && loss.is_finite())
    }

    /// Judges the loss of a batch by that of what is kept.
    pub fn judge(loss: f64, of_kept: f64) -> Verdict {
        if loss < of_kept {
            Verdict::Keep
        } else if loss <= FAR_WORSE * of_kept {
            Verdict::GoOn
        } else {
            Verdict::GoBack
        }
    }

    /// Hears the mean loss of a batch that is trained on.
    pub fn hear(&mut self, loss: f64) {
        let loss = logarithm(loss);
        if self.heard == 0.0 {
            (self.level, self.first) = (loss, loss);
        }
        self.heard += 1.0;
        self.level += (loss - self.level) / SPAN.min(self.heard);
    }

    /// The level of the loss as a part of the first one, at most 1.
    pub fn fallen(&self) -> f64 {
        (self.level - self.first).exp().min(1.0)
    }
}

/// ln(loss), where a loss of 0 is no infinite one.
fn logarithm(loss: f64) -> f64 {
    loss.max(f64::MIN_POSITIVE).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_stands_out_among_those_before_it_and_falls_with_them() {
        let mut ward = Ward::new(&[]);
        assert!(!ward.stands_out(1e9));
        assert!(ward.stands_out(f64::NAN) && ward.stands_out(f64::INFINITY));
        for k in 0..200 {
            let loss = 0.9_f64.powi(k);
            assert!(!ward.stands_out(loss));
            ward.hear(loss);
        }
        assert!(ward.stands_out(1.0));
        let lagging = 0.9_f64.powi(199) / ward.fallen();
        assert!((0.2..1.0).contains(&lagging), "{lagging}");
        ward.hear(0.0);
        assert!(ward.fallen() > 0.0);
    }

    #[test]
    fn what_is_no_number_is_the_worst() {
        assert_eq!(Ward::judge(f64::NAN, 1.0), Verdict::GoBack);
        assert_eq!(Ward::judge(f64::INFINITY, 1.0), Verdict::GoBack);
        assert_eq!(Ward::judge(1.0, f64::NAN), Verdict::GoBack);
        assert_eq!(Ward::judge(2.1, 1.0), Verdict::GoBack);
        assert_eq!(Ward::judge(1.9, 1.0), Verdict::GoOn);
        assert_eq!(Ward::judge(0.9, 1.0), Verdict::Keep);
        assert_eq!(Ward::judge(0.0, 0.0), Verdict::GoOn);
    }
}
