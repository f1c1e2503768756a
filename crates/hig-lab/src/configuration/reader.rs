//! Reads a configuration file. What is wrong in it is refused with its place.

use super::source::Source;
use super::value::text_of;
use super::{Assignment, Config, Scope};
use crate::method_chain::{self, Phase};
use anyhow::Result;
use hig::Error;
use hig::settings::{Allowed, Setting, Settings, Value};
use hig::systems::{self, System};
use hig::trainer::{Budget, Training};
use std::fmt::Display;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

const SECTIONS: [&str; 5] = ["run", "budget", "system", "training", "method"];
const RUN: [&str; 6] = ["version", "system", "seed", "methods", "weights", "data"];
const BUDGET: [&str; 3] = ["updates", "epochs", "seconds"];
/// Of a count without a rule of its own.
const COUNT: &str = "a whole number of at least 0";
/// Of a limit that [`Budget::check`] would refuse otherwise.
const LIMIT: &str = "a finite number of at least 0";

type Key<'i> = Spanned<DeString<'i>>;
type Item<'i> = Spanned<DeValue<'i>>;
type Entries<'t, 'i> = Vec<(&'t Key<'i>, &'t Item<'i>)>;

/// Reads a file and checks every setting by itself.
pub fn read(source: Source) -> Result<Config> {
    let config = Reader { source: &source }.config()?;
    Ok(Config {
        source: Some(source),
        ..config
    })
}

struct Reader<'s> {
    source: &'s Source,
}

