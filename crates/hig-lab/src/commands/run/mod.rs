//! `hig run`: train every method from the same start, and show what came out.

mod tables;

use crate::commands::options::{RunOptions, use_threads};
use crate::console::output::{self, say};
use crate::console::{Reporting, interrupt};
use crate::error::Refused;
use crate::experiment::{Experiment, Finished, Work};
use crate::figures;
use crate::run_folder::folder::Folder;
use crate::run_folder::provenance::{self, Provenance};
use crate::run_folder::{config, given, summary};
use anyhow::{Result, bail};
use std::path::Path;

/// Runs the command.
pub fn run(options: &RunOptions) -> Result<()> {
    use_threads(options.output.threads)?;
    let interval = options.checkpoint.interval()?;
    let experiment = Experiment::new(&options.system, &options.overrides)?;
    let folder = Folder::open(
        options.output.out.as_deref(),
        experiment.system.name(),
        options.output.force,
    )?;
    save(&experiment, options)?;
    keep_given(&experiment, folder.path())?;
    folder.write(config::FILE, &experiment.configuration())?;
    provenance::write(
        Provenance {
            system: experiment.system.name(),
            seed: experiment.seed,
            methods: experiment.chains.iter().map(|c| c.name.clone()).collect(),
        },
        folder.path(),
    )?;
    let work = Work {
        experiment: &experiment,
        folder: &folder,
        interval,
        reporting: options.output.console.reporting(),
        tensorboard: options.tensorboard,
    };
    finish(&work)
}

/// Trains what is not yet trained, and shows all of it.
pub fn finish(work: &Work<'_>) -> Result<()> {
    let finished = work.train()?;
    output::write(format_args!("{}", tables::summary(&finished)));
    output::write(format_args!("{}", tables::warnings(&finished)));
    if let Some(failure) = finished.iter().find_map(|f| f.failure.as_ref()) {
        bail!("{failure}");
    }
    let folder = work.folder;
    let outcomes = finished.iter().map(|f| (f.name.as_str(), &f.outcome));
    folder.write(summary::FILE, &summary::csv(outcomes))?;
    draw(work.experiment, &finished, folder, work.reporting)?;
    say!("{}", folder.path().display());
    if interrupt::asked() {
        say!(
            "interrupted; `hig resume {}` goes on",
            folder.path().display()
        );
    }
    Ok(())
}

fn draw(
    experiment: &Experiment,
    finished: &[Finished],
    folder: &Folder,
    reporting: Reporting,
) -> Result<()> {
    let figures = figures::run::draw(experiment, finished, &folder.subfolder("figures")?)?;
    say!();
    reporting.drawn(folder.path(), &figures);
    Ok(())
}

/// Writes the files that the options ask for.
fn save(experiment: &Experiment, options: &RunOptions) -> Result<()> {
    let problem = &experiment.problem;
    if let Some(path) = &options.save_weights {
        let written = problem.save_parameters(&experiment.weights, path);
        written.map_err(Refused::because)?;
    }
    if let Some(path) = &options.save_data {
        problem.train.save(path).map_err(Refused::because)?;
    }
    Ok(())
}

/// Copies what the run was given into its folder.
fn keep_given(experiment: &Experiment, folder: &Path) -> Result<()> {
    if experiment.given_weights.is_some() {
        given::keep_weights(&experiment.problem, &experiment.weights, folder)?;
    }
    if experiment.given_data.is_some() {
        given::keep_data(&experiment.problem, folder)?;
    }
    Ok(())
}
