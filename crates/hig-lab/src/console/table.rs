//! Results as tables of text.

use crate::experiment::recorder::Finished;

/// Lays out rows of cells with the columns aligned; the first column to the left, numbers to the
/// right.
pub fn layout(header: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..header.len())
        .map(|j| {
            rows.iter()
                .map(|row| row[j].chars().count())
                .fold(header[j].chars().count(), usize::max)
        })
        .collect();
    let mut text = String::new();
    let mut push = |cells: Vec<&str>| {
        let mut line = format!("{:<width$}", cells[0], width = widths[0]);
        for (cell, width) in cells.iter().zip(&widths).skip(1) {
            line += &format!("  {cell:>width$}");
        }
        text += line.trim_end();
        text += "\n";
    };
    push(header.to_vec());
    let rule: Vec<String> = widths.iter().map(|w| "-".repeat(*w)).collect();
    push(rule.iter().map(String::as_str).collect());
    for row in rows {
        push(row.iter().map(String::as_str).collect());
    }
    text
}

/// The final table of a run.
pub fn summary(finished: &[Finished]) -> String {
    let rows: Vec<Vec<String>> = finished
        .iter()
        .map(|f| {
            let o = &f.ended;
            let mut row = vec![
                f.name.clone(),
                o.updates.to_string(),
                format!("{:.1}", o.seconds),
                format!("{:.3}", 1e3 * o.seconds / o.updates.max(1) as f64),
                format!("{:.2e}", o.train_loss),
                format!("{:.2e}", o.test_loss),
            ];
            let measures = f.curves.measures.last();
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
    ];
    let measures = finished.first().and_then(|f| f.curves.measures.last());
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

/// The final table of a run as CSV.
pub fn summary_csv(finished: &[Finished]) -> String {
    let mut text = "method,updates,seconds,train_loss,test_loss,consumes,stop\n".to_owned();
    for f in finished {
        let o = &f.ended;
        let stop = o.stop.replace('"', "'");
        text += &format!(
            "{},{},{:.6},{:e},{:e},\"{}\",\"{stop}\"\n",
            f.name, o.updates, o.seconds, o.train_loss, o.test_loss, o.consumed
        );
    }
    text
}
