//! The settings that differ between runs.

use super::row::Row;
use crate::run_folder::Run;
use std::path::Path;
use toml::Value;

/// Longer values, such as lists of many methods, are cut in the table.
const WIDEST: usize = 40;

/// Settings whose values are not the same in all runs.
pub struct Settings<'a> {
    runs: Vec<(&'a Run, &'a Path)>,
    names: Vec<&'a str>,
}

impl<'a> Settings<'a> {
    /// Of runs; none for a single one. What only some runs have counts as different, but for the
    /// settings of a method that others do not train.
    pub fn that_differ(runs: &'a [Run]) -> Self {
        let mut names: Vec<&str> = Vec::new();
        for (name, value) in runs.iter().flat_map(|run| &run.settings) {
            let of_a_method = name.starts_with("method.");
            let same = |run: &Run| match get(run, name) {
                Some(other) => other == value,
                None => of_a_method,
            };
            if !names.contains(&name.as_str()) && !runs.iter().all(same) {
                names.push(name);
            }
        }
        let runs = runs.iter().map(|run| (run, run.path.as_path())).collect();
        Self { runs, names }
    }

    /// Their dotted names.
    pub fn names(&self) -> Vec<&'a str> {
        self.names.clone()
    }

    /// The value for a row; none where it is a setting of another method.
    pub fn of(&self, row: &Row, name: &str) -> Option<&'a Value> {
        if let Some(rest) = name.strip_prefix("method.") {
            let own = rest.strip_prefix(row.method.as_str());
            let of_a_part = || {
                let parts = row.method.split('+');
                let mut parts = parts.map(|part| part.split(':').next().unwrap_or(part));
                parts.any(|part| rest.strip_prefix(part).is_some_and(|r| r.starts_with('.')))
            };
            if !own.is_some_and(|r| r.starts_with('.')) && !of_a_part() {
                return None;
            }
        }
        let (run, _) = self.runs.iter().find(|(_, path)| *path == row.path)?;
        get(run, name)
    }

    /// Header and rows of a table, the shorter way round: runs down, or settings down.
    pub fn table(&self) -> (Vec<String>, Vec<Vec<String>>) {
        let cell = |run: &Run, name: &str| get(run, name).map_or("-".into(), |v| short(&plain(v)));
        if self.names.len() < self.runs.len() {
            let header = std::iter::once("run").chain(self.names.iter().copied());
            let row = |(run, _): &(&Run, &Path)| {
                let cells = self.names.iter().map(|name| cell(run, name));
                std::iter::once(run.name.clone()).chain(cells).collect()
            };
            let rows = if self.names.is_empty() {
                vec![]
            } else {
                self.runs.iter().map(row).collect()
            };
            return (header.map(str::to_owned).collect(), rows);
        }
        let names = self.runs.iter().map(|(run, _)| run.name.clone());
        let header = std::iter::once("setting".to_owned()).chain(names).collect();
        let row = |name: &&str| {
            let cells = self.runs.iter().map(|(run, _)| cell(run, name));
            std::iter::once((*name).to_owned()).chain(cells).collect()
        };
        (header, self.names.iter().map(row).collect())
    }
}

fn get<'a>(run: &'a Run, name: &str) -> Option<&'a Value> {
    let setting = run.settings.iter().find(|(known, _)| known == name);
    setting.map(|(_, value)| value)
}

/// A value as one types it: texts without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        // Small numbers with an exponent.
        Value::Float(number) => format!("{number:?}"),
        value => value.to_string(),
    }
}

fn short(text: &str) -> String {
    if text.chars().count() <= WIDEST {
        return text.to_owned();
    }
    text.chars().take(WIDEST - 1).chain(['…']).collect()
}
