//! A run: every method of an experiment, trained in the folder of the run from where it stands.

use super::Experiment;
use super::recorder::{Curves, PROBE, Recorder, read_or_tell};
use super::resume::{ChainState, identity};
use super::training::{Trained, Training, Watching};
use crate::console::Reporting;
use crate::console::interrupt::{self, Interrupt};
use crate::method_chain::{MethodChain, Phase};
use crate::run_folder::checkpoint::Checkpoints;
use crate::run_folder::folder::{Folder, folder_of};
use crate::run_folder::outcome::Outcome;
use crate::run_folder::tables::{Marks, ledger};
use crate::run_folder::warnings;
use crate::run_folder::weights::{self, WeightsWriter};
use crate::run_folder::{TABLES, metrics};
use anyhow::Result;
use hig::Problem;
use hig::files::SavedState;
use hig::objective::Consumes;
use hig::trainer::{MetricsWriter, Observer, Start, Stop, consumption};
use hig::warnings::Warning;
use serde_json::json;
use std::path::Path;
use std::time::Duration;

/// An experiment in its folder, begun or not.
pub struct Work<'a> {
    /// What is trained.
    pub experiment: &'a Experiment,
    /// Where.
    pub folder: &'a Folder,
    /// Time between two checkpoints.
    pub interval: Duration,
    /// How the work tells of itself.
    pub reporting: Reporting,
    /// Whether event files are asked for. Where there are some, they go on.
    pub tensorboard: bool,
}

/// A finished training with what was recorded on the way.
#[derive(Debug)]
pub struct Finished {
    /// The method's name.
    pub name: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The parameters that the training returned.
    pub parameters: Vec<f64>,
    /// What the machine refused in the middle of it, such as a full disk.
    pub failure: Option<String>,
    /// What the figures show.
    pub curves: Curves,
    /// What was warned of.
    pub warnings: Vec<Warning>,
}

/// The files of a training, and all else that watches it.
struct Files<'a> {
    progress: Box<dyn Observer>,
    metrics: MetricsWriter,
    recorder: Recorder<'a>,
    weights: WeightsWriter,
    checkpoints: Checkpoints,
    interrupt: Interrupt,
}

impl Watching for Files<'_> {
    fn begin(&mut self, place: usize, updates: usize) {
        self.checkpoints.note_phase(place);
        self.recorder.begin(place, updates);
    }

    fn observers(&mut self) -> Vec<&mut dyn Observer> {
        vec![
            self.progress.as_mut(),
            &mut self.metrics,
            &mut self.recorder,
            &mut self.weights,
            &mut self.checkpoints,
            &mut self.interrupt,
        ]
    }
}

