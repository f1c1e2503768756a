//! `adaptive-hig` on the ill-conditioned toy problem over many seeds: how many trainings diverge.

use super::contest::{ADAPTIVE, FIRST_SEED};
use super::report::{csv_row, spread};
use super::{ROBUSTNESS, Trainings};
use crate::commands::statistics::share;
use crate::experiment::trials::Case;
use crate::method_chain::recommended;
use crate::run_folder::trial::Trial;
use anyhow::Result;
use hig::systems::{System, Toy};
use hig::trainer::Budget;

const SEEDS: u64 = 50;
const UPDATES: f64 = 300.0;

/// The trainings of all seeds.
#[derive(Debug)]
pub struct Robustness {
    updates: usize,
    rate: f64,
    trials: Vec<Trial>,
}

/// Not finite, or above where it started.
fn diverged(trial: &Trial) -> bool {
    let loss = trial.test_loss();
    !loss.is_finite()
        || trial
            .history
            .test_loss
            .first()
            .is_none_or(|start| loss > *start)
}

impl Robustness {
    /// Trains all seeds, for a number of updates and therefore side by side.
    pub fn measure(trainings: &Trainings<'_>) -> Result<Self> {
        let system = Toy {
            lambda: 0.01,
            ..Toy::default()
        };
        let phase = recommended(&system, ADAPTIVE)?;
        let rate = phase.method.learning_rate();
        let updates = (UPDATES * trainings.options.scale).ceil() as usize;
        let case = Case {
            name: format!("{ROBUSTNESS} {ADAPTIVE}"),
            system: system.boxed(),
            chain: phase.into(),
            budget: Budget::updates(updates),
        };
        let seeds: Vec<u64> = (FIRST_SEED..FIRST_SEED + SEEDS).collect();
        let trials = trainings.run(&[case], &seeds, true)?.remove(0);
        Ok(Self {
            updates,
            rate,
            trials,
        })
    }

    /// The result in words.
    pub fn section(&self) -> String {
        let losses: Vec<f64> = self.trials.iter().map(Trial::test_loss).collect();
        let lost = self.trials.iter().filter(|t| diverged(t)).count();
        let interval = share(lost, losses.len());
        format!(
            "## {ROBUSTNESS}: {ADAPTIVE}, toy λ = 0.01, {} updates\n\n\
             {lost} of {} seeds diverged (95 % interval of the share {:.1} to {:.1} %); \
             test loss, median [range]: {}\n",
            self.updates,
            losses.len(),
            100.0 * interval.low,
            100.0 * interval.high,
            spread(&losses)
        )
    }

    /// All trainings as rows of `summary.csv`.
    pub fn csv(&self) -> String {
        let row = |t| csv_row(ROBUSTNESS, ADAPTIVE, self.rate, t, f64::INFINITY);
        self.trials.iter().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_folder::history::History;

    #[test]
    fn a_training_diverged_if_it_ends_above_its_start_or_with_no_number() {
        let trial = |last: f64, stop: &str| Trial {
            history: History {
                test_loss: vec![1.0, last],
                ..History::default()
            },
            stop: stop.into(),
            ..Trial::default()
        };
        assert!(!diverged(&trial(0.5, "budget used")));
        assert!(diverged(&trial(1.5, "budget used")));
        assert!(diverged(&trial(f64::NAN, "budget used")));
        assert!(diverged(&trial(0.5, "loss is NaN after update 1")));
    }
}
