//! `hig run`: train every method from the same start, and show what came out.

mod tables;

use crate::commands::options::RunOptions;
use crate::commands::threads::use_threads;
use crate::console::output::{self, say};
use crate::console::{Reporting, interrupt};
use crate::error::{EndedBadly, Refused};
use crate::experiment::{ChainState, Experiment, Finished, Work};
use crate::figures;
use crate::run_folder::folder::Folder;
use crate::run_folder::outcome::Reason;
use crate::run_folder::provenance::{self, Provenance};
use crate::run_folder::{config, given, summary};
use anyhow::{Result, bail};
use hig::files::{Precision, Tensors};
use hig::network::tensors_of;
use std::path::Path;

/// Runs the command.
pub fn run(options: &RunOptions) -> Result<()> {
    keep_output(options)?;
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
    let standings = work.standings()?;
    finish(&work, standings)
}

/// Trains what is not yet trained, and shows all of it.
pub fn finish(work: &Work<'_>, standings: Vec<ChainState>) -> Result<()> {
    let finished = work.train(standings)?;
    output::write(format_args!("{}", tables::summary(&finished)));
    let found = tables::estimated(work.experiment, &finished);
    output::write(format_args!("{}", tables::estimates_table(&found)));
    output::write(format_args!("{}", tables::warnings(&finished)));
    if let Some(failure) = finished.iter().find_map(|f| f.failure.as_ref()) {
        bail!("{failure}");
    }
    let folder = work.folder;
    let outcomes = finished.iter().map(|f| (f.name.as_str(), &f.outcome));
    folder.write(summary::FILE, &summary::csv(outcomes))?;
    if !found.is_empty() {
        folder.write("estimates.csv", &tables::estimates_csv(&found))?;
    }
    draw(work.experiment, &finished, folder, work.reporting)?;
    say!("{}", folder.path().display());
    if interrupt::asked() {
        say!(
            "interrupted; `hig resume {}` goes on",
            folder.path().display()
        );
        return Ok(());
    }
    let ended = |reason: Reason| -> Vec<String> {
        let those = finished.iter().filter(|f| f.outcome.reason == reason);
        those.map(|f| f.name.clone()).collect()
    };
    match (ended(Reason::Diverged), ended(Reason::Failed)) {
        (diverged, failed) if diverged.is_empty() && failed.is_empty() => Ok(()),
        (diverged, failed) => Err(EndedBadly::error(diverged, failed)),
    }
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
        let weights = tensors_of(&problem.parameters(), &experiment.weights);
        write_given(&weights, path)?;
    }
    if let Some(path) = &options.save_data {
        write_given(&problem.train.to_tensors(), path)?;
    }
    Ok(())
}

fn write_given(tensors: &Tensors, path: &Path) -> Result<()> {
    if output::is_standard(path) {
        output::write_bytes(
            &tensors
                .to_bytes(Precision::Double)
                .map_err(Refused::because)?,
        );
        return Ok(());
    }
    tensors.save(path).map_err(Refused::because)
}

/// Standard output takes one thing.
fn keep_output(options: &RunOptions) -> Result<()> {
    let files = [&options.save_weights, &options.save_data];
    let files = files.into_iter().flatten();
    let files = files.filter(|path| output::is_standard(path)).count();
    if files + usize::from(options.output.console.json) > 1 {
        return Err(Refused::because(
            "standard output takes one of --json, --save-weights - and --save-data -; name files for the \
             others",
        ));
    }
    if files > 0 {
        output::reserve_for_file();
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
