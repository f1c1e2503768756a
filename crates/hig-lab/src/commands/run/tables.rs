//! The tables that a run ends with.

use crate::console::table::layout;
use crate::experiment::Finished;

/// The final table of a run.
pub fn summary(finished: &[Finished]) -> String {
    let rows: Vec<Vec<String>> = finished
        .iter()
        .map(|f| {
            let o = &f.outcome;
            let mut row = vec![
                f.name.clone(),
                o.updates.to_string(),
                format!("{:.1}", o.seconds),
                format!("{:.3}", 1e3 * o.seconds / o.updates.max(1) as f64),
                format!("{:.2e}", o.train_loss),
                format!("{:.2e}", o.test_loss),
                o.returned.to_string(),
                format!("{:.2e}", o.last.test),
            ];
            let measures = f.curves.observed.measures.last();
            row.extend(
                measures
                    .into_iter()
                    .flatten()
                    .map(|(_, v)| format!("{v:.2e}")),
            );
            row.extend([o.consumed.clone(), o.stop.clone()]);
            row
        })
        .collect();
    let mut header = vec![
        "method",
        "updates",
        "seconds",
        "ms/update",
        "train loss",
        "test loss",
        "after update",
        "last test loss",
    ];
    let measures = finished
        .first()
        .and_then(|f| f.curves.observed.measures.last());
    header.extend(measures.into_iter().flatten().map(|(name, _)| *name));
    header.extend(["consumes", "ended by"]);
    layout(&header, &rows)
}

/// What was warned of, by method; nothing where all went well.
pub fn warnings(finished: &[Finished]) -> String {
    let mut text = String::new();
    for f in finished.iter().filter(|f| !f.warnings.is_empty()) {
        text += &format!("\n{}:\n", f.name);
        for warning in &f.warnings {
            text += &format!("  update {}: {}\n", warning.update, warning.message);
            text += &format!("    {}\n", warning.advice);
        }
    }
    text
}
