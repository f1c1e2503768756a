//! `hig run`: trains every method from the same start, and shows what came out.

use crate::cli::RunOptions;
use crate::config::{GIVEN_DATA, GIVEN_WEIGHTS};
use crate::experiment::{Contender, Experiment};
use crate::folder::Folder;
use crate::interrupt::{self, Interrupt};
use crate::observers::{Bar, Finished, PROBE, Recorder};
use crate::output::say;
use crate::{Refused, figures, table};
use anyhow::{Result, bail};
use hig::network::Network;
use hig::trainer::{CheckpointWriter, MetricsWriter, Start, Stop, consumption, train};
use std::time::Duration;

const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(30);

/// Runs the command.
pub fn run(options: &RunOptions) -> Result<()> {
    use_threads(options.output.threads)?;
    let experiment = Experiment::new(options)?;
    let folder = Folder::open(
        options.output.out.as_deref(),
        experiment.system.name(),
        options.output.force,
    )?;
    if let Some(path) = &options.save_weights {
        let network = &experiment.problem.network;
        network
            .save_parameters(&experiment.weights, path)
            .map_err(Refused::because)?;
    }
    if let Some(path) = &options.save_data {
        experiment
            .problem
            .train
            .save(path)
            .map_err(Refused::because)?;
    }
    keep_given(&experiment, &folder)?;
    folder.write("config.toml", &experiment.configuration())?;
    interrupt::listen();

    let mut finished = Vec::new();
    for contender in &experiment.contenders {
        finished.push(train_one(
            &experiment,
            contender,
            &folder,
            options.output.quiet,
        )?);
        let failed = finished.last().is_some_and(|f| f.failure.is_some());
        if failed || interrupt::asked() {
            break;
        }
    }

    crate::output::write(format_args!("{}", table::summary(&finished)));
    if let Some(failure) = finished.iter().find_map(|f| f.failure.as_ref()) {
        bail!("{failure}");
    }
    folder.write("summary.csv", &table::summary_csv(&finished))?;
    let figures = figures::draw(&experiment, &finished, &folder.subfolder("figures")?)?;
    say!();
    for path in figures {
        say!("{}", path.display());
    }
    say!("{}", folder.path().display());
    Ok(())
}

/// Copies what the run was given into its folder: the files themselves may change.
fn keep_given(experiment: &Experiment, folder: &Folder) -> Result<()> {
    let problem = &experiment.problem;
    if experiment.given_weights.is_some() {
        let path = folder.path().join(GIVEN_WEIGHTS);
        problem
            .network
            .save_parameters(&experiment.weights, &path)?;
    }
    if experiment.given_data.is_some() {
        problem.train.save(&folder.path().join(GIVEN_DATA))?;
    }
    Ok(())
}

/// Sets the number of threads of everything that follows.
pub fn use_threads(threads: Option<usize>) -> Result<()> {
    match threads {
        None => Ok(()),
        Some(0) => Err(Refused::because("--threads 0: expected at least 1")),
        Some(count) => Ok(rayon::ThreadPoolBuilder::new()
            .num_threads(count)
            .build_global()?),
    }
}

fn train_one(
    experiment: &Experiment,
    contender: &Contender,
    folder: &Folder,
    quiet: bool,
) -> Result<Finished> {
    let own = folder.subfolder(&contender.name.replace(':', "-"))?;
    let weights = own.join("weights.safetensors");
    let mut bar = Bar::new(&contender.name, quiet);
    let mut metrics = MetricsWriter::create(&own.join("metrics.csv"))?;
    let mut recorder = Recorder::create(&own, experiment, PROBE)?;
    let mut checkpoints = CheckpointWriter::new(&weights, CHECKPOINT_INTERVAL);
    let mut start = Start::from(experiment.weights.clone());
    let mut phases = contender.phases.iter().enumerate().peekable();
    let outcome = loop {
        let (i, phase) = phases.next().expect("a contender has a phase");
        let mut budget = experiment.budget;
        if let Some(until) = phase.until {
            budget.updates = Some(budget.updates.map_or(until, |updates| updates.min(until)));
        }
        let outcome = train(
            &experiment.problem,
            phase.method.as_ref(),
            start,
            &phase.training,
            budget,
            // Another phase must not see the same samples in the same order again.
            experiment.seed.wrapping_add(i as u64),
            &mut [
                &mut bar,
                &mut metrics,
                &mut recorder,
                &mut checkpoints,
                &mut Interrupt,
            ],
        )?;
        let ended = experiment
            .budget
            .used(outcome.updates, outcome.epochs, outcome.seconds)
            >= 1.0;
        match phases.peek() {
            Some((_, next)) if !ended && matches!(outcome.stop, Stop::Budget) => {
                recorder.mark(&next.name);
                start = Start::from(&outcome);
            }
            _ => break outcome,
        }
    };
    bar.clear();
    let name = &contender.name;
    let mut failure = match &outcome.stop {
        Stop::Failed { .. } => Some(format!("{name}: {}", outcome.stop)),
        _ => None,
    };
    let network = &experiment.problem.network;
    if let Err(error) = network.save_parameters(&outcome.parameters, &weights) {
        failure = Some(rescue(network, &outcome.parameters, &error));
    }
    if !quiet {
        eprintln!("{}", table::line(name, &outcome));
    }
    let last = contender.phases.last().expect("a contender has a phase");
    let method = last.method.as_ref();
    let (consumes, rows, columns) = consumption(&experiment.problem, method, &last.training)?;
    Ok(Finished {
        name: name.clone(),
        consumed: format!("{consumes}, {rows} x {columns}"),
        outcome,
        failure,
        curves: recorder.curves,
    })
}

/// Weights that cannot be written where they belong, on a full disk, go to the temporary folder.
fn rescue(network: &Network, parameters: &[f64], error: &hig::Error) -> String {
    let name = format!("hig-weights-{}.safetensors", std::process::id());
    let path = std::env::temp_dir().join(name);
    match network.save_parameters(parameters, &path) {
        Ok(()) => format!("{error}; the weights are in {}", path.display()),
        Err(second) => format!("{error}; the weights are lost ({second})"),
    }
}
