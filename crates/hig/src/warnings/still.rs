//! Updates change nothing.

use super::{Cause, Finding, Setup, View};
use crate::files::Exchange;
use crate::trainer::{Outcome, Progress};
use std::collections::VecDeque;

/// Updates that are looked at, and how many of them may be zero: a line search that fails on every
/// second batch fails for a reason.
const WINDOW: usize = 40;
const ZEROS: usize = 20;

/// Part of the loss at the start below which the training has arrived: ε^(7/8), where a decrease is
/// rounding.
const ARRIVED: f64 = 1e-14;

/// Updates of a short training that say something where every one of them was zero.
const SHORT: usize = 3;

#[derive(Debug, Default)]
pub struct Still {
    recent: VecDeque<bool>,
    start: Option<f64>,
    moved: bool,
}

impl Still {
    /// What is told of updates that change nothing.
    fn finding(&self, zeros: usize, loss: f64, setup: &Setup) -> Finding {
        let why = match setup.tries_once() {
            true => "the loss of their batches does not depend on the parameters",
            false => "no length that was tried lowered the loss of its batch",
        };
        let message = format!(
            "{zeros} of the last {} updates changed nothing: {why} (training loss {loss:.1e})",
            self.recent.len()
        );
        if setup.tries_once() {
            let others = [
                "other initial weights: neurons may be saturated, or dead".into(),
                "a look at the derivative of the physics, which is zero where it clips what it gets"
                    .into(),
            ];
            return setup.finding(message, &[], others);
        }
        let changes = [
            ("a larger", "cutoff"),
            ("a smaller", "accuracy"),
            ("a larger", "batch"),
            ("more", "trials"),
            ("more", "halvings"),
        ];
        let chain = setup.chain("gn-line-search", "adam");
        let others = [format!("another method from here on, as in {chain}")];
        setup.finding(message, &changes, others)
    }
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
        self.moved |= !now.unchanged;
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        let mut recent = self.recent.iter().map(|zero| f64::from(*zero)).collect();
        state.vector("recent", &mut recent);
        self.recent = recent.iter().map(|zero| *zero != 0.0).collect();
        self.recent.truncate(WINDOW);
        state.optional_number("start", &mut self.start);
        state.flag("moved", &mut self.moved);
    }

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let loss = view.now.train_loss;
        let start = *self.start.get_or_insert(loss);
        let zeros = self.recent.iter().filter(|zero| **zero).count();
        if zeros < ZEROS || loss <= ARRIVED * start {
            return None;
        }
        Some(self.finding(zeros, loss, view.setup))
    }

    /// A training too short for the above of which no update did anything.
    fn end(&mut self, outcome: &Outcome, setup: &Setup) -> Option<Finding> {
        let (loss, zeros) = (outcome.last.train, self.recent.len());
        let short = !self.moved && (SHORT..ZEROS).contains(&zeros);
        let still = short && loss > ARRIVED * self.start.unwrap_or(0.0);
        still.then(|| self.finding(zeros, loss, setup))
    }
}
