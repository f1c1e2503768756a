//! The statements of the Physics-based Deep Learning book's chapter "Half-Inverse Gradients" about
//! its toy problem, over many seeds.

use crate::commands::statistics::{Estimate, median, quantile, share};
use crate::commands::study::StudyOptions;
use crate::console::output::say;
use crate::console::table;
use crate::error::Interrupted;
use crate::experiment::trials::{Case, Plan};
use crate::figures::chart::{self, Axis, Chart, Curve, Panel};
use crate::figures::styles;
use crate::method_chain::recommended;
use crate::run_folder::folder::Folder;
use crate::run_folder::trial::Trial;
use anyhow::Result;
use hig::systems::Toy;
use hig::trainer::Budget;
use std::fmt::Write;

/// Seeds that say something about shares of them.
const SEEDS: usize = 20;
const UPDATES: usize = 5000;
const LAMBDAS: [f64; 2] = [1.0, 0.01];
/// Batches below 256, each with the η that makes its half-inverse step as long as batch 256 does at
/// η = 1: g of the batch mean and the singular values together scale a step by batch^(-3/4).
const SMALL_BATCHES: [(&str, &str); 2] = [("16", "0.125"), ("64", "0.354")];

/// Runs the study and writes `trials.csv`, `table.md`, `statements.md` and the figure.
pub fn run(options: &StudyOptions, folder: &Folder) -> Result<()> {
    let updates = options.updates.unwrap_or(UPDATES) as f64 * options.scale;
    let updates = updates.ceil() as usize;
    let cases = cases(updates)?;
    let count = options.seeds.unwrap_or(SEEDS);
    let seeds: Vec<u64> = (0..count as u64).collect();
    let trials = Plan {
        cases: &cases,
        seeds: &seeds,
        parallel: true,
        cache: folder.trials(),
        others: Vec::new(),
        shard: None,
        reporting: options.output.console.reporting(),
    }
    .run()?;
    folder.write("trials.csv", &csv(&cases, &trials))?;
    if trials.iter().any(|t| t.len() < count) {
        return Err(Interrupted::error(folder.path()));
    }
    let results = Results { cases, trials };
    let table = results.table();
    let statements = results.statements();
    folder.write("table.md", &format!("```text\n{table}```\n"))?;
    folder.write("statements.md", &statements)?;
    let figures = chart::save(
        &folder.subfolder("figures")?,
        "chapter",
        &results.panels(),
        2,
    )?;
    say!("{count} seeds, {updates} updates\n\n{table}\n{statements}");
    let reporting = options.output.console.reporting();
    reporting.drawn(folder.path(), &figures);
    Ok(())
}

/// Every setting that a statement speaks of.
fn cases(updates: usize) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for lambda in LAMBDAS {
        let mut add = |method_name: &str, settings: &[(&str, &str)]| -> Result<()> {
            let system = Toy {
                lambda,
                ..Toy::default()
            };
            let mut name = format!("{method_name} λ={lambda}");
            let mut phase = recommended(&system, method_name)?;
            for (key, value) in settings {
                phase.set(key, value)?;
                match *key {
                    "cutoff" => write!(name, " τ={value}")?,
                    "learning_rate" => write!(name, " η={value}")?,
                    "treatment" => write!(name, " {value}")?,
                    _ => write!(name, " {key}={value}")?,
                }
            }
            cases.push(Case {
                name,
                system: Box::new(system),
                chain: phase.into(),
                budget: Budget::updates(updates),
            });
            Ok(())
        };
        add("adam", &[("learning_rate", "1e-2")])?;
        for cutoff in ["1e-6", "1e-3"] {
            add("gn", &[("cutoff", cutoff)])?;
        }
        add("hig", &[("cutoff", "1e-5")])?;
        add("hig", &[("cutoff", "1e-5"), ("learning_rate", "3")])?;
        for (batch, rate) in SMALL_BATCHES {
            add("hig", &[("cutoff", "1e-5"), ("batch", batch)])?;
            let scaled = ("learning_rate", rate);
            add("hig", &[("cutoff", "1e-5"), ("batch", batch), scaled])?;
        }
        add("hig", &[("cutoff", "1e-3")])?;
        for cutoff in ["1e-5", "1e-3"] {
            add("hig", &[("cutoff", cutoff), ("treatment", "clamp")])?;
        }
        for cutoff in ["1e-6", "1e-3"] {
            add("gn", &[("cutoff", cutoff), ("treatment", "clamp")])?;
        }
    }
    Ok(cases)
}

struct Results {
    cases: Vec<Case>,
    trials: Vec<Vec<Trial>>,
}

/// Mean |activation| near 1 and standard deviation near 0.
fn saturated(trial: &Trial) -> bool {
    let (mean, deviation) = trial.saturation;
    mean > 0.97 && deviation < 0.1
}

