//! What the lab watches in a training: the weights and the numbers that the figures show.

use crate::contender::{Contender, Phase};
use crate::ended::Ended;
use crate::experiment::Experiment;
use crate::record::Columns;
use crate::recorder::pictures::Live;
use crate::recorder::{scalars::scalars, spectrum, timing};
use crate::telling::Manner;
use crate::tensorboard::Board;
use crate::warnings::{self, Warning, Watch};
use hig::diagnostics::RANK;
use hig::linalg::MatRef;
use hig::systems::System;
use hig::trainer::{Evaluation, Flow, Observer, Outcome, Progress, saturation};
use hig::{Error, Problem, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const TIMING: &str = "timing.csv";

/// Writes the weights from time to time, each time whole or not at all.
#[derive(Debug)]
pub struct WeightsWriter {
    path: PathBuf,
    interval: Duration,
    written: Instant,
}

impl WeightsWriter {
    /// Writes to `path` at evaluations that come at least `interval` after the last time.
    pub fn new(path: &Path, interval: Duration) -> Self {
        Self {
            path: path.to_owned(),
            interval,
            written: Instant::now(),
        }
    }
}

impl Observer for WeightsWriter {
    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        if now.train_loss.is_finite() && self.written.elapsed() >= self.interval {
            let network = &now.problem.network;
            network.save_parameters(now.parameters, &self.path)?;
            self.written = Instant::now();
        }
        Ok(Flow::Continue)
    }
}

/// A test sample whose way is recorded and drawn.
pub const PROBE: usize = 0;
/// A finished training with what was recorded on the way.
#[derive(Debug)]
pub struct Finished {
    /// The method's name.
    pub name: String,
    /// How it ended.
    pub ended: Ended,
    /// The last parameters.
    pub parameters: Vec<f64>,
    /// What failed in the middle of it, such as a full disk.
    pub failure: Option<String>,
    /// What the figures show.
    pub curves: Curves,
    /// What was warned of.
    pub warnings: Vec<Warning>,
}

/// Everything that the figures of one method show.
#[derive(Debug, Clone, Default)]
pub struct Curves {
    /// Updates at the evaluations.
    pub updates: Vec<f64>,
    /// Seconds of training at the evaluations.
    pub seconds: Vec<f64>,
    /// Loss of the training samples.
    pub train_loss: Vec<f64>,
    /// Loss of the test samples.
    pub test_loss: Vec<f64>,
    /// Mean of |activation| over the test samples; NaN without saturating neurons.
    pub saturation: Vec<f64>,
    /// Standard deviation of |activation|.
    pub saturation_deviation: Vec<f64>,
    /// What the system measures beside the loss.
    pub measures: Vec<Vec<(&'static str, f64)>>,
    /// y of one test sample.
    pub probe: Vec<Vec<f64>>,
    /// Places (evaluations) where another method took over, with its name.
    pub changes: Vec<(usize, String)>,
}

impl Curves {
    /// What the files of a folder hold, as far as they go together; nothing where there are none.
    pub fn read(folder: &Path, experiment: &Experiment) -> Self {
        let mut curves = Self::default();
        let system = experiment.system.as_ref();
        let measures = system.measures(&experiment.problem, &experiment.weights);
        let table = |name: &str| {
            let read = Columns::read(&folder.join(name)).unwrap_or_default();
            read.unwrap_or_default()
        };
        let (metrics, diagnostics) = (table("metrics.csv"), table("diagnostics.csv"));
        let rows = metrics.rows().min(diagnostics.rows());
        let value = |table: &Columns, name: &str, row: usize| {
            table.get(name).map_or(f64::NAN, |column| column[row])
        };
        let outputs = experiment.problem.physics.widths().output;
        for row in 0..rows {
            curves.updates.push(value(&metrics, "update", row));
            curves.seconds.push(value(&metrics, "seconds", row));
            curves.train_loss.push(value(&metrics, "train_loss", row));
            curves.test_loss.push(value(&metrics, "test_loss", row));
            curves
                .saturation
                .push(value(&diagnostics, "activation_mean", row));
            let deviation = value(&diagnostics, "activation_deviation", row);
            curves.saturation_deviation.push(deviation);
            let measured = measures
                .iter()
                .map(|(name, _)| (*name, value(&diagnostics, name, row)));
            curves.measures.push(measured.collect());
            let y = (1..=outputs).map(|i| value(&diagnostics, &format!("y{i}"), row));
            curves.probe.push(y.collect());
        }
        curves
    }

