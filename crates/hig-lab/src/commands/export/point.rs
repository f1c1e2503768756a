//! Every number of a run as one row.

use crate::run_folder::history::History;
use crate::run_folder::{Method, Run};
use anyhow::Result;

/// The columns of the table.
pub const NAMES: [&str; 7] = [
    "run", "method", "update", "epoch", "seconds", "quantity", "value",
];

/// A row of the table.
pub struct Point<'a> {
    /// The run.
    pub run: &'a str,
    /// The method.
    pub method: &'a str,
    /// The update after which it was told.
    pub update: i64,
    /// Passes over the training samples; none where no evaluation was at that update.
    pub epoch: Option<f64>,
    /// Seconds of training, as `epoch`.
    pub seconds: Option<f64>,
    /// What was told: `test_loss`, `rank`, `timing.gram`, `singular_value.0`.
    pub quantity: &'a str,
    /// The number.
    pub value: f64,
}

/// Calls `each` for every number of the runs: losses, what the lab observed, what the steps told,
/// seconds by part, singular values. Cells that are empty are left out.
pub fn points(runs: &[Run], mut each: impl FnMut(Point<'_>) -> Result<()>) -> Result<()> {
    for run in runs {
        for method in &run.methods {
            let mut tell = |quantity: &str, update: f64, value: f64| {
                if !update.is_finite() {
                    return Ok(());
                }
                let (epoch, seconds) = clock(&method.history, update);
                each(Point {
                    run: &run.name,
                    method: &method.name,
                    update: update as i64,
                    epoch,
                    seconds,
                    quantity,
                    value,
                })
            };
            of_method(method, &mut tell)?;
        }
    }
    Ok(())
}

fn of_method(method: &Method, tell: &mut impl FnMut(&str, f64, f64) -> Result<()>) -> Result<()> {
    let history = &method.history;
    for (name, losses) in [
        ("train_loss", &history.train_loss),
        ("test_loss", &history.test_loss),
    ] {
        for (update, loss) in history.updates.iter().zip(losses) {
            tell(name, *update, *loss)?;
        }
    }
    let updates = method.diagnostics.get("update").unwrap_or_default();
    for (name, values) in method.diagnostics.iter() {
        // The steps tell it, too, and more often.
        let told = method.steps.iter().any(|step| step.name == name);
        if told || ["update", "epoch", "seconds"].contains(&name) {
            continue;
        }
        for (update, value) in updates.iter().zip(values).filter(|(_, v)| !v.is_nan()) {
            tell(name, *update, *value)?;
        }
    }
    for (prefix, all) in [("", &method.steps), ("timing.", &method.timing)] {
        for series in all {
            let name = format!("{prefix}{}", series.name);
            for (update, value) in series.update.iter().zip(&series.value) {
                tell(&name, *update, *value)?;
            }
        }
    }
    for spectrum in &method.spectrum {
        for (index, value) in spectrum.index.iter().zip(&spectrum.value) {
            tell(&format!("singular_value.{index}"), spectrum.update, *value)?;
        }
    }
    Ok(())
}

/// Epochs and seconds of the evaluation at an update, if there was one.
fn clock(history: &History, update: f64) -> (Option<f64>, Option<f64>) {
    let updates = &history.updates;
    let Ok(place) = updates.binary_search_by(|u| u.total_cmp(&update)) else {
        return (None, None);
    };
    let known = |values: &[f64]| values.get(place).copied().filter(|v| !v.is_nan());
    (known(&history.epochs), known(&history.seconds))
}
