//! `pictures.json`: what a test sample looks like under the weights of the moment.

use super::tables::csv_rows;
use hig::Result;
use hig::files::write_whole;
use hig::systems::Picture;
use hig::systems::picture::{Field, Lines};
use serde_json::{Value, json};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// The file in the folder of a method.
pub const FILE: &str = "pictures.json";

/// Bytes of it; a field of 256 × 256 values has one million.
const LARGEST: u64 = 1 << 24;

/// Nobody watches closer, and a simulation of one sample may take as long as an update.
const INTERVAL: Duration = Duration::from_secs(2);

/// The file, rewritten whole from time to time.
#[derive(Debug)]
pub struct Live {
    path: PathBuf,
    sample: usize,
    /// When it was written last, and at which update.
    last: Option<(Instant, usize)>,
}

impl Live {
    /// Nothing is written before the first pictures.
    pub fn new(folder: &Path, sample: usize) -> Self {
        Self {
            path: folder.join(FILE),
            sample,
            last: None,
        }
    }

    /// Writes the pictures of an update if the last ones are old enough, or of an earlier update and
    /// these are the `end`.
    pub fn offer(
        &mut self,
        update: usize,
        end: bool,
        pictures: impl FnOnce() -> Vec<Picture>,
    ) -> Result<()> {
        let due = match self.last {
            None => true,
            Some((_, written)) if end => written != update,
            Some((time, _)) => time.elapsed() >= INTERVAL,
        };
        if !due {
            return Ok(());
        }
        let pictures = pictures();
        if !pictures.is_empty() {
            let text = text(update, self.sample, &pictures);
            write_whole(&self.path, text.as_bytes())?;
        }
        self.last = Some((Instant::now(), update));
        Ok(())
    }
}

fn text(update: usize, sample: usize, pictures: &[Picture]) -> String {
    let pictures: Vec<Value> = pictures.iter().map(value).collect();
    json!({ "update": update, "sample": sample, "pictures": pictures }).to_string()
}

/// One picture; numbers that are not finite become null.
fn value(picture: &Picture) -> Value {
    match picture {
        Picture::Lines(Lines {
            title,
            x,
            y,
            lines,
            points,
        }) => {
            let line = |(label, x, y): &(String, Vec<f64>, Vec<f64>)| json!({ "label": label, "x": x, "y": y });
            let point =
                |(label, x, y): &(String, f64, f64)| json!({ "label": label, "x": x, "y": y });
            json!({
                "kind": "lines", "title": title, "x": x, "y": y,
                "lines": lines.iter().map(line).collect::<Vec<_>>(),
                "points": points.iter().map(point).collect::<Vec<_>>(),
            })
        }
        Picture::Field(Field {
            title,
            x,
            y,
            x_range,
            y_range,
            values,
            quantity,
        }) => json!({
            "kind": "field", "title": title, "x": x, "y": y,
            "x_range": [x_range.0, x_range.1], "y_range": [y_range.0, y_range.1],
            "values": values, "quantity": quantity,
        }),
    }
}

/// Reads the file; none where there is none, or where it holds something else.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Option<Value>> {
    match csv_rows::open(path)? {
        Some(file) => parse(file),
        None => Ok(None),
    }
}

/// Reads the text of such a file; none where it holds something else.
///
/// # Errors
/// It is no JSON, or of more than 16 MiB.
pub fn parse(source: impl Read) -> io::Result<Option<Value>> {
    let value: Value = serde_json::from_reader(source.take(LARGEST))?;
    Ok(value
        .get("pictures")
        .is_some_and(Value::is_array)
        .then_some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(values: Vec<Vec<f64>>) -> Vec<Picture> {
        vec![Picture::Field(Field {
            title: "a \"field\"".into(),
            x_range: (0.0, 1.0),
            y_range: (-1.0, 1.0),
            values,
            ..Field::default()
        })]
    }

    #[test]
    fn pictures_are_written_first_and_last_and_seldom_between() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join(FILE);
        let update = || {
            let text = std::fs::read_to_string(&path).unwrap();
            serde_json::from_str::<Value>(&text).unwrap()["update"].clone()
        };
        let mut live = Live::new(folder.path(), 0);
        live.offer(0, false, || field(vec![vec![1.0, 2.0]]))
            .unwrap();
        assert_eq!(update(), 0);
        live.offer(1, false, || panic!("it is not due yet"))
            .unwrap();
        live.offer(2, true, || field(vec![vec![1.0, 2.0]])).unwrap();
        assert_eq!(update(), 2);
        live.offer(2, true, || panic!("it is written already"))
            .unwrap();
    }

    #[test]
    fn a_system_without_pictures_leaves_no_file() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join(FILE);
        Live::new(folder.path(), 0)
            .offer(0, false, Vec::new)
            .unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn what_is_not_finite_is_null_and_rows_stand_from_the_bottom_up() {
        let lines = Picture::Lines(Lines {
            title: "lines".into(),
            lines: vec![("a".into(), vec![0.0, 1.0], vec![f64::NAN, f64::INFINITY])],
            points: vec![("b".into(), 0.5, f64::NEG_INFINITY)],
            ..Lines::default()
        });
        let pictures = [field(vec![vec![1.0], vec![f64::NAN]]), vec![lines]].concat();
        let read: Value = serde_json::from_str(&text(3, 1, &pictures)).unwrap();
        let expected = json!({ "update": 3, "sample": 1, "pictures": [
            { "kind": "field", "title": "a \"field\"", "x": "", "y": "", "quantity": "",
              "x_range": [0.0, 1.0], "y_range": [-1.0, 1.0], "values": [[1.0], [null]] },
            { "kind": "lines", "title": "lines", "x": "", "y": "",
              "lines": [{ "label": "a", "x": [0.0, 1.0], "y": [null, null] }],
              "points": [{ "label": "b", "x": 0.5, "y": null }] },
        ] });
        assert_eq!(read, expected);
        let text = expected.to_string();
        assert_eq!(parse(text.as_bytes()).unwrap(), Some(expected));
        assert_eq!(parse("[1]".as_bytes()).unwrap(), None);
    }
}
