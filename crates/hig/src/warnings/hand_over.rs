//! A step that follows one batch in every row it has, at the price of decomposing them all.
//!
//! As many degrees of freedom as rows fit any batch, and say nothing of the next one. Where the rows are few
//! such an update costs little, and many of them average; where they are many it costs as much as dozens of
//! updates of a method that needs the gradient alone.

use super::{Cause, Finding, Recent, View};
use crate::diagnostics;
use crate::files::Exchange;
use crate::linalg::median;

/// Evaluations over which the part is taken, by its median: single batches differ.
const WINDOW: usize = 5;

/// Rows from which on a decomposition takes tens of milliseconds (docs/benchmarks.md).
const MANY: usize = 1000;

/// Parameters, as a multiple of the rows, below which the rows of a batch determine much of them.
const PARAMETERS: usize = 4;

/// Degrees of freedom as a part of the rows that are all of them.
const ALL: f64 = 0.9;

/// Combinations of a sample's rows as a part of them in what is advised, and the most and the least of them
/// (docs/choosing.md).
const PART: usize = 8;
const MOST: usize = 16;
const LEAST: usize = 4;

#[derive(Debug)]
pub struct HandOver {
    used: Recent,
}

impl Default for HandOver {
    fn default() -> Self {
        Self {
            used: Recent::new(WINDOW),
        }
    }
}

impl Cause for HandOver {
    fn name(&self) -> &'static str {
        "follows-the-batch"
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        self.used.exchange("used", state);
    }

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let freedom = view.told(diagnostics::RANK)?;
        let sketched = view.told(diagnostics::ROWS);
        let rows = sketched.map_or(view.now.rows, |rows| rows as usize);
        self.used.push(freedom / rows.max(1) as f64);
        let usual = median(self.used.full()?)?;
        let many = rows >= MANY && view.now.parameters.len() >= PARAMETERS * rows;
        if !many || usual < ALL || view.exploded || view.told(diagnostics::VECTORS).is_some() {
            return None;
        }
        let message = format!(
            "each step uses {freedom:.0} degrees of freedom of the {rows} rows of its batch: it fits that batch \
             and knows nothing of the next, and decomposing {rows} rows costs as much as dozens of updates by the \
             gradient"
        );
        let objective = &view.now.problem.objective;
        let components = objective.rows(1);
        let setup = view.setup;
        let kept = (components / PART).clamp(LEAST, MOST);
        let is_whole = sketched.is_none() && setup.value("sketch").is_some() && kept < components;
        let samples = (rows / kept).min(view.now.problem.train.len());
        let combined = is_whole.then(|| {
            let sketch = setup.setting("sketch", &kept.to_string());
            let batch = setup.setting("batch", &samples.to_string());
            format!("{sketch} with {batch}, which sees more samples in as many rows")
        });
        let layers = objective.tells_layer_moments();
        let by_layers = layers.then(|| setup.method("kron-hig"));
        let first = setup.method("adam");
        let others = combined.into_iter().chain(by_layers).chain([first]);
        Some(setup.finding(message, &[], others))
    }
}
