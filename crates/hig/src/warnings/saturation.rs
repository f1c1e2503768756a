//! Neurons saturate.

use super::{Cause, Finding, View};
use crate::files::Exchange;

/// Mean of |activation| from which on neurons count as saturated: tanh has then less than a tenth of
/// its slope on average (1 - 0.95² = 0.0975), the paper's sign of a training gone wrong.
const MEAN: f64 = 0.95;

/// Evaluations in a row: a first step may go too far and be taken back by the next ones.
const IN_A_ROW: usize = 5;

#[derive(Debug, Default)]
pub struct Saturated {
    found: usize,
}

impl Cause for Saturated {
    fn name(&self) -> &'static str {
        "saturation"
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.count("found", &mut self.found);
    }

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let found = view.saturation.filter(|s| s.mean >= MEAN);
        self.found = found.map_or(0, |_| self.found + 1);
        let found = found.filter(|_| self.found >= IN_A_ROW)?;
        let message = format!(
            "neurons are saturated: |activation| is {:.3} on average (deviation {:.3}), where tanh \
             has {:.1} % of its slope, so that little gradient gets through",
            found.mean,
            found.deviation,
            100.0 * (1.0 - found.mean * found.mean).max(0.0)
        );
        let changes = [
            ("a smaller", "learning_rate"),
            ("a smaller", "exponent"),
            ("a larger", "cutoff"),
            ("more", "damping"),
        ];
        let before = view.setup.decomposes().then(|| {
            let (adam, chain) = (view.setup.method("adam"), view.setup.chain("adam", "hig"));
            format!("some updates of {adam} before, as in {chain}")
        });
        let others = ["smaller initial weights".into()].into_iter().chain(before);
        Some(view.setup.finding(message, &changes, others))
    }
}
