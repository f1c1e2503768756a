//! What `adaptive-hig` returns on every system at batches from one sample on, over many seeds.

use super::BATCHES;
use crate::commands::statistics::{quantile, share};
use crate::commands::study::contest::{ADAPTIVE, csv_row, number, rate_of};
use crate::commands::study::{FIRST_SEED, Set, Trainings, system_with};
use crate::console::table;
use crate::experiment::trials::Case;
use crate::method_chain::recommended;
use crate::run_folder::trial::Trial;
use anyhow::Result;
use hig::trainer::Budget;

const SEEDS: usize = 50;
const UPDATES: f64 = 100.0;
const SIZES: [usize; 5] = [1, 4, 16, 64, 256];
/// Batches of more rows of J are left out: the trainings of one would take hours.
const MOST_ROWS: usize = 1024;
/// The returned test loss may be this multiple of the lowest one of the run.
const ALLOWED: f64 = 2.0;

const SYSTEMS: [(&str, &str, Set); 8] = [
    ("toy", "toy", &[]),
    ("toy λ=0.01", "toy", &[("lambda", "0.01")]),
    ("linear-oscillators", "linear-oscillators", &[]),
    ("nonlinear-oscillators", "nonlinear-oscillators", &[]),
    ("poisson", "poisson", &[]),
    ("quantum-dipole", "quantum-dipole", &[]),
    ("heat-inversion", "heat-inversion", &[]),
    ("cart-pole", "cart-pole", &[]),
];

/// The trainings of one system at one size of the batch.
#[derive(Debug)]
pub struct Trained {
    name: String,
    rate: String,
    trials: Vec<Trial>,
}

/// The start's test loss, the lowest of the run, and that of what it returned.
fn losses(trial: &Trial) -> (f64, f64, f64) {
    let all = &trial.history.test_loss;
    let start = all.first().copied().unwrap_or(f64::INFINITY);
    let lowest = all.iter().copied().fold(f64::INFINITY, f64::min);
    (start, lowest, trial.returned_test_loss())
}

/// Trains all seeds, for a number of updates and therefore side by side.
pub fn measure(trainings: &Trainings<'_>) -> Result<Vec<Trained>> {
    let updates = (UPDATES * trainings.options.scale).ceil() as usize;
    let mut cases = Vec::new();
    for (label, name, set) in SYSTEMS {
        let system = system_with(name, set)?;
        let rows = system.problem(FIRST_SEED).objective.rows(1);
        for size in SIZES.into_iter().filter(|size| size * rows <= MOST_ROWS) {
            let mut phase = recommended(system.as_ref(), ADAPTIVE)?;
            phase.set("batch", &size.to_string())?;
            cases.push(Case {
                name: format!("{BATCHES} {label}, {size}"),
                system: system.boxed(),
                chain: phase.into(),
                budget: Budget::updates(updates),
            });
        }
    }
    let seeds = trainings.options.judged(SEEDS);
    let trials = trainings.run(&cases, &seeds, true)?;
    let trained = |(case, trials): (&Case, Vec<Trial>)| Trained {
        name: case.name[BATCHES.len() + 1..].into(),
        rate: rate_of(&case.chain),
        trials,
    };
    Ok(cases.iter().zip(trials).map(trained).collect())
}

/// The result as a table.
pub fn section(all: &[Trained]) -> String {
    let row = |trained: &Trained| {
        let losses: Vec<_> = trained.trials.iter().map(losses).collect();
        let above = losses.iter().filter(|(s, _, r)| r > s).count();
        let far = losses.iter().filter(|(_, l, r)| *r > ALLOWED * l).count();
        let ratios = |of: fn(&(f64, f64, f64)) -> f64| losses.iter().map(of).collect::<Vec<_>>();
        let (to_start, to_lowest) = (ratios(|(s, _, r)| r / s), ratios(|(_, l, r)| r / l));
        vec![
            trained.name.clone(),
            format!("{above}/{}", losses.len()),
            format!("{far}/{}", losses.len()),
            number(quantile(&to_start, 0.5)),
            number(quantile(&to_start, 1.0)),
            number(quantile(&to_lowest, 0.5)),
            number(quantile(&to_lowest, 1.0)),
        ]
    };
    let rows: Vec<Vec<String>> = all.iter().map(row).collect();
    let header = [
        "system, batch",
        "returned above the start",
        "above twice the lowest",
        "returned / start, median",
        "worst",
        "returned / lowest, median",
        "worst",
    ];
    let losses = || all.iter().flat_map(|t| &t.trials).map(losses);
    let above = losses().filter(|(s, _, r)| r > s).count();
    let interval = share(above, losses().count());
    format!(
        "## {BATCHES}: test loss of what {ADAPTIVE} returns\n\n\
         ```text\n{}```\n\n\
         Above the start: {above} of {} (95 % interval of the share {:.2} to {:.2} %).\n",
        table::layout(&header, &rows),
        losses().count(),
        100.0 * interval.low,
        100.0 * interval.high,
    )
}

/// All trainings as rows of `summary.csv`.
pub fn csv(all: &[Trained]) -> String {
    let rows = all.iter().flat_map(|trained| {
        let row = |trial| {
            let name = format!("{BATCHES} {}", trained.name.replace(',', ""));
            csv_row(&name, ADAPTIVE, &trained.rate, trial, f64::INFINITY)
        };
        trained.trials.iter().map(row)
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_folder::history::History;

    #[test]
    fn a_return_is_judged_by_the_start_and_the_lowest_of_its_run() {
        let trial = |returned: f64| Trial {
            history: History {
                test_loss: vec![1.0, 0.125, 8.0],
                ..History::default()
            },
            returned: Some((1, 0.5, returned)),
            ..Trial::default()
        };
        assert_eq!(losses(&trial(0.25)), (1.0, 0.125, 0.25));
        let all = [Trained {
            name: "toy, 4".into(),
            rate: "1".into(),
            trials: vec![trial(0.25), trial(0.5), trial(2.0), trial(f64::NAN)],
        }];
        let table = section(&all);
        let row = table.lines().find(|l| l.starts_with("toy, 4")).unwrap();
        let cells: Vec<&str> = row.split("  ").filter(|c| !c.is_empty()).collect();
        assert_eq!(cells[1].trim(), "2/4", "{row}");
        assert_eq!(cells[2].trim(), "3/4", "{row}");
    }
}
