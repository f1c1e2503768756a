//! One system on which all methods train for the same time.

use super::Trainings;
use crate::commands::statistics::quantile;
use crate::experiment::trials::Case;
use crate::method_chain::recommended;
use crate::run_folder::trial::Trial;
use anyhow::Result;
use hig::systems::{self, System};
use hig::trainer::Budget;

/// The first of the seeds that a contest is judged by. The constants of `adaptive-hig`, `spring` and
/// `gn-line-search` were chosen with seeds below it, and must be.
pub const FIRST_SEED: u64 = 100;

/// A system with the time that every method has on it.
#[derive(Debug)]
pub struct Course {
    /// Name of the case.
    pub name: &'static str,
    system: &'static str,
    set: &'static [(&'static str, &'static str)],
    /// Samples in a batch of every method; without, those that the system's source recommends for each.
    batch: Option<&'static str>,
    seconds: f64,
}

const fn course(name: &'static str, seconds: f64) -> Course {
    Course {
        name,
        system: name,
        set: &[],
        batch: None,
        seconds,
    }
}

const fn heat(name: &'static str, batch: &'static str, seconds: f64) -> Course {
    Course {
        system: "heat-inversion",
        batch: Some(batch),
        ..course(name, seconds)
    }
}

/// The contests in order.
pub const CONTESTS: [Course; 11] = [
    course("toy", 2.0),
    Course {
        system: "toy",
        set: &[("lambda", "0.01")],
        ..course("toy-ill-conditioned", 2.0)
    },
    course("linear-oscillators", 5.0),
    course("nonlinear-oscillators", 5.0),
    course("poisson", 10.0),
    course("quantum-dipole", 10.0),
    heat("heat-inversion-1", "1", 2.0),
    heat("heat-inversion-2", "2", 2.0),
    heat("heat-inversion-4", "4", 4.0),
    heat("heat-inversion-8", "8", 4.0),
    heat("heat-inversion-32", "32", 10.0),
];

/// The method that the study is about.
pub const ADAPTIVE: &str = "adaptive-hig";
/// The method that it is measured by, with the settings of the system's source.
pub const AUTHORS: &str = "hig";
const BEST_RATE: &str = "hig, best η";

/// Labels of the methods, each with its registered name and what differs from the settings that the
/// system's source recommends.
type Entrant = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const ENTRANTS: [Entrant; 8] = [
    (ADAPTIVE, "adaptive-hig", &[]),
    (AUTHORS, "hig", &[]),
    ("hig, η = auto", "hig", &[("learning_rate", "auto")]),
    ("gn-line-search", "gn-line-search", &[]),
    ("lm", "lm", &[]),
    ("spring", "spring", &[]),
    ("adam", "adam", &[]),
    ("adam, cosine", "adam", &[("schedule", "cosine")]),
];

/// Factors on the authors' η that HIG is tried with beside it, on the first seeds.
const FACTORS: [f64; 4] = [0.1, 0.3, 3.0, 10.0];
const FACTOR_SEEDS: usize = 2;

/// A method with what it came to.
#[derive(Debug)]
pub struct Entry {
    /// Its name in tables.
    pub label: String,
    /// Its learning rate η.
    pub rate: f64,
    /// One training a seed, in the order of the seeds.
    pub trials: Vec<Trial>,
}

impl Entry {
    /// Test losses at the end.
    pub fn losses(&self) -> Vec<f64> {
        self.trials.iter().map(Trial::test_loss).collect()
    }

    /// Their median.
    pub fn loss(&self) -> f64 {
        quantile(&self.losses(), 0.5)
    }
}

/// All methods on one system.
#[derive(Debug)]
pub struct Contest {
    /// Name of the case.
    pub name: &'static str,
    /// Seconds that every method had.
    pub seconds: f64,
    /// The methods, in the order of tables.
    pub entries: Vec<Entry>,
    /// HIG at the learning rates that were tried for the best of them.
    pub tried: Vec<Entry>,
}

impl Contest {
    /// Trains all methods, one after the other.
    pub fn hold(course: &Course, trainings: &Trainings<'_>, seeds: &[u64]) -> Result<Self> {
        let mut system = systems::system(course.system)?;
        for (key, value) in course.set {
            system.set(key, value)?;
        }
        let seconds = course.seconds * trainings.options.scale;
        let stage = Stage {
            course,
            trainings,
            system: system.as_ref(),
            budget: Budget::seconds(seconds),
        };
        let cases = ENTRANTS.map(|(label, method, set)| stage.case(label, method, set));
        let mut entries = stage.train(cases, seeds)?;
        let place = entries.iter().position(|entry| entry.label == AUTHORS);
        let place = place.expect("the authors' method is among the entrants");
        let (tried, best) = stage.best_rate(&entries[place], seeds)?;
        entries.insert(place + 1, best);
        Ok(Self {
            name: course.name,
            seconds,
            entries,
            tried,
        })
    }
}

/// What all trainings of a contest have in common.
struct Stage<'a> {
    course: &'a Course,
    trainings: &'a Trainings<'a>,
    system: &'a dyn System,
    budget: Budget,
}

impl Stage<'_> {
    fn case(&self, label: &str, method: &str, settings: &[(&str, &str)]) -> Result<Case> {
        let mut phase = recommended(self.system, method)?;
        if let Some(batch) = self.course.batch {
            phase.set("batch", batch)?;
        }
        for (key, value) in settings {
            phase.set(key, value)?;
        }
        Ok(Case {
            name: format!("{} {label}", self.course.name),
            system: self.system.boxed(),
            chain: phase.into(),
            budget: self.budget,
        })
    }

    fn at_rate(&self, rate: f64) -> Result<Case> {
        let rate = rate.to_string();
        let label = format!("hig η={rate}");
        self.case(&label, "hig", &[("learning_rate", &rate)])
    }

    fn train(
        &self,
        cases: impl IntoIterator<Item = Result<Case>>,
        seeds: &[u64],
    ) -> Result<Vec<Entry>> {
        let cases: Vec<Case> = cases.into_iter().collect::<Result<_>>()?;
        let trials = self.trainings.run(&cases, seeds, false)?;
        let entry = |(case, trials): (&Case, Vec<Trial>)| Entry {
            label: case.name[self.course.name.len() + 1..].into(),
            rate: case.chain.phases[0].method.learning_rate(),
            trials,
        };
        Ok(cases.iter().zip(trials).map(entry).collect())
    }

    /// HIG at other learning rates than the authors', and at the best of all.
    fn best_rate(&self, authors: &Entry, seeds: &[u64]) -> Result<(Vec<Entry>, Entry)> {
        let few = FACTOR_SEEDS.min(seeds.len());
        let cases = FACTORS.map(|factor| self.at_rate(factor * authors.rate));
        let tried = self.train(cases, &seeds[..few])?;
        let plain = quantile(&authors.losses()[..few], 0.5);
        let better = tried.iter().filter(|entry| entry.loss() < plain);
        let winner = better.min_by(|a, b| a.loss().total_cmp(&b.loss()));
        let (rate, trials) = match winner {
            Some(winner) => {
                let trained = self.train([self.at_rate(winner.rate)], seeds)?;
                (
                    winner.rate,
                    trained.into_iter().flat_map(|e| e.trials).collect(),
                )
            }
            None => (authors.rate, authors.trials.clone()),
        };
        let best = Entry {
            label: BEST_RATE.into(),
            rate,
            trials,
        };
        Ok((tried, best))
    }
}
