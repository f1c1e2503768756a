//! Options of the command line that go before a configuration file.

use clap::Args;
use hig::trainer::Budget;
use std::path::PathBuf;

/// What is trained and how, where it is not as a configuration file or a system has it.
#[derive(Debug, Default, Clone, Args)]
pub struct Overrides {
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
    /// Order of the samples: shuffled, fixed, or fresh ones for every update.
    #[arg(long, value_name = "ORDER")]
    pub order: Option<String>,
    /// Initial weights to start from (safetensors, `layers.{i}.weight` and `layers.{i}.bias`).
    #[arg(long, value_name = "FILE")]
    pub weights: Option<PathBuf>,
    /// Training samples (safetensors, `input`, `target` and, where it differs, `state`).
    #[arg(long, value_name = "FILE")]
    pub data: Option<PathBuf>,
}

impl Overrides {
    /// Whether fresh samples are asked for.
    pub fn ask_fresh(&self) -> bool {
        let sets = self.set.iter().filter_map(|set| set.split_once('='));
        let mut orders = sets.filter(|(name, _)| name.trim().rsplit('.').next() == Some("order"));
        self.order.as_deref() == Some("fresh") || orders.any(|(_, value)| value.trim() == "fresh")
    }

    /// Whether a setting of that name is among them, of whatever method.
    pub fn reaches(&self, setting: &str) -> bool {
        let names = self.set.iter().filter_map(|set| set.split_once('='));
        let mut names = names.map(|(name, _)| name.trim());
        names.any(|name| name.rsplit('.').next() == Some(setting))
            || (setting == "order" && self.order.is_some())
    }
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