impl Results {
    fn of(&self, name: &str) -> &[Trial] {
        let place = self.cases.iter().position(|case| case.name == name);
        &self.trials[place.expect("statements speak of cases that exist")]
    }

    fn losses(&self, name: &str) -> Vec<f64> {
        self.of(name).iter().map(Trial::train_loss).collect()
    }

    /// Losses at the last evaluation up to `update`.
    fn losses_at(&self, name: &str, update: usize) -> Vec<f64> {
        let at = |trial: &Trial| {
            let until = trial
                .history
                .updates
                .partition_point(|u| *u <= update as f64);
            trial.history.train_loss[until - 1]
        };
        self.of(name).iter().map(at).collect()
    }

    fn share_of(&self, name: &str, holds: impl Fn(&Trial) -> bool) -> Estimate {
        let trials = self.of(name);
        share(trials.iter().filter(|t| holds(t)).count(), trials.len())
    }

    /// Share of seeds on which `better` ends with a lower loss than `worse`.
    fn wins(&self, better: &str, worse: &str) -> Estimate {
        let (a, b) = (self.losses(better), self.losses(worse));
        let wins = a.iter().zip(&b).filter(|(a, b)| a < b).count();
        share(wins, a.len())
    }

    fn table(&self) -> String {
        let rows: Vec<Vec<String>> = self
            .cases
            .iter()
            .zip(&self.trials)
            .map(|(case, trials)| {
                let loss = median(&self.losses(&case.name));
                let jumps: Vec<f64> = trials.iter().map(|t| t.first_jump).collect();
                let count = |holds: &dyn Fn(&Trial) -> bool| {
                    format!(
                        "{}/{}",
                        trials.iter().filter(|t| holds(t)).count(),
                        trials.len()
                    )
                };
                vec![
                    case.name.clone(),
                    format!("{:.1e} [{:.1e}, {:.1e}]", loss.value, loss.low, loss.high),
                    count(&|t| t.train_loss() <= 1e-2),
                    count(&|t| t.train_loss() <= 1e-3),
                    count(&saturated),
                    format!("{:.1e}", quantile(&jumps, 0.5)),
                ]
            })
            .collect();
        let header = [
            "case",
            "final loss, median [95 %]",
            "loss ≤ 1e-2",
            "loss ≤ 1e-3",
            "saturated",
            "first jump in y",
        ];
        table::layout(&header, &rows)
    }

    fn statements(&self) -> String {
        let percent = |e: Estimate| {
            format!(
                "{:.0} % [{:.0}, {:.0}]",
                100.0 * e.value,
                100.0 * e.low,
                100.0 * e.high
            )
        };
        let reach =
            |name: &str, loss: f64| percent(self.share_of(name, |t| t.train_loss() <= loss));
        let mut text = String::new();
        let mut say = |statement: &str, lines: Vec<String>| {
            text += &format!("**{statement}**\n\n");
            for line in lines {
                text += &format!("- {line}\n");
            }
            text += "\n";
        };

        say(
            "At λ = 1 all three methods reach 1e-2 to 1e-3.",
            [
                "adam λ=1 η=1e-2",
                "gn λ=1 τ=1e-6",
                "gn λ=1 τ=1e-3",
                "hig λ=1 τ=1e-5",
            ]
            .iter()
            .map(|name| format!("{name}: loss ≤ 1e-2 on {} of seeds", reach(name, 1e-2)))
            .collect(),
        );
        let (adam, hig) = ("adam λ=0.01 η=1e-2", "hig λ=0.01 τ=1e-5");
        let last = self.of(hig)[0]
            .history
            .updates
            .last()
            .map_or(0, |update| *update as usize);
        let mut lines: Vec<String> = [500, 1000, 2000, 5000]
            .into_iter()
            .filter(|update| *update <= last)
            .map(|update| {
                let at = |name| median(&self.losses_at(name, update));
                let show = |e: Estimate| format!("{:.1e} [{:.1e}, {:.1e}]", e.value, e.low, e.high);
                let (adam, hig) = (show(at(adam)), show(at(hig)));
                format!("after {update} updates: Adam {adam}, HIG {hig}")
            })
            .collect();
        lines.push(format!("HIG ends at or below 1e-2 on {}", reach(hig, 1e-2)));
        let below = percent(self.wins(hig, adam));
        lines.push(format!("HIG ends below Adam on {below}"));
        say(
            "At λ = 0.01 Adam stays near 0.2 while HIG goes on falling to 1e-2 and below.",
            lines,
        );
        let mut lines = Vec::new();
        for lambda in LAMBDAS {
            for cutoff in ["1e-6", "1e-3"] {
                let name = format!("gn λ={lambda} τ={cutoff}");
                let all = self.of(&name);
                let stuck = all
                    .iter()
                    .filter(|t| saturated(t) && t.train_loss() > 0.1)
                    .count();
                lines.push(format!(
                    "{name}: saturated on {} of seeds, {stuck} of {} saturated and stuck above 0.1",
                    percent(self.share_of(&name, saturated)),
                    all.len()
                ));
            }
        }
        say(
            "GN regularly, but not always, saturates its neurons and then stays stuck.",
            lines,
        );
        let mut lines = Vec::new();
        for lambda in LAMBDAS {
            let jumps = |name: String| -> Vec<f64> {
                self.of(&name).iter().map(|t| t.first_jump).collect()
            };
            let adam = jumps(format!("adam λ={lambda} η=1e-2"));
            for name in [
                format!("gn λ={lambda} τ=1e-6"),
                format!("hig λ={lambda} τ=1e-5"),
                format!("hig λ={lambda} τ=1e-5 η=3"),
            ] {
                let ratios: Vec<f64> = jumps(name.clone())
                    .iter()
                    .zip(&adam)
                    .map(|(a, b)| a / b)
                    .collect();
                let ratio = median(&ratios);
                lines.push(format!(
                    "{name}: {:.1e} [{:.1e}, {:.1e}] times Adam's first jump in y",
                    ratio.value, ratio.low, ratio.high
                ));
            }
        }
        say(
            "GN and HIG make large first jumps where Adam does not.",
            lines,
        );
        let mut lines = Vec::new();
        for lambda in LAMBDAS {
            let large = format!("hig λ={lambda} τ=1e-5");
            for (batch, rate) in SMALL_BATCHES {
                let small = format!("{large} batch={batch}");
                let scaled = format!("{small} η={rate}");
                lines.push(format!(
                    "λ = {lambda}, same number of updates: batch 256 ends below batch {batch} on {} of \
                     seeds at the same η, on {} where steps are equally long",
                    percent(self.wins(&large, &small)),
                    percent(self.wins(&large, &scaled))
                ));
            }
        }
        say("HIG gains from larger batches.", lines);
        let mut lines = Vec::new();
        for lambda in LAMBDAS {
            for base in [
                "hig λ={} τ=1e-5",
                "hig λ={} τ=1e-3",
                "gn λ={} τ=1e-6",
                "gn λ={} τ=1e-3",
            ] {
                let base = base.replace("{}", &lambda.to_string());
                lines.push(format!(
                    "{base}: truncation ends below clamping on {} of seeds",
                    percent(self.wins(&base, &format!("{base} clamp")))
                ));
            }
        }
        say("Truncation beats clamping.", lines);
        text
    }

