//! Trainings that studies, sweeps and reproductions are made of: cases, each with several seeds,
//! kept on disk so that a stopped command goes on where it was.

use super::fingerprint::fingerprint;
use super::training::{Training, Watching};
use crate::configuration::{Record, Resolved};
use crate::console::interrupt::{self, Interrupt};
use crate::console::{ManyTrainings, Reporting};
use crate::error::Refused;
use crate::method_chain::{MethodChain, memory_limit};
use crate::run_folder::trial::Trial;
use anyhow::{Context, Result};
use hig::systems::{System, check_memory};
use hig::trainer::{Budget, Evaluation, Flow, Observer, Start};
use rayon::prelude::*;
use std::fs;
use std::path::PathBuf;
use std::str::FromStr;

/// Seeds of a case that a command may ask for.
pub const MOST_SEEDS: usize = 10_000;
/// Cases of a command.
pub const MOST_CASES: usize = 10_000;

/// Shards that the trainings of a command may be divided into.
const MOST_SHARDS: usize = 10_000;

/// A setting of which several seeds are trained.
#[derive(Debug)]
pub struct Case {
    /// A short name, unique among the cases of a command.
    pub name: String,
    /// The system.
    pub system: Box<dyn System>,
    /// One method, or several one after the other.
    pub chain: MethodChain,
    /// How long to train.
    pub budget: Budget,
}

/// A part of the trainings of a command, numbered from 1: of every `of` trainings one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    number: usize,
    of: usize,
}

impl Shard {
    /// Whether a training belongs to it, by its place among all.
    fn has(self, place: usize) -> bool {
        place % self.of == self.number - 1
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('/');
        let parts = parts.and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
        match parts {
            Some((number, of)) if 1 <= number && number <= of && of <= MOST_SHARDS => {
                Ok(Self { number, of })
            }
            _ => Err(format!(
                "expected I/N with I from 1 to N, such as 3/8, and N at most {MOST_SHARDS}"
            )),
        }
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-of-{}", self.number, self.of)
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
    /// Other folders, where some may be finished already.
    pub others: Vec<PathBuf>,
    /// The part of the trainings that is asked for, where it is not all of them.
    pub shard: Option<Shard>,
    /// How the work tells of itself.
    pub reporting: Reporting,
}

impl Plan<'_> {
    /// Trains what is not there yet; the trials of a case stand together, in order of seeds. After
    /// an interrupt some are missing, and of a shard those of the others.
    pub fn run(&self) -> Result<Vec<Vec<Trial>>> {
        fs::create_dir_all(&self.cache).with_context(|| format!("{}", self.cache.display()))?;
        let seeds = |case| self.seeds.iter().map(move |seed| (case, *seed));
        let jobs = (0..self.cases.len()).flat_map(seeds).enumerate();
        let mine = |place| self.shard.is_none_or(|shard| shard.has(place));
        let jobs = jobs.filter_map(|(place, job)| mine(place).then_some(job));
        let jobs: Vec<(usize, u64)> = jobs.collect();
        let trainings = ManyTrainings::new(self.reporting, jobs.len());
        let job = |(case, seed): (usize, u64)| -> Result<(usize, Option<Trial>)> {
            let case_of = &self.cases[case];
            let (file, name) = (case_of.file_name(seed), &case_of.name);
            let path = self.cache.join(&file);
            let mut known = std::iter::once(&self.cache).chain(&self.others);
            if let Some(trial) = known.find_map(|folder| Trial::read(&folder.join(&file))) {
                trainings.end(name, seed, trial.test_loss(), &trial.stop);
                return Ok((case, Some(trial)));
            }
            if interrupt::asked() {
                return Ok((case, None));
            }
            trainings.begin(name, seed);
            let (trial, _) = case_of.train(seed)?;
            if interrupt::asked() {
                return Ok((case, None));
            }
            trial.write(&path)?;
            trainings.end(name, seed, trial.test_loss(), &trial.stop);
            Ok((case, Some(trial)))
        };
        let done: Vec<(usize, Option<Trial>)> = if self.parallel {
            jobs.into_par_iter().map(job).collect::<Result<_>>()?
        } else {
            jobs.into_iter().map(job).collect::<Result<_>>()?
        };
        drop(trainings);
        let mut by_case = vec![Vec::new(); self.cases.len()];
        for (case, trial) in done {
            by_case[case].extend(trial);
        }
        Ok(by_case)
    }
}

