//! Fields that obey an equation: error over time beside published runs.
//!
//! The problems, budgets and numbers are those of arXiv 2405.15603 and arXiv 2505.12149 (RTX 6000, f64, the best
//! of about a hundred tuned runs of each method, one seed), and for Burgers' equation of the sources named beside
//! the numbers.

use crate::commands::statistics::quantile;
use crate::commands::study::over_time::{band, grid};
use crate::commands::study::{FIRST_SEED, Set, StudyOptions, Trainings};
use crate::console::output::say;
use crate::console::table;
use crate::experiment::trials::Case;
use crate::figures::chart::{self, Axis, Chart, Marker, Panel};
use crate::figures::styles;
use crate::method_chain::recommended;
use crate::run_folder::folder::Folder;
use crate::run_folder::provenance;
use crate::run_folder::trial::Trial;
use anyhow::Result;
use hig::systems;
use hig::trainer::Budget;

const SEEDS: usize = 5;
const METHODS: [&str; 3] = ["lm", "gn-line-search", "adam"];
/// Relative errors whose times are told.
const ERRORS: [f64; 4] = [1e-4, 1e-5, 1e-6, 1e-7];

/// A problem with what was published of it.
#[derive(Debug)]
struct Course {
    name: &'static str,
    system: &'static str,
    /// What differs from the defaults of the system and from what is recommended for every method.
    sets: &'static [Set],
    seconds: f64,
    /// Seconds to the errors, of the quickest method at each.
    published: [Option<f64>; ERRORS.len()],
    /// The smallest error at the end, its method and its seconds.
    best: (f64, &'static str, f64),
}

const DEEP: Set = &[("hidden", "[64,64,48,48]")];
const FIVE: Set = &[("dimension", "5"), ("solution", "cosines")];
const FOUR: Set = &[("dimension", "4"), ("solution", "sines")];
/// Points of the problems of four and five dimensions.
const RENEWED: Set = &[
    ("samples", "3500"),
    ("boundary", "0.142857"),
    ("batch", "3500"),
    ("order", "fresh"),
    ("renew", "20"),
    ("test_samples", "30000"),
];

const COURSES: [Course; 10] = [
    Course {
        name: "poisson-2d",
        system: "poisson-pinn",
        sets: &[],
        seconds: 30.0,
        published: [Some(24.0), Some(59.0), Some(94.0), Some(219.0)],
        best: (6.2e-8, "ENGD", 1000.0),
    },
    Course {
        name: "poisson-2d-deep",
        system: "poisson-pinn",
        sets: &[DEEP],
        seconds: 100.0,
        published: [Some(31.0), Some(101.0), Some(612.0), None],
        best: (7.9e-7, "KFAC*", 1000.0),
    },
    Course {
        name: "heat-1d",
        system: "heat-pinn",
        sets: &[],
        seconds: 30.0,
        published: [Some(27.0), Some(38.0), Some(96.0), Some(202.0)],
        best: (3.0e-8, "ENGD", 1000.0),
    },
    Course {
        name: "heat-1d-deep",
        system: "heat-pinn",
        sets: &[DEEP],
        seconds: 100.0,
        published: [Some(31.0), Some(49.0), Some(89.0), Some(343.0)],
        best: (4.3e-8, "KFAC", 1000.0),
    },
    Course {
        name: "poisson-5d",
        system: "poisson-pinn",
        sets: &[FIVE, RENEWED],
        seconds: 100.0,
        published: [Some(40.0), Some(52.0), Some(80.0), Some(356.0)],
        best: (5.6e-8, "ENGD", 3000.0),
    },
    Course {
        name: "heat-4d",
        system: "heat-pinn",
        sets: &[FOUR, RENEWED],
        seconds: 100.0,
        published: [Some(33.0), Some(98.0), Some(1130.0), None],
        best: (7.6e-7, "ENGD", 3000.0),
    },
    Course {
        name: "poisson-5d-deep",
        system: "poisson-pinn",
        sets: &[DEEP, FIVE, RENEWED],
        seconds: 300.0,
        published: [Some(90.0), Some(224.0), Some(1887.0), None],
        best: (2.6e-7, "SPRING", 7000.0),
    },
    Course {
        name: "heat-4d-deep",
        system: "heat-pinn",
        sets: &[DEEP, FOUR, RENEWED],
        seconds: 300.0,
        published: [Some(91.0), Some(2504.0), None, None],
        best: (9.8e-6, "KFAC*", 3000.0),
    },
    Course {
        name: "burgers",
        system: "burgers-pinn",
        sets: &[],
        seconds: 60.0,
        published: [None; ERRORS.len()],
        best: (6.9e-7, "TINN with Levenberg-Marquardt, RTX 4090", 371.0),
    },
    Course {
        name: "burgers-mild",
        system: "burgers-pinn",
        sets: &[&[("viscosity", "0.01")]],
        seconds: 30.0,
        published: [None; ERRORS.len()],
        best: (3.9e-7, "DSGNAR (arXiv 2607.02194), f32", 15.6),
    },
];

/// What `--only` can name.
pub const CASES: [&str; COURSES.len()] = {
    let mut cases = [""; COURSES.len()];
    let mut i = 0;
    while i < COURSES.len() {
        cases[i] = COURSES[i].name;
        i += 1;
    }
    cases
};

/// Runs the study and writes `table.md`, `summary.csv` and the figures.
pub fn run(options: &StudyOptions, folder: &Folder) -> Result<()> {
    let seeds = options.judged(SEEDS);
    let trainings = Trainings { options, folder };
    let mut report = format!(
        "# Fields that obey an equation\n\n{}, {} from {FIRST_SEED} on, --scale {}. Errors are relative L².\n",
        provenance::line(),
        match seeds.len() {
            1 => "1 seed".into(),
            count => format!("{count} seeds"),
        },
        options.scale
    );
    let mut csv = format!(
        "case,method,seed,{},end,stop\n",
        ERRORS.map(name_of).join(",")
    );
    let mut figures = Vec::new();
    let drawings = folder.subfolder("figures")?;
    for course in COURSES.iter().filter(|c| options.chosen(c.name)) {
        let cases = METHODS.map(|method| course.case(method, options.scale));
        let cases = cases.into_iter().collect::<Result<Vec<Case>>>()?;
        let trials = trainings.run(&cases, &seeds, false)?;
        let squares: Vec<f64> = seeds.iter().map(|seed| squares(&cases[0], *seed)).collect();
        let of_method = |trials: &Vec<Trial>| {
            let each = trials.iter().zip(&squares);
            each.map(|(trial, square)| Errors::of(trial, *square))
                .collect()
        };
        let errors: Vec<Vec<Errors>> = trials.iter().map(of_method).collect();
        let text = course.section(&errors);
        say!("{text}");
        report += &format!("\n{text}");
        csv += &course.csv(&errors);
        let panel = course.over_time(&errors, course.seconds * options.scale);
        figures.extend(chart::save(&drawings, course.name, &[panel], 1)?);
    }
    trainings.end(&report, &csv, &figures)
}

fn name_of(error: f64) -> String {
    format!("{error:e}")
}

/// The mean of u*² over the test samples of a seed, which are those of every method.
fn squares(case: &Case, seed: u64) -> f64 {
    let test = case.system.problem(seed).test;
    test.target.norm_l2().powi(2) / test.len() as f64
}

/// Relative errors of a training over its seconds.
#[derive(Debug)]
struct Errors {
    seed: u64,
    stop: String,
    seconds: Vec<f64>,
    errors: Vec<f64>,
    /// Of the weights that were returned.
    end: f64,
}

impl Errors {
    /// The test loss is ½·mean (u - u*)², so that a factor belongs to the samples of a seed: with u*² of them,
    /// in the mean.
    fn of(trial: &Trial, square: f64) -> Self {
        let relative = |loss: f64| (2.0 * loss / square).sqrt();
        Self {
            seed: trial.seed,
            stop: trial.stop.clone(),
            seconds: trial.history.seconds.clone(),
            errors: trial
                .history
                .test_loss
                .iter()
                .map(|l| relative(*l))
                .collect(),
            end: relative(trial.returned_test_loss()),
        }
    }

