//! `config.toml`: the configuration that a run was made with, as anybody reads it. Its meaning is with
//! [`configuration`](crate::configuration), which writes it and makes the run again.

use super::bounded_file;
use std::path::Path;

/// The file in the folder of a run.
pub const FILE: &str = "config.toml";

/// Whether a file is the configuration of a run, and not another program's of the same name.
pub fn is_of_a_run(path: &Path) -> bool {
    let text = bounded_file::text_if_any(path).ok().flatten();
    let table = text.and_then(|text| text.parse::<toml::Table>().ok());
    table.is_some_and(|table| table.get("run").and_then(|run| run.get("system")).is_some())
}

/// Every setting by its dotted name: `system.lambda`, `method.hig.cutoff`.
pub fn settings(table: &toml::Table) -> Vec<(String, toml::Value)> {
    let mut settings = Vec::new();
    flatten("", table, &mut settings);
    settings
}

fn flatten(prefix: &str, table: &toml::Table, settings: &mut Vec<(String, toml::Value)>) {
    for (key, value) in table {
        let key = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, settings),
            value => settings.push((key, value.clone())),
        }
    }
}
