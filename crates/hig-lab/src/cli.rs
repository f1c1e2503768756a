//! The command line.

use crate::Refused;
use crate::telling::Manner;
use anyhow::Result;
use clap::{ArgAction, Args, Parser, Subcommand, ValueHint};
use hig::systems::System;
use hig::trainer::Budget;
use std::path::PathBuf;
use std::time::Duration;

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
before any work; 70 a fault of hig itself; 130 interrupted, `hig resume` goes on.";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Train the methods on a system and compare them.
    Run(RunOptions),
    /// Go on with a run that was stopped or killed, to the same bits as if it never was.
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
    Compare(crate::compare::CompareOptions),
    /// Write the curves of several runs as one long table, for pandas, polars and others.
    Export(crate::export::ExportOptions),
    /// Write several runs into one HTML file that needs nothing else.
    Report(crate::report::ReportOptions),
    /// Follow a run, or a folder of runs, on a page in the browser.
    Watch(crate::watch::WatchOptions),
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
            Self::Run(options) => options.output.telling.json,
            Self::Resume(options) => options.telling.json,
            Self::Study(options) => options.output.telling.json,
            Self::Reproduce(options) => options.output.telling.json,
            Self::Sweep(options) => options.output.telling.json,
            _ => false,
        }
    }
}

