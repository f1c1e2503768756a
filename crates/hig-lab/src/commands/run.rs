//! `hig run`, `hig resume`: train every method from the same start, and show what came out.

use crate::commands::options::{BudgetOptions, CheckpointOptions, RunOptions, TellingOptions};
use crate::configuration::{GIVEN_DATA, GIVEN_WEIGHTS};
use crate::console::Manner;
use crate::console::interrupt::{self, Interrupt};
use crate::console::output::say;
use crate::console::table;
use crate::error::Refused;
use crate::experiment::Experiment;
use crate::experiment::recorder::{Curves, Finished, PROBE, Recorder, WeightsWriter};
use crate::experiment::resume::{CHECKPOINT, PHASE, Standing, WEIGHTS, WHOSE, cut_tables, whose};
use crate::figures::run as run_figures;
use crate::method_chain::Contender;
use crate::run_folder::folder::{CONFIG, Folder, folder_of};
use crate::run_folder::outcome::Ended;
use crate::run_folder::provenance;
use crate::warnings;
use anyhow::{Result, bail};
use clap::Args;
use hig::network::Network;
use hig::trainer::{CheckpointWriter, MetricsWriter, Start, Stop, consumption, train};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Duration;

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

/// Runs the command `hig run`.
pub fn run(options: &RunOptions) -> Result<()> {
    use_threads(options.output.threads)?;
    let interval = options.checkpoint.interval()?;
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
    folder.write(CONFIG, &experiment.configuration())?;
    provenance::write(&experiment, &folder)?;
    Work {
        experiment: &experiment,
        folder: &folder,
        interval,
        manner: options.output.telling.manner(),
        tensorboard: options.tensorboard,
    }
    .go()
}

/// Runs the command `hig resume`.
pub fn resume(options: &ResumeOptions) -> Result<()> {
    use_threads(options.threads)?;
    let interval = options.checkpoint.interval()?;
    let folder = Folder::reopen(&options.folder)?;
    let config = folder.path().join(CONFIG);
    let experiment = Experiment::new(&RunOptions {
        system: config.to_string_lossy().into_owned(),
        budget: options.budget,
        ..RunOptions::default()
    })?;
    if options.budget.given().is_some() {
        folder.write(CONFIG, &experiment.configuration())?;
    }
    provenance::resumed(&folder)?;
    Work {
        experiment: &experiment,
        folder: &folder,
        interval,
        manner: options.telling.manner(),
        // Where there are event files, they go on.
        tensorboard: false,
    }
    .go()
}

/// An experiment in its folder, begun or not.
struct Work<'a> {
    experiment: &'a Experiment,
    folder: &'a Folder,
    /// Time between two checkpoints.
    interval: Duration,
    manner: Manner,
    /// Whether event files are asked for.
    tensorboard: bool,
}

