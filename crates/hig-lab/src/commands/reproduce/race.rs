//! Methods against each other on one system, for the same time, beside what the authors' code
//! reached.

use super::{Context, Exhibit};
use crate::commands::statistics::{interpolated, quantile};
use crate::configuration::{Config, Overrides};
use crate::experiment::trials::{Case, Plan};
use crate::figures::chart::{Axis, Chart, Curve, Marker, Panel};
use crate::figures::styles;
use crate::run_folder::trial::Trial;
use anyhow::Result;
use hig::trainer::Budget;

/// One method of a race.
pub struct Runner {
    /// As for `--method`.
    pub method: &'static str,
    /// Changes of settings, as for `--set`.
    pub set: &'static [&'static str],
    /// Seconds, or updates where the race is not against time.
    pub budget: Budget,
}

impl Runner {
    fn label(&self) -> String {
        match self.set {
            [] => self.method.to_owned(),
            set => format!("{} {}", self.method, set.join(" ")),
        }
    }
}

/// A published number and where to look for ours.
pub struct Mark {
    /// Which runner, by place.
    pub runner: usize,
    /// What to look for.
    pub what: What,
    /// The authors' number.
    pub published: f64,
}

/// What a published number is.
#[derive(Debug, Clone, Copy)]
pub enum What {
    /// Training loss after so many epochs.
    TrainAfterEpochs(f64),
    /// Test loss after so many updates.
    TestAfterUpdates(f64),
    /// Seconds until the test loss is reached.
    SecondsToTest(f64),
}

/// Trains all runners and draws loss over time and over updates with the range of the seeds.
pub fn race(
    context: &Context<'_>,
    system: &str,
    title: &str,
    runners: &[Runner],
    marks: &[Mark],
) -> Result<Exhibit> {
    let cases = cases(system, runners)?;
    let seeds = context.seeds();
    let trials = Plan {
        cases: &cases,
        seeds: &seeds,
        parallel: false,
        cache: context.trials.clone(),
        others: Vec::new(),
        shard: None,
        reporting: context.options.output.console.reporting(),
    }
    .run()?;
    let mut rows = Vec::new();
    if trials.iter().all(|t| t.len() == seeds.len()) {
        for mark in marks {
            let label = cases[mark.runner].name.clone();
            rows.push(mark.row(label, &trials[mark.runner]));
        }
        for (case, trials) in cases.iter().zip(&trials) {
            let seconds = median_of(trials, |t| *t.history.seconds.last().unwrap_or(&0.0));
            let diverged = trials.iter().filter(|t| !t.test_loss().is_finite()).count();
            let note = match diverged {
                0 => String::new(),
                count => format!(" ({count} of {} diverged)", trials.len()),
            };
            rows.push(vec![
                case.name.clone(),
                format!("test loss after {seconds:.0} s{note}"),
                String::new(),
                spread(trials.iter().map(Trial::test_loss).collect()),
            ]);
            let measures = trials.first().map_or(&[][..], |t| &t.measures);
            for (i, (name, _)) in measures.iter().enumerate() {
                rows.push(vec![
                    case.name.clone(),
                    format!("{} after {seconds:.0} s", name.replace('_', " ")),
                    String::new(),
                    spread(trials.iter().map(|t| t.measures[i].1).collect()),
                ]);
            }
        }
    }
    Ok(Exhibit {
        title: title.into(),
        panels: panels(&cases, &trials),
        header: vec!["method", "quantity", "authors' code", "hig, median [range]"],
        rows,
    })
}

fn cases(system: &str, runners: &[Runner]) -> Result<Vec<Case>> {
    let config = Config::named(system)?;
    let mut cases = Vec::new();
    for runner in runners {
        let overrides = Overrides {
            methods: vec![runner.method.to_owned()],
            set: runner.set.iter().map(|set| (*set).to_owned()).collect(),
            ..Overrides::default()
        };
        cases.push(Case {
            budget: runner.budget,
            ..Case::new(runner.label(), config.resolve(&overrides)?)
        });
    }
    Ok(cases)
}

