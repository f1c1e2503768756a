//! A step is carried by a few directions, and does harm.
//!
//! That alone is no fault: near the end of a training of few parameters the best of all steps may go
//! along one direction. But where the loss rises as well, a direction that the batch hardly determines
//! has taken over, as in Gauss-Newton steps with too small a cut-off.

use super::{Cause, Finding, Recent, View};
use crate::diagnostics;
use crate::files::Exchange;
use crate::linalg::median;

/// Evaluations over which medians are taken.
const WINDOW: usize = 10;

/// Participation ratio below which a single direction has most of a step: with m equal directions it
/// is m, so that this lies between one and two.
const PARTICIPATION: f64 = 1.5;

/// Directions that the step could have used, as a multiple of those that it did.
const OTHERS: f64 = 8.0;

/// Multiple of the least training loss from which on the steps do harm: batches alone make it go up
/// and down by a factor of two or three.
const HARM: f64 = 10.0;

#[derive(Debug)]
pub struct FewDirections {
    participation: Recent,
    losses: Recent,
    best: f64,
}

impl Default for FewDirections {
    fn default() -> Self {
        Self {
            participation: Recent::new(WINDOW),
            losses: Recent::new(WINDOW),
            best: f64::INFINITY,
        }
    }
}

impl Cause for FewDirections {
    fn name(&self) -> &'static str {
        "few-directions"
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        self.participation.exchange("participation", state);
        self.losses.exchange("losses", state);
        state.number("best", &mut self.best);
    }

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let participation = view.told(diagnostics::PARTICIPATION)?;
        let loss = view.now.train_loss;
        self.best = self.best.min(loss);
        self.losses.push(loss);
        self.participation.push(participation);
        let usual = median(self.participation.full()?)?;
        let typical = median(self.losses.full()?)?;
        let cutoff = view.setup.number("cutoff").unwrap_or(0.0);
        let top = view.now.spectrum.first().copied().unwrap_or(0.0);
        let kept = view.now.spectrum.iter().filter(|s| **s > cutoff * top);
        let kept = kept.count();
        let few = usual < PARTICIPATION && kept as f64 >= OTHERS * usual;
        if !few || typical <= HARM * self.best || view.exploded {
            return None;
        }
        let message = format!(
            "the steps go along {usual:.1} of the {kept} directions that are kept, and the training \
             loss rises: {typical:.1e} after {:.1e} at its best",
            self.best
        );
        let changes = [
            ("a larger", "cutoff"),
            ("more", "damping"),
            ("a smaller", "exponent"),
            ("a smaller", "learning_rate"),
        ];
        let searching = view
            .told(diagnostics::KAPPA)
            .is_none()
            .then(|| view.setup.method("adaptive-hig"));
        Some(view.setup.finding(message, &changes, searching))
    }
}
