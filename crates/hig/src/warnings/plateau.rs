//! The loss has not fallen for long.

use super::{Cause, Finding, View};
use crate::files::Exchange;
use crate::trainer::Progress;

/// Part of the budget without progress.
const BUDGET: f64 = 1.0 / 3.0;

/// Progress is a training loss this far below the least one before.
const PROGRESS: f64 = 0.95;

/// A loss above the least one by more than this does not stand still.
const STILL: f64 = 2.0;

/// Fewer updates, or evaluations, than this are no long time whatever the budget.
const UPDATES: usize = 300;
const EVALUATIONS: usize = 15;

/// Part of the loss at the start below which a training may stand still without a word: it has done its
/// work, and a network has a least loss that it can reach.
const ARRIVED: f64 = 1e-3;

#[derive(Debug, Default)]
pub struct Plateau {
    used: f64,
    start: f64,
    /// Least loss, with the update and the part of the budget where it was reached.
    best: Option<(f64, usize, f64)>,
    /// Evaluations since.
    since: usize,
}

impl Plateau {
    /// The least loss with the new one.
    fn hear(&mut self, loss: f64, update: usize) -> (f64, usize, f64) {
        if self.best.is_none() {
            self.start = loss;
        }
        match self.best {
            Some(best) if loss >= PROGRESS * best.0 => self.since += 1,
            _ => {
                self.best = Some((loss, update, self.used));
                self.since = 0;
            }
        }
        self.best.unwrap_or((loss, update, self.used))
    }
}

impl Cause for Plateau {
    fn name(&self) -> &'static str {
        "plateau"
    }

    fn update(&mut self, now: &Progress<'_>) {
        self.used = now.budget_used;
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.number("used", &mut self.used);
        state.number("start", &mut self.start);
        let none = <(f64, usize, f64)>::default;
        state.optional("best", &mut self.best, none, |state, best| {
            state.number("loss", &mut best.0);
            state.count("update", &mut best.1);
            state.number("used", &mut best.2);
        });
        state.count("since", &mut self.since);
    }

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let (loss, update) = (view.now.train_loss, view.now.update);
        let (best, when, used) = self.hear(loss, update);
        let long =
            self.used - used >= BUDGET && update - when >= UPDATES && self.since >= EVALUATIONS;
        if !long || loss > STILL * best || best <= ARRIVED * self.start || view.exploded {
            return None;
        }
        let message = format!(
            "the training loss has not fallen below {best:.1e} for {} updates, {:.0} % of the budget",
            update - when,
            100.0 * (self.used - used)
        );
        let changes = [
            ("a different", "learning_rate"),
            ("a smaller", "cutoff"),
            ("less", "damping"),
        ];
        let others = [
            "another method".into(),
            format!("other initial weights ({})", view.setup.seed()),
            "a larger network".into(),
        ];
        Some(view.setup.finding(message, &changes, others))
    }
}
