//! The folder that a run leaves behind.

use crate::Refused;
use crate::config::{GIVEN_DATA, GIVEN_WEIGHTS};
use anyhow::{Context, Result};
use hig::tensors::write_whole;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files that commands of this program leave at the top of a folder.
const RESULTS: [&str; 8] = [
    "config.toml",
    GIVEN_WEIGHTS,
    GIVEN_DATA,
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
