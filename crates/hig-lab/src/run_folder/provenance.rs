//! `run.toml`: where, when and by what a run was made.

use super::bounded_file;
use anyhow::Result;
use hig::files::write_whole;
use std::path::Path;
use std::process::Command;

/// The file in the folder of a run.
pub const FILE: &str = "run.toml";

/// The version of the files of a run folder.
const FORMAT: i64 = 1;

/// What a run is about.
#[derive(Debug)]
pub struct Provenance<'a> {
    /// Name of the system.
    pub system: &'a str,
    /// Seed of data, weights and order.
    pub seed: u64,
    /// The methods in order.
    pub methods: Vec<String>,
}

/// Writes it at the start of a run.
pub fn write(of: Provenance<'_>, folder: &Path) -> Result<()> {
    let command = std::env::args_os().skip(1);
    let command: Vec<String> = command
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let table = toml::Table::from_iter([
        ("format".into(), FORMAT.into()),
        ("version".into(), env!("CARGO_PKG_VERSION").into()),
        ("commit".into(), commit().into()),
        ("started".into(), now().into()),
        ("system".into(), of.system.into()),
        ("seed".into(), seed(of.seed)),
        ("methods".into(), of.methods.into()),
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
    Ok(write_whole(
        &folder.join(FILE),
        table.to_string().as_bytes(),
    )?)
}

/// Notes that the run goes on.
pub fn resumed(folder: &Path) -> Result<()> {
    let text = bounded_file::read_text(&folder.join(FILE), bounded_file::TEXT).unwrap_or_default();
    let mut table: toml::Table = text.parse().unwrap_or_default();
    let times = table
        .entry("resumed")
        .or_insert_with(|| toml::Value::Array(Vec::new()));
    if let Some(times) = times.as_array_mut() {
        times.push(now().into());
    }
    Ok(write_whole(
        &folder.join(FILE),
        table.to_string().as_bytes(),
    )?)
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

/// Date, machine and commit of a table.
pub fn line() -> String {
    format!(
        "{}, {} cores, commit {}, hig {}",
        chrono::Local::now().format("%Y-%m-%d"),
        cores(),
        commit(),
        env!("CARGO_PKG_VERSION"),
    )
}

/// The commit of the folder that the program was started in.
fn commit() -> String {
    // The configuration and the hooks of that folder, which may be from elsewhere, name programs.
    let output = Command::new("git")
        .args([
            "-c",
            "core.fsmonitor=false",
            "-c",
            "core.hooksPath=/dev/null",
        ])
        .args(["describe", "--always", "--dirty"])
        .output();
    output
        .ok()
        .filter(|output| output.status.success())
        .and_then(|output| String::from_utf8(output.stdout).ok())
        .map_or("unknown".to_owned(), |text| text.trim().to_owned())
}

/// Cores that the program may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}
