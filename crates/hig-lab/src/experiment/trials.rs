//! Trainings that studies, sweeps and reproductions are made of: cases, each with several seeds,
//! kept on disk so that a stopped command goes on where it was.

use crate::console::interrupt::{self, Interrupt};
use crate::console::{Manner, Together};
use crate::error::Refused;
use crate::method_chain::{Phase, memory_limit};
use crate::run_folder::bounded_file;
use anyhow::{Context, Result};
use hig::systems::{System, check_memory};
use hig::tensors::write_whole;
use hig::trainer::{Budget, Evaluation, Flow, Observer, Start, Stop, saturation, train};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Seeds of a case that a command may ask for.
pub const MOST_SEEDS: usize = 10_000;
/// Cases of a command.
pub const MOST_CASES: usize = 10_000;

/// A setting of which several seeds are trained.
#[derive(Debug)]
pub struct Case {
    /// A short name, unique among the cases of a command.
    pub name: String,
    /// The system.
    pub system: Box<dyn System>,
    /// One method, or several one after the other.
    pub phases: Vec<Phase>,
    /// How long to train.
    pub budget: Budget,
}

/// What one training came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trial {
    /// The seed of data, weights and order.
    pub seed: u64,
    /// Why it ended.
    pub stop: String,
    /// Updates at the evaluations.
    pub updates: Vec<f64>,
    /// Passes over the training samples at the evaluations.
    pub epochs: Vec<f64>,
    /// Seconds of training at the evaluations.
    pub seconds: Vec<f64>,
    /// Training loss at the evaluations.
    pub train_loss: Vec<f64>,
    /// Test loss at the evaluations.
    pub test_loss: Vec<f64>,
    /// What the last update told of itself, by name; NaN at an evaluation without.
    pub diagnostics: BTreeMap<String, Vec<f64>>,
    /// What the system measures beside the loss, at the end.
    pub measures: Vec<(String, f64)>,
    /// Places (evaluations) where another method took over.
    pub changes: Vec<usize>,
    /// Mean and standard deviation of |activation| at the end; NaN without saturating neurons.
    pub saturation: (f64, f64),
    /// Root mean square distance by which the first update moved the test samples' y.
    pub first_jump: f64,
}

impl Trial {
    /// Training loss at the end; infinite for a training that diverged.
    pub fn train_loss(&self) -> f64 {
        self.last(&self.train_loss)
    }

    /// Test loss at the end; infinite for a training that diverged.
    pub fn test_loss(&self) -> f64 {
        self.last(&self.test_loss)
    }

    /// Seconds until an evaluation finds a test loss no larger than `loss`.
    pub fn seconds_to(&self, loss: f64) -> Option<f64> {
        let place = self.test_loss.iter().position(|l| *l <= loss)?;
        Some(self.seconds[place])
    }

    fn last(&self, losses: &[f64]) -> f64 {
        match losses.last() {
            Some(loss) if self.stop == Stop::Budget.to_string() => *loss,
            _ => f64::INFINITY,
        }
    }
}

/// How a set of cases is run.
#[derive(Debug)]
pub struct Plan<'a> {
    /// The cases.
    pub cases: &'a [Case],
    /// The seeds of each.
    pub seeds: &'a [u64],
    /// Whether trainings may share the cores; not where their seconds are compared.
    pub parallel: bool,
    /// Folder for finished trainings.
    pub cache: PathBuf,
    /// How the work tells of itself.
    pub manner: Manner,
}