impl Case {
    /// What a file and the command line ask for, of which there is one chain of methods.
    pub fn new(name: String, resolved: Resolved) -> Self {
        let Resolved {
            system,
            mut chains,
            budget,
        } = resolved;
        Self {
            name,
            system,
            chain: chains.swap_remove(0),
            budget,
        }
    }

    /// Refuses what can be known to be wrong before training.
    pub fn check(&self, seed: u64) -> Result<()> {
        let name = &self.name;
        let refused = |e: hig::Error| Refused::because(format_args!("{name}: {e}"));
        let limit = memory_limit(&self.chain.phases);
        self.system
            .check_together()
            .and_then(|()| check_memory(self.system.as_ref(), limit))
            .map_err(refused)?;
        let problem = self.system.problem(seed);
        let weights = problem.initial_parameters(seed);
        let checked = self.chain.check(&problem, &weights, &self.budget);
        checked.map_err(|(_, error)| refused(error))
    }

    /// Where a finished training is kept: the name, readable and not too long, and a fingerprint of the
    /// configuration that makes the training again.
    fn file_name(&self, seed: u64) -> String {
        // A name of a file ends at 255 bytes in most systems.
        let longest = self.name.floor_char_boundary(160);
        let readable: String = self.name[..longest]
            .chars()
            .map(|c| {
                if c.is_alphanumeric() || "-_.=".contains(c) {
                    c
                } else {
                    '_'
                }
            })
            .collect();
        let made_again = Record {
            system: self.system.as_ref(),
            chains: std::slice::from_ref(&self.chain),
            budget: self.budget,
            seed,
            weights: None,
            data: None,
        };
        let fingerprint = fingerprint(&made_again.to_toml());
        format!("{readable}-seed{seed}-{fingerprint:016x}.toml")
    }

    /// Trains with one seed; gives what became of it, and the parameters that it returned.
    ///
    /// # Errors
    /// Everything that can be known before the first update of a method.
    pub fn train(&self, seed: u64) -> Result<(Trial, Vec<f64>)> {
        let problem = self.system.problem(seed);
        let start = Start::from(problem.initial_parameters(seed));
        let mut watcher = Watcher::default();
        let training = Training {
            problem: &problem,
            phases: &self.chain.phases,
            budget: self.budget,
            seed,
        };
        let outcome = training.run(start, 0, &mut watcher)?.outcome;
        let last = outcome.last_parameters;
        let measures = self.system.measures(&problem, &last);
        let measures = measures.into_iter().map(|(name, v)| (name.into(), v));
        let saturation = problem.objective.saturation(&last, &problem.test)?;
        let trial = Trial {
            seed,
            stop: outcome.stop.to_string(),
            measures: measures.collect(),
            saturation: saturation.map_or((f64::NAN, f64::NAN), |s| (s.mean, s.deviation)),
            returned: Some((outcome.update, outcome.train_loss, outcome.test_loss)),
            ..watcher.collector.trial
        };
        Ok((trial, outcome.parameters))
    }
}

/// Collects what a trial tells.
#[derive(Default)]
struct Watcher {
    collector: Collector,
    interrupt: Interrupt,
}

impl Watching for Watcher {
    fn begin(&mut self, place: usize, _: usize) {
        let trial = &mut self.collector.trial;
        if place > 0 {
            trial.changes.push(trial.history.evaluations() - 1);
        }
    }

    fn observers(&mut self) -> Vec<&mut dyn Observer> {
        vec![&mut self.collector, &mut self.interrupt]
    }
}

#[derive(Default)]
struct Collector {
    trial: Trial,
    /// y of the test samples at the start.
    start: Option<hig::linalg::Mat<f64>>,
}

impl Observer for Collector {
    fn evaluation(&mut self, now: &Evaluation<'_>) -> hig::Result<Flow> {
        let trial = &mut self.trial;
        trial.history.push(now);
        let evaluations = trial.history.evaluations();
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
            let y = now.problem.objective.outputs(now.parameters, test)?;
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
