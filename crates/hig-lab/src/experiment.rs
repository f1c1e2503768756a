//! What a run consists of, resolved and checked before any work starts.

use crate::Refused;
use crate::cli::RunOptions;
use anyhow::Result;
use hig::linearization::Consumes;
use hig::settings::Settings;
use hig::step::{self, Method};
use hig::systems::{self, System};
use hig::trainer::{Budget, Training};
use hig::{Dataset, Problem};

/// A method with its training settings, under the name it was asked by.
#[derive(Debug)]
pub struct Contender {
    /// Registered name of the method.
    pub name: String,
    /// The optimizer's settings.
    pub method: Box<dyn Method>,
    /// Batch size, order, schedule, …
    pub training: Training,
}

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
}

impl Experiment {
    /// Resolves the options of `hig run`.
    pub fn new(options: &RunOptions) -> Result<Self> {
        let mut system = systems::system(&options.system).map_err(Refused::new)?;
        let mut contenders = contenders(system.as_ref(), &options.methods)?;
        for assignment in &options.set {
            set(system.as_mut(), &mut contenders, assignment)?;
        }
        if let Some(order) = &options.order {
            for contender in &mut contenders {
                contender
                    .training
                    .set("order", order)
                    .map_err(Refused::new)?;
            }
        }
        let budget = match (options.updates, options.epochs, options.seconds) {
            (None, None, None) => system.budget(),
            (updates, epochs, seconds) => Budget {
                updates,
                epochs,
                seconds,
            },
        };
        let mut problem = system.problem(options.seed);
        if let Some(path) = &options.data {
            let states = problem.physics.widths().state;
            problem.train = Dataset::load(path, states).map_err(Refused::new)?;
        }
        let weights = match &options.weights {
            Some(path) => problem
                .network
                .load_parameters(path)
                .map_err(Refused::new)?,
            None => problem.network.initial_parameters(options.seed),
        };
        let experiment = Self {
            system,
            problem,
            weights,
            contenders,
            budget,
            seed: options.seed,
        };
        experiment.check()?;
        Ok(experiment)
    }

    fn check(&self) -> Result<()> {
        for contender in &self.contenders {
            hig::trainer::check(
                &self.problem,
                contender.method.as_ref(),
                &self.weights,
                &contender.training,
                &self.budget,
            )
            .map_err(|e| Refused::new(format_args!("{}: {e}", contender.name)))?;
        }
        Ok(())
    }
}

/// The methods asked for (all of the system's comparison if none), with the settings that the
/// system's source recommends for them.
fn contenders(system: &dyn System, names: &[String]) -> Result<Vec<Contender>> {
    let comparison = system.comparison();
    let names: Vec<String> = match names {
        [] => comparison.iter().map(|(name, _)| (*name).into()).collect(),
        names => names.to_vec(),
    };
    let mut contenders: Vec<Contender> = Vec::new();
    for name in names {
        if contenders.iter().any(|c| c.name == name) {
            return Err(Refused::new(format_args!("method `{name}` is named twice")));
        }
        let mut contender = Contender {
            method: step::method(&name).map_err(Refused::new)?,
            training: Training::default(),
            name,
        };
        // A method without recommendation takes the batch of one that asks for as much.
        let gradient = contender.method.start()?.consumes(1, 1) == Consumes::Gradient;
        let alike = if gradient { "adam" } else { "hig" };
        let settings_of = |name: &str| comparison.iter().find(|(known, _)| *known == name);
        if let Some((_, settings)) = settings_of(&contender.name) {
            for (key, value) in settings {
                contender.set(key, value)?;
            }
        } else if let Some((_, settings)) = settings_of(alike) {
            for (key, value) in settings.iter().filter(|(key, _)| *key == "batch") {
                contender.set(key, value)?;
            }
        }
        contenders.push(contender);
    }
    Ok(contenders)
}

impl Contender {
    fn has(&self, key: &str) -> bool {
        self.training.has(key) || self.method.has(key)
    }

    fn set(&mut self, key: &str, value: &str) -> hig::Result<()> {
        if self.training.has(key) {
            self.training.set(key, value)
        } else {
            self.method.set(key, value)
        }
    }
}

/// Applies one `key=value` of `--set` wherever the key is a setting; `method.key=value` reaches
/// that method only.
fn set(system: &mut dyn System, contenders: &mut [Contender], assignment: &str) -> Result<()> {
    let Some((key, value)) = assignment.split_once('=') else {
        return Err(Refused::new(format_args!(
            "--set {assignment}: expected KEY=VALUE, such as lambda=0.01"
        )));
    };
    let (key, value) = (key.trim(), value.trim());
    if let Some((method, key)) = key.split_once('.') {
        let names: Vec<String> = contenders.iter().map(|c| c.name.clone()).collect();
        return match contenders.iter_mut().find(|c| c.name == method) {
            Some(contender) if contender.has(key) => {
                contender.set(key, value).map_err(Refused::new)
            }
            Some(contender) => {
                let known = contender.training.settings();
                let known = known.into_iter().chain(contender.method.settings());
                let kind = format!("setting of {method}");
                Err(Refused::new(hig::Error::unknown(
                    &kind,
                    key,
                    known.map(|s| s.name),
                )))
            }
            None => Err(Refused::new(hig::Error::unknown(
                "method of this run",
                method,
                names,
            ))),
        };
    }
    let mut found = false;
    if system.has(key) {
        system.set(key, value).map_err(Refused::new)?;
        found = true;
    }
    for contender in contenders.iter_mut().filter(|c| c.has(key)) {
        contender.set(key, value).map_err(Refused::new)?;
        found = true;
    }
    if found {
        return Ok(());
    }
    let mut known: Vec<&str> = system.settings().iter().map(|s| s.name).collect();
    for contender in contenders {
        let settings = contender.training.settings().into_iter();
        for setting in settings.chain(contender.method.settings()) {
            if !known.contains(&setting.name) {
                known.push(setting.name);
            }
        }
    }
    Err(Refused::new(hig::Error::unknown("setting", key, known)))
}
