//! `run.toml`: where, when and by what a run was made.

use crate::experiment::Experiment;
use crate::run_folder::bounded_file;
use crate::run_folder::folder::{ABOUT, Folder, commit, cores};
use anyhow::Result;

/// The version of the files of a run folder.
const FORMAT: i64 = 1;

/// Writes it at the start of a run.
pub fn write(experiment: &Experiment, folder: &Folder) -> Result<()> {
    let names = experiment.contenders.iter().map(|c| c.name.clone());
    let command: Vec<String> = std::env::args().skip(1).collect();
    let table = toml::Table::from_iter([
        ("format".into(), FORMAT.into()),
        ("version".into(), env!("CARGO_PKG_VERSION").into()),
        ("commit".into(), commit().into()),
        ("started".into(), now().into()),
        ("system".into(), experiment.system.name().into()),
        ("seed".into(), seed(experiment.seed)),
        ("methods".into(), names.collect::<Vec<_>>().into()),
        (
            "command".into(),
            format!("hig {}", command.join(" ")).into(),
        ),
        ("machine".into(), machine().into()),
        (
            "threads".into(),
            (rayon::current_num_threads() as i64).into(),
        ),
    ]);
    folder.write(ABOUT, &table.to_string())
}

/// Notes that the run goes on.
pub fn resumed(folder: &Folder) -> Result<()> {
    let text =
        bounded_file::read_text(&folder.path().join(ABOUT), bounded_file::TEXT).unwrap_or_default();
    let mut table: toml::Table = text.parse().unwrap_or_default();
    let times = table
        .entry("resumed")
        .or_insert_with(|| toml::Value::Array(Vec::new()));
    if let Some(times) = times.as_array_mut() {
        times.push(now().into());
    }
    folder.write(ABOUT, &table.to_string())
}

fn now() -> String {
    chrono::Local::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, false)
}

fn machine() -> String {
    let (system, processor) = (std::env::consts::OS, std::env::consts::ARCH);
    format!("{} cores, {system} {processor}", cores())
}

/// TOML's integers end at 2⁶³.
fn seed(seed: u64) -> toml::Value {
    match i64::try_from(seed) {
        Ok(seed) => seed.into(),
        Err(_) => seed.to_string().into(),
    }
}
