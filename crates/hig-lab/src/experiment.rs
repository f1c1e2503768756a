//! What a run consists of, resolved and checked before any work starts.

use crate::Refused;
use crate::config::{Config, Record, Scope};
use crate::contender::{Contender, memory_limit, set};
use crate::options::RunOptions;
use anyhow::Result;
use hig::settings::{LARGEST_COUNT, Settings};
use hig::systems::{System, check_memory};
use hig::trainer::Budget;
use hig::{Dataset, Problem};
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
    pub contenders: Vec<Contender>,
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
    /// Resolves the options of `hig run`, and the file that they may name.
    pub fn new(options: &RunOptions) -> Result<Self> {
        let config = Config::named(&options.system)?;
        let mut contenders = config.contenders(&options.methods)?;
        let mut system = config.system.boxed();
        for assignment in &options.set {
            set(system.as_mut(), &mut contenders, assignment)?;
        }
        if let Some(order) = &options.order {
            for phase in contenders.iter_mut().flat_map(|c| &mut c.phases) {
                phase
                    .training
                    .set("order", order)
                    .map_err(Refused::because)?;
            }
        }
        let budget = config.budget_or(options.budget, system.as_ref());
        let limit = memory_limit(contenders.iter().flat_map(|c| &c.phases));
        system
            .check_together()
            .and_then(|()| check_memory(system.as_ref(), limit))
            .map_err(|e| config.refuse(options, "", &e, |scope| *scope == Scope::System))?;
        let seed = options.seed.or(config.seed).unwrap_or(0);
        check_counts(seed, &budget).map_err(|e| config.refuse(options, "", &e, |_| false))?;
        let mut problem = system.problem(seed);
        let given_data = options.data.as_ref().or(config.data.as_ref());
        if let Some(path) = given_data {
            tracing::info!("training samples from {}", path.display());
            let states = problem.physics.widths().state;
            let given = Dataset::load(path, states)
                .map_err(|e| config.refuse(options, "", &e, |_| false))?;
            problem = problem.with_samples(given);
            for phase in contenders.iter_mut().flat_map(|c| &mut c.phases) {
                if let Some(changed) = phase.training.for_given_samples() {
                    tracing::info!("{}: {changed}", phase.name);
                }
            }
        }
        let given_weights = options.weights.as_ref().or(config.weights.as_ref());
        let weights = match given_weights {
            Some(path) => {
                tracing::info!("initial weights from {}", path.display());
                let read = problem.network.load_parameters(path);
                read.map_err(|e| config.refuse(options, "", &e, |_| false))?
            }
            None => problem.network.initial_parameters(seed),
        };
        let experiment = Self {
            system,
            problem,
            weights,
            contenders,
            budget,
            seed,
            given_weights: given_weights.cloned(),
            given_data: given_data.cloned(),
        };
        experiment.check(&config, options)?;
        Ok(experiment)
    }

    fn check(&self, config: &Config, options: &RunOptions) -> Result<()> {
        for Contender { name, phases } in &self.contenders {
            for phase in phases {
                hig::trainer::check(
                    &self.problem,
                    phase.method.as_ref(),
                    &self.weights,
                    &phase.training,
                    &self.budget,
                )
                .map_err(|e| {
                    let reaches = |scope: &Scope| scope.reaches(name, &phase.name);
                    config.refuse(options, &format!("{name}: "), &e, reaches)
                })?;
            }
        }
        Ok(())
    }

    /// The file from which the same run can be made again.
    pub fn configuration(&self) -> String {
        Record {
            system: self.system.as_ref(),
            contenders: &self.contenders,
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