    /// Seconds until the error is first at or below one; infinite where it never is.
    fn reaching(&self, error: f64) -> f64 {
        let found = self.errors.iter().position(|e| *e <= error);
        found.map_or(f64::INFINITY, |place| self.seconds[place])
    }

    /// The smallest error up to a time.
    fn until(&self, time: f64) -> f64 {
        let errors = self.seconds.iter().zip(&self.errors);
        let so_far = errors.take_while(|(seconds, _)| **seconds <= time);
        so_far.fold(f64::INFINITY, |least, (_, error)| least.min(*error))
    }
}

impl Course {
    fn case(&self, method: &str, scale: f64) -> Result<Case> {
        let mut system = systems::system(self.system)?;
        let mut phase = recommended(system.as_ref(), method)?;
        for (key, value) in self.sets.iter().copied().flatten() {
            match system.has(key) {
                true => system.set(key, value)?,
                false => phase.set(key, value)?,
            }
        }
        Ok(Case {
            name: format!("{} {method}", self.name),
            system,
            chain: phase.into(),
            budget: Budget::seconds(self.seconds * scale),
        })
    }

    fn section(&self, errors: &[Vec<Errors>]) -> String {
        let seconds = |s: f64| match s.is_finite() {
            true => format!("{s:.1}"),
            false => "–".into(),
        };
        let mut rows: Vec<Vec<String>> = METHODS
            .iter()
            .zip(errors)
            .map(|(method, trials)| {
                let median = |of: &dyn Fn(&Errors) -> f64, q| {
                    quantile(&trials.iter().map(of).collect::<Vec<_>>(), q)
                };
                let mut row = vec![(*method).to_owned()];
                row.extend(ERRORS.map(|error| seconds(median(&|t| t.reaching(error), 0.5))));
                let [low, middle, high] = [0.0, 0.5, 1.0].map(|q| median(&|t| t.end, q));
                row.push(format!("{middle:.1e} [{low:.1e}, {high:.1e}]"));
                row
            })
            .collect();
        let (error, method, budget) = self.best;
        let mut row = vec!["published".to_owned()];
        row.extend(self.published.map(|s| seconds(s.unwrap_or(f64::INFINITY))));
        row.push(format!("{error:.1e}, {method}, {budget} s"));
        rows.push(row);
        let mut header = vec!["method".to_owned()];
        header.extend(ERRORS.map(|error| format!("s to {}", name_of(error))));
        header.push("error at the end, median [range]".into());
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        let table = table::layout(&header, &rows);
        format!("## {}\n\n```text\n{table}```\n", self.name)
    }

