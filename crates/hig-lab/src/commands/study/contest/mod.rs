//! Systems on which all methods train for the same time.

mod figures;
mod report;
mod score;

pub use report::{CSV_HEADER, csv_row, number};

use crate::commands::statistics::quantile;
use crate::commands::study::{Set, Trainings, system_with};
use crate::experiment::trials::Case;
use crate::figures::chart;
use crate::method_chain::{MethodChain, recommended};
use crate::run_folder::trial::Trial;
use anyhow::Result;
use hig::systems::System;
use hig::trainer::Budget;
use std::path::PathBuf;

/// A system with the time that every method has on it.
#[derive(Debug)]
pub struct Course {
    /// Name of the case.
    pub name: &'static str,
    /// Name of the system.
    pub system: &'static str,
    /// What differs from its defaults.
    pub set: Set,
    /// What differs from the settings of training that the system's source recommends, for every method.
    pub training: Set,
    /// Seconds of every training.
    pub seconds: f64,
    /// Methods that are looked for here beside those of every contest.
    pub also: &'static [Tuned],
}

/// A system with its own name and settings.
pub const fn course(name: &'static str, seconds: f64) -> Course {
    Course {
        name,
        system: name,
        set: &[],
        training: &[],
        seconds,
        also: &[],
    }
}

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
#[derive(Debug)]
pub struct Tuned {
    /// Its name in tables.
    pub label: &'static str,
    /// Its registered name.
    pub method: &'static str,
    /// What differs from the recommended settings, each tried with all rates.
    pub sets: &'static [Set],
    /// Factors on the recommended rate.
    pub factors: &'static [f64],
    /// Whether `auto` is tried as well.
    pub auto: bool,
}

/// `hig` with exponents of the paper's family at these factors on its rate, and one more method.
pub const fn with_exponents(factors: &'static [f64], other: Tuned) -> [Tuned; 5] {
    const fn hig(label: &'static str, sets: &'static [Set], factors: &'static [f64]) -> Tuned {
        Tuned {
            label,
            method: "hig",
            sets,
            factors,
            auto: true,
        }
    }
    [
        hig("hig κ=1/4, best η", &[&[("exponent", "0.25")]], factors),
        hig("hig κ=1/2, best η", &[&[]], factors),
        hig("hig κ=3/4, best η", &[&[("exponent", "0.75")]], factors),
        hig("hig κ=1, best η", &[&[("exponent", "1")]], factors),
        other,
    ]
}

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

/// What contests came to.
#[derive(Debug)]
pub struct Held {
    /// Rows of `summary.csv`.
    pub csv: String,
    /// Files of the figures.
    pub figures: Vec<PathBuf>,
}

/// Holds the chosen contests, one after the other, draws and tells each, and all against the goals of
/// `adaptive-hig`; `tuned` are looked for beside the methods that every contest has.
pub fn hold_all(
    courses: &[Course],
    tuned: &[Tuned],
    trainings: &Trainings<'_>,
    seeds: &[u64],
    tell: &mut dyn FnMut(String),
) -> Result<Held> {
    let mut held = Held {
        csv: String::new(),
        figures: Vec::new(),
    };
    let mut contests = Vec::new();
    let chosen = |course: &&Course| trainings.options.chosen(course.name);
    for course in courses.iter().filter(chosen) {
        let contest = Contest::hold(course, tuned, trainings, seeds)?;
        tell(report::section(&contest) + &report::measures(&contest));
        held.csv += &report::csv(&contest);
        let drawings = trainings.folder.subfolder("figures")?;
        for (suffix, panels) in [
            ("", vec![figures::over_time(&contest)]),
            ("-choices", figures::choices(&contest)),
        ] {
            let name = format!("{}{suffix}", course.name);
            held.figures
                .extend(chart::save(&drawings, &name, &panels, 2)?);
        }
        contests.push(contest);
    }
    if !contests.is_empty() {
        tell(report::choices(&contests));
        tell(report::verdict(&contests));
    }
    Ok(held)
}

impl Contest {
    /// Trains all methods, one after the other.
    fn hold(
        course: &Course,
        tuned: &[Tuned],
        trainings: &Trainings<'_>,
        seeds: &[u64],
    ) -> Result<Self> {
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
        for tuned in tuned.iter().chain(course.also) {
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
        for (key, value) in self.course.training.iter().chain(settings) {
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