impl Plan<'_> {
    /// Trains what is not there yet; the trials of a case stand together, in order of seeds. After
    /// an interrupt some are missing.
    pub fn run(&self) -> Result<Vec<Vec<Trial>>> {
        fs::create_dir_all(&self.cache).with_context(|| format!("{}", self.cache.display()))?;
        let seeds = |case| self.seeds.iter().map(move |seed| (case, *seed));
        let jobs: Vec<(usize, u64)> = (0..self.cases.len()).flat_map(seeds).collect();
        let together = Together::new(self.manner, jobs.len());
        let job = |(case, seed): (usize, u64)| -> Result<(usize, Option<Trial>)> {
            let case_of = &self.cases[case];
            let path = self.cache.join(case_of.file_name(seed));
            let name = &case_of.name;
            if let Some(trial) = load(&path) {
                together.end(name, seed, trial.test_loss(), &trial.stop);
                return Ok((case, Some(trial)));
            }
            if interrupt::asked() {
                return Ok((case, None));
            }
            together.begin(name, seed);
            let trial = case_of.train(seed)?;
            if interrupt::asked() {
                return Ok((case, None));
            }
            write_whole(&path, trial.to_toml().to_string().as_bytes())?;
            together.end(name, seed, trial.test_loss(), &trial.stop);
            Ok((case, Some(trial)))
        };
        let done: Vec<(usize, Option<Trial>)> = if self.parallel {
            jobs.into_par_iter().map(job).collect::<Result<_>>()?
        } else {
            jobs.into_iter().map(job).collect::<Result<_>>()?
        };
        drop(together);
        let mut by_case = vec![Vec::new(); self.cases.len()];
        for (case, trial) in done {
            by_case[case].extend(trial);
        }
        Ok(by_case)
    }
}

impl Case {
    /// Refuses what can be known to be wrong before training.
    pub fn check(&self, seed: u64) -> Result<()> {
        let name = &self.name;
        let refused = |e: hig::Error| Refused::because(format_args!("{name}: {e}"));
        let limit = memory_limit(&self.phases);
        self.system
            .check_together()
            .and_then(|()| check_memory(self.system.as_ref(), limit))
            .map_err(refused)?;
        let problem = self.system.problem(seed);
        let weights = problem.network.initial_parameters(seed);
        for phase in &self.phases {
            let method = phase.method.as_ref();
            hig::trainer::check(&problem, method, &weights, &phase.training, &self.budget)
                .map_err(refused)?;
        }
        Ok(())
    }

    /// Where a finished training is kept: the name, readable, and a fingerprint of every setting.
    fn file_name(&self, seed: u64) -> String {
        let readable: String = self
            .name
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || "-_.=".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let phases = self
            .phases
            .iter()
            .map(|p| format!("{:?}", p.method.settings()));
        let trainings = self
            .phases
            .iter()
            .map(|p| format!("{:?}{:?}", p.training, p.until));
        let all: Vec<String> = phases.chain(trainings).collect();
        let text = format!(
            "{:?} {:?} {} {}",
            self.system,
            self.budget,
            all.join(" "),
            env!("CARGO_PKG_VERSION")
        );
        format!("{readable}-seed{seed}-{:016x}.toml", fingerprint(&text))
    }

    fn train(&self, seed: u64) -> Result<Trial> {
        let problem = self.system.problem(seed);
        let mut watcher = Watcher::default();
        let mut start = Start::from(problem.network.initial_parameters(seed));
        for (i, phase) in self.phases.iter().enumerate() {
            let mut budget = self.budget;
            budget.updates = phase.until.or(budget.updates);
            let outcome = train(
                &problem,
                phase.method.as_ref(),
                start,
                &phase.training,
                budget,
                seed.wrapping_add(1000 * i as u64),
                &mut [&mut watcher, &mut Interrupt],
            )?;
            start = Start::from(&outcome);
            watcher.trial.stop = outcome.stop.to_string();
            if !matches!(outcome.stop, Stop::Budget) {
                break;
            }
            if i + 1 < self.phases.len() {
                watcher.trial.changes.push(watcher.trial.updates.len() - 1);
            }
        }
        let mut trial = watcher.trial;
        trial.seed = seed;
        let measures = self.system.measures(&problem, &start.parameters);
        trial.measures = measures
            .into_iter()
            .map(|(name, v)| (name.into(), v))
            .collect();
        trial.saturation = saturation(&problem.network, &start.parameters, &problem.test)
            .map_or((f64::NAN, f64::NAN), |s| (s.mean, s.deviation));
        Ok(trial)
    }
}

