//! Configuration files: what `hig init` writes, `hig run` reads, and every run leaves behind.

mod overrides;
mod reader;
mod schema;
mod source;
#[cfg(test)]
mod tests;
pub mod value;
mod write;

pub use overrides::{BudgetOptions, Overrides};
pub use schema::schema;
pub use write::{Record, template};

use crate::error::Refused;
use crate::method_chain::{self, MethodChain};
use anyhow::Result;
use hig::settings::Settings;
use hig::systems::{self, System};
use hig::trainer::Budget;
use source::Source;
use std::ffi::OsStr;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// What is to be run, before the options of the command line.
#[derive(Debug)]
pub struct Config {
    /// The file, unless a system was asked for by its name.
    source: Option<Source>,
    /// The system with its settings.
    pub system: Box<dyn System>,
    /// Seed of data, weights and order.
    pub seed: Option<u64>,
    /// How long to train.
    pub budget: Option<Budget>,
    /// Initial weights.
    pub weights: Option<PathBuf>,
    /// Training samples.
    pub data: Option<PathBuf>,
    /// The places of these two.
    files: Vec<(PathBuf, Range<usize>)>,
    /// The methods in order; those compared by default if none.
    methods: Vec<String>,
    /// Settings, checked one by one, those that reach more methods first.
    assignments: Vec<Assignment>,
    /// The tables of methods and where they begin.
    tables: Vec<(Scope, Range<usize>)>,
}

/// What is to be trained, once a file and the command line have had their say.
#[derive(Debug)]
pub struct Resolved {
    /// The system with its settings.
    pub system: Box<dyn System>,
    /// The methods in order.
    pub chains: Vec<MethodChain>,
    /// How long each is trained.
    pub budget: Budget,
}

/// One line of a file that sets something.
#[derive(Debug)]
struct Assignment {
    scope: Scope,
    name: String,
    /// The value as `Settings::set` reads it.
    text: String,
    /// The place of the value in the file.
    span: Range<usize>,
}

/// What the settings of a table are for; a later one of these goes before an earlier one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// `[system]`
    System,
    /// `[training]`: every method.
    Training,
    /// `[method.NAME]`: the method wherever it is trained.
    Method(String),
    /// `[method."CHAIN".NAME]`: the method within one chain.
    Link(String, String),
}

impl Scope {
    /// Whether it reaches a method of a chain.
    pub fn reaches(&self, chain: &str, method: &str) -> bool {
        match self {
            Self::System => false,
            Self::Training => true,
            Self::Method(name) => name == method,
            Self::Link(whole, name) => whole == chain && name == method,
        }
    }
}

impl Config {
    /// A configuration file, or a system by its name with defaults throughout.
    pub fn named(argument: impl AsRef<OsStr>) -> Result<Self> {
        let path = Path::new(argument.as_ref());
        let system = systems::system(&path.to_string_lossy());
        let is_file =
            path.extension().is_some_and(|e| e == "toml") || (system.is_err() && path.is_file());
        if is_file {
            reader::read(Source::read(path)?)
        } else {
            Ok(Self::of(system.map_err(Refused::because)?))
        }
    }

    /// The bytes of a configuration file, which messages call `path`.
    pub fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        reader::read(Source::new(path, bytes)?)
    }

    fn of(system: Box<dyn System>) -> Self {
        Self {
            source: None,
            system,
            seed: None,
            budget: None,
            weights: None,
            data: None,
            files: Vec::new(),
            methods: Vec::new(),
            assignments: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// The methods of the file, or rather `names` if there are any, with the file's settings.
    pub fn chains(&self, names: &[String]) -> Result<Vec<MethodChain>> {
        let asked = if names.is_empty() {
            &self.methods
        } else {
            names
        };
        let mut chains = method_chain::chains(self.system.as_ref(), asked)?;
        if names.is_empty() {
            self.check_tables(&chains)?;
        }
        for assignment in &self.assignments {
            for MethodChain { name, phases } in &mut chains {
                for phase in phases {
                    if assignment.scope.reaches(name, &phase.name) && phase.has(&assignment.name) {
                        phase
                            .set(&assignment.name, &assignment.text)
                            .map_err(Refused::because)?;
                    }
                }
            }
        }
        Ok(chains)
    }

    /// The methods that the file names; none where it leaves them to the command.
    pub fn methods(&self) -> &[String] {
        &self.methods
    }

    /// What is to be trained, with the options of the command line, which go before the file.
    pub fn resolve(&self, overrides: &Overrides) -> Result<Resolved> {
        let mut chains = self.chains(&overrides.methods)?;
        let mut system = self.system.boxed();
        for assignment in &overrides.set {
            method_chain::set(system.as_mut(), &mut chains, assignment)?;
        }
        if let Some(order) = &overrides.order {
            for phase in chains.iter_mut().flat_map(|c| &mut c.phases) {
                let training = &mut phase.training;
                training.set("order", order).map_err(Refused::because)?;
            }
        }
        let budget = overrides.budget.given().or(self.budget);
        Ok(Resolved {
            budget: budget.unwrap_or_else(|| system.budget()),
            system,
            chains,
        })
    }

    /// Whether the file asks for fresh samples.
    pub fn asks_fresh(&self) -> bool {
        let mut assignments = self.assignments.iter();
        assignments.any(|a| a.name == "order" && a.text == "fresh")
    }

    /// Refuses given weights and samples where every seed is to have its own.
    pub fn draws_anew(&self) -> Result<()> {
        match (&self.source, self.files.first()) {
            (Some(source), Some((_, span))) => Err(source.refuse(
                span.clone(),
                "every seed draws its own weights and samples here: leave the line out",
            )),
            _ => Ok(()),
        }
    }

    /// Refuses settings of a method that is not trained: they would do nothing.
    fn check_tables(&self, chains: &[MethodChain]) -> Result<()> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        for (scope, span) in &self.tables {
            let reaches =
                |c: &MethodChain| c.phases.iter().any(|p| scope.reaches(&c.name, &p.name));
            if !chains.iter().any(reaches) {
                let names: Vec<&str> = chains.iter().map(|c| c.name.as_str()).collect();
                let name = source.quote(span.clone());
                return Err(source.refuse(
                    span.clone(),
                    format_args!(
                        "`{name}` has settings but is not trained: name it in methods of [run], \
                         which are {}",
                        names.join(", ")
                    ),
                ));
            }
        }
        Ok(())
    }

    /// A refusal of settings that do not go together, or of given weights and samples. It points at
    /// the setting in the file, where it is written there for one of the scopes and no option of the
    /// command line overrides it.
    pub fn refuse(
        &self,
        overrides: &Overrides,
        of: &str,
        error: &hig::Error,
        reaches: impl Fn(&Scope) -> bool,
    ) -> anyhow::Error {
        let Some(source) = &self.source else {
            return Refused::because(format_args!("{of}{error}"));
        };
        let written = |field: &str| {
            let of_field = |a: &&Assignment| a.name == field && reaches(&a.scope);
            let found = self.assignments.iter().rev().find(of_field);
            found.map(|a| a.span.clone())
        };
        let named = |path: &Path| self.files.iter().find(|(named, _)| named == path);
        let span = match error {
            hig::Error::Setting { field, .. } if !overrides.reaches(field) => written(field),
            hig::Error::File { path, .. } => match named(path) {
                Some((_, span)) => Some(span.clone()),
                None => return Refused::because(error),
            },
            _ => None,
        };
        match span {
            Some(span) => source.refuse(span, format_args!("{of}{error}")),
            None => Refused::because(format_args!("{}: {of}{error}", source.path().display())),
        }
    }
}
