//! One system on which all methods train for the same time.

use super::Trainings;
use crate::experiment::{Phase, recommended};
use crate::statistics::quantile;
use crate::trials::{Case, Trial};
use anyhow::Result;
use hig::systems;
use hig::trainer::Budget;

/// A system with the time that every method has on it.
#[derive(Debug)]
pub struct Course {
    /// Name of the case.
    pub name: &'static str,
    system: &'static str,
    set: &'static [(&'static str, &'static str)],
    seconds: f64,
}

const fn course(name: &'static str, seconds: f64) -> Course {
    Course {
        name,
        system: name,
        set: &[],
        seconds,
    }
}

/// The contests in order.
pub const CONTESTS: [Course; 6] = [
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

const ENTRANTS: [Entrant; 7] = [
    (ADAPTIVE, "adaptive-hig", &[]),
    (AUTHORS, "hig", &[]),
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
        let entrant = |label: String, phase: Phase| Entrance {
            rate: phase.method.learning_rate(),
            case: Case {
                name: format!("{} {label}", course.name),
                system: system.boxed(),
                phases: vec![phase],
                budget: Budget::seconds(seconds),
            },
            label,
        };
        let mut entrances = Vec::new();
        for (label, method, settings) in ENTRANTS {
            let mut phase = recommended(system.as_ref(), method)?;
            for (key, value) in settings {
                phase.set(key, value)?;
            }
            entrances.push(entrant(label.into(), phase));
        }
        let mut entries = train(entrances, trainings, seeds)?;

        let few = &seeds[..FACTOR_SEEDS.min(seeds.len())];
        let authors = recommended(system.as_ref(), "hig")?.method.learning_rate();
        let at_rate = |rate: f64| -> Result<Entrance> {
            let mut phase = recommended(system.as_ref(), "hig")?;
            phase.set("learning_rate", &rate.to_string())?;
            Ok(entrant(format!("hig η={rate}"), phase))
        };
        let rates = FACTORS.map(|factor| factor * authors);
        let entrances: Result<Vec<Entrance>> = rates.into_iter().map(at_rate).collect();
        let tried = train(entrances?, trainings, few)?;

        let place = entries.iter().position(|entry| entry.label == AUTHORS);
        let place = place.expect("the authors' method is among the entrants");
        let plain = &entries[place];
        let of_few: Vec<f64> = plain.losses()[..few.len()].to_vec();
        let best = tried.iter().min_by(|a, b| a.loss().total_cmp(&b.loss()));
        let best = match best {
            Some(best) if best.loss() < quantile(&of_few, 0.5) => {
                train(vec![at_rate(best.rate)?], trainings, seeds)?.remove(0)
            }
            _ => Entry {
                label: String::new(),
                rate: plain.rate,
                trials: plain.trials.clone(),
            },
        };
        let best = Entry {
            label: BEST_RATE.into(),
            ..best
        };
        entries.insert(place + 1, best);
        Ok(Self {
            name: course.name,
            seconds,
            entries,
            tried,
        })
    }
}

/// A method before its trainings.
struct Entrance {
    label: String,
    rate: f64,
    case: Case,
}

fn train(entrances: Vec<Entrance>, trainings: &Trainings<'_>, seeds: &[u64]) -> Result<Vec<Entry>> {
    let mut named = Vec::new();
    let mut cases = Vec::new();
    for Entrance { label, rate, case } in entrances {
        named.push((label, rate));
        cases.push(case);
    }
    let trials = trainings.run(&cases, seeds, false)?;
    let entries = named.into_iter().zip(trials);
    let entry = |((label, rate), trials)| Entry {
        label,
        rate,
        trials,
    };
    Ok(entries.map(entry).collect())
}
