//! Whether a training is to begin again, with shorter steps.
//!
//! At first the model promises most, and steps are as long as it allows. Where the network acts at every
//! time step of a simulation they can saturate it: from then on the loss of every batch rises and falls
//! within a fraction of each step, and nothing more is learned. Gain ratios near 0, batch after batch,
//! tell such a training from one that only has dear steps among good ones.

use crate::files::Exchange;

/// Updates over which the gain ratio is averaged.
const SPAN: f64 = 16.0;

/// Updates that the average counts for at first, when it is 1.
const PRIOR: f64 = 4.0;

/// The averaged gain ratio below which nothing is learned.
const DISTRUSTED: f64 = 0.25;

/// Updates after which too much would be lost.
const WITHIN: f64 = 64.0;

/// The start of a training, as long as it may be gone back to.
#[derive(Debug)]
pub struct Beginning {
    parameters: Option<Vec<f64>>,
    updates: f64,
    /// The averaged gain ratio, each between 0 and 1.
    gain: f64,
}

impl Beginning {
    /// Of a training from these parameters on.
    pub fn new(parameters: &[f64]) -> Self {
        Self {
            parameters: Some(parameters.to_vec()),
            updates: 0.0,
            gain: 1.0,
        }
    }

    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.optional_over_parameters("parameters", &mut self.parameters);
        state.number("updates", &mut self.updates);
        state.number("gain", &mut self.gain);
    }

    /// Hears the gain ratio of an update, 0 where the loss did not fall enough.
    pub fn hear(&mut self, gain: f64) {
        self.updates += 1.0;
        let count = SPAN.min(PRIOR + self.updates);
        self.gain += (gain.clamp(0.0, 1.0) - self.gain) / count;
        if self.updates >= WITHIN {
            self.parameters = None;
        }
    }

    /// Hears that the last update led to where there is no gradient.
    pub fn give_up(&mut self) {
        self.gain = 0.0;
    }

    /// Where to begin again; told once.
    pub fn begin_again(&mut self) -> Option<Vec<f64>> {
        match self.gain < DISTRUSTED {
            true => self.parameters.take(),
            false => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(gains: impl Iterator<Item = f64>) -> Vec<usize> {
        let mut beginning = Beginning::new(&[1.0, 2.0]);
        let mut times = Vec::new();
        for (k, gain) in gains.enumerate() {
            beginning.hear(gain);
            if let Some(start) = beginning.begin_again() {
                assert_eq!(start, [1.0, 2.0]);
                times.push(k);
            }
        }
        times
    }

    #[test]
    fn steps_that_keep_nothing_of_what_was_promised_lead_back_once() {
        let times = asked((0..200).map(|k| if k < 3 { 0.8 } else { 0.0 }));
        assert_eq!(times.len(), 1);
        assert!((10..30).contains(&times[0]), "{times:?}");
    }

    #[test]
    fn refused_steps_among_good_ones_do_not() {
        let times = asked((0..200).map(|k| if k % 5 < 2 { 0.9 } else { 0.1 }));
        assert_eq!(times, [0_usize; 0]);
    }

    #[test]
    fn a_place_without_gradient_leads_back_at_once_if_not_too_late() {
        for (updates, leads_back) in [(1, true), (100, false)] {
            let mut beginning = Beginning::new(&[1.0]);
            (0..updates).for_each(|_| beginning.hear(0.9));
            beginning.give_up();
            assert_eq!(beginning.begin_again().is_some(), leads_back);
            assert!(beginning.begin_again().is_none());
        }
    }

    #[test]
    fn what_has_gone_on_for_long_is_not_given_up() {
        let times = asked((0..300).map(|k| if k < 60 { 0.9 } else { 0.0 }));
        assert_eq!(times, [0_usize; 0]);
    }
}
