//! One system on which all methods train for the same time.

use crate::commands::statistics::quantile;
use crate::commands::study::{Set, Trainings, system_with};
use crate::experiment::trials::Case;
use crate::method_chain::{MethodChain, recommended};
use crate::run_folder::trial::Trial;
use anyhow::Result;
use hig::systems::System;
use hig::trainer::Budget;

/// A system with the time that every method has on it.
#[derive(Debug)]
pub struct Course {
    /// Name of the case.
    pub name: &'static str,
    system: &'static str,
    set: Set,
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
pub const CONTESTS: [Course; 12] = [
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
    heat("heat-inversion-32", "32", 6.0),
    course("cart-pole", 10.0),
];

/// The method that the study is about.
pub const ADAPTIVE: &str = "adaptive-hig";
/// The method that it is measured by, with the settings of the system's source.
pub const AUTHORS: &str = "hig";

/// To four digits, which the product of a factor may miss by a rounding.
fn rounded(value: f64) -> f64 {
    let digits = 3 - value.log10().floor() as i32;
    let text = format!("{value:.0$}", digits.max(0) as usize);
    text.parse().unwrap_or(value)
}

/// The learning rate of the first method of a chain, in words where it is found.
pub fn rate_of(chain: &MethodChain) -> String {
    let settings = chain.phases[0].method.settings();
    let rate = settings.iter().find(|s| s.name == "learning_rate");
    rate.map_or_else(String::new, |rate| rate.value.to_string())
}

/// Labels of the methods, each with its registered name and what differs from the settings that the
/// system's source recommends.
const ENTRANTS: [(&str, &str, Set); 5] = [
    (ADAPTIVE, "adaptive-hig", &[]),
    (AUTHORS, "hig", &[]),
    ("gn-line-search", "gn-line-search", &[]),
    ("lm", "lm", &[]),
    ("spring", "spring", &[]),
];

/// A method at the best of several learning rates, which are looked for on the first seeds.
struct Tuned {
    label: &'static str,
    method: &'static str,
    /// What differs from the recommended settings, each tried with all rates.
    sets: &'static [Set],
    /// Factors on the recommended rate.
    factors: &'static [f64],
    /// Whether `auto` is tried as well.
    auto: bool,
}

const fn exponent(label: &'static str, sets: &'static [Set]) -> Tuned {
    Tuned {
        label,
        method: "hig",
        sets,
        factors: &[0.3, 1.0, 3.0, 10.0],
        auto: true,
    }
}

const TUNED: [Tuned; 5] = [
    exponent("hig κ=1/4, best η", &[&[("exponent", "0.25")]]),
    exponent("hig κ=1/2, best η", &[&[]]),
    exponent("hig κ=3/4, best η", &[&[("exponent", "0.75")]]),
    exponent("hig κ=1, best η", &[&[("exponent", "1")]]),
    Tuned {
        label: "adam, best η",
        method: "adam",
        sets: &[&[], &[("schedule", "cosine")]],
        factors: &[0.3, 1.0, 3.0],
        auto: false,
    },
];

/// Seeds that rates are chosen by: the first of those that all are judged by, to the advantage of the
/// competitors.
const TUNING_SEEDS: usize = 2;

/// A method with what it came to.
#[derive(Debug)]
pub struct Entry {
    /// Its name in tables.
    pub label: String,
    /// Its learning rate η, or `auto`.
    pub rate: String,
    /// The settings that were the best of those tried; none where none were tried.
    pub found: Option<String>,
    /// One training a seed, in the order of the seeds.
    pub trials: Vec<Trial>,
}

impl Entry {
    /// Test losses of what the trainings returned.
    pub fn losses(&self) -> Vec<f64> {
        self.trials.iter().map(Trial::returned_test_loss).collect()
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
    /// All that was tried for the best rates.
    pub tried: Vec<Entry>,
}

impl Contest {
    /// Trains all methods, one after the other.
    pub fn hold(course: &Course, trainings: &Trainings<'_>, seeds: &[u64]) -> Result<Self> {
        let system = system_with(course.system, course.set)?;
        let seconds = course.seconds * trainings.options.scale;
        let stage = Stage {
            course,
            trainings,
            system: system.as_ref(),
            budget: Budget::seconds(seconds),
        };
        let cases = ENTRANTS.map(|(label, method, set)| stage.case(label, method, set));
        let mut entries = stage.train(cases, seeds)?;
        let mut tried = Vec::new();
        for tuned in &TUNED {
            let (all, best) = stage.best_of(tuned, seeds)?;
            entries.push(best);
            tried.extend(all);
        }
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

    fn train(
        &self,
        cases: impl IntoIterator<Item = Result<Case>>,
        seeds: &[u64],
    ) -> Result<Vec<Entry>> {
        let cases: Vec<Case> = cases.into_iter().collect::<Result<_>>()?;
        let trials = self.trainings.run(&cases, seeds, false)?;
        let entry = |(case, trials): (&Case, Vec<Trial>)| Entry {
            label: case.name[self.course.name.len() + 1..].into(),
            rate: rate_of(&case.chain),
            found: None,
            trials,
        };
        Ok(cases.iter().zip(trials).map(entry).collect())
    }

    /// A method at all rates that are tried, on few seeds, and at the best of them on all.
    fn best_of(&self, tuned: &Tuned, seeds: &[u64]) -> Result<(Vec<Entry>, Entry)> {
        let recommended = recommended(self.system, tuned.method)?;
        let rate = recommended.method.learning_rate();
        let factors = tuned.factors.iter();
        let rates: Vec<String> = factors
            .map(|factor| rounded(factor * rate).to_string())
            .chain(tuned.auto.then(|| "auto".to_owned()))
            .collect();
        let case = |set: Set, rate: &str| {
            let settings = [set, &[("learning_rate", rate)]].concat();
            let told: Vec<String> = settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
            self.case(
                &format!("{} {}", tuned.method, told.join(" ")),
                tuned.method,
                &settings,
            )
        };
        let cases = || {
            let of_set = |set| rates.iter().map(move |rate| case(set, rate));
            tuned.sets.iter().flat_map(move |set| of_set(*set))
        };
        let few = &seeds[..TUNING_SEEDS.min(seeds.len())];
        let tried = self.train(cases(), few)?;
        let places = 0..tried.len();
        let best = places.min_by(|a, b| tried[*a].loss().total_cmp(&tried[*b].loss()));
        let best = best.expect("several rates");
        let mut winner = self.train(cases().skip(best).take(1), seeds)?.remove(0);
        winner.label = tuned.label.into();
        winner.found = Some(tried[best].label.clone());
        Ok((tried, winner))
    }
}
