//! `run.toml`: where, when and by what a run was made.

use super::bounded_file;
use anyhow::Result;
use hig::files::write_whole;
use std::ffi::OsString;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

/// The file in the folder of a run.
pub const FILE: &str = "run.toml";

/// The version of the files of a run folder.
const FORMAT: i64 = 1;

/// The words that start the program anew, and its arguments.
static STARTED: OnceLock<(Vec<OsString>, Vec<OsString>)> = OnceLock::new();

/// Notes how the program was started, once.
pub fn started(program: Vec<OsString>, arguments: Vec<OsString>) {
    STARTED.get_or_init(|| (program, arguments));
}

/// The program anew.
pub fn program() -> Command {
    let words = STARTED.get().map_or(&[][..], |(program, _)| program);
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or("hig".as_ref(), |word| word.as_os_str()));
    command.args(words);
    command
}

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
    let words = STARTED.get().map(|(_, arguments)| arguments.clone());
    let words = words.unwrap_or_else(|| std::env::args_os().skip(1).collect());
    let command: Vec<String> = words
        .iter()
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
    let described = git(&[], &["describe", "--always"]);
    let Some(commit) = described.filter(|told| told.status.success()) else {
        return "unknown".to_owned();
    };
    let commit = String::from_utf8_lossy(&commit.stdout).trim().to_owned();
    match changed() {
        true => format!("{commit}-dirty"),
        false => commit,
    }
}

/// A variable that is empty.
const EMPTY: &str = "HIG_EMPTY";

/// Whether files of that folder differ from the commit.
fn changed() -> bool {
    // Every filter is named in the configuration; those without a program leave files as they are.
    let filters = [
        "config",
        "--null",
        "--name-only",
        "--get-regexp",
        r"^filter\.",
    ];
    let filters = git(&[], &filters).map_or(Vec::new(), |told| told.stdout);
    let filters = String::from_utf8_lossy(&filters);
    let empty = |name: &str| format!("--config-env={name}={EMPTY}");
    let without: Vec<String> = filters.split_terminator('\0').map(empty).collect();
    let compare = [
        "diff",
        "--quiet",
        "--no-ext-diff",
        "--no-textconv",
        "--ignore-submodules=all",
        "HEAD",
        "--",
    ];
    git(&without, &compare).is_some_and(|told| told.status.code() == Some(1))
}

/// Asks git with some options, in a way that no program is started that the folder's repository names, which
/// may be from elsewhere: neither a monitor nor a hook, nor one that fetches what is missing.
fn git(options: &[String], words: &[&str]) -> Option<Output> {
    let mut command = Command::new("git");
    command
        .args(["--no-optional-locks", "--no-pager"])
        .args(["-c", "core.fsmonitor=false"])
        .args(["-c", "core.hooksPath=/dev/null"])
        .args(options)
        .args(words)
        .env(EMPTY, "")
        .env("GIT_NO_LAZY_FETCH", "1")
        .env("GIT_ALLOW_PROTOCOL", "")
        .env("GIT_TERMINAL_PROMPT", "0")
        .stdin(Stdio::null());
    command.output().ok()
}

/// Cores that the program may use.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(0, usize::from)
}
