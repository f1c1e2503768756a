//! What a run has left in its folder so far, read and never written.
//!
//! A run may be at work while it is read, may have been killed at any moment, or may be of an older
//! version: whatever is missing is empty, and what cannot be read is noted.

use super::find::find;
use super::folder::{folder_of, held};
use super::method::Method;
use super::notes::Notes;
use super::{bounded_file, config, metrics, provenance, summary};
use crate::error::Refused;
use anyhow::Result;
use std::collections::HashSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// Methods that are read of a run.
const METHODS: usize = 1000;

/// A run.
#[derive(Debug, Clone, Default)]
pub struct Run {
    /// The name of its folder.
    pub name: String,
    /// Its folder, as it was asked for.
    pub path: PathBuf,
    /// Where, when and by what it was made.
    pub provenance: toml::Table,
    /// The text of its configuration.
    pub config: String,
    /// Every setting by its dotted name: `system.lambda`, `method.hig.cutoff`.
    pub settings: Vec<(String, toml::Value)>,
    /// Its methods, in the order of training.
    pub methods: Vec<Method>,
    /// What could not be read, for the user.
    pub notes: Vec<String>,
}

impl Run {
    /// Reads the folder of a run, as far as it is there.
    pub fn read(path: &Path) -> Self {
        let mut notes = Notes::new(path);
        let provenance = notes.table(provenance::FILE);
        let configuration = notes.table(config::FILE);
        let config = path.join(config::FILE);
        let config = match config.is_symlink() {
            true => None,
            false => bounded_file::text_if_any(&config).ok().flatten(),
        };
        let settings = config::settings(&configuration);
        let summary = notes.take(summary::FILE, summary::read);
        let held = held(path);
        let methods = methods(path, &provenance, &configuration);
        let methods = methods
            .iter()
            .map(|name| {
                let known = summary.iter().find(|(method, _)| method == name);
                Method::read(
                    path,
                    name,
                    known.map(|(_, outcome)| outcome),
                    held,
                    &mut notes,
                )
            })
            .collect();
        Self {
            name: name(path),
            path: path.to_owned(),
            provenance,
            config: config.unwrap_or_default(),
            settings,
            methods,
            notes: notes.told(),
        }
    }

    /// The name of its system; empty where it is not told.
    pub fn system(&self) -> &str {
        let system = self.settings.iter().find(|(name, _)| name == "run.system");
        let system = system
            .map(|(_, value)| value)
            .or_else(|| self.provenance.get("system"));
        system.and_then(toml::Value::as_str).unwrap_or_default()
    }
}

/// Reads the runs that paths name, and tells on standard error what of them could not be read. Runs
/// of one name get the names of their parent folders before it.
///
/// # Errors
/// A path names no run.
pub fn read_all(paths: &[PathBuf]) -> Result<Vec<Run>> {
    let mut runs: Vec<Run> = find(paths)?.iter().map(|path| Run::read(path)).collect();
    runs.iter().for_each(tell);
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for run in &mut runs {
        if names.iter().filter(|name| **name == run.name).count() > 1 {
            run.name = run.path.display().to_string();
        }
    }
    if runs.iter().all(|run| run.methods.is_empty()) {
        let paths: Vec<String> = runs.iter().map(|r| r.path.display().to_string()).collect();
        let paths = paths.join(", ");
        return Err(Refused::because(format_args!(
            "{paths}: no method has begun"
        )));
    }
    Ok(runs)
}

fn tell(run: &Run) {
    for note in &run.notes {
        tracing::warn!("{note}");
    }
}

/// The methods as the run tells them; where it does not, the folders with metrics.
fn methods(path: &Path, provenance: &toml::Table, configuration: &toml::Table) -> Vec<String> {
    let told = provenance.get("methods");
    let told = told.or_else(|| configuration.get("run")?.get("methods"));
    if let Some(names) = told.and_then(toml::Value::as_array) {
        let names = names.iter().filter_map(toml::Value::as_str);
        let mut names: Vec<&str> = names.filter(|name| is_name(&folder_of(name))).collect();
        let mut folders = HashSet::new();
        names.retain(|name| folders.insert(folder_of(name)));
        names.truncate(METHODS);
        return names.into_iter().map(str::to_owned).collect();
    }
    let entries = fs::read_dir(path).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let begun = paths.filter(|path| path.join(metrics::FILE).is_file());
    let mut names: Vec<String> = begun.map(|path| name(&path)).collect();
    names.sort();
    names
}

/// Whether it names something in a folder, and not above or beside it.
fn is_name(name: &str) -> bool {
    let mut parts = Path::new(name).components();
    matches!(parts.next(), Some(Component::Normal(_))) && parts.next().is_none()
}

/// The last part of a path, also of `.`.
fn name(path: &Path) -> String {
    let whole = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = whole.file_name().unwrap_or(whole.as_os_str());
    name.to_string_lossy().into_owned()
}
