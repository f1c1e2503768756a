//! How far the training of a method has come, as its folder tells.

use super::{Experiment, fingerprint};
use crate::method_chain::MethodChain;
use crate::run_folder::checkpoint::{self, Stopped};
use crate::run_folder::outcome::{Outcome, Reason};
use crate::run_folder::weights;
use anyhow::Result;
use std::path::Path;

/// Where a training stands.
pub enum ChainState {
    /// It has not begun.
    Fresh,
    /// It was stopped or killed.
    Stopped(Box<Stopped>),
    /// It has ended by itself: there are the parameters that it returned.
    Ended(Box<Outcome>, Vec<f64>),
}

impl ChainState {
    /// Reads the folder of a chain.
    pub fn of(experiment: &Experiment, chain: &MethodChain, folder: &Path) -> Result<Self> {
        if let Some(outcome) = Outcome::read(folder)
            && is_over(experiment, &outcome)
            && let Ok(weights) = weights::read(&experiment.problem, folder)
        {
            return Ok(Self::Ended(Box::new(outcome), weights));
        }
        let training = fingerprint::of_training(experiment, chain);
        let Some(mut stopped) = checkpoint::read(folder, &training)? else {
            return Ok(Self::Fresh);
        };
        for reason in &stopped.passed_over {
            tracing::warn!("{reason}; going on from the checkpoint before");
        }
        stopped.phase = stopped.phase.min(chain.phases.len() - 1);
        Ok(Self::Stopped(Box::new(stopped)))
    }
}

/// Whether a training has nothing left to do, which a longer budget can change.
fn is_over(experiment: &Experiment, outcome: &Outcome) -> bool {
    match outcome.reason {
        Reason::Diverged => true,
        Reason::Interrupted | Reason::Failed => false,
        Reason::Budget => {
            let budget = &experiment.budget;
            budget.used(outcome.updates, outcome.epochs, outcome.seconds) >= 1.0
        }
    }
}
