//! The training loss falls while the test loss rises, or stays where it began.

use super::{Cause, Finding, Losses, Recent, View};
use crate::files::Exchange;

/// Evaluations in a row, a fifth of all updates so far where they are 2 % apart.
const IN_A_ROW: usize = 10;

/// Test loss, as a multiple of its least value so far.
const TEST: f64 = 1.5;

/// Training loss, as a multiple of what it was then.
const TRAIN: f64 = 0.7;

/// Test loss over training loss: less is the difference between two sets of samples.
const GAP: f64 = 3.0;

/// Parts of the losses at the start: a network that has learned its samples, and nothing else.
const TEST_LEFT: f64 = 0.1;
const TRAIN_LEFT: f64 = 1e-3;

/// Part of the test loss at the start below which the network knows more than its samples, wherever
/// the last digits of its test loss go.
const KNOWS: f64 = 1e-3;

#[derive(Debug)]
pub struct Overfitting {
    start: Option<Losses>,
    /// Where the test loss was least.
    best: Option<Losses>,
    apart: Recent,
}

impl Default for Overfitting {
    fn default() -> Self {
        Self {
            start: None,
            best: None,
            apart: Recent::new(IN_A_ROW),
        }
    }
}

impl Overfitting {
    /// The start and the best, with a new evaluation.
    fn hear(&mut self, now: Losses) -> (Losses, Losses) {
        let best = self.best.filter(|best| best.test <= now.test);
        let best = *self.best.insert(best.unwrap_or(now));
        (*self.start.get_or_insert(now), best)
    }
}

impl Cause for Overfitting {
    fn name(&self) -> &'static str {
        "overfitting"
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        for (name, losses) in [("start", &mut self.start), ("best", &mut self.best)] {
            let unknown = || Losses::unknown(0);
            state.optional(name, losses, unknown, |state, losses| {
                losses.exchange(state);
            });
        }
        self.apart.exchange("apart", state);
    }

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let now = Losses {
            update: view.now.update,
            train: view.now.train_loss,
            validation: view.now.validation_loss,
            test: view.now.test_loss,
        };
        let (start, best) = self.hear(now);
        let rises =
            now.test > (TEST * best.test).max(KNOWS * start.test) && now.train < TRAIN * best.train;
        let stays = now.test > TEST_LEFT * start.test && now.train < TRAIN_LEFT * start.train;
        let apart = now.test > GAP * now.train && (rises || stays);
        self.apart.push(f64::from(u8::from(apart)));
        if view.exploded || !self.apart.full()?.all(|apart| apart == 1.0) {
            return None;
        }
        let before = if rises { best } else { start };
        let message = format!(
            "the test loss has gone from {:.1e} (update {}) to {:.1e}, and the training loss from \
             {:.1e} to {:.1e}: the network learns its samples by heart",
            before.test, before.update, now.test, before.train, now.train
        );
        let fresh = view.now.problem.sampler.is_some().then(|| {
            let fresh = view.setup.setting("order", "fresh");
            format!("{fresh}, which draws new samples for every update")
        });
        let others = [
            "more training samples",
            "a smaller network",
            "an earlier end",
        ];
        let others = others.map(str::to_owned).into_iter().chain(fresh);
        Some(view.setup.finding(message, &[], others))
    }
}
