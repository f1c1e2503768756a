//! Methods for large networks and large fields in equal seconds: Kronecker factors and sketched rows beside
//! tuned first-order methods, and the loss against the exponent κ.
//!
//! What has a rate has it from a sweep on seeds that nothing is judged by; what finds its own is as it is by
//! default.

use crate::commands::statistics::{interpolated, quantile};
use crate::commands::study::over_time::{band, grid};
use crate::commands::study::{FIRST_SEED, Set, StudyOptions, Trainings, system_with};
use crate::console::output::say;
use crate::console::table;
use crate::experiment::trials::Case;
use crate::figures::chart::{self, Axis, Chart, Curve, Panel};
use crate::figures::styles;
use crate::method_chain::recommended;
use crate::run_folder::folder::Folder;
use crate::run_folder::provenance;
use crate::run_folder::trial::Trial;
use anyhow::Result;
use hig::Error;
use hig::trainer::Budget;

const SEEDS: usize = 3;
/// Seeds by which rates are chosen.
const TUNING: [u64; 2] = [0, 1];
/// Values of a sample from which on its rows are sketched.
const FIELD: usize = 32;
/// Exponents of the figure.
const EXPONENTS: [&str; 9] = [
    "-1", "-0.5", "-0.25", "0", "0.25", "0.5", "0.75", "0.9", "1",
];
const OF_EXPONENTS: &str = "exponents";
/// The method that all are measured by.
const BASELINE: &str = "adam, best η";

/// A system with the time that every method has on it.
#[derive(Debug)]
struct Course {
    name: &'static str,
    system: &'static str,
    set: Set,
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

const fn poisson(name: &'static str, set: Set, seconds: f64) -> Course {
    Course {
        system: "poisson",
        set,
        ..course(name, seconds)
    }
}

const COURSES: [Course; 14] = [
    course("toy", 2.0),
    course("linear-oscillators", 5.0),
    course("nonlinear-oscillators", 5.0),
    course("quantum-dipole", 10.0),
    course("heat-inversion", 4.0),
    course("cart-pole", 10.0),
    course("burgers-control", 15.0),
    course("ks-correction", 15.0),
    poisson("poisson", &[], 10.0),
    poisson("poisson-8-resnet", &[("architecture", "resnet")], 10.0),
    poisson(
        "poisson-16-unet",
        &[
            ("grid", "16"),
            ("architecture", "unet"),
            ("test_samples", "256"),
        ],
        20.0,
    ),
    poisson(
        "poisson-32-unet",
        &[
            ("grid", "32"),
            ("architecture", "unet"),
            ("samples", "256"),
            ("test_samples", "128"),
        ],
        40.0,
    ),
    poisson(
        "poisson-64-unet",
        &[
            ("grid", "64"),
            ("architecture", "unet"),
            ("samples", "256"),
            ("test_samples", "64"),
        ],
        60.0,
    ),
    poisson("poisson-million", &[("hidden", "[640,1024,256]")], 40.0),
];

/// What `--only` can name.
pub const CASES: [&str; COURSES.len() + 1] = {
    let mut cases = [OF_EXPONENTS; COURSES.len() + 1];
    let mut i = 0;
    while i < COURSES.len() {
        cases[i] = COURSES[i].name;
        i += 1;
    }
    cases
};

/// A method with what differs from what the system's source recommends for it.
struct Entrant {
    label: &'static str,
    method: &'static str,
    set: Set,
    /// Whether each sample has its rows combined, for as many rows of more samples.
    sketched: bool,
    /// Factors on its rate that are tried; none where it finds its own.
    factors: &'static [f64],
}

const fn own(label: &'static str, method: &'static str, set: Set) -> Entrant {
    Entrant {
        label,
        method,
        set,
        sketched: false,
        factors: &[],
    }
}

const fn tuned(label: &'static str, method: &'static str, set: Set) -> Entrant {
    Entrant {
        factors: &[0.3, 1.0, 3.0, 10.0],
        ..own(label, method, set)
    }
}

const ENTRANTS: [Entrant; 10] = [
    own("kron-hig", "kron-hig", &[]),
    own("kron-hig κ=1 (KFAC)", "kron-hig", &[("exponent", "1")]),
    own("kron-hig κ=0 (Shampoo's)", "kron-hig", &[("exponent", "0")]),
    own("adaptive-hig", "adaptive-hig", &[]),
    Entrant {
        sketched: true,
        ..own("adaptive-hig, sketched", "adaptive-hig", &[])
    },
    Entrant {
        sketched: true,
        ..own("hig, sketched", "hig", &[("learning_rate", "auto")])
    },
    tuned(BASELINE, "adam", &[]),
    tuned(
        "adam with cosine, best η",
        "adam",
        &[("schedule", "cosine")],
    ),
    tuned("soap, best η", "soap", &[("schedule", "cosine")]),
    own("lbfgs", "lbfgs", &[]),
];

/// A method with what it came to.
struct Entry {
    label: &'static str,
    /// What was found by the sweep.
    found: String,
    trials: Vec<Trial>,
}

impl Entry {
    fn losses(&self) -> Vec<f64> {
        losses(&self.trials)
    }

