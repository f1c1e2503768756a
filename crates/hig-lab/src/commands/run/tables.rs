//! The tables that a run ends with.

use crate::console::table::layout;
use crate::experiment::{Experiment, Finished};
use hig::objective::{Estimate, estimates};

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

/// What the training samples tell of the unknowns of a system at the end of each method; nothing where it
/// has none. What cannot be told is said, and costs nothing else.
pub fn estimated<'a>(
    experiment: &Experiment,
    finished: &'a [Finished],
) -> Vec<(&'a str, Vec<Estimate>)> {
    if !experiment.system.tells_estimates() {
        return Vec::new();
    }
    let problem = &experiment.problem;
    let of_method = |f: &'a Finished| {
        let found = estimates(problem.objective.as_ref(), &f.parameters, &problem.train);
        let deviation = experiment.system.estimates_variance().sqrt();
        match found {
            Ok(mut found) => {
                found.iter_mut().for_each(|e| e.standard_error *= deviation);
                Some((f.name.as_str(), found))
            }
            Err(error) => {
                tracing::warn!("{}: no standard errors: {error}", f.name);
                None
            }
        }
    };
    finished.iter().filter_map(of_method).collect()
}

/// The table of [`estimated`].
pub fn estimates_table(all: &[(&str, Vec<Estimate>)]) -> String {
    let rows = all.iter().flat_map(|(method, found)| {
        found.iter().map(|e| {
            let numbers = [e.value, e.standard_error].map(|v| format!("{v:.4e}"));
            [
                vec![(*method).to_owned(), e.name.to_owned()],
                numbers.to_vec(),
            ]
            .concat()
        })
    });
    let rows: Vec<Vec<String>> = rows.collect();
    match rows.is_empty() {
        true => String::new(),
        false => format!(
            "\n{}",
            layout(&["method", "unknown", "value", "standard error"], &rows)
        ),
    }
}

/// The same as a file of comma-separated values.
pub fn estimates_csv(all: &[(&str, Vec<Estimate>)]) -> String {
    let mut text = String::from("method,unknown,value,standard_error\n");
    for (method, found) in all {
        for e in found {
            text += &format!("{method},{},{:e},{:e}\n", e.name, e.value, e.standard_error);
        }
    }
    text
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
