//! The command line.

use crate::commands::compare::CompareOptions;
use crate::commands::export::ExportOptions;
use crate::commands::init::InitOptions;
use crate::commands::list::ListOptions;
use crate::commands::manual::{CompletionsOptions, ManOptions};
use crate::commands::options::RunOptions;
use crate::commands::report::ReportOptions;
use crate::commands::reproduce::ReproduceOptions;
use crate::commands::resume::ResumeOptions;
use crate::commands::study::StudyOptions;
use crate::commands::sweep::SweepOptions;
use crate::commands::watch::WatchOptions;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ArgAction, Parser, Subcommand};
use hig::settings::Settings;
use hig::step;
use hig::systems;
use hig::trainer::Training;
use std::ffi::OsString;

/// Half-inverse gradients for physics-based deep learning: train networks through physics, compare
/// the methods, look at the results.
#[derive(Debug, Parser)]
#[command(name = "hig", version, max_term_width = 100, after_help = EXIT_CODES)]
pub struct Cli {
    /// Say more on standard error: -v what is done, -vv its details, -vvv everything.
    #[arg(long, short, global = true, action = ArgAction::Count, display_order = 1000)]
    pub verbose: u8,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

const EXIT_CODES: &str = "\
Exit codes: 0 done; 1 failed in the middle of work, what was computed is kept; 2 bad input, refused \
before any work; 3 all is trained and shown, but some methods of a run diverged; 70 a fault of hig itself; 130 interrupted, `hig resume` goes on.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train the methods on a system and compare them.
    #[command(after_help = EXIT_CODES)]
    Run(RunOptions),
    /// Go on with a run that was stopped or killed, to the same bits as if it never was.
    #[command(after_help = EXIT_CODES)]
    Resume(ResumeOptions),
    /// Write a configuration file for `hig run` with every setting of a system, to change at will.
    Init(InitOptions),
    /// Measure over many seeds how far the statements of a source hold.
    Study(StudyOptions),
    /// Compute the figures and tables of a source, beside its published values.
    Reproduce(ReproduceOptions),
    /// Train every combination of given settings, over several seeds.
    Sweep(SweepOptions),
    /// Compare the methods of several runs in one table.
    Compare(CompareOptions),
    /// Write the curves of several runs as one long table, for pandas, polars and others.
    Export(ExportOptions),
    /// Write several runs into one HTML file that needs nothing else.
    Report(ReportOptions),
    /// Follow a run, or a folder of runs, on a page in the browser.
    Watch(WatchOptions),
    /// Name systems, methods and settings with their defaults.
    List(ListOptions),
    /// Write what lets a shell complete commands, options, systems and methods.
    Completions(CompletionsOptions),
    /// Write the manual page, or the pages of all commands into a folder.
    Man(ManOptions),
}

impl Command {
    /// Whether standard output is for machines.
    pub fn tells_objects(&self) -> bool {
        match self {
            Self::Run(options) => options.output.console.json,
            Self::Resume(options) => options.console.json,
            Self::Study(options) => options.output.console.json,
            Self::Reproduce(options) => options.output.console.json,
            Self::Sweep(options) => options.output.console.json,
            _ => false,
        }
    }
}

/// Where the option that is wrong is the name of a setting, suggests to set it.
pub fn suggest_setting(error: &mut clap::Error, words: &[OsString]) {
    let takes_settings = words.iter().any(|word| word == "run" || word == "sweep");
    let Some(ContextValue::String(option)) = error.get(ContextKind::InvalidArg) else {
        return;
    };
    let Some(setting) = option.strip_prefix("--").map(|name| name.replace('-', "_")) else {
        return;
    };
    let name = setting.rsplit('.').next().unwrap_or_default();
    if error.kind() != ErrorKind::UnknownArgument || !takes_settings || !is_setting(name) {
        return;
    }
    let value = value_after(option, words).unwrap_or_else(|| "VALUE".into());
    let tip = format!("{name} is a setting: --set {setting}={value}");
    error.remove(ContextKind::SuggestedArg);
    error.insert(
        ContextKind::Suggested,
        ContextValue::StyledStrs(vec![tip.into()]),
    );
}

fn is_setting(name: &str) -> bool {
    let systems = systems::systems();
    let methods = step::methods();
    let settings = systems.iter().flat_map(|system| system.settings());
    let settings = settings.chain(methods.iter().flat_map(|method| method.settings()));
    let mut settings = settings.chain(Training::default().settings());
    settings.any(|setting| setting.name == name)
}

/// The value in `--option value` or `--option=value`.
fn value_after(option: &str, words: &[OsString]) -> Option<String> {
    let mut words = words.iter().map(|word| word.to_string_lossy());
    let found = words.find_map(|word| {
        let rest = word.strip_prefix(option)?;
        (rest.is_empty() || rest.starts_with('=')).then(|| rest.trim_start_matches('=').to_owned())
    })?;
    let mut next = || words.next().map(std::borrow::Cow::into_owned);
    let value = if found.is_empty() { next()? } else { found };
    (!value.starts_with("--")).then_some(value)
}