impl Work<'_> {
    /// Trains what is not yet trained, and shows all of it.
    fn go(&self) -> Result<()> {
        interrupt::listen();
        let contenders = &self.experiment.contenders;
        self.tell_begin();
        let standings = contenders.iter().map(|contender| self.standing(contender));
        let standings = standings.collect::<Result<Vec<_>>>()?;
        let mut finished = Vec::new();
        for (contender, standing) in contenders.iter().zip(standings) {
            finished.push(self.train(contender, standing)?);
            let failed = finished.last().is_some_and(|f| f.failure.is_some());
            if failed || interrupt::asked() {
                break;
            }
        }
        crate::console::output::write(format_args!("{}", table::summary(&finished)));
        crate::console::output::write(format_args!("{}", table::warnings(&finished)));
        if let Some(failure) = finished.iter().find_map(|f| f.failure.as_ref()) {
            bail!("{failure}");
        }
        let folder = self.folder;
        folder.write("summary.csv", &table::summary_csv(&finished))?;
        let figures = run_figures::draw(self.experiment, &finished, &folder.subfolder("figures")?)?;
        say!();
        self.manner.drawn(folder.path(), &figures);
        say!("{}", folder.path().display());
        if interrupt::asked() {
            say!(
                "interrupted; `hig resume {}` goes on",
                folder.path().display()
            );
        }
        Ok(())
    }

    fn tell_begin(&self) {
        let Experiment {
            system,
            seed,
            contenders,
            ..
        } = self.experiment;
        let methods: Vec<&str> = contenders.iter().map(|c| c.name.as_str()).collect();
        let folder = self.folder.path().display();
        tracing::info!("{}, seed {seed}, in {folder}", system.name());
        self.manner.event("run", || {
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "folder": folder.to_string(),
                "system": system.name(),
                "seed": seed,
                "methods": methods,
            })
        });
    }

    /// Where a contender stands.
    fn standing(&self, contender: &Contender) -> Result<Standing> {
        let own = self.folder.path().join(folder_of(&contender.name));
        let (standing, passed_over) = Standing::of(self.experiment, contender, &own)?;
        for reason in passed_over {
            tracing::warn!("{reason}; going on from the checkpoint before");
        }
        Ok(standing)
    }

    /// Trains a contender from where it stands.
    fn train(&self, contender: &Contender, standing: Standing) -> Result<Finished> {
        let own = self.folder.subfolder(&folder_of(&contender.name))?;
        let name = &contender.name;
        let (start, phase, evaluated) = match standing {
            Standing::Ended(ended, parameters) => {
                tracing::info!("{name}: has ended before");
                return Ok(self.ended_before(contender, &own, ended, parameters));
            }
            Standing::Fresh => {
                tracing::info!("{name}: begins");
                (Start::from(self.experiment.weights.clone()), 0, None)
            }
            Standing::Stopped(stopped) => {
                let update = stopped.start.updates;
                tracing::info!("{name}: goes on after update {update}");
                (stopped.start, stopped.phase, stopped.evaluated)
            }
        };
        Ended::forget(&own)?;
        cut_tables(&own, evaluated)?;
        self.train_from(contender, &own, start, phase, evaluated)
    }

    /// What the folder of a training that has ended tells.
    fn ended_before(
        &self,
        contender: &Contender,
        own: &Path,
        ended: Ended,
        parameters: Vec<f64>,
    ) -> Finished {
        let mut curves = Curves::read(own, self.experiment);
        for (update, name) in ended.phases.iter().skip(1) {
            curves.mark(*update, name);
        }
        self.manner.ended(&contender.name, &ended);
        Finished {
            name: contender.name.clone(),
            ended,
            parameters,
            failure: None,
            curves,
            warnings: warnings::read(own),
        }
    }

    fn train_from(
        &self,
        contender: &Contender,
        own: &Path,
        mut start: Start,
        first: usize,
        evaluated: Option<usize>,
    ) -> Result<Finished> {
        let Self {
            experiment,
            interval,
            manner,
            ..
        } = *self;
        let name = &contender.name;
        let mut progress = manner.progress(name);
        let mut metrics = MetricsWriter::open(&own.join("metrics.csv"))?;
        let mut recorder = Recorder::open(own, experiment, (contender, first), PROBE, manner)?;
        if self.tensorboard {
            recorder.tell_tensorboard(own)?;
        }
        let mut weights = WeightsWriter::new(&own.join(WEIGHTS), interval);
        let mut checkpoints = CheckpointWriter::new(&own.join(CHECKPOINT), interval);
        checkpoints.note(WHOSE, &whose(experiment, contender));
        if let Some(update) = evaluated {
            checkpoints.evaluated(update);
        }
        let mut begun = Vec::new();
        for (i, phase) in contender.phases.iter().enumerate() {
            let after = i.checked_sub(1).and_then(|i| contender.phases[i].until);
            if i > 0 && i <= first {
                recorder.mark(after.unwrap_or(0), &phase.name);
            }
            begun.push((after.unwrap_or(0), phase.name.clone()));
        }
        let mut place = first;
        let outcome = loop {
            let phase = &contender.phases[place];
            let mut budget = experiment.budget;
            if let Some(until) = phase.until {
                budget.updates = Some(budget.updates.map_or(until, |updates| updates.min(until)));
            }
            checkpoints.note(PHASE, &place.to_string());
            tracing::debug!("{name}: {:?}, {:?}", phase.method, phase.training);
            let outcome = train(
                &experiment.problem,
                phase.method.as_ref(),
                start,
                &phase.training,
                budget,
                // Another phase must not see the same samples in the same order again.
                experiment.seed.wrapping_add(place as u64),
                &mut [
                    progress.as_mut(),
                    &mut metrics,
                    &mut recorder,
                    &mut weights,
                    &mut checkpoints,
                    &mut Interrupt,
                ],
            )?;
            let budget = &experiment.budget;
            let ended = budget.used(outcome.updates, outcome.epochs, outcome.seconds) >= 1.0;
            let next = contender.phases.get(place + 1);
            match next {
                Some(next) if !ended && matches!(outcome.stop, Stop::Budget) => {
                    recorder.go_on_with(outcome.updates, next);
                    start = Start::from(&outcome);
                    place += 1;
                }
                _ => break outcome,
            }
        };
        drop(progress);
        let mut failure = match &outcome.stop {
            Stop::Failed { .. } => Some(format!("{name}: {}", outcome.stop)),
            _ => None,
        };
        let network = &experiment.problem.network;
        if let Err(error) = network.save_parameters(&outcome.parameters, &own.join(WEIGHTS)) {
            failure = Some(rescue(network, &outcome.parameters, &error));
        }
        if let Err(error) = recorder.end(&experiment.problem, &outcome) {
            failure.get_or_insert(error.to_string());
        }
        let last = &contender.phases[place];
        let (consumes, rows, columns) =
            consumption(&experiment.problem, last.method.as_ref(), &last.training)?;
        begun.truncate(place + 1);
        let ended = Ended::new(&outcome, format!("{consumes}, {rows} x {columns}"), begun);
        if let Err(error) = ended.write(own) {
            failure.get_or_insert(error.to_string());
        }
        manner.ended(name, &ended);
        Ok(Finished {
            name: name.clone(),
            ended,
            parameters: outcome.parameters,
            failure,
            curves: recorder.curves,
            warnings: recorder.warned,
        })
    }
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

/// Weights that cannot be written where they belong, on a full disk, go to the temporary folder.
fn rescue(network: &Network, parameters: &[f64], error: &hig::Error) -> String {
    let name = format!("hig-weights-{}.safetensors", std::process::id());
    let path = std::env::temp_dir().join(name);
    match network.save_parameters(parameters, &path) {
        Ok(()) => format!("{error}; the weights are in {}", path.display()),
        Err(second) => format!("{error}; the weights are lost ({second})"),
    }
}
