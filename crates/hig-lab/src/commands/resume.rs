//! `hig resume`: go on with a run that was stopped or killed.

use crate::commands::options::{CheckpointOptions, ConsoleOptions};
use crate::commands::run::finish;
use crate::commands::threads::use_threads;
use crate::configuration::{BudgetOptions, Config, Overrides};
use crate::experiment::{Experiment, Work};
use crate::run_folder::folder::Folder;
use crate::run_folder::{config, provenance};
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// Options of `hig resume`.
#[derive(Debug, Args)]
pub struct ResumeOptions {
    /// Folder of the run.
    #[arg(value_name = "RUN")]
    pub folder: PathBuf,
    /// Train longer than the run was to, for which it may have ended already; less than it has trained
    /// is refused.
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
    pub console: ConsoleOptions,
}

/// Runs the command.
pub fn resume(options: &ResumeOptions) -> Result<()> {
    use_threads(options.threads)?;
    let interval = options.checkpoint.interval()?;
    let folder = Folder::reopen(&options.folder)?;
    let config = folder.path().join(config::FILE);
    let overrides = Overrides {
        budget: options.budget,
        ..Overrides::default()
    };
    let experiment = Experiment::new(&config, &overrides)?;
    let work = Work {
        experiment: &experiment,
        folder: &folder,
        interval,
        reporting: options.console.reporting(),
        tensorboard: false,
    };
    let standings = work.standings()?;
    if options.budget.given().is_some() {
        let before = Config::named(&config)?
            .resolve(&Overrides::default())?
            .budget;
        for (chain, standing) in experiment.chains.iter().zip(&standings) {
            standing.check_budget(chain, &experiment.budget, &before)?;
        }
        folder.write(config::FILE, &experiment.configuration())?;
    }
    provenance::resumed(folder.path())?;
    finish(&work, standings)
}
