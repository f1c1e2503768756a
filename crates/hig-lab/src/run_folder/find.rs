//! Runs by the paths that a user gives.

use super::{config, metrics, provenance};
use crate::error::Refused;
use anyhow::Result;
use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

/// Runs that are read at once; a folder of more is refused rather than read for minutes.
const MOST: usize = 1000;

/// Whether a folder is that of a run: it has a `run.toml`, a configuration, or a method's metrics.
pub fn is_run(folder: &Path) -> bool {
    folder.join(provenance::FILE).is_file()
        || config::is_of_a_run(&folder.join(config::FILE))
        || subfolders(folder).any(|method| method.join(metrics::FILE).is_file())
}

/// The runs that the paths name, each the folder of a run or a folder of such folders.
///
/// # Errors
/// A path that is neither.
pub fn find(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut found: Vec<PathBuf> = Vec::new();
    for path in paths {
        let runs = runs_in(path);
        if runs.is_empty() {
            return Err(no_run(path));
        }
        for run in runs {
            if !found.contains(&run) {
                found.push(run);
            }
        }
    }
    if found.len() > MOST {
        return Err(Refused::because(format_args!(
            "{} runs: expected at most {MOST} at once",
            found.len()
        )));
    }
    Ok(found)
}

/// The run at a path, or the runs in it, in the order of their names; none where there is none yet.
pub fn runs_in(path: &Path) -> Vec<PathBuf> {
    if is_run(path) {
        return vec![path.to_owned()];
    }
    let mut runs: Vec<PathBuf> = subfolders(path).filter(|folder| is_run(folder)).collect();
    runs.sort_by(|a, b| natural(&a.to_string_lossy(), &b.to_string_lossy()));
    runs
}

fn no_run(path: &Path) -> anyhow::Error {
    let reason = if path.is_file() {
        "it is a file, expected the folder of a run".to_owned()
    } else if let Err(error) = fs::read_dir(path) {
        format!("expected the folder of a run ({error})")
    } else if path.join("trials").is_dir() {
        "it holds the trainings of a sweep or a study, whose results are in its table.md and \
         summary.csv; expected the folder of a run"
            .to_owned()
    } else {
        format!(
            "no run is here: expected {}, {} or METHOD/{} in it, or folders with these",
            provenance::FILE,
            config::FILE,
            metrics::FILE
        )
    };
    Refused::because(format_args!("{}: {reason}", path.display()))
}

fn subfolders(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path()));
    paths.filter(|path| path.is_dir())
}

/// The order in which `toy-2` comes before `toy-10`.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut a, mut b) = (a.chars().peekable(), b.chars().peekable());
    loop {
        match (a.peek(), b.peek()) {
            (Some(x), Some(y)) if x.is_ascii_digit() && y.is_ascii_digit() => {
                let number = |chars: &mut std::iter::Peekable<std::str::Chars<'_>>| {
                    let mut digits = String::new();
                    while let Some(digit) = chars.next_if(char::is_ascii_digit) {
                        digits.push(digit);
                    }
                    let digits = digits.trim_start_matches('0').to_owned();
                    (digits.len(), digits)
                };
                match number(&mut a).cmp(&number(&mut b)) {
                    Ordering::Equal => {}
                    order => return order,
                }
            }
            (Some(_), Some(_)) => match a.next().cmp(&b.next()) {
                Ordering::Equal => {}
                order => return order,
            },
            (x, y) => return x.is_some().cmp(&y.is_some()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_in_names_are_compared_as_numbers() {
        let mut names = vec!["toy-10", "toy-2", "toy", "toy-1", "poisson-3", "toy-02x"];
        names.sort_by(|a, b| natural(a, b));
        assert_eq!(
            names,
            ["poisson-3", "toy", "toy-1", "toy-2", "toy-02x", "toy-10"]
        );
    }

    #[test]
    fn a_foreign_configuration_makes_no_run() {
        let folder = tempfile::TempDir::new().unwrap();
        let config = folder.path().join(config::FILE);
        fs::write(&config, "baseURL = 'a page'\n").unwrap();
        assert!(!is_run(folder.path()));
        fs::write(&config, "[run]\nsystem = \"toy\"\n").unwrap();
        assert!(is_run(folder.path()));
    }
}
