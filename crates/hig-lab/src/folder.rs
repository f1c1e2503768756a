//! The folder that a run leaves behind.

use crate::Refused;
use crate::experiment::{Experiment, Phase};
use anyhow::{Context, Result};
use hig::settings::{Setting, Settings, Value};
use hig::tensors::write_whole;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use toml::Table;

/// The files that commands of this program leave at the top of a folder.
const RESULTS: [&str; 6] = [
    "config.toml",
    "summary.csv",
    "table.md",
    "trials.csv",
    "statements.md",
    "results.md",
];

/// The folder of finished trainings of a command that can go on.
const TRIALS: &str = "trials";

/// A writable folder for results.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// Opens `out`, or the next free `runs/NAME-N`. Existing results are refused unless `force`
    /// says to replace them.
    pub fn open(out: Option<&Path>, name: &str, force: bool) -> Result<Self> {
        let root = match out {
            Some(path) => path.to_owned(),
            None => (1..)
                .map(|n| Path::new("runs").join(format!("{name}-{n}")))
                .find(|path| !path.exists())
                .expect("there is always a next number"),
        };
        Self::prepare(root, force, |_| false)
    }

    /// Opens `out`, or `runs/NAME`, for a command that goes on from the trainings finished there;
    /// `force` starts anew.
    pub fn open_to_continue(out: Option<&Path>, name: &str, force: bool) -> Result<Self> {
        let root = out.map_or_else(|| Path::new("runs").join(name), Path::to_owned);
        Self::prepare(root, force, |root| root.join(TRIALS).is_dir())
    }

    fn prepare(root: PathBuf, force: bool, may_continue: fn(&Path) -> bool) -> Result<Self> {
        let refuse =
            |reason: String| Refused::because(format_args!("--out {}: {reason}", root.display()));
        if root.exists() && !root.is_dir() {
            return Err(refuse("it is a file, expected a folder".into()));
        }
        let occupied = root.is_dir()
            && fs::read_dir(&root)
                .map_err(|e| refuse(format!("cannot be read ({e})")))?
                .next()
                .is_some();
        if occupied && !force && !may_continue(&root) {
            return Err(refuse(
                "there are results already; name another folder or replace them with --force"
                    .into(),
            ));
        }
        fs::create_dir_all(&root).map_err(|e| refuse(format!("cannot be created ({e})")))?;
        let probe = root.join(".writable");
        fs::write(&probe, b"")
            .and_then(|()| fs::remove_file(&probe))
            .map_err(|e| refuse(format!("is not writable ({e})")))?;
        if occupied && force {
            remove_results(&root).map_err(|e| refuse(format!("cannot be replaced ({e})")))?;
        }
        Ok(Self { root })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.root
    }

    /// A folder in it, created.
    pub fn subfolder(&self, name: &str) -> Result<PathBuf> {
        let path = self.root.join(name);
        fs::create_dir_all(&path).with_context(|| format!("{}", path.display()))?;
        Ok(path)
    }

    /// The folder of finished trainings.
    pub fn trials(&self) -> PathBuf {
        self.root.join(TRIALS)
    }

    /// Writes a file whole.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        write_whole(&self.root.join(name), text.as_bytes())?;
        Ok(())
    }
}

/// Removes what an earlier run left, and nothing else that may lie in the folder.
fn remove_results(root: &Path) -> std::io::Result<()> {
    for entry in fs::read_dir(root)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir()
            && (path.join("metrics.csv").is_file() || name == "figures" || name == TRIALS)
        {
            fs::remove_dir_all(&path)?;
        } else if RESULTS.iter().any(|known| name == *known) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Date, machine and commit of a table.
pub fn provenance() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let commit = Command::new("git")
        .args(["describe", "--always", "--dirty"])
        .output()
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or("unknown".to_owned(), |text| text.trim().to_owned());
    format!(
        "{}, {cores} cores, commit {commit}, hig {}",
        chrono::Local::now().format("%Y-%m-%d"),
        env!("CARGO_PKG_VERSION"),
    )
}

/// The full configuration of a run as TOML: everything that its numbers depend on.
pub fn configuration(experiment: &Experiment, options: &crate::cli::RunOptions) -> String {
    let mut run = Table::new();
    run.insert("version".into(), env!("CARGO_PKG_VERSION").into());
    run.insert("system".into(), experiment.system.name().into());
    run.insert("seed".into(), (experiment.seed as i64).into());
    for (name, path) in [("weights", &options.weights), ("data", &options.data)] {
        if let Some(path) = path {
            run.insert(name.into(), path.display().to_string().into());
        }
    }
    let mut budget = Table::new();
    let limits = experiment.budget;
    if let Some(updates) = limits.updates {
        budget.insert("updates".into(), (updates as i64).into());
    }
    for (name, limit) in [("epochs", limits.epochs), ("seconds", limits.seconds)] {
        if let Some(limit) = limit {
            budget.insert(name.into(), limit.into());
        }
    }
    let mut methods = Table::new();
    for contender in &experiment.contenders {
        let settings_of = |phase: &Phase| {
            let mut settings = settings_table(&phase.method.settings());
            settings.extend(settings_table(&phase.training.settings()));
            settings
        };
        let settings = match &contender.phases[..] {
            [only] => settings_of(only),
            phases => {
                let named = phases
                    .iter()
                    .map(|p| (p.name.clone(), settings_of(p).into()));
                named.collect()
            }
        };
        methods.insert(contender.name.clone(), settings.into());
    }
    let mut document = Table::new();
    document.insert("run".into(), run.into());
    document.insert("budget".into(), budget.into());
    document.insert(
        "system".into(),
        settings_table(&experiment.system.settings()).into(),
    );
    document.insert("method".into(), methods.into());
    document.to_string()
}

fn settings_table(settings: &[Setting]) -> Table {
    let value = |value: &Value| -> toml::Value {
        match value {
            Value::Number(v) => (*v).into(),
            Value::Count(v) => (*v as i64).into(),
            Value::Flag(v) => (*v).into(),
            Value::Counts(v) => v.iter().map(|c| *c as i64).collect::<Vec<_>>().into(),
            Value::Word(v) => v.clone().into(),
        }
    };
    settings
        .iter()
        .map(|s| (s.name.into(), value(&s.value)))
        .collect()
}