    /// Median training loss with the interquartile range, for each λ.
    fn panels(&self) -> Vec<Panel> {
        let panel = |lambda: f64| {
            let names = [
                format!("adam λ={lambda} η=1e-2"),
                format!("gn λ={lambda} τ=1e-6"),
                format!("gn λ={lambda} τ=1e-3"),
                format!("hig λ={lambda} τ=1e-5"),
            ];
            let labels = ["Adam", "GN, τ = 1e-6", "GN, τ = 1e-3", "HIG"];
            let curves = styles::of_labels(&labels)
                .into_iter()
                .zip(names.iter().zip(labels));
            Panel::Chart(Chart {
                title: format!("λ = {lambda}: median and quartiles of the seeds"),
                x: Axis::log("updates"),
                y: Axis::loss("training loss"),
                curves: curves
                    .map(|(style, (name, label))| self.band(name, label, style))
                    .collect(),
                points: Vec::new(),
            })
        };
        LAMBDAS.map(panel).into()
    }

    fn band(&self, name: &str, label: &str, style: usize) -> Curve {
        let trials = self.of(name);
        let longest = trials
            .iter()
            .map(|t| &t.history.updates)
            .max_by_key(|u| u.len());
        let longest = longest.expect("there is a trial");
        // A training that diverged has no loss any more: it counts as infinitely large.
        let at = |i: usize, q: f64| {
            let losses: Vec<f64> = trials
                .iter()
                .map(|t| {
                    t.history
                        .train_loss
                        .get(i)
                        .copied()
                        .unwrap_or(f64::INFINITY)
                })
                .collect();
            quantile(&losses, q)
        };
        let line = |q: f64| (0..longest.len()).map(|i| at(i, q)).collect();
        Curve {
            label: label.into(),
            x: longest.clone(),
            y: line(0.5),
            band: Some((line(0.25), line(0.75))),
            style,
        }
    }
}

fn csv(cases: &[Case], trials: &[Vec<Trial>]) -> String {
    let mut text = "case,seed,loss,activation_mean,activation_deviation,first_jump\n".to_owned();
    for (case, trials) in cases.iter().zip(trials) {
        for t in trials {
            let (mean, deviation) = t.saturation;
            text += &format!(
                "{},{},{:e},{mean:e},{deviation:e},{:e}\n",
                case.name,
                t.seed,
                t.train_loss(),
                t.first_jump
            );
        }
    }
    text
}