impl Reader<'_> {
    fn config(&self) -> Result<Config> {
        let document = DeTable::parse(self.source.text()).map_err(|e| {
            self.source
                .refuse(e.span().unwrap_or_default(), e.message())
        })?;
        let document = in_order(document.get_ref());
        let mut sections: [Entries; 5] = Default::default();
        for (key, item) in document {
            let place = SECTIONS.iter().position(|name| name == key.get_ref());
            let place = place.ok_or_else(|| self.unknown("section", key, SECTIONS))?;
            sections[place] = self.table(key, item)?;
        }
        let [run, budget, system, training, method] = sections;
        let mut config = Config::of(self.system(&run)?);
        self.settings_of_system(&system, &mut config)?;
        self.run(&run, &mut config)?;
        config.budget = self.budget(&budget)?;
        self.training(&training, &mut config)?;
        self.methods(&method, &mut config)?;
        config.assignments.sort_by(|a, b| a.scope.cmp(&b.scope));
        Ok(config)
    }

    /// The system that `[run]` names, once all names there are known to be right.
    fn system(&self, run: &Entries) -> Result<Box<dyn System>> {
        if let Some((key, _)) = run
            .iter()
            .find(|(key, _)| !RUN.contains(&key.get_ref().as_ref()))
        {
            return Err(self.unknown("setting of [run]", key, RUN));
        }
        let named = run.iter().find(|(key, _)| key.get_ref() == "system");
        let Some((key, item)) = named else {
            let systems = systems::systems();
            let known: Vec<&str> = systems.iter().map(|s| s.name()).collect();
            return Err(self.source.refuse(
                0..0,
                format_args!(
                    "no system is named: expected system = \"NAME\" in [run], with {}",
                    known.join(", ")
                ),
            ));
        };
        let name = self.text(key, item)?;
        systems::system(&name).map_err(|e| self.source.refuse(item.span(), e))
    }

    fn run(&self, run: &Entries, config: &mut Config) -> Result<()> {
        for (key, item) in run {
            match key.get_ref().as_ref() {
                "seed" => config.seed = Some(self.number(key, item, &Value::Count(0), COUNT)?),
                "methods" => config.methods = self.names(key, item, config.system.as_ref())?,
                "weights" | "data" => {
                    let path = self.source.folder().join(self.text(key, item)?);
                    config.files.push((path.clone(), item.span()));
                    match key.get_ref().as_ref() {
                        "weights" => config.weights = Some(path),
                        _ => config.data = Some(path),
                    }
                }
                _ => {
                    self.text(key, item)?;
                }
            }
        }
        Ok(())
    }

    /// The methods to train.
    fn names(&self, key: &Key, item: &Item, system: &dyn System) -> Result<Vec<String>> {
        let expected = "an array of one or more names, such as [\"adam\", \"hig\"]";
        let items = match item.get_ref() {
            DeValue::Array(items) if !items.is_empty() => items,
            _ => return Err(self.impossible(key, item, expected)),
        };
        let mut names: Vec<String> = Vec::new();
        for item in items.iter() {
            let name = self.text(key, item)?;
            if names.contains(&name) {
                let message = format_args!("method `{name}` is named twice");
                return Err(self.source.refuse(item.span(), message));
            }
            method_chain::phases(system, &name).map_err(|e| self.source.refuse(item.span(), e))?;
            names.push(name);
        }
        Ok(names)
    }

    fn budget(&self, section: &Entries) -> Result<Option<Budget>> {
        let mut budget = Budget::default();
        for (key, item) in section {
            let limit = || {
                let seconds: f64 = self.number(key, item, &Value::Number(0.0), LIMIT)?;
                match seconds.is_finite() && seconds >= 0.0 {
                    true => Ok(Some(seconds)),
                    false => Err(self.impossible(key, item, LIMIT)),
                }
            };
            match key.get_ref().as_ref() {
                "updates" => {
                    budget.updates = Some(self.number(key, item, &Value::Count(0), COUNT)?);
                }
                "epochs" => budget.epochs = limit()?,
                "seconds" => budget.seconds = limit()?,
                _ => return Err(self.unknown("setting of [budget]", key, BUDGET)),
            }
        }
        Ok((budget != Budget::default()).then_some(budget))
    }

    fn settings_of_system(&self, section: &Entries, config: &mut Config) -> Result<()> {
        let what = format!("setting of the system {}", config.system.name());
        for (key, item) in section {
            let known = config.system.settings();
            let set = |name: &str, text: &str| config.system.set(name, text);
            let assignment = self.assignment(Scope::System, &what, &known, (key, item), set)?;
            config.assignments.push(assignment);
        }
        Ok(())
    }

    fn training(&self, section: &Entries, config: &mut Config) -> Result<()> {
        let mut scratch = Training::default();
        let known = scratch.settings();
        for entry in section {
            let set = |name: &str, text: &str| scratch.set(name, text);
            let what = "setting of the training";
            let assignment = self.assignment(Scope::Training, what, &known, *entry, set)?;
            config.assignments.push(assignment);
        }
        Ok(())
    }

    /// `[method.NAME]` with settings, or `[method."CHAIN"]` with a table for each method in it.
    fn methods(&self, section: &Entries, config: &mut Config) -> Result<()> {
        for (key, item) in section {
            let name = key.get_ref().as_ref();
            let table = self.table(key, item)?;
            let mut phases = method_chain::phases(config.system.as_ref(), name)
                .map_err(|e| self.source.refuse(key.span(), e))?;
            if let [phase] = &mut phases[..] {
                let scope = Scope::Method(name.to_owned());
                config.tables.push((scope.clone(), key.span()));
                self.settings_of_method(&table, &scope, phase, config)?;
                continue;
            }
            let links: Vec<String> = phases.iter().map(|p| p.name.clone()).collect();
            for (link, item) in table {
                let Some(phase) = phases
                    .iter_mut()
                    .find(|p| p.name == link.get_ref().as_ref())
                else {
                    return Err(self.unknown(&format!("method of {name}"), link, links));
                };
                let scope = Scope::Link(name.to_owned(), phase.name.clone());
                config.tables.push((scope.clone(), key.span()));
                let table = self.table(link, item)?;
                self.settings_of_method(&table, &scope, phase, config)?;
            }
        }
        Ok(())
    }

    fn settings_of_method(
        &self,
        table: &Entries,
        scope: &Scope,
        phase: &mut Phase,
        config: &mut Config,
    ) -> Result<()> {
        let what = format!("setting of {}", phase.name);
        let known = phase.settings();
        for entry in table {
            let set = |name: &str, text: &str| phase.set(name, text);
            let assignment = self.assignment(scope.clone(), &what, &known, *entry, set)?;
            config.assignments.push(assignment);
        }
        Ok(())
    }

    /// One setting, which `set` checks.
    fn assignment(
        &self,
        scope: Scope,
        what: &str,
        known: &[Setting],
        (key, item): (&Key, &Item),
        set: impl FnOnce(&str, &str) -> hig::Result<()>,
    ) -> Result<Assignment> {
        let name = key.get_ref().as_ref();
        let Some(setting) = known.iter().find(|s| s.name == name) else {
            return Err(self.unknown(what, key, known.iter().map(|s| s.name)));
        };
        let kinds = match setting.allowed {
            Allowed::NumberOr(..) => vec![Value::Number(0.0), Value::Word(String::new())],
            Allowed::CountOr(..) => vec![Value::Count(0), Value::Word(String::new())],
            _ => vec![setting.value.clone()],
        };
        let text = kinds.iter().find_map(|kind| text_of(item.get_ref(), kind));
        let Some(text) = text else {
            return Err(self.impossible(key, item, setting.allowed));
        };
        if let Err(error) = set(name, &text) {
            let error = match setting.allowed {
                Allowed::Words(_) => Error::unknown(name, &text, setting.allowed.words()),
                _ => error,
            };
            return Err(self.source.refuse(item.span(), error));
        }
        Ok(Assignment {
            scope,
            name: name.to_owned(),
            text,
            span: item.span(),
        })
    }

    fn table<'t, 'i>(&self, key: &Key, item: &'t Item<'i>) -> Result<Entries<'t, 'i>> {
        match item.get_ref() {
            DeValue::Table(table) => Ok(in_order(table)),
            _ => Err(self.impossible(key, item, "a table")),
        }
    }

    fn text(&self, key: &Key, item: &Item) -> Result<String> {
        match item.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            _ => Err(self.impossible(key, item, "a string")),
        }
    }

    fn number<T: std::str::FromStr>(
        &self,
        key: &Key,
        item: &Item,
        like: &Value,
        expected: &str,
    ) -> Result<T> {
        text_of(item.get_ref(), like)
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.impossible(key, item, expected))
    }

    fn impossible(&self, key: &Key, item: &Item, expected: impl Display) -> anyhow::Error {
        let error = Error::setting(key.get_ref(), self.source.quote(item.span()), expected);
        self.source.refuse(item.span(), error)
    }

    fn unknown<S: AsRef<str>>(
        &self,
        what: &str,
        key: &Key,
        known: impl IntoIterator<Item = S>,
    ) -> anyhow::Error {
        let error = Error::unknown(what, key.get_ref(), known);
        self.source.refuse(key.span(), error)
    }
}

/// The entries of a table as they follow one another in the file.
fn in_order<'t, 'i>(table: &'t DeTable<'i>) -> Entries<'t, 'i> {
    let mut entries: Entries = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}