    fn csv(&self, errors: &[Vec<Errors>]) -> String {
        let mut text = String::new();
        for (method, trials) in METHODS.iter().zip(errors) {
            for t in trials {
                let times = ERRORS.map(|error| t.reaching(error).to_string()).join(",");
                let (name, seed, end, stop) = (self.name, t.seed, t.end, &t.stop);
                text += &format!("{name},{method},{seed},{times},{end:e},\"{stop}\"\n");
            }
        }
        text
    }

    /// The smallest error so far, median and range of the seeds; the published ones as points.
    fn over_time(&self, errors: &[Vec<Errors>], budget: f64) -> Panel {
        let all = errors.iter().flatten();
        let grid = grid(all.flat_map(|t| t.seconds.iter().copied()), budget);
        let styles = styles::of_labels(&METHODS);
        let curve = |((method, trials), style): ((&&str, &Vec<Errors>), usize)| {
            band((method, style), trials, &grid, Errors::until)
        };
        Panel::Chart(Chart {
            title: format!("{}: median and range of the seeds", self.name),
            x: Axis::log("training time (s)"),
            y: Axis::log("relative L² error"),
            curves: METHODS.iter().zip(errors).zip(styles).map(curve).collect(),
            points: self.points(),
        })
    }

    /// What was published.
    fn points(&self) -> Vec<Marker> {
        let (error, method, budget) = self.best;
        let quickest = self.published.iter().zip(ERRORS);
        let quickest = quickest.filter_map(|(seconds, error)| Some((seconds.as_ref()?, error)));
        let point = |label: &str, x: f64, y: f64| Marker {
            label: label.into(),
            x,
            y,
            style: styles::of_labels(&["published"])[0],
        };
        let mut points: Vec<Marker> = quickest.map(|(x, y)| point("", *x, y)).collect();
        points.push(point(&format!("published: {method}"), budget, error));
        points
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_problem_is_one_that_can_be_trained() {
        for course in &COURSES {
            for method in METHODS {
                course.case(method, 1.0).unwrap().check(0).unwrap();
            }
            let (error, ..) = course.best;
            let times: Vec<f64> = course.published.iter().flatten().copied().collect();
            assert!(times.is_sorted() && error < 1e-5);
        }
    }

    #[test]
    fn times_are_those_at_which_an_error_is_first_reached() {
        let trained = Errors {
            seed: 100,
            stop: String::new(),
            seconds: vec![0.0, 1.0, 2.0, 3.0],
            errors: vec![1.0, 1e-4, f64::NAN, 1e-6],
            end: 1e-6,
        };
        assert_eq!(trained.reaching(1e-4), 1.0);
        assert_eq!(trained.reaching(1e-5), 3.0);
        assert_eq!(trained.reaching(1e-7), f64::INFINITY);
        assert_eq!(trained.until(2.5), 1e-4);
        assert_eq!(trained.until(9.0), 1e-6);
    }
}
