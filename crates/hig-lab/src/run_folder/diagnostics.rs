//! `diagnostics.csv`: what is observed of the network and the system at the evaluations.

use super::tables::Columns;
use hig::objective::Saturation;
use std::io;
use std::path::Path;

/// The file in the folder of a method.
pub const FILE: &str = "diagnostics.csv";

const FIRST: [&str; 5] = [
    "update",
    "seconds",
    "activation_mean",
    "activation_deviation",
    "rank",
];

/// What is observed, one place an evaluation.
#[derive(Debug, Clone, Default)]
pub struct Observations {
    /// Mean of |activation| over the test samples; NaN without saturating neurons.
    pub saturation: Vec<f64>,
    /// Standard deviation of |activation|.
    pub saturation_deviation: Vec<f64>,
    /// What the system measures beside the loss.
    pub measures: Vec<Vec<(&'static str, f64)>>,
    /// y of one test sample.
    pub probe: Vec<Vec<f64>>,
}

/// One evaluation.
#[derive(Debug)]
pub struct Observation {
    /// Updates done.
    pub update: usize,
    /// Seconds of training.
    pub seconds: f64,
    /// Of the test samples, where neurons can saturate.
    pub saturation: Option<Saturation>,
    /// Rank of J, where the step told it.
    pub rank: Option<f64>,
    /// What the system measures beside the loss.
    pub measures: Vec<(&'static str, f64)>,
    /// y of one test sample.
    pub y: Vec<f64>,
}

/// The first line, with the names of what the system measures and `outputs` numbers of y.
pub fn header(measures: &[(&'static str, f64)], outputs: usize) -> String {
    let measures = measures.iter().map(|(name, _)| (*name).to_owned());
    let columns = measures.chain((1..=outputs).map(y));
    let columns = FIRST.into_iter().map(str::to_owned).chain(columns);
    columns.collect::<Vec<_>>().join(",")
}

/// The name of a column of y.
fn y(place: usize) -> String {
    format!("y{place}")
}

impl Observation {
    /// A line of the file.
    pub fn row(&self) -> String {
        let (mean, deviation) = self.saturation();
        let rank = self.rank.map_or(String::new(), |rank| rank.to_string());
        let numbers = self.measures.iter().map(|(_, value)| value).chain(&self.y);
        let numbers: Vec<String> = numbers.map(|v| format!("{v:e}")).collect();
        format!(
            "{},{:.6},{mean:e},{deviation:e},{rank},{}\n",
            self.update,
            self.seconds,
            numbers.join(",")
        )
    }

    fn saturation(&self) -> (f64, f64) {
        let known = |s: Saturation| (s.mean, s.deviation);
        self.saturation.map_or((f64::NAN, f64::NAN), known)
    }
}

impl Observations {
    /// Takes an evaluation.
    pub fn push(&mut self, now: Observation) {
        let (mean, deviation) = now.saturation();
        self.saturation.push(mean);
        self.saturation_deviation.push(deviation);
        self.measures.push(now.measures);
        self.probe.push(now.y);
    }

    /// The first `rows` rows of a file of a system with these measures and `outputs` numbers of y.
    pub fn of(
        table: &Columns,
        rows: usize,
        measures: &[(&'static str, f64)],
        outputs: usize,
    ) -> Self {
        let mut all = Self::default();
        let value = |name: &str, row: usize| table.get(name).map_or(f64::NAN, |column| column[row]);
        for row in 0..rows {
            all.saturation.push(value("activation_mean", row));
            let deviation = value("activation_deviation", row);
            all.saturation_deviation.push(deviation);
            let measured = measures.iter().map(|(name, _)| (*name, value(name, row)));
            all.measures.push(measured.collect());
            let y = (1..=outputs).map(|place| value(&y(place), row));
            all.probe.push(y.collect());
        }
        all
    }
}

/// Reads the file; none where there is none.
///
/// # Errors
/// The file is there and cannot be read.
pub fn read(path: &Path) -> io::Result<Option<Columns>> {
    Columns::read(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_what_was_written() {
        let observation = |update: usize, saturation: Option<Saturation>| Observation {
            update,
            seconds: 0.5,
            saturation,
            rank: (update > 0).then_some(12.0),
            measures: vec![("l1_distance", 0.1 + 0.2)],
            y: vec![1e-300, -2.0],
        };
        let saturated = Saturation {
            mean: 1.0 / 3.0,
            deviation: 0.25,
        };
        let rows = [observation(0, None), observation(4, Some(saturated))];
        let header = header(&rows[0].measures, 2);
        let text = format!("{header}\n{}{}", rows[0].row(), rows[1].row());
        let table = Columns::of(text.as_bytes()).unwrap();
        assert_eq!(table.get("update"), Some(&[0.0, 4.0][..]));
        let rank = table.get("rank").unwrap();
        assert!(rank[0].is_nan() && rank[1] == 12.0);
        let read = Observations::of(&table, 2, &rows[0].measures, 2);
        let mut written = Observations::default();
        rows.into_iter().for_each(|row| written.push(row));
        assert_eq!(format!("{read:?}"), format!("{written:?}"));
    }
}