    /// Notes that another method goes on after an update.
    pub fn mark(&mut self, update: usize, method: &str) {
        if let Some(place) = self.updates.iter().rposition(|u| *u <= update as f64) {
            self.changes.push((place, method.to_owned()));
        }
    }
}

/// Records [`Curves`] and writes the diagnostics among them to `diagnostics.csv`, what the steps
/// tell of themselves to `steps.csv`, and the files of [`recorder`](crate::recorder), as they come.
pub struct Recorder<'a> {
    /// What was recorded.
    pub curves: Curves,
    /// What was warned of.
    pub warned: Vec<Warning>,
    system: &'a dyn System,
    sample: usize,
    diagnostics: Lines,
    steps: Lines,
    spectrum: Lines,
    timing: Lines,
    clock: timing::Clock,
    pictures: Live,
    watch: Watch,
    warnings: Lines,
    method: String,
    manner: Manner,
    board: Option<Board>,
}

/// A file of lines.
struct Lines {
    path: PathBuf,
    file: File,
}

impl Lines {
    /// Goes on with a file, or begins one.
    fn open(path: PathBuf, header: &str) -> Result<Self> {
        let opened = File::options().create(true).append(true).open(&path);
        let file = opened.map_err(|e| Error::file(&path, e))?;
        let begun = file.metadata().is_ok_and(|file| file.len() > 0);
        let mut lines = Self { path, file };
        if !begun {
            lines.write(&format!("{header}\n"))?;
        }
        Ok(lines)
    }

    fn write(&mut self, text: &str) -> Result<()> {
        let written = self.file.write_all(text.as_bytes());
        written.map_err(|e| Error::file(&self.path, e))
    }
}

impl<'a> Recorder<'a> {
    /// Records a training that goes on with a phase of a contender, the test sample `sample` among the
    /// rest, in files of a folder; goes on with those that are there. Warnings are told in a manner.
    pub fn open(
        folder: &Path,
        experiment: &'a Experiment,
        (contender, phase): (&Contender, usize),
        sample: usize,
        manner: Manner,
    ) -> Result<Self> {
        let problem = &experiment.problem;
        let measures = experiment.system.measures(problem, &experiment.weights);
        let mut columns: Vec<String> = measures.iter().map(|(name, _)| (*name).into()).collect();
        let outputs = problem.physics.widths().output;
        columns.extend((1..=outputs).map(|i| format!("y{i}")));
        let header = format!(
            "update,seconds,activation_mean,activation_deviation,rank,{}",
            columns.join(",")
        );
        let curves = Curves::read(folder, experiment);
        let warned = warnings::read(folder);
        let mut watch = Watch::new(&contender.phases[phase], &warned);
        let before = phase
            .checked_sub(1)
            .and_then(|before| contender.phases[before].until);
        let begun = before.unwrap_or(0) as f64;
        for i in (0..curves.updates.len()).filter(|i| curves.updates[*i] >= begun) {
            watch.remember(&warnings::Row {
                update: curves.updates[i] as usize,
                train: curves.train_loss[i],
                test: curves.test_loss[i],
            });
        }
        let board = Board::found(folder).then(|| Board::create(folder));
        Ok(Self {
            curves,
            clock: timing::Clock::resume(&folder.join(TIMING)),
            watch,
            warned,
            system: experiment.system.as_ref(),
            sample,
            diagnostics: Lines::open(folder.join("diagnostics.csv"), &header)?,
            steps: Lines::open(folder.join("steps.csv"), "update,quantity,value")?,
            spectrum: Lines::open(folder.join("spectrum.csv"), spectrum::HEADER)?,
            timing: Lines::open(folder.join(TIMING), timing::HEADER)?,
            pictures: Live::new(folder.join("pictures.json"), sample),
            warnings: Lines::open(folder.join(warnings::FILE), warnings::HEADER)?,
            method: contender.name.clone(),
            manner,
            board: board.transpose()?,
        })
    }