/// Options of `hig list`.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// As one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Options of `hig completions`.
#[derive(Debug, Args)]
pub struct CompletionsOptions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Options of `hig man`.
#[derive(Debug, Args)]
pub struct ManOptions {
    /// Folder for hig.1, hig-run.1 and so on, instead of the first of them on standard output.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}

/// Options of `hig run`.
#[derive(Debug, Default, Args)]
pub struct RunOptions {
    /// System to train on (see `hig list`), or a configuration file such as `hig init` or a run
    /// writes; the options override it.
    #[arg(value_name = "SYSTEM|FILE.toml")]
    pub system: String,
    /// Method to train with; repeat for several. `adam:500+hig` is Adam for 500 updates, then HIG
    /// from those weights [default: the comparison of the system's source, and adaptive-hig].
    #[arg(long = "method", value_name = "NAME")]
    pub methods: Vec<String>,
    /// Seed of data, initial weights and order of samples [default: 0].
    #[arg(long)]
    pub seed: Option<u64>,
    /// How long to train.
    #[command(flatten)]
    pub budget: BudgetOptions,
    /// Any setting, such as `lambda=0.01`, `cutoff=1e-5` or, for one method, `hig.cutoff=1e-5`.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Order of the samples: shuffled or fixed.
    #[arg(long, value_name = "ORDER")]
    pub order: Option<String>,
    /// Initial weights to start from (safetensors, `layers.{i}.weight` and `layers.{i}.bias`).
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Training samples (safetensors, `input`, `target` and, where it differs, `state`).
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
    /// Write the initial weights, in the form that --weights reads.
    #[arg(long, value_name = "FILE")]
    pub save_weights: Option<PathBuf>,
    /// Write the training samples, in the form that --data reads.
    #[arg(long, value_name = "FILE")]
    pub save_data: Option<PathBuf>,
    /// Write event files for TensorBoard beside the tables, while training.
    #[arg(long)]
    pub tensorboard: bool,
    /// How often the state is kept.
    #[command(flatten)]
    pub checkpoint: CheckpointOptions,
    /// Where the results go, and how the work is done.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Options of `hig resume`.
#[derive(Debug, Args)]
pub struct ResumeOptions {
    /// Folder of the run.
    #[arg(value_name = "RUN")]
    pub folder: PathBuf,
    /// Train longer than the run was to, for which it may have ended already.
    #[command(flatten)]
    pub budget: BudgetOptions,
    /// How often the state is kept.
    #[command(flatten)]
    pub checkpoint: CheckpointOptions,
    /// Threads to use; results do not depend on it [default: all cores].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// How the work tells of itself.
    #[command(flatten)]
    pub telling: TellingOptions,
}

/// How often the state is kept.
#[derive(Debug, Clone, Copy, Args)]
pub struct CheckpointOptions {
    /// Seconds between two checkpoints, of which a run that is killed loses at most so many; 0 keeps
    /// every update.
    #[arg(long, value_name = "S", default_value_t = 30.0)]
    checkpoint: f64,
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self { checkpoint: 30.0 }
    }
}

impl CheckpointOptions {
    /// The time between two.
    pub fn interval(self) -> Result<Duration> {
        Duration::try_from_secs_f64(self.checkpoint).map_err(|_| {
            let seconds = self.checkpoint;
            let expected = "expected a number of seconds of at least 0";
            Refused::because(format_args!("--checkpoint {seconds}: {expected}"))
        })
    }
}

/// How work tells of itself: by bars in a terminal, by a line from time to time where there is none.
#[derive(Debug, Default, Clone, Copy, Args)]
pub struct TellingOptions {
    /// Results only: no bars, no lines about progress.
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// One JSON object a line on standard output, for machines, instead of bars and tables.
    #[arg(long)]
    pub json: bool,
}

impl TellingOptions {
    /// What the options ask for.
    pub fn manner(self) -> Manner {
        match (self.json, self.quiet) {
            (true, _) => Manner::Json,
            (_, true) => Manner::Quiet,
            _ => Manner::here(),
        }
    }
}

/// Options of `hig init`.
#[derive(Debug, Args)]
pub struct InitOptions {
    /// System to train on (see `hig list`).
    #[arg(required_unless_present = "schema")]
    pub system: Option<String>,
    /// Print the JSON schema of configuration files instead, by which editors check and complete
    /// them.
    #[arg(long, conflicts_with = "system")]
    pub schema: bool,
}

/// Options of `hig study`.
#[derive(Debug, Args)]
pub struct StudyOptions {
    /// Study to run: adaptive or chapter.
    pub name: String,
    /// Seeds, each a training of its own [default: 5 for adaptive, 20 for chapter].
    #[arg(long, value_name = "N")]
    pub seeds: Option<usize>,
    /// Updates of each training of the chapter [default: 5000].
    #[arg(long, value_name = "N")]
    pub updates: Option<usize>,
    /// Only this case of adaptive; repeat for several.
    #[arg(long, value_name = "CASE")]
    pub only: Vec<String>,
    /// Factor on all budgets.
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    pub scale: f64,
    /// Where the results go, and how the work is done.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Options of `hig sweep`.
#[derive(Debug, Args)]
pub struct SweepOptions {
    /// System to train on (see `hig list`).
    pub system: String,
    /// Method to train with; repeat for several.
    #[arg(long = "method", value_name = "NAME", default_value = "hig")]
    pub methods: Vec<String>,
    /// A setting with one value, or several separated by commas (lists such as `hidden` by
    /// semicolons): `cutoff=1e-4,1e-5,1e-6`. Repeat for a grid.
    #[arg(long = "set", value_name = "KEY=VALUES")]
    pub set: Vec<String>,
    /// Seeds, as in 1..5 (both ends included) or 1,2,7.
    #[arg(long, default_value = "0..4")]
    pub seeds: String,
    /// How long to train; against seconds, trainings run one after the other.
    #[command(flatten)]
    pub budget: BudgetOptions,
    /// Where the results go, and how the work is done.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// Options of `hig reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceOptions {
    /// Source: chapter (Physics-based Deep Learning book) or paper (arXiv 2203.10131).
    pub source: String,
    /// Only this exhibit; repeat for several.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Seeds of each training.
    #[arg(long, default_value_t = 3)]
    pub seeds: usize,
    /// The authors' own budgets instead of a laptop's.
    #[arg(long)]
    pub full: bool,
    /// Factor on all budgets.
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Where the results go, and how the work is done.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// How long to train; the first limit that is reached ends a training.
#[derive(Debug, Default, Clone, Copy, Args)]
pub struct BudgetOptions {
    /// Updates to train for [default: the system's own budget].
    #[arg(long, value_name = "N")]
    pub updates: Option<usize>,
    /// Passes over the training samples to train for.
    #[arg(long, value_name = "N")]
    pub epochs: Option<f64>,
    /// Seconds of training, without evaluation.
    #[arg(long, value_name = "S")]
    pub seconds: Option<f64>,
}

impl BudgetOptions {
    /// The limits given, if any is.
    pub fn given(self) -> Option<Budget> {
        let Self {
            updates,
            epochs,
            seconds,
        } = self;
        let budget = Budget {
            updates,
            epochs,
            seconds,
        };
        (budget != Budget::default()).then_some(budget)
    }

    /// The limits given, or else the system's own.
    pub fn or_of(self, system: &dyn System) -> Budget {
        self.given().unwrap_or_else(|| system.budget())
    }
}

/// Where results go, and how the work is done.
#[derive(Debug, Default, Clone, Args)]
pub struct OutputOptions {
    /// Folder for the results [default: a folder under runs/ that is named after the command;
    /// sweeps, studies and reproductions go on from the trainings finished there].
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
    /// Replace results that are already there.
    #[arg(long)]
    pub force: bool,
    /// Threads to use; results do not depend on it [default: all cores].
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// How the work tells of itself.
    #[command(flatten)]
    pub telling: TellingOptions,
}
