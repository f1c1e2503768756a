//! Training samples are copies of others, so that a batch has the same rows twice.

use super::{Cause, Finding, View};
use crate::data::Dataset;
use crate::files::Exchange;
use std::collections::HashMap;

/// Pairs of copies to expect in a batch: fewer cost nothing worth a word.
const PAIRS: f64 = 1.0;

/// The samples do not change: they are counted once.
#[derive(Debug, Default)]
pub struct Duplicates {
    /// Copies beside their originals, and the probability that two samples are the same.
    found: Option<(usize, f64)>,
}

fn count(data: &Dataset) -> (usize, f64) {
    let mut groups: HashMap<Vec<u64>, usize> = HashMap::new();
    for s in 0..data.len() {
        let parts = [&data.input, &data.state, &data.target];
        let numbers = parts.into_iter().flat_map(|m| m.row(s).iter());
        let bits: Vec<u64> = numbers.map(|v| v.to_bits()).collect();
        *groups.entry(bits).or_default() += 1;
    }
    let pairs = |n: usize| n as f64 * n.saturating_sub(1) as f64;
    let same: f64 = groups.values().map(|n| pairs(*n)).sum();
    let copies = data.len() - groups.len();
    (copies, same / pairs(data.len()).max(1.0))
}

impl Cause for Duplicates {
    fn name(&self) -> &'static str {
        "duplicates"
    }

    fn exchange(&mut self, _: &mut Exchange<'_>) {}

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        // Other steps take copies as weights of their samples.
        if view.now.spectrum.is_empty() || view.setup.is("order", "fresh") {
            return None;
        }
        let data = &view.now.problem.train;
        let (copies, same) = *self.found.get_or_insert_with(|| count(data));
        let batch = view.setup.number("batch")?;
        let pairs = 0.5 * batch * (batch - 1.0) * same;
        if pairs < PAIRS {
            return None;
        }
        let message = format!(
            "{copies} of the {} training samples are copies of others: a batch of {batch} holds about \
             {pairs:.0} pairs, whose rows of J say the same, so that K is singular",
            data.len()
        );
        let others = ["samples without copies".into()];
        Some(
            view.setup
                .finding(message, &[("a smaller", "batch")], others),
        )
    }
}
