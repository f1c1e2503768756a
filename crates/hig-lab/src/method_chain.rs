//! Methods with their settings, one or several after each other.

use crate::error::Refused;
use anyhow::Result;
use hig::Problem;
use hig::settings::{Setting, Settings};
use hig::step::Method;
use hig::systems::{self, System, compared};
use hig::trainer::{self, Budget, Training};

/// A method with its training settings.
#[derive(Debug)]
pub struct Phase {
    /// Registered name of the method.
    pub name: String,
    /// The optimizer's settings.
    pub method: Box<dyn Method>,
    /// Batch size, order, schedule, …
    pub training: Training,
    /// Update at which the phase ends; none for the last, which ends with the budget.
    pub until: Option<usize>,
}

/// A training to compare: one method, or several one after the other from the same weights on.
#[derive(Debug)]
pub struct MethodChain {
    /// The name it was asked by.
    pub name: String,
    /// Its methods in order.
    pub phases: Vec<Phase>,
}

/// GiB that samples and parameters may take: what an update may, but no less than it may by default,
/// for a small limit is there to choose the route of a decomposition.
pub fn memory_limit<'a>(phases: impl IntoIterator<Item = &'a Phase>) -> f64 {
    let limits = phases.into_iter().map(|p| p.training.memory_limit);
    limits.fold(Training::default().memory_limit, f64::max)
}

/// The methods asked for (those compared by default if none), with the settings that the system's
/// source recommends for them.
pub fn chains(system: &dyn System, names: &[String]) -> Result<Vec<MethodChain>> {
    let names: Vec<String> = match names {
        [] => compared(system).into_iter().map(str::to_owned).collect(),
        names => names.to_vec(),
    };
    let mut chains: Vec<MethodChain> = Vec::new();
    for name in names {
        if chains.iter().any(|c| c.name == name) {
            return Err(Refused::because(format_args!(
                "method `{name}` is named twice"
            )));
        }
        chains.push(MethodChain::new(system, &name)?);
    }
    Ok(chains)
}

/// Reads `hig`, or `adam:500+hig`: Adam for 500 updates, then HIG from those weights.
pub fn phases(system: &dyn System, text: &str) -> Result<Vec<Phase>> {
    let parts: Vec<&str> = text.split('+').collect();
    let mut until = 0;
    let mut phases = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let last = i + 1 == parts.len();
        let malformed = || {
            Refused::because(format_args!(
                "method `{text}`: expected a method, or several as in adam:500+hig, \
                 with a number of updates for all but the last"
            ))
        };
        let (name, updates) = match part.split_once(':') {
            Some((name, updates)) => (name, Some(updates)),
            None => (*part, None),
        };
        let mut phase = recommended(system, name)?;
        match (updates.map(str::parse::<usize>), last) {
            (Some(Ok(updates)), false) if updates > 0 => {
                until = usize::checked_add(until, updates).ok_or_else(malformed)?;
                phase.until = Some(until);
            }
            (None, true) => {}
            _ => return Err(malformed()),
        }
        phases.push(phase);
    }
    Ok(phases)
}

/// A method with the settings that the system's source recommends for it.
pub fn recommended(system: &dyn System, name: &str) -> Result<Phase> {
    let (method, training) = systems::recommended(system, name).map_err(Refused::because)?;
    Ok(Phase {
        name: name.into(),
        method,
        training,
        until: None,
    })
}

impl MethodChain {
    /// A method or a chain by its name, with the settings that the system's source recommends.
    pub fn new(system: &dyn System, name: &str) -> Result<Self> {
        let phases = phases(system, name)?;
        let name = name.to_owned();
        Ok(Self { name, phases })
    }

    /// Refuses what can be known to be wrong before training, with the method that it is about.
    pub fn check(
        &self,
        problem: &Problem,
        weights: &[f64],
        budget: &Budget,
    ) -> std::result::Result<(), (&Phase, hig::Error)> {
        for phase in &self.phases {
            let method = phase.method.as_ref();
            trainer::check(problem, method, weights, &phase.training, budget)
                .map_err(|error| (phase, error))?;
        }
        Ok(())
    }
}

impl From<Phase> for MethodChain {
    fn from(phase: Phase) -> Self {
        Self {
            name: phase.name.clone(),
            phases: vec![phase],
        }
    }
}

impl Phase {
    /// Whether the method or its training has a setting of that name.
    pub fn has(&self, key: &str) -> bool {
        self.training.has(key) || self.method.has(key)
    }

    /// Sets one of them.
    pub fn set(&mut self, key: &str, value: &str) -> hig::Result<()> {
        if self.training.has(key) {
            self.training.set(key, value)
        } else {
            self.method.set(key, value)
        }
    }

    /// The settings of the method, then those of its training.
    pub fn settings(&self) -> Vec<Setting> {
        [self.method.settings(), self.training.settings()].concat()
    }

    fn known(&self) -> Vec<&'static str> {
        self.settings().iter().map(|s| s.name).collect()
    }
}

/// Applies one `key=value` of `--set` wherever the key is a setting; `method.key=value` reaches
/// that method only.
pub fn set(system: &mut dyn System, chains: &mut [MethodChain], assignment: &str) -> Result<()> {
    let Some((key, value)) = assignment.split_once('=') else {
        return Err(Refused::because(format_args!(
            "--set {assignment}: expected KEY=VALUE, such as lambda=0.01"
        )));
    };
    let (key, value) = (key.trim(), value.trim());
    let phases = || chains.iter().flat_map(|c| &c.phases);
    let (method, key) = match key.split_once('.') {
        Some((method, key)) => (Some(method), key),
        None => (None, key),
    };
    let meant = |phase: &&Phase| method.is_none_or(|name| phase.name == name);
    let known: Vec<&str> = match method {
        Some(_) => phases().filter(meant).flat_map(Phase::known).collect(),
        None => {
            let own = system.settings().into_iter().map(|s| s.name);
            own.chain(phases().flat_map(Phase::known)).collect()
        }
    };
    let refusal = match method {
        Some(name) if !phases().any(|phase| phase.name == name) => {
            let names = phases().map(|phase| phase.name.clone());
            Some(hig::Error::unknown("method of this run", name, names))
        }
        _ if known.contains(&key) => None,
        Some(name) => Some(hig::Error::unknown(
            &format!("setting of {name}"),
            key,
            without_repeats(&known),
        )),
        None => Some(hig::Error::unknown("setting", key, without_repeats(&known))),
    };
    if let Some(error) = refusal {
        return Err(Refused::because(error));
    }
    if method.is_none() && system.has(key) {
        system.set(key, value).map_err(Refused::because)?;
    }
    let phases = chains.iter_mut().flat_map(|c| &mut c.phases);
    for phase in phases.filter(|phase| method.is_none_or(|name| phase.name == name)) {
        if phase.has(key) {
            phase.set(key, value).map_err(Refused::because)?;
        }
    }
    Ok(())
}

fn without_repeats<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut unique = Vec::new();
    for name in names {
        if !unique.contains(name) {
            unique.push(*name);
        }
    }
    unique
}
