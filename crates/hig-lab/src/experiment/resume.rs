//! How far the training of a method has come, as its folder tells.

use super::Experiment;
use crate::error::Refused;
use crate::method_chain::MethodChain;
use crate::run_folder::checkpoint::{self, Stopped};
use crate::run_folder::outcome::{Outcome, Reason};
use crate::run_folder::weights;
use anyhow::Result;
use hig::step::Method;
use hig::trainer::{Budget, Identity, Training};
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
        let training = identity(experiment, chain)?;
        if let Some(outcome) = Outcome::read(folder)
            && is_over(experiment, &outcome)
        {
            match weights::read(&experiment.problem, folder) {
                Ok(weights) => {
                    checkpoint::check(folder, &training)?;
                    return Ok(Self::Ended(Box::new(outcome), weights));
                }
                Err(error) => tracing::warn!("{error}; going on from the last checkpoint"),
            }
        }
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

impl ChainState {
    /// Refuses a budget that the training has gone beyond, unless it already had under the one before.
    ///
    /// # Errors
    /// It has.
    pub fn check_budget(&self, chain: &MethodChain, now: &Budget, before: &Budget) -> Result<()> {
        let (updates, epochs, seconds) = match self {
            Self::Fresh => return Ok(()),
            Self::Stopped(stopped) => {
                let start = &stopped.start;
                (start.updates, start.epochs, start.seconds)
            }
            Self::Ended(outcome, _) => (outcome.updates, outcome.epochs, outcome.seconds),
        };
        let used = |budget: &Budget| budget.used(updates, epochs, seconds);
        match used(now) > 1.0 && used(now) > used(before) {
            false => Ok(()),
            true => Err(Refused::because(format_args!(
                "a budget of {now} is less than {} has trained already: {updates} updates, {epochs:.3} \
                 epochs, {seconds:.1} seconds; a new run can be shorter",
                chain.name
            ))),
        }
    }
}

/// What the training of a chain is. A longer budget, another version and other methods beside it leave it
/// as it is: the training goes on to the same bits.
pub fn identity(experiment: &Experiment, chain: &MethodChain) -> hig::Result<Identity> {
    let methods: Vec<(&dyn Method, &Training)> = chain
        .phases
        .iter()
        .map(|phase| (phase.method.as_ref(), &phase.training))
        .collect();
    let Experiment {
        system,
        problem,
        weights,
        seed,
        ..
    } = experiment;
    let mut identity = Identity::of_chain(problem, &chain.name, &methods, weights, *seed)?;
    identity.tell("system", system.name());
    identity.tell_settings("system.", &system.settings());
    Ok(identity)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::configuration::Overrides;

    #[test]
    fn a_training_is_the_same_as_long_as_its_numbers_are() {
        let of = |seed: u64, set: &[&str], updates: usize| {
            let mut overrides = Overrides {
                methods: vec!["adam:5+hig".into(), "gn".into()],
                seed: Some(seed),
                set: set.iter().map(|set| (*set).into()).collect(),
                ..Overrides::default()
            };
            overrides.budget.updates = Some(updates);
            let experiment = Experiment::new("toy", &overrides).unwrap();
            identity(&experiment, &experiment.chains[0]).unwrap()
        };
        let one = of(3, &["hig.cutoff=1e-3"], 20);
        for same in [
            of(3, &["hig.cutoff=1e-3"], 80),
            of(3, &["hig.cutoff=1e-3", "gn.cutoff=1e-4"], 20),
            of(
                3,
                &["hig.cutoff=1e-3", "evaluate_every=7", "memory_limit=3"],
                20,
            ),
        ] {
            assert_eq!(same.difference(&one), None);
        }
        for (other, told) in [
            (
                of(4, &["hig.cutoff=1e-3"], 20),
                "seed is 3 there and 4 here",
            ),
            (of(3, &["hig.cutoff=1e-4"], 20), "hig.cutoff is"),
            (
                of(3, &["hig.cutoff=1e-3", "hig.batch=8"], 20),
                "hig.batch is",
            ),
            (
                of(3, &["hig.cutoff=1e-3", "lambda=0.5"], 20),
                "system.lambda is",
            ),
        ] {
            let difference = other.difference(&one).unwrap();
            assert!(difference.contains(told), "{difference}");
        }
    }
}
