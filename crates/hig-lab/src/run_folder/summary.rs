//! `summary.csv`: how the trainings of all methods of a run ended.

use super::bounded_file::TEXT;
use super::outcome::{Outcome, Reason};
use super::tables::Marks;
use super::tables::csv_rows::{Table, number, open, text};
use std::io::{self, BufRead};
use std::path::Path;

/// The file in the folder of a run.
pub const FILE: &str = "summary.csv";

/// Methods that are read of it.
const METHODS: usize = 1000;

const COLUMNS: [&str; 7] = [
    "method",
    "updates",
    "seconds",
    "train_loss",
    "test_loss",
    "consumes",
    "stop",
];

/// The text of the file.
pub fn csv<'a>(outcomes: impl IntoIterator<Item = (&'a str, &'a Outcome)>) -> String {
    let mut text = COLUMNS.join(",") + "\n";
    for (method, o) in outcomes {
        let stop = o.stop.replace('"', "'");
        text += &format!(
            "{method},{},{:.6},{:e},{:e},\"{}\",\"{stop}\"\n",
            o.updates, o.seconds, o.train_loss, o.test_loss, o.consumed
        );
    }
    text
}

/// The outcomes in the file, by method: all that runs of older versions left of them. Epochs and phases
/// are not in it.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Vec<(String, Outcome)>> {
    match open(path)? {
        Some(file) => parse(file),
        None => Ok(Vec::new()),
    }
}

/// Reads the text of such a file: of its first MiB the outcomes of 1000 methods.
///
/// # Errors
/// None.
pub fn parse(source: impl BufRead) -> io::Result<Vec<(String, Outcome)>> {
    let mut outcomes = Vec::new();
    let mut table = Table::of(source.take(TEXT))?;
    let Some([method, updates, seconds, train, test, consumes, stop]) = table.places(COLUMNS)
    else {
        return Ok(outcomes);
    };
    while let (true, Some(row)) = (outcomes.len() < METHODS, table.next_row()?) {
        let stop = text(&row[stop]);
        let outcome = Outcome {
            updates: number(&row[updates]) as usize,
            epochs: f64::NAN,
            seconds: number(&row[seconds]),
            train_loss: number(&row[train]),
            test_loss: number(&row[test]),
            reason: Reason::of_words(&stop),
            stop,
            consumed: text(&row[consumes]),
            phases: Vec::new(),
            tables: Marks::default(),
        };
        outcomes.push((text(&row[method]), outcome));
    }
    Ok(outcomes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let outcome = |stop: &str, reason: Reason| Outcome {
            updates: 7,
            epochs: f64::NAN,
            seconds: 0.5,
            train_loss: 1.0 / 3.0,
            test_loss: f64::INFINITY,
            stop: stop.into(),
            reason,
            consumed: "Gram matrix, 512 x 2956".into(),
            phases: Vec::new(),
            tables: Marks::default(),
        };
        let written = [
            ("hig", outcome("budget used", Reason::Budget)),
            ("adam:5+hig", outcome("interrupted", Reason::Interrupted)),
            (
                "gn",
                outcome("loss is NaN after update 6", Reason::Diverged),
            ),
            ("lm", outcome("failed after update 7: disk", Reason::Failed)),
        ];
        let text = csv(written.iter().map(|(name, outcome)| (*name, outcome)));
        let read = parse(text.as_bytes()).unwrap();
        let written = written.map(|(name, outcome)| (name.to_owned(), outcome));
        assert_eq!(format!("{read:?}"), format!("{written:?}"));
    }
}