/// FNV-1a: the same on every machine and in every version of the compiler.
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[derive(Default)]
struct Watcher {
    trial: Trial,
    start: Option<hig::matrix::Mat<f64>>,
}

impl Observer for Watcher {
    fn evaluation(&mut self, now: &Evaluation<'_>) -> hig::Result<Flow> {
        let trial = &mut self.trial;
        trial.updates.push(now.update as f64);
        trial.epochs.push(now.epoch);
        trial.seconds.push(now.seconds);
        trial.train_loss.push(now.train_loss);
        trial.test_loss.push(now.test_loss);
        let evaluations = trial.updates.len();
        for (name, value) in now.diagnostics {
            let values = trial.diagnostics.entry((*name).into()).or_default();
            values.resize(evaluations - 1, f64::NAN);
            values.push(*value);
        }
        for values in trial.diagnostics.values_mut() {
            values.resize(evaluations, f64::NAN);
        }
        if now.update <= 1 {
            let test = &now.problem.test;
            let y = now.problem.model().simulate(now.parameters, test);
            match &self.start {
                None => self.start = Some(y),
                Some(start) => {
                    trial.first_jump = (&y - start).norm_l2() / (test.len() as f64).sqrt();
                }
            }
        }
        Ok(Flow::Continue)
    }
}

impl Trial {
    fn to_toml(&self) -> toml::Table {
        let mut table = toml::Table::new();
        table.insert("seed".into(), (self.seed as i64).into());
        table.insert("stop".into(), self.stop.clone().into());
        for (name, values) in self.columns() {
            table.insert(name.into(), values.clone().into());
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
        table
    }

    fn columns(&self) -> [(&'static str, &Vec<f64>); 5] {
        [
            ("updates", &self.updates),
            ("epochs", &self.epochs),
            ("seconds", &self.seconds),
            ("train_loss", &self.train_loss),
            ("test_loss", &self.test_loss),
        ]
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
        let saturation = numbers("saturation")?;
        let changes = table.get("changes")?.as_array()?.iter();
        let measures = table.get("measures")?.as_table()?.iter();
        Some(Self {
            seed: u64::try_from(table.get("seed")?.as_integer()?).ok()?,
            stop: table.get("stop")?.as_str()?.into(),
            updates: numbers("updates")?,
            epochs: numbers("epochs")?,
            seconds: numbers("seconds")?,
            train_loss: numbers("train_loss")?,
            test_loss: numbers("test_loss")?,
            diagnostics: diagnostics?,
            measures: measures
                .map(|(name, value)| Some((name.clone(), value.as_float()?)))
                .collect::<Option<_>>()?,
            changes: changes
                .map(|place| usize::try_from(place.as_integer()?).ok())
                .collect::<Option<_>>()?,
            saturation: (*saturation.first()?, *saturation.get(1)?),
            first_jump: table.get("first_jump")?.as_float()?,
        })
    }
}

/// Bytes of a finished training; a million evaluations have 100 million.
const LARGEST: u64 = 1 << 28;

/// A finished training; a file that is damaged counts as not finished.
fn load(path: &Path) -> Option<Trial> {
    let text = bounded_file::read_text(path, LARGEST).ok()?;
    Trial::from_toml(&text.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_travel_through_files() {
        let trial = Trial {
            seed: 3,
            stop: "budget used".into(),
            updates: vec![0.0, 1.0],
            epochs: vec![0.0, 0.5],
            seconds: vec![0.0, 1e-3],
            train_loss: vec![1.0, 1e-300],
            test_loss: vec![1.5, 0.25],
            diagnostics: BTreeMap::from([("kappa".into(), vec![0.0, 0.5])]),
            measures: vec![("l1_distance".into(), 0.1)],
            changes: vec![1],
            saturation: (0.5, 0.25),
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
