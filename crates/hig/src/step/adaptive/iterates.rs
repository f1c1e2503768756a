//! The parameters that are trained, and their running averages, of which the best is shown.
//!
//! Each step is fitted to one batch, and near the end of a training that noise dominates the loss. An
//! average of the last parameters has less of it (Polyak and Juditsky 1992, doi 10.1137/0330046),
//! while they move fast it lags behind. Which is better is told by every new batch before it is
//! trained on, for the price of a forward pass each.

use crate::error::Result;
use crate::files::Exchange;
use rayon::prelude::*;

/// Updates that the averages look back over.
const SPANS: [f64; 2] = [4.0, 16.0];

/// Batches over which the judgement looks back.
const LOOKED_BACK: f64 = 8.0;

/// How much lower the logarithm of its loss must be for an average to be shown.
const MARGIN: f64 = 0.1;

/// Difference of logarithms of losses below which rounding decides.
const ROUNDING: f64 = 1e-6;

/// An average, with the mean logarithm of its loss over that of what is trained.
#[derive(Debug, Default)]
struct Average {
    span: f64,
    values: Vec<f64>,
    advantage: f64,
}

/// The parameters, before and after the last update, and their averages.
#[derive(Debug)]
pub struct Iterates {
    /// What is trained.
    pub current: Vec<f64>,
    /// The same before the last update.
    pub before: Vec<f64>,
    averages: Vec<Average>,
    updates: f64,
    /// What the last update was to lead to.
    shown: Vec<f64>,
}

impl Iterates {
    /// From given parameters on.
    pub fn new(parameters: &[f64]) -> Self {
        let average = |span| Average {
            span,
            values: parameters.to_vec(),
            advantage: 0.0,
        };
        Self {
            current: parameters.to_vec(),
            before: parameters.to_vec(),
            averages: SPANS.map(average).into(),
            updates: 0.0,
            shown: parameters.to_vec(),
        }
    }

    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.over_parameters("current", &mut self.current);
        state.over_parameters("before", &mut self.before);
        state.over_parameters("shown", &mut self.shown);
        state.number("updates", &mut self.updates);
        let fresh = Average::default;
        state.several("averages", &mut self.averages, fresh, |state, average| {
            state.number("span", &mut average.span);
            state.over_parameters("values", &mut average.values);
            state.number("advantage", &mut average.advantage);
        });
    }

    /// Whether it is from here that training goes on.
    pub fn lead_to(&self, parameters: &[f64]) -> bool {
        self.shown == parameters
    }

    /// Whether what is shown is what is trained.
    pub fn shows_current(&self) -> bool {
        self.best().is_none()
    }

    /// The average that is shown; none where that is `current` itself. Of averages that are alike, as all are
    /// at first, it is the shortest.
    fn best(&self) -> Option<&Average> {
        let advantages = self.averages.iter().map(|average| average.advantage);
        let least = advantages.fold(-MARGIN, f64::min);
        let alike = |average: &&Average| average.advantage <= least + ROUNDING;
        self.averages.iter().find(alike).filter(|_| least < -MARGIN)
    }

    /// Whether what is shown differs from where the last update began.
    pub fn can_go_back(&self) -> bool {
        self.shown != self.before
    }

    /// Takes the last update back.
    pub fn revert(&mut self) {
        self.current = self.before.clone();
    }

    /// Answers the change of the parameters shown, from those given, to before the last update, and has
    /// nothing more to go back to.
    pub fn go_back(&mut self, given: &[f64]) -> Vec<f64> {
        let delta: Vec<f64> = self.before.iter().zip(given).map(|(b, g)| b - g).collect();
        self.shown = given.iter().zip(&delta).map(|(g, d)| g + d).collect();
        self.current = self.shown.clone();
        self.before = self.shown.clone();
        delta
    }

    /// Compares the averages by a new batch, on which the current parameters and what is shown have known
    /// losses.
    ///
    /// # Errors
    /// Those of the loss.
    pub fn judge(
        &mut self,
        current: f64,
        shown: f64,
        loss: impl Fn(&[f64]) -> Result<f64> + Sync,
    ) -> Result<()> {
        let count = LOOKED_BACK.min(self.updates.max(1.0));
        let span = self.span();
        self.averages.par_iter_mut().try_for_each(|average| {
            let loss = match average.span == span {
                true => shown,
                false => loss(&average.values)?,
            };
            let ratio = match loss.is_nan() {
                true => f64::INFINITY,
                false => (loss / current).ln(),
            };
            // Of two losses of 0 none is better.
            let ratio = if ratio.is_nan() { 0.0 } else { ratio };
            average.advantage += (ratio.clamp(-10.0, 10.0) - average.advantage) / count;
            Ok(())
        })
    }

    /// Takes an update (length p) and answers the change of the parameters shown, from those given.
    pub fn advance(&mut self, update: &[f64], given: &[f64]) -> Vec<f64> {
        self.before = self.current.clone();
        for (c, u) in self.current.iter_mut().zip(update) {
            *c += u;
        }
        self.updates += 1.0;
        for average in &mut self.averages {
            // At first an average looks back over half of what there is.
            let weight = 1.0 / average.span.min(self.updates / 2.0 + 1.0);
            for (a, c) in average.values.iter_mut().zip(&self.current) {
                *a += weight * (c - *a);
            }
        }
        let target = self.best().map_or(&self.current, |best| &best.values);
        let delta: Vec<f64> = target.iter().zip(given).map(|(t, g)| t - g).collect();
        self.shown = given.iter().zip(&delta).map(|(g, d)| g + d).collect();
        if self.shows_current() {
            self.current = self.shown.clone();
        }
        delta
    }

    /// Updates that what is shown is an average of, 1 for none.
    pub fn span(&self) -> f64 {
        self.best().map_or(1.0, |best| best.span)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The loss of what is shown comes from elsewhere than those of the other averages, with other rounding.
    #[test]
    fn of_averages_that_are_alike_rounding_chooses_none() {
        for rounding in [-1e-15, 0.0, 1e-15] {
            let mut iterates = Iterates::new(&[0.0]);
            let mut shown = vec![0.0];
            for update in 0..5 {
                let change = iterates.advance(&[1.0], &shown);
                shown[0] += change[0];
                let rounded = 0.1 * (1.0 + rounding);
                iterates.judge(1.0, rounded, |_| Ok(0.1)).unwrap();
                assert_eq!(iterates.span(), SPANS[0], "after update {update}");
            }
        }
    }
}
