//! `summary.csv`: how the trainings of all methods of a run ended.

use super::bounded_file::TEXT;
use super::outcome::{Outcome, Reason, last};
use super::tables::Marks;
use super::tables::csv_rows::{Table, number, open, text};
use std::io::{self, BufRead};
use std::path::Path;

/// The file in the folder of a run.
pub const FILE: &str = "summary.csv";

/// Methods that are read of it.
const METHODS: usize = 1000;

/// What every version has written.
const COLUMNS: [&str; 7] = [
    "method",
    "updates",
    "seconds",
    "train_loss",
    "test_loss",
    "consumes",
    "stop",
];

/// Of the weights that were returned, and of the last ones.
const LAST: [&str; 3] = ["returned", "last_train_loss", "last_test_loss"];

/// The text of the file.
pub fn csv<'a>(outcomes: impl IntoIterator<Item = (&'a str, &'a Outcome)>) -> String {
    let mut text = [&COLUMNS[..], &LAST].concat().join(",") + "\n";
    for (method, o) in outcomes {
        let stop = o.stop.replace('"', "'");
        text += &format!(
            "{method},{},{:.6},{:e},{:e},\"{}\",\"{stop}\",{},{:e},{:e}\n",
            o.updates,
            o.seconds,
            o.train_loss,
            o.test_loss,
            o.consumed,
            o.returned,
            o.last.train,
            o.last.test
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
    let told = table.places(LAST);
    while let (true, Some(row)) = (outcomes.len() < METHODS, table.next_row()?) {
        let stop = text(&row[stop]);
        let updates = number(&row[updates]) as usize;
        let (train, test) = (number(&row[train]), number(&row[test]));
        let (returned, last) = match told {
            Some([returned, train, test]) => (
                number(&row[returned]) as usize,
                last(updates, number(&row[train]), number(&row[test])),
            ),
            None => (updates, last(updates, train, test)),
        };
        let outcome = Outcome {
            updates,
            epochs: f64::NAN,
            seconds: number(&row[seconds]),
            returned,
            train_loss: train,
            test_loss: test,
            best: None,
            last,
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
            returned: 5,
            train_loss: 1.0 / 3.0,
            test_loss: f64::INFINITY,
            best: None,
            last: last(7, 0.5, 2.0),
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
        // As an older version wrote it.
        let older = COLUMNS.join(",") + "\nhig,7,0.5,1,2,gradient,budget used\n";
        let read = parse(older.as_bytes()).unwrap();
        let outcome = &read[0].1;
        assert_eq!(
            (outcome.returned, outcome.last.train, outcome.last.test),
            (7, 1.0, 2.0)
        );
    }
}