impl Work<'_> {
    /// How far the methods have come, in their order.
    ///
    /// # Errors
    /// Checkpoints that cannot be used; what is in the way of files.
    pub fn standings(&self) -> Result<Vec<ChainState>> {
        let standings = self.experiment.chains.iter().map(|chain| {
            self.folder.check_method(&chain.name)?;
            let own = self.folder.path().join(folder_of(&chain.name));
            ChainState::of(self.experiment, chain, &own)
        });
        standings.collect()
    }

    /// Trains what is not yet trained. After a failure or an interrupt the methods that follow are
    /// missing.
    pub fn train(&self, standings: Vec<ChainState>) -> Result<Vec<Finished>> {
        interrupt::listen();
        let chains = &self.experiment.chains;
        self.tell_begin();
        let mut finished = Vec::new();
        for (chain, state) in chains.iter().zip(standings) {
            finished.push(self.train_chain(chain, state)?);
            let failed = finished.last().is_some_and(|f| f.failure.is_some());
            if failed || interrupt::asked() {
                break;
            }
        }
        Ok(finished)
    }

    fn tell_begin(&self) {
        let Experiment {
            system,
            seed,
            chains,
            ..
        } = self.experiment;
        let methods: Vec<&str> = chains.iter().map(|c| c.name.as_str()).collect();
        let folder = self.folder.path().display();
        tracing::info!("{}, seed {seed}, in {folder}", system.name());
        self.reporting.event("run", || {
            json!({
                "version": env!("CARGO_PKG_VERSION"),
                "folder": folder.to_string(),
                "system": system.name(),
                "seed": seed,
                "methods": methods,
            })
        });
    }

    /// What an update takes follows from the rows of a batch, for methods that see more than a gradient.
    fn tell_rows(&self, chain: &MethodChain) {
        for phase in &chain.phases {
            let batch = phase.training.batch;
            let problem = &self.experiment.problem;
            let (consumes, rows, _) = consumption(problem, phase.method.as_ref(), &phase.training);
            if consumes != Consumes::Gradient {
                self.reporting.rows(&phase.name, batch, rows);
            }
        }
    }

    /// Trains a chain from where it stands.
    fn train_chain(&self, chain: &MethodChain, state: ChainState) -> Result<Finished> {
        let own = self.folder.subfolder(&folder_of(&chain.name))?;
        let name = &chain.name;
        let (start, phase, evaluated, before) = match state {
            ChainState::Ended(outcome, parameters) => {
                tracing::info!("{name}: has ended before");
                return Ok(self.ended_before(chain, &own, *outcome, parameters));
            }
            ChainState::Fresh => {
                tracing::info!("{name}: begins");
                let start = Start::from(self.experiment.weights.clone());
                (start, 0, None, None)
            }
            ChainState::Stopped(stopped) => {
                let update = stopped.start.updates;
                tracing::info!("{name}: goes on after update {update}");
                let before = Some((stopped.tables, stopped.state));
                (stopped.start, stopped.phase, stopped.evaluated, before)
            }
        };
        Outcome::forget(&own)?;
        let tables = before.as_ref().map(|(tables, _)| tables);
        for wrong in ledger::cut(&own, &TABLES, tables)? {
            tracing::warn!("{wrong}");
        }
        self.tell_rows(chain);
        let before = before.as_ref().map(|(_, state)| state);
        let mut files = self.open(chain, &own, phase, evaluated, before)?;
        let experiment = self.experiment;
        let training = Training {
            problem: &experiment.problem,
            phases: &chain.phases,
            budget: experiment.budget,
            seed: experiment.seed,
        };
        let Phase { training: how, .. } = &chain.phases[phase];
        if let Some(told) = start.rescheduled(how, &training.budget_of(&chain.phases[phase])) {
            files.recorder.warn(vec![Warning::from(&told)])?;
        }
        let trained = training.run(start, phase, &mut files)?;
        self.end(chain, &own, files, trained)
    }

    /// What the folder of a training that has ended tells.
    fn ended_before(
        &self,
        chain: &MethodChain,
        own: &Path,
        outcome: Outcome,
        parameters: Vec<f64>,
    ) -> Finished {
        for (name, wrong) in ledger::check(own, &TABLES, &outcome.tables) {
            tracing::warn!("{}: {wrong}", own.join(name).display());
        }
        let mut curves = Curves::read(own, self.experiment);
        for (update, name) in outcome.phases.iter().skip(1) {
            curves.mark(*update, name);
        }
        self.reporting.ended(&chain.name, &outcome);
        Finished {
            name: chain.name.clone(),
            outcome,
            parameters,
            failure: None,
            curves,
            warnings: read_or_tell(&own.join(warnings::FILE), warnings::read),
        }
    }

    /// Opens the files of a training that goes on with the method at a place of its chain.
    fn open<'a>(
        &'a self,
        chain: &'a MethodChain,
        own: &Path,
        first: usize,
        evaluated: Option<usize>,
        before: Option<&SavedState>,
    ) -> Result<Files<'a>> {
        let experiment = self.experiment;
        let metrics = metrics::writer(own)?;
        let mut recorder = Recorder::open(own, experiment, (chain, first), PROBE, self.reporting)?;
        if let Some(state) = before {
            recorder.go_on_from(state);
        }
        if self.tensorboard {
            recorder.tell_tensorboard(own)?;
        }
        for (update, name) in begun(chain, first).iter().skip(1) {
            recorder.curves.mark(*update, name);
        }
        let training = identity(experiment, chain)?;
        let checkpoints = Checkpoints::open(
            own,
            self.interval,
            &training,
            evaluated,
            recorder.watch.clone(),
        )?;
        Ok(Files {
            progress: self.reporting.progress(&chain.name),
            metrics,
            recorder,
            weights: WeightsWriter::new(own, self.interval),
            checkpoints,
            interrupt: Interrupt,
        })
    }

    /// Writes what a training ended with. What cannot be written is told, and costs nothing else.
    fn end(
        &self,
        chain: &MethodChain,
        own: &Path,
        files: Files<'_>,
        trained: Trained,
    ) -> Result<Finished> {
        let Files {
            progress,
            mut recorder,
            checkpoints,
            ..
        } = files;
        drop(progress);
        let name = &chain.name;
        let problem = &self.experiment.problem;
        let Trained { outcome, place } = trained;
        // What the machine refuses, such as a full disk, the next method would meet as well.
        let mut failure = match &outcome.stop {
            Stop::Failed {
                error: hig::Error::File { .. },
                ..
            } => Some(format!("{name}: {}", outcome.stop)),
            _ => None,
        };
        if let Err(error) = weights::write(problem, &outcome.parameters, own) {
            failure = Some(rescue(problem, &outcome.parameters, &error));
        }
        if let Err(error) = recorder.end(problem, &outcome) {
            failure.get_or_insert(error.to_string());
        }
        let last = &chain.phases[place];
        let (consumes, rows, columns) = consumption(problem, last.method.as_ref(), &last.training);
        let consumed = format!("{consumes}, {rows} x {columns}");
        let tables = checkpoints.end(outcome.updates).unwrap_or_else(|error| {
            failure.get_or_insert(error.to_string());
            Marks::default()
        });
        let told = Outcome::new(&outcome, consumed, begun(chain, place), tables);
        if let Err(error) = told.write(own) {
            failure.get_or_insert(error.to_string());
        }
        self.reporting.ended(name, &told);
        Ok(Finished {
            name: name.clone(),
            outcome: told,
            parameters: outcome.parameters,
            failure,
            curves: recorder.curves,
            warnings: recorder.warned,
        })
    }
}

/// The methods up to a place of a chain, each with the update that it begins after.
fn begun(chain: &MethodChain, place: usize) -> Vec<(usize, String)> {
    let untils = chain.phases.iter().map(|phase| phase.until.unwrap_or(0));
    let after = std::iter::once(0).chain(untils);
    let phases = after.zip(&chain.phases).take(place + 1);
    phases
        .map(|(after, phase)| (after, phase.name.clone()))
        .collect()
}

/// Weights that cannot be written where they belong, on a full disk, go to the temporary folder.
fn rescue(problem: &Problem, parameters: &[f64], error: &hig::Error) -> String {
    let name = format!("hig-weights-{}.safetensors", std::process::id());
    let path = std::env::temp_dir().join(name);
    match problem.save_parameters(parameters, &path) {
        Ok(()) => format!("{error}; the weights are in {}", path.display()),
        Err(second) => format!("{error}; the weights are lost ({second})"),
    }
}
