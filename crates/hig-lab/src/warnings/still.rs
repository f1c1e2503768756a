//! Updates change nothing.

use super::{Cause, Finding, View};
use hig::files::Exchange;
use hig::trainer::Progress;
use std::collections::VecDeque;

/// Updates that are looked at, and how many of them may be zero: a line search that fails on every
/// second batch fails for a reason.
const WINDOW: usize = 40;
const ZEROS: usize = 20;

/// Part of the loss at the start below which the training has arrived: ε^(7/8), where a decrease is
/// rounding.
const ARRIVED: f64 = 1e-14;

#[derive(Debug, Default)]
pub struct Still {
    recent: VecDeque<bool>,
    start: Option<f64>,
}

impl Cause for Still {
    fn name(&self) -> &'static str {
        "no-change"
    }

    fn update(&mut self, now: &Progress<'_>) {
        if self.recent.len() == WINDOW {
            self.recent.pop_front();
        }
        self.recent.push_back(now.unchanged);
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        let mut recent = self.recent.iter().map(|zero| f64::from(*zero)).collect();
        state.vector("recent", &mut recent);
        self.recent = recent.iter().map(|zero| *zero != 0.0).collect();
        self.recent.truncate(WINDOW);
        state.optional_number("start", &mut self.start);
    }

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let loss = view.now.train_loss;
        let start = *self.start.get_or_insert(loss);
        let zeros = self.recent.iter().filter(|zero| **zero).count();
        if zeros < ZEROS || loss <= ARRIVED * start {
            return None;
        }
        let message = format!(
            "{zeros} of the last {} updates changed nothing: no length that was tried lowered the loss \
             of its batch (training loss {loss:.1e})",
            self.recent.len()
        );
        let changes = [
            ("a larger", "cutoff"),
            ("a smaller", "accuracy"),
            ("a larger", "batch"),
            ("more", "trials"),
            ("more", "halvings"),
        ];
        let others = ["another method from here on, as in --method gn-line-search:500+adam"];
        Some(view.setup.finding(message, &changes, others))
    }
}
