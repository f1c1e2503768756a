//! Options that several commands share.

use crate::configuration::Overrides;
use crate::console::Reporting;
use crate::error::Refused;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// Options of `hig run`.
#[derive(Debug, Default, Args)]
pub struct RunOptions {
    /// System to train on (see `hig list`), or a configuration file such as `hig init` or a run
    /// writes; the options override it.
    #[arg(value_name = "SYSTEM|FILE.toml")]
    pub system: String,
    /// What goes before the file.
    #[command(flatten)]
    pub overrides: Overrides,
    /// Write the initial weights, in the form that --weights reads; - is standard output, where the
    /// tables are then left out.
    #[arg(long, value_name = "FILE")]
    pub save_weights: Option<PathBuf>,
    /// Write the training samples, in the form that --data reads; - is standard output, where the
    /// tables are then left out.
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
pub struct ConsoleOptions {
    /// Results only: no bars, no lines about progress.
    #[arg(long, short, conflicts_with = "json")]
    quiet: bool,
    /// One JSON object a line on standard output, for machines, instead of bars and tables.
    #[arg(long)]
    pub json: bool,
}

impl ConsoleOptions {
    /// What the options ask for.
    pub fn reporting(self) -> Reporting {
        match (self.json, self.quiet) {
            (true, _) => Reporting::Json,
            (_, true) => Reporting::Quiet,
            _ => Reporting::here(),
        }
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
    pub console: ConsoleOptions,
}