impl Mark {
    fn row(&self, label: String, trials: &[Trial]) -> Vec<String> {
        let (quantity, ours): (String, Vec<f64>) = match self.what {
            What::TrainAfterEpochs(epochs) => (
                format!("training loss after {epochs} epochs"),
                trials
                    .iter()
                    .filter_map(|t| interpolated(&t.history.epochs, &t.history.train_loss, epochs))
                    .collect(),
            ),
            What::TestAfterUpdates(updates) => (
                format!("test loss after {updates} updates"),
                trials
                    .iter()
                    .filter_map(|t| interpolated(&t.history.updates, &t.history.test_loss, updates))
                    .collect(),
            ),
            What::SecondsToTest(loss) => (
                format!("seconds to a test loss of {loss}"),
                trials
                    .iter()
                    .filter_map(|t| t.history.seconds_to(loss))
                    .collect(),
            ),
        };
        let ours = if ours.len() < trials.len() {
            "not within the budget".into()
        } else {
            spread(ours)
        };
        vec![label, quantity, short(self.published), ours]
    }
}

fn median_of(trials: &[Trial], value: impl Fn(&Trial) -> f64) -> f64 {
    let values: Vec<f64> = trials.iter().map(value).collect();
    quantile(&values, 0.5)
}

/// The median with the range of the seeds.
pub fn spread(values: Vec<f64>) -> String {
    let at = |q| short(quantile(&values, q));
    match values.len() {
        0 => String::new(),
        1 => at(0.5),
        _ => format!("{} [{}, {}]", at(0.5), at(0.0), at(1.0)),
    }
}

fn short(value: f64) -> String {
    if value != 0.0 && (value.abs() < 1e-2 || value.abs() >= 1e4) {
        format!("{value:.1e}")
    } else if (0.9..1.0).contains(&value) {
        format!("{value:.5}")
    } else {
        format!("{value:.3}")
    }
}

/// Test loss over training time and over updates, median and range of the seeds.
pub fn panels(cases: &[Case], trials: &[Vec<Trial>]) -> Vec<Panel> {
    let panel = |title: &str, axis: Axis, x: fn(&Trial) -> &Vec<f64>| {
        let mut curves = Vec::new();
        let mut points = Vec::new();
        let names: Vec<&str> = cases.iter().map(|case| case.name.as_str()).collect();
        let both = styles::of_labels(&names)
            .into_iter()
            .zip(cases.iter().zip(trials));
        for (style, (case, trials)) in both.filter(|(_, (_, trials))| !trials.is_empty()) {
            let curve = banded(&case.name, trials, x, style);
            for place in &trials[0].changes {
                points.push(Marker {
                    label: "method changes".into(),
                    x: x(&trials[0])[*place],
                    y: trials[0].history.test_loss[*place],
                    style,
                });
            }
            curves.push(curve);
        }
        Panel::Chart(Chart {
            title: title.into(),
            x: axis,
            y: Axis::loss("test loss"),
            curves,
            points,
        })
    };
    vec![
        panel(
            "over wall-clock time",
            Axis::log("training time (s)"),
            |t| &t.history.seconds,
        ),
        panel("over updates", Axis::log("updates"), |t| &t.history.updates),
    ]
}

/// Median and range of the seeds; evaluations of the same place stand at the same update, so that
/// the curves are compared place by place.
fn banded(label: &str, trials: &[Trial], x: fn(&Trial) -> &Vec<f64>, style: usize) -> Curve {
    let shortest = trials
        .iter()
        .map(|t| t.history.updates.len())
        .min()
        .unwrap_or(0);
    let at = |i: usize, q: f64, values: fn(&Trial) -> &Vec<f64>| {
        let values: Vec<f64> = trials.iter().map(|t| values(t)[i]).collect();
        quantile(&values, q)
    };
    let losses = |q: f64| {
        (0..shortest)
            .map(|i| at(i, q, |t| &t.history.test_loss))
            .collect()
    };
    Curve {
        label: label.into(),
        x: (0..shortest).map(|i| at(i, 0.5, x)).collect(),
        y: losses(0.5),
        band: (trials.len() > 1).then(|| (losses(0.0), losses(1.0))),
        style,
    }
}
