//! A simulation reacts so strongly to its early states that gradients say little.

use super::{Cause, Finding, View};
use crate::files::Exchange;

/// How much more y reacts to the second state than to the last. With numbers of 16 digits a derivative along
/// the other directions of the state has half of them left; the systems of the library stay below 100 with
/// the settings of their sources.
const TIMES: f64 = 1e8;

/// Test samples by which it is found.
const SAMPLES: usize = 4;

#[derive(Debug, Default)]
pub struct Sensitive;

impl Cause for Sensitive {
    fn name(&self) -> &'static str {
        "sensitivity"
    }

    fn exchange(&mut self, _: &mut Exchange<'_>) {}

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        if view.exploded {
            return None;
        }
        let (objective, test) = (&view.now.problem.objective, &view.now.problem.test);
        let few: Vec<usize> = (0..test.len().min(SAMPLES)).collect();
        let told = objective.sensitivities(view.now.parameters, &test.select(&few));
        // A simulation that fails is told elsewhere.
        let norms = told.ok().flatten()?;
        let (first, last) = (*norms.first()?, *norms.last()?);
        let factor = first / last;
        // What is not finite is told elsewhere as well.
        if !(factor.is_finite() && factor > TIMES) {
            return None;
        }
        let steps = norms.len() + 1;
        let tenfold = (norms.len() - 1) as f64 / factor.log10();
        let message = format!(
            "y reacts {factor:.0e} times more strongly to the state after the first of {steps} time steps than \
             to that before the last, ten times more every {tenfold:.1} steps back: the singular values of J \
             grow with the horizon, and the first steps rule every update"
        );
        let others = [
            "fewer time steps at first (first_horizon)".to_owned(),
            "derivatives through the physics alone (stop_gradients of a system, \
             ClosedLoop::stopping_gradients)"
                .to_owned(),
        ];
        let changes = [
            ("a smaller", "clip"),
            ("a larger", "cutoff"),
            ("a smaller", "learning_rate"),
        ];
        Some(view.setup.finding(message, &changes, others))
    }
}
