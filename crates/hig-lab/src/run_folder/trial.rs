//! What one training of a sweep, a study or a reproduction came to: a file of the folder `trials/`.

use super::bounded_file;
use super::history::History;
use hig::files::write_whole;
use hig::trainer::Stop;
use std::collections::BTreeMap;
use std::path::Path;

/// The names of the series of a [`History`] in the file.
const SERIES: [&str; 5] = ["updates", "epochs", "seconds", "train_loss", "test_loss"];

/// What one training came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trial {
    /// The seed of data, weights and order.
    pub seed: u64,
    /// Why it ended.
    pub stop: String,
    /// Its evaluations.
    pub history: History,
    /// What the last update told of itself, by name; NaN at an evaluation without.
    pub diagnostics: BTreeMap<String, Vec<f64>>,
    /// What the system measures beside the loss, at the end.
    pub measures: Vec<(String, f64)>,
    /// Places (evaluations) where another method took over.
    pub changes: Vec<usize>,
    /// Mean and standard deviation of |activation| at the end; NaN without saturating neurons.
    pub saturation: (f64, f64),
    /// The update after which the weights that were returned stood, and their training and test loss;
    /// none in files of older versions.
    pub returned: Option<(usize, f64, f64)>,
    /// Root mean square distance by which the first update moved the test samples' y.
    pub first_jump: f64,
}

impl Trial {
    /// Training loss at the end; infinite for a training that diverged.
    pub fn train_loss(&self) -> f64 {
        self.last(&self.history.train_loss)
    }

    /// Test loss at the end; infinite for a training that diverged.
    pub fn test_loss(&self) -> f64 {
        self.last(&self.history.test_loss)
    }

    /// Test loss of the weights that were returned, those of the start included; infinite where none had
    /// a finite loss.
    pub fn returned_test_loss(&self) -> f64 {
        let told = self.returned.map(|(_, _, test)| test);
        told.filter(|loss| !loss.is_nan()).unwrap_or(f64::INFINITY)
    }

    fn last(&self, losses: &[f64]) -> f64 {
        match losses.last() {
            Some(loss) if self.stop == Stop::Budget.to_string() => *loss,
            _ => f64::INFINITY,
        }
    }
}

impl Trial {
    fn to_toml(&self) -> toml::Table {
        let mut table = toml::Table::new();
        table.insert("seed".into(), (self.seed as i64).into());
        table.insert("stop".into(), self.stop.clone().into());
        for (name, values) in SERIES.into_iter().zip(self.history.series()) {
            table.insert(name.into(), values.to_vec().into());
        }
        let diagnostics: toml::Table = self
            .diagnostics
            .iter()
            .map(|(name, values)| (name.clone(), values.clone().into()))
            .collect();
        table.insert("diagnostics".into(), diagnostics.into());
        let measures: toml::Table = self
            .measures
            .iter()
            .map(|(name, value)| (name.clone(), (*value).into()))
            .collect();
        table.insert("measures".into(), measures.into());
        let changes: Vec<i64> = self.changes.iter().map(|place| *place as i64).collect();
        table.insert("changes".into(), changes.into());
        let (mean, deviation) = self.saturation;
        table.insert("saturation".into(), vec![mean, deviation].into());
        table.insert("first_jump".into(), self.first_jump.into());
        if let Some((update, train, test)) = self.returned {
            let returned = vec![update as f64, train, test];
            table.insert("returned".into(), returned.into());
        }
        table
    }

    fn from_toml(table: &toml::Table) -> Option<Self> {
        let floats = |array: &toml::Value| -> Option<Vec<f64>> {
            let values = array.as_array()?.iter();
            values.map(toml::Value::as_float).collect()
        };
        let numbers = |name: &str| floats(table.get(name)?);
        // Files written before diagnostics were kept have none.
        let diagnostics = match table.get("diagnostics") {
            None => Some(BTreeMap::new()),
            Some(found) => {
                let columns = found.as_table()?.iter();
                let columns = columns.map(|(name, values)| Some((name.clone(), floats(values)?)));
                columns.collect::<Option<_>>()
            }
        };
        let returned = match table.get("returned") {
            None => None,
            Some(told) => match floats(told)?[..] {
                [update, train, test] => Some((update as usize, train, test)),
                _ => return None,
            },
        };
        let mut history = History::default();
        for (series, name) in history.series_mut().into_iter().zip(SERIES) {
            *series = numbers(name)?;
        }
        let saturation = numbers("saturation")?;
        let changes = table.get("changes")?.as_array()?.iter();
        let measures = table.get("measures")?.as_table()?.iter();
        Some(Self {
            seed: u64::try_from(table.get("seed")?.as_integer()?).ok()?,
            stop: table.get("stop")?.as_str()?.into(),
            history,
            diagnostics: diagnostics?,
            measures: measures
                .map(|(name, value)| Some((name.clone(), value.as_float()?)))
                .collect::<Option<_>>()?,
            changes: changes
                .map(|place| usize::try_from(place.as_integer()?).ok())
                .collect::<Option<_>>()?,
            saturation: (*saturation.first()?, *saturation.get(1)?),
            returned,
            first_jump: table.get("first_jump")?.as_float()?,
        })
    }
}

/// Bytes of a finished training; a million evaluations have 100 million.
const LARGEST: u64 = 1 << 28;

impl Trial {
    /// Writes the file whole.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> hig::Result<()> {
        write_whole(path, self.to_toml().to_string().as_bytes())
    }

    /// Reads the file; none where there is none. One that is damaged counts as not finished.
    pub fn read(path: &Path) -> Option<Self> {
        let text = bounded_file::read_text(path, LARGEST).ok()?;
        Self::from_toml(&text.parse().ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_travel_through_files() {
        let trial = Trial {
            seed: 3,
            stop: "budget used".into(),
            history: History {
                updates: vec![0.0, 1.0],
                epochs: vec![0.0, 0.5],
                seconds: vec![0.0, 1e-3],
                train_loss: vec![1.0, 1e-300],
                test_loss: vec![1.5, 0.25],
            },
            diagnostics: BTreeMap::from([("kappa".into(), vec![0.0, 0.5])]),
            measures: vec![("l1_distance".into(), 0.1)],
            changes: vec![1],
            saturation: (0.5, 0.25),
            returned: Some((1, 0.5, 0.25)),
            first_jump: 2.0,
        };
        let mut table: toml::Table = trial.to_toml().to_string().parse().unwrap();
        assert_eq!(Trial::from_toml(&table).as_ref(), Some(&trial));
        table.insert("diagnostics".into(), 1.into());
        assert_eq!(Trial::from_toml(&table), None);
        table.remove("diagnostics");
        let older = Trial {
            diagnostics: BTreeMap::new(),
            ..trial
        };
        assert_eq!(Trial::from_toml(&table), Some(older));
        assert_eq!(Trial::from_toml(&"seed = 3".parse().unwrap()), None);
    }
}
