//! The rank that a truncation keeps collapses.

use super::{Cause, Finding, Recent, View};
use crate::diagnostics;
use crate::files::Exchange;
use crate::linalg::median;

/// Evaluations over which the rank is taken, by its median: single batches differ.
const WINDOW: usize = 5;

/// Fraction of the largest rank of this training. Trainings that end well go down to a third.
const COLLAPSED: f64 = 0.2;

/// A rank that was never larger has nothing to collapse from.
const LEAST: f64 = 8.0;

/// Samples of a batch from which on one sample's worth of directions says that all move alike.
const SAMPLES: usize = 4;

#[derive(Debug)]
pub struct Collapse {
    recent: Recent,
    largest: f64,
}

impl Default for Collapse {
    fn default() -> Self {
        Self {
            recent: Recent::new(WINDOW),
            largest: 0.0,
        }
    }
}

impl Cause for Collapse {
    fn name(&self) -> &'static str {
        "rank"
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        self.recent.exchange("recent", state);
        state.number("largest", &mut self.largest);
    }

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let rank = view.told(diagnostics::RANK)?;
        // With products alone the rank is that of the vectors taken, and where the damping is sought
        // it is the step's own choice.
        if view.told(diagnostics::VECTORS).is_some() || view.told(diagnostics::KAPPA).is_some() {
            return None;
        }
        self.recent.push(rank);
        let usual = median(self.recent.full()?)?;
        self.largest = self.largest.max(usual);
        if view.exploded {
            return None;
        }
        let outputs = view.now.problem.objective.rows(1);
        let rows = view.now.rows.min(view.now.parameters.len());
        let alike = usual <= outputs as f64 && rows >= SAMPLES * outputs;
        let message = if alike {
            format!(
                "J keeps {usual} directions for {} rows, no more than one sample has (y has \
                 {outputs} numbers): whatever a step does, it does to all samples alike",
                view.now.rows
            )
        } else if self.largest >= LEAST && usual < COLLAPSED * self.largest {
            format!(
                "the rank that is kept has fallen to {usual}, from {} before",
                self.largest
            )
        } else {
            return None;
        };
        let changes = [
            ("a smaller", "cutoff"),
            ("less", "damping"),
            ("a smaller", "learning_rate"),
        ];
        let others = ["other initial weights: neurons may be saturated, or dead".into()];
        Some(view.setup.finding(message, &changes, others))
    }
}