    fn loss(&self) -> f64 {
        median(&self.trials)
    }
}

/// Test losses of what trainings returned.
fn losses(trials: &[Trial]) -> Vec<f64> {
    trials.iter().map(Trial::returned_test_loss).collect()
}

fn median(trials: &[Trial]) -> f64 {
    quantile(&losses(trials), 0.5)
}

/// m and the samples of a batch for a system whose samples have so many rows, where the usual batch has so
/// many samples: as many rows in all, of more samples.
fn sketch_of(rows: usize, samples: usize, all: usize) -> Option<[(&'static str, String); 2]> {
    let kept = (rows / 8).clamp(4, 16);
    let batch = (samples * rows / kept).min(all).min(1024 / kept);
    (rows >= FIELD).then(|| [("sketch", kept.to_string()), ("batch", batch.to_string())])
}

impl Course {
    /// A case of an entrant, at a factor on its rate; none where the system has nothing to sketch, or where an update
    /// would need more memory than a training may have.
    fn case(&self, entrant: &Entrant, factor: Option<f64>, scale: f64) -> Result<Option<Case>> {
        let system = system_with(self.system, self.set)?;
        let mut phase = recommended(system.as_ref(), entrant.method)?;
        for (key, value) in entrant.set {
            phase.set(key, value)?;
        }
        let mut told = String::new();
        if let Some(factor) = factor {
            let rate = format!("{:.3e}", factor * phase.method.learning_rate());
            phase.set("learning_rate", &rate)?;
            told = format!(" learning_rate={rate}");
        }
        if entrant.sketched {
            let problem = system.problem(FIRST_SEED);
            let (rows, all) = (problem.objective.rows(1), problem.train.len());
            let Some(settings) = sketch_of(rows, phase.training.batch, all) else {
                return Ok(None);
            };
            for (key, value) in settings {
                phase.set(key, &value)?;
                told += &format!(" {key}={value}");
            }
        }
        let case = Case {
            name: format!("{} {}{told}", self.name, entrant.label),
            system,
            chain: phase.into(),
            budget: Budget::seconds(self.seconds * scale),
        };
        let problem = case.system.problem(FIRST_SEED);
        let weights = problem.initial_parameters(FIRST_SEED);
        let checked = case.chain.check(&problem, &weights, &case.budget);
        let refused = checked.err().map(|(_, error)| error);
        match refused {
            None => Ok(Some(case)),
            Some(Error::Memory { .. }) => Ok(None),
            Some(error) => Err(error.into()),
        }
    }

    /// What follows the label in the name of a case.
    fn found(&self, entrant: &Entrant, case: &Case) -> String {
        let start = self.name.len() + 1 + entrant.label.len();
        case.name[start..].trim().to_owned()
    }

    fn hold(&self, trainings: &Trainings<'_>, seeds: &[u64]) -> Result<Vec<Entry>> {
        let scale = trainings.options.scale;
        let mut entries = Vec::new();
        for entrant in &ENTRANTS {
            let cases: Vec<Case> = match entrant.factors {
                [] => self.case(entrant, None, scale)?.into_iter().collect(),
                factors => {
                    let each = factors.iter().map(|f| self.case(entrant, Some(*f), scale));
                    let all = each.collect::<Result<Vec<_>>>()?;
                    all.into_iter().flatten().collect()
                }
            };
            let Some(case) = best_of(cases, trainings)? else {
                continue;
            };
            let found = self.found(entrant, &case);
            let trials = trainings.run(std::slice::from_ref(&case), seeds, false)?;
            entries.extend(trials.into_iter().map(|trials| Entry {
                label: entrant.label,
                found: found.clone(),
                trials,
            }));
        }
        Ok(entries)
    }

    fn section(&self, entries: &[Entry], scale: f64) -> String {
        let baseline = entries.iter().find(|entry| entry.label == BASELINE);
        let baseline = baseline.map_or(f64::NAN, Entry::loss);
        let row = |entry: &Entry| {
            let losses = entry.losses();
            let [low, middle, high] = [0.0, 0.5, 1.0].map(|q| quantile(&losses, q));
            let updates = entry
                .trials
                .iter()
                .map(|t| t.history.updates.last().copied());
            let updates: Vec<f64> = updates.flatten().collect();
            let ended = entry.trials.iter().map(Trial::test_loss);
            let diverged = ended.filter(|loss| !loss.is_finite()).count();
            vec![
                entry.label.to_owned(),
                format!("{middle:.2e} [{low:.2e}, {high:.2e}]"),
                format!("{:.0}", quantile(&updates, 0.5)),
                format!("{:.3}", entry.loss() / baseline),
                format!("{diverged}/{}", losses.len()),
                entry.found.clone(),
            ]
        };
        let rows: Vec<Vec<String>> = entries.iter().map(row).collect();
        let header = [
            "method",
            "test loss, median [range]",
            "updates",
            "/ tuned adam",
            "diverged",
            "found",
        ];
        let table = table::layout(&header, &rows);
        let seconds = self.seconds * scale;
        format!("## {}, {seconds} s\n\n```text\n{table}```\n", self.name)
    }

    fn csv(&self, entries: &[Entry]) -> String {
        let mut text = String::new();
        for entry in entries {
            for trial in &entry.trials {
                let updates = trial.history.updates.last().copied().unwrap_or(0.0);
                text += &format!(
                    "{},\"{}\",\"{}\",{},{updates},{:e},\"{}\"\n",
                    self.name,
                    entry.label,
                    entry.found,
                    trial.seed,
                    trial.returned_test_loss(),
                    trial.stop.replace('"', "'")
                );
            }
        }
        text
    }

    fn over_time(&self, entries: &[Entry], scale: f64) -> Panel {
        let trials = entries.iter().flat_map(|entry| &entry.trials);
        let times = trials.flat_map(|t| t.history.seconds.iter().copied());
        let grid = grid(times, self.seconds * scale);
        let labels: Vec<&str> = entries.iter().map(|entry| entry.label).collect();
        let curves = entries.iter().zip(styles::of_labels(&labels));
        let loss_at = |trial: &Trial, time: f64| {
            let history = &trial.history;
            let between = interpolated(&history.seconds, &history.test_loss, time);
            between.unwrap_or_else(|| trial.test_loss())
        };
        Panel::Chart(Chart {
            title: format!("{}: median and range of the seeds", self.name),
            x: Axis::log("training time (s)"),
            y: Axis::loss("test loss"),
            curves: curves
                .map(|(entry, style)| band((entry.label, style), &entry.trials, &grid, loss_at))
                .collect(),
            points: Vec::new(),
        })
    }

    /// The median loss of `kron-hig` at each exponent, over that of the best of them.
    fn of_exponents(&self, trainings: &Trainings<'_>, seeds: &[u64]) -> Result<Vec<f64>> {
        let scale = trainings.options.scale;
        let case = |exponent: &str| -> Result<Case> {
            let entrant = own("kron-hig", "kron-hig", &[]);
            let mut case = self
                .case(&entrant, None, scale)?
                .expect("nothing is sketched");
            case.chain.phases[0].set("exponent", exponent)?;
            case.name = format!("{OF_EXPONENTS} {} {exponent}", self.name);
            Ok(case)
        };
        let cases = EXPONENTS
            .map(case)
            .into_iter()
            .collect::<Result<Vec<_>>>()?;
        let trials = trainings.run(&cases, seeds, false)?;
        let medians: Vec<f64> = trials.iter().map(|trials| median(trials)).collect();
        let least = medians.iter().copied().fold(f64::INFINITY, f64::min);
        Ok(medians.iter().map(|loss| loss / least).collect())
    }
}

/// The case with the least median loss on the seeds that rates are chosen by.
fn best_of(mut cases: Vec<Case>, trainings: &Trainings<'_>) -> Result<Option<Case>> {
    if cases.len() < 2 {
        return Ok(cases.pop());
    }
    let trials = trainings.run(&cases, &TUNING, false)?;
    let losses: Vec<f64> = trials.iter().map(|trials| median(trials)).collect();
    let places = 0..cases.len();
    let best = places.min_by(|a, b| losses[*a].total_cmp(&losses[*b]));
    Ok(best.map(|place| cases.swap_remove(place)))
}

/// Runs the study and writes `table.md`, `summary.csv` and the figures.
pub fn run(options: &StudyOptions, folder: &Folder) -> Result<()> {
    let seeds = options.judged(SEEDS);
    let trainings = Trainings { options, folder };
    let mut report = format!(
        "# Large networks and large fields\n\n{}, {} seeds from {FIRST_SEED} on, --scale {}; rates by seeds 0 and 1.\n",
        provenance::line(),
        seeds.len(),
        options.scale
    );
    let mut csv = "case,method,found,seed,updates,returned_test_loss,stop\n".to_owned();
    let mut figures = Vec::new();
    let drawings = folder.subfolder("figures")?;
    for course in COURSES.iter().filter(|c| options.chosen(c.name)) {
        let entries = course.hold(&trainings, &seeds)?;
        let text = course.section(&entries, options.scale);
        say!("{text}");
        report += &format!("\n{text}");
        csv += &course.csv(&entries);
        let panel = course.over_time(&entries, options.scale);
        figures.extend(chart::save(&drawings, course.name, &[panel], 1)?);
    }
    if options.chosen(OF_EXPONENTS) {
        let exponents: Vec<f64> = EXPONENTS.iter().filter_map(|e| e.parse().ok()).collect();
        let labels: Vec<&str> = COURSES.iter().map(|c| c.name).collect();
        let (mut rows, mut curves) = (Vec::new(), Vec::new());
        for (course, style) in COURSES.iter().zip(styles::of_labels(&labels)) {
            let losses = course.of_exponents(&trainings, &seeds)?;
            let mut row = vec![course.name.to_owned()];
            row.extend(losses.iter().map(|loss| format!("{loss:.2}")));
            rows.push(row);
            curves.push(Curve {
                label: course.name.into(),
                x: exponents.clone(),
                y: losses,
                style,
                ..Curve::default()
            });
        }
        let header = [&["system"], &EXPONENTS[..]].concat();
        let table = table::layout(&header, &rows);
        let text = format!(
            "## Loss against κ\n\nMedian test loss of kron-hig over that of its best κ.\n\n```text\n{table}```\n"
        );
        say!("{text}");
        report += &format!("\n{text}");
        let chart = Chart {
            title: "kron-hig: test loss against the exponent".into(),
            x: Axis::linear("κ"),
            y: Axis::loss("test loss / that of the best κ"),
            curves,
            points: Vec::new(),
        };
        figures.extend(chart::save(
            &drawings,
            OF_EXPONENTS,
            &[Panel::Chart(chart)],
            1,
        )?);
    }
    trainings.end(&report, &csv, &figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_one_that_can_be_trained() {
        let with_rate = &ENTRANTS[6];
        assert_eq!(with_rate.label, BASELINE);
        for course in &COURSES {
            let case = course.case(with_rate, Some(3.0), 1.0).unwrap().unwrap();
            assert!(course.found(with_rate, &case).starts_with("learning_rate="));
        }
        // What is sketched, and what asks for all rows of a large field.
        for entrant in &ENTRANTS[3..6] {
            let trained = |name: &str| {
                let course = COURSES.iter().find(|course| course.name == name);
                course.unwrap().case(entrant, None, 1.0).unwrap().is_some()
            };
            assert!(trained("poisson"));
            assert_eq!(trained("toy"), !entrant.sketched);
        }
    }

    #[test]
    fn a_sketch_has_as_many_rows_of_more_samples() {
        let told = |rows, samples, all| sketch_of(rows, samples, all).map(|s| s.map(|(_, v)| v));
        assert_eq!(told(64, 16, 1024), Some(["8".into(), "128".into()]));
        // Of few samples, and of fields so large that a batch of one has many rows.
        assert_eq!(told(64, 16, 40), Some(["8".into(), "40".into()]));
        assert_eq!(told(4096, 16, 1024), Some(["16".into(), "64".into()]));
        assert_eq!(told(4, 128, 1024), None);
    }
}
