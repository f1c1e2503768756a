//! What is trained, resolved and checked before any work starts, and the trainings themselves: one loop
//! over a chain of methods ([`training`]), a run in its folder ([`run`]), many trainings ([`trials`]).

mod fingerprint;
pub mod recorder;
mod resume;
pub mod run;
pub mod training;
pub mod trials;

pub use resume::ChainState;
pub use run::{Finished, Work};

use crate::configuration::{Config, Overrides, Record, Resolved, Scope};
use crate::method_chain::{MethodChain, memory_limit};
use crate::run_folder::bounded_file;
use anyhow::Result;
use hig::settings::LARGEST_COUNT;
use hig::systems::{System, check_memory};
use hig::trainer::Budget;
use hig::{Dataset, Problem};
use std::ffi::OsStr;
use std::path::PathBuf;

/// A system, its data and initial weights, and the methods to compare on it.
pub struct Experiment {
    /// The system's settings.
    pub system: Box<dyn System>,
    /// Data, network, physics, loss.
    pub problem: Problem,
    /// Initial weights that all methods share.
    pub weights: Vec<f64>,
    /// The methods in order.
    pub chains: Vec<MethodChain>,
    /// How long each may train.
    pub budget: Budget,
    /// Seed of data, weights and order.
    pub seed: u64,
    /// Where given initial weights came from.
    pub given_weights: Option<PathBuf>,
    /// Where given training samples came from.
    pub given_data: Option<PathBuf>,
}

impl Experiment {
    /// Resolves a system or a configuration file, and what goes before it.
    pub fn new(named: impl AsRef<OsStr>, overrides: &Overrides) -> Result<Self> {
        let config = Config::named(named)?;
        let Resolved {
            system,
            mut chains,
            budget,
        } = config.resolve(overrides)?;
        let limit = memory_limit(chains.iter().flat_map(|c| &c.phases));
        system
            .check_together()
            .and_then(|()| check_memory(system.as_ref(), limit))
            .map_err(|e| config.refuse(overrides, "", &e, |scope| *scope == Scope::System))?;
        let seed = overrides.seed.or(config.seed).unwrap_or(0);
        check_counts(seed, &budget).map_err(|e| config.refuse(overrides, "", &e, |_| false))?;
        let mut problem = system.problem(seed);
        let named = [
            config
                .weights
                .as_ref()
                .filter(|_| overrides.weights.is_none()),
            config.data.as_ref().filter(|_| overrides.data.is_none()),
        ];
        for path in named.into_iter().flatten() {
            // The configuration may be from elsewhere; what an option names may come through a FIFO.
            let opened = bounded_file::open(path).map_err(|e| hig::Error::file(path, e));
            opened.map_err(|e| config.refuse(overrides, "", &e, |_| false))?;
        }
        let given_data = overrides.data.as_ref().or(config.data.as_ref());
        if let Some(path) = given_data {
            tracing::info!("training samples from {}", path.display());
            let states = problem.train.state.ncols();
            let given = Dataset::load(path, states)
                .map_err(|e| config.refuse(overrides, "", &e, |_| false))?;
            problem = problem.with_samples(given);
            // Samples that an option gives go before an order in the file.
            let of_file = overrides.data.is_none() && overrides.order.is_none();
            if overrides.ask_fresh() || (of_file && config.asks_fresh()) {
                let expected =
                    "shuffled or fixed with given samples, which fresh ones would pass by";
                let error = hig::Error::setting("order", "fresh", expected);
                return Err(config.refuse(overrides, "", &error, |_| true));
            }
            for phase in chains.iter_mut().flat_map(|c| &mut c.phases) {
                if let Some(changed) = phase.training.for_given_samples() {
                    tracing::warn!("{}: {changed}", phase.name);
                }
            }
        }
        let given_weights = overrides.weights.as_ref().or(config.weights.as_ref());
        let weights = match given_weights {
            Some(path) => {
                tracing::info!("initial weights from {}", path.display());
                let read = problem.load_parameters(path);
                read.map_err(|e| config.refuse(overrides, "", &e, |_| false))?
            }
            None => problem.initial_parameters(seed),
        };
        let experiment = Self {
            system,
            problem,
            weights,
            chains,
            budget,
            seed,
            given_weights: given_weights.cloned(),
            given_data: given_data.cloned(),
        };
        experiment.check(&config, overrides)?;
        Ok(experiment)
    }

    fn check(&self, config: &Config, overrides: &Overrides) -> Result<()> {
        for chain in &self.chains {
            let checked = chain.check(&self.problem, &self.weights, &self.budget);
            checked.map_err(|(phase, error)| {
                let reaches = |scope: &Scope| scope.reaches(&chain.name, &phase.name);
                config.refuse(overrides, &format!("{}: ", chain.name), &error, reaches)
            })?;
        }
        Ok(())
    }

    /// The file from which the same run can be made again.
    pub fn configuration(&self) -> String {
        Record {
            system: self.system.as_ref(),
            chains: &self.chains,
            budget: self.budget,
            seed: self.seed,
            weights: self.given_weights.as_deref(),
            data: self.given_data.as_deref(),
        }
        .to_toml()
    }
}

/// The largest seed, and the largest number of updates: TOML's integers, which the folder of a run
/// tells them by, end there.
pub const LARGEST_SEED: u64 = LARGEST_COUNT as u64;

/// Refuses what the folder of a run could not tell.
fn check_counts(seed: u64, budget: &Budget) -> hig::Result<()> {
    let updates = budget.updates.unwrap_or(0) as u64;
    for (name, count) in [("seed", seed), ("updates", updates)] {
        if count > LARGEST_SEED {
            let expected = format!("at most {LARGEST_SEED}");
            return Err(hig::Error::setting(name, count, expected));
        }
    }
    Ok(())
}