    /// Notes that another method goes on after an update.
    pub fn mark(&mut self, update: usize, method: &str) {
        self.curves.mark(update, method);
    }

    /// Another method goes on after an update.
    pub fn go_on_with(&mut self, update: usize, next: &Phase) {
        self.mark(update, &next.name);
        self.watch.go_on_with(next);
    }

    /// Writes an event file of TensorBoard as well.
    pub fn tell_tensorboard(&mut self, folder: &Path) -> Result<()> {
        if self.board.is_none() {
            self.board = Some(Board::create(folder)?);
        }
        Ok(())
    }

    /// Records what a training ended with.
    pub fn end(&mut self, problem: &Problem, outcome: &Outcome) -> Result<()> {
        let warnings = self.watch.end(outcome);
        self.warn(warnings)?;
        self.pictures.offer(outcome.updates, true, || {
            let parameters = &outcome.parameters;
            self.system.pictures(problem, parameters, self.sample)
        })
    }

    fn warn(&mut self, warnings: Vec<Warning>) -> Result<()> {
        for warning in warnings {
            self.manner.warning(&self.method, &warning);
            self.warnings.write(&warning.row())?;
            self.warned.push(warning);
        }
        Ok(())
    }
}

impl Observer for Recorder<'_> {
    fn progress(&mut self, now: &Progress<'_>) -> Result<Flow> {
        self.watch.update(now);
        Ok(Flow::Continue)
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        let problem = now.problem;
        let probe = problem.test.select(&[self.sample]);
        let y = problem.model().simulate(now.parameters, &probe);
        let y = first_row(y.as_ref());
        let saturation = saturation(&problem.network, now.parameters, &problem.test);
        let (mean, deviation) = saturation.map_or((f64::NAN, f64::NAN), |s| (s.mean, s.deviation));
        let rank = now.diagnostics.iter().find(|(name, _)| *name == RANK.name);
        let rank = rank.map_or(String::new(), |(_, rank)| rank.to_string());
        let measures = self.system.measures(problem, now.parameters);
        let numbers = measures.iter().map(|(_, value)| value).chain(&y);
        let numbers: Vec<String> = numbers.map(|v| format!("{v:e}")).collect();
        let row = format!(
            "{},{:.6},{mean:e},{deviation:e},{rank},{}\n",
            now.update,
            now.seconds,
            numbers.join(",")
        );
        let curves = &mut self.curves;
        curves.updates.push(now.update as f64);
        curves.seconds.push(now.seconds);
        curves.train_loss.push(now.train_loss);
        curves.test_loss.push(now.test_loss);
        curves.saturation.push(mean);
        curves.saturation_deviation.push(deviation);
        if let Some(board) = &mut self.board {
            let seconds = self.clock.seconds();
            board.tell(now.update, scalars(now, saturation, &measures, &seconds))?;
        }
        curves.measures.push(measures);
        curves.probe.push(y);
        self.diagnostics.write(&row)?;
        let told = now.diagnostics.iter();
        let told = told.map(|(name, value)| format!("{},{name},{value:e}\n", now.update));
        self.steps.write(&told.collect::<String>())?;
        self.spectrum
            .write(&spectrum::rows(now.update, now.spectrum))?;
        self.timing.write(&self.clock.rows(now.update))?;
        self.pictures.offer(now.update, false, || {
            self.system.pictures(problem, now.parameters, self.sample)
        })?;
        let warnings = self.watch.evaluation(now, saturation);
        self.warn(warnings)?;
        Ok(Flow::Continue)
    }
}

fn first_row(matrix: MatRef<'_, f64>) -> Vec<f64> {
    matrix.row(0).iter().copied().collect()
}
