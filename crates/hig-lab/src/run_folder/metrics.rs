//! `metrics.csv`: the losses at the evaluations of a training.

use super::history::History;
use super::tables::Columns;
use hig::Result;
use hig::trainer::MetricsWriter;
use std::io::{self, BufRead};
use std::path::Path;

/// The file in the folder of a method, by which the folder is known as one.
pub const FILE: &str = "metrics.csv";

/// Its columns, in the order of the series of a [`History`].
pub const COLUMNS: [&str; 5] = ["update", "epoch", "seconds", "train_loss", "test_loss"];

/// What writes the file: goes on with one that is there.
pub fn writer(folder: &Path) -> Result<MetricsWriter> {
    MetricsWriter::open(&folder.join(FILE))
}

/// Reads the file; none where there is none.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Option<History>> {
    Ok(Columns::read(path)?.as_ref().map(history))
}

/// Reads the text of such a file.
///
/// # Errors
/// A line that is too long for a table.
pub fn parse(source: impl BufRead) -> io::Result<History> {
    Ok(history(&Columns::of(source)?))
}

fn history(table: &Columns) -> History {
    let mut history = History::default();
    for (series, name) in history.series_mut().into_iter().zip(COLUMNS) {
        *series = table.get(name).unwrap_or_default().to_vec();
    }
    history
}

#[cfg(test)]
mod tests {
    use super::*;
    use hig::systems::{System, Toy};
    use hig::trainer::{Evaluation, Observer};

    #[test]
    fn what_is_read_is_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let problem = Toy::default().problem(0);
        let mut written = History::default();
        let mut writer = writer(folder.path()).unwrap();
        for (update, loss) in [(0, 1.0 / 3.0), (7, 1e-300), (8, f64::INFINITY)] {
            let now = Evaluation {
                problem: &problem,
                parameters: &[],
                update,
                epoch: 0.5,
                seconds: 0.25,
                train_loss: loss,
                validation_loss: f64::NAN,
                test_loss: 2.0 * loss,
                best: false,
                batch_loss: loss,
                rows: 1,
                diagnostics: &[],
                spectrum: &[],
            };
            writer.evaluation(&now).unwrap();
            written.push(&now);
        }
        let path = folder.path().join(FILE);
        assert_eq!(read(&path).unwrap(), Some(written));
        let header = std::fs::read_to_string(&path).unwrap();
        assert_eq!(header.lines().next(), Some(COLUMNS.join(",").as_str()));
        assert_eq!(read(&folder.path().join("other.csv")).unwrap(), None);
    }

    #[test]
    fn a_series_that_is_not_there_is_empty() {
        let history = parse("update,test_loss\n0,2\n1,x\n".as_bytes()).unwrap();
        assert_eq!(history.updates, [0.0, 1.0]);
        assert!(history.test_loss[0] == 2.0 && history.test_loss[1].is_nan());
        assert!(history.epochs.is_empty() && history.train_loss.is_empty());
    }
}
