//! Options that several commands share.

use crate::console::Manner;
use crate::error::Refused;
use anyhow::Result;
use clap::Args;
use hig::trainer::Budget;
use std::path::PathBuf;
use std::time::Duration;

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
