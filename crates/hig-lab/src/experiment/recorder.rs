//! What is recorded of a training: the numbers that the figures show, what is written beside the
//! metrics, and what is warned of.

use super::Experiment;
use crate::console::Reporting;
use crate::method_chain::{MethodChain, Phase};
use crate::run_folder::checkpoint::Remembering;
use crate::run_folder::diagnostics::{self, Observation, Observations};
use crate::run_folder::events::Board;
use crate::run_folder::events::scalars::scalars;
use crate::run_folder::history::History;
use crate::run_folder::pictures::Live;
use crate::run_folder::tables::Lines;
use crate::run_folder::warnings;
use crate::run_folder::{metrics, spectrum, steps, timing};
use hig::files::SavedState;
use hig::systems::System;
use hig::trainer::{Evaluation, Flow, Observer, Outcome, Progress};
use hig::warnings::{Warning, Watch, Wording};
use hig::{Problem, Result};
use std::cell::RefCell;
use std::io;
use std::path::Path;
use std::rc::Rc;

/// A test sample whose way is recorded and drawn.
pub const PROBE: usize = 0;

/// Everything that the figures of one method show.
#[derive(Debug, Clone, Default)]
pub struct Curves {
    /// The evaluations.
    pub history: History,
    /// What was observed at them.
    pub observed: Observations,
    /// Places (evaluations) where another method took over, with its name.
    pub changes: Vec<(usize, String)>,
}

impl Curves {
    /// What the files of a folder hold, as far as they go together; nothing where there are none.
    pub fn read(folder: &Path, experiment: &Experiment) -> Self {
        let Experiment {
            system,
            problem,
            weights,
            ..
        } = experiment;
        let history = read_or_tell(&folder.join(metrics::FILE), metrics::read);
        let observed = read_or_tell(&folder.join(diagnostics::FILE), diagnostics::read);
        let (mut history, observed) = (history.unwrap_or_default(), observed.unwrap_or_default());
        let rows = history.evaluations().min(observed.rows());
        history.truncate(rows);
        let measures = system.measures(problem, weights);
        let outputs = problem.objective.rows(1);
        Self {
            history,
            observed: Observations::of(&observed, rows, &measures, outputs),
            changes: Vec::new(),
        }
    }

    /// Notes that another method goes on after an update.
    pub fn mark(&mut self, update: usize, method: &str) {
        if let Some(place) = self.history.place(update) {
            self.changes.push((place, method.to_owned()));
        }
    }
}

/// What a reader makes of a file; nothing, which is told, where it cannot be read.
pub fn read_or_tell<T: Default>(path: &Path, read: impl Fn(&Path) -> io::Result<T>) -> T {
    read(path).unwrap_or_else(|error| {
        tracing::warn!("{}: cannot be read ({error})", path.display());
        T::default()
    })
}

/// Records [`Curves`], writes them and what the steps tell of themselves as they come, and warns.
pub struct Recorder<'a> {
    /// What was recorded.
    pub curves: Curves,
    /// What was warned of.
    pub warned: Vec<Warning>,
    /// What looks for something to warn of, and is kept in the checkpoints.
    pub watch: Rc<RefCell<Watch>>,
    system: &'a dyn System,
    chain: &'a MethodChain,
    /// The place of the method at work in its chain.
    place: usize,
    sample: usize,
    diagnostics: Lines,
    steps: Lines,
    spectrum: Lines,
    timing: Lines,
    clock: timing::Clock,
    pictures: Live,
    warnings: Lines,
    reporting: Reporting,
    board: Option<Board>,
}

impl<'a> Recorder<'a> {
    /// Records a training that goes on with a phase of a chain, the test sample `sample` among the
    /// rest, in files of a folder; goes on with those that are there. Warnings are told as it is asked for.
    pub fn open(
        folder: &Path,
        experiment: &'a Experiment,
        (chain, place): (&'a MethodChain, usize),
        sample: usize,
        reporting: Reporting,
    ) -> Result<Self> {
        let problem = &experiment.problem;
        let measures = experiment.system.measures(problem, &experiment.weights);
        let header = diagnostics::header(&measures, problem.objective.rows(1));
        let curves = Curves::read(folder, experiment);
        let warned = read_or_tell(&folder.join(warnings::FILE), warnings::read);
        let watch = Watch::new(chain.phases[place].settings(), wording());
        let board = Board::found(folder).then(|| Board::create(folder));
        let lines = |file: &str, header: &str| Lines::open(folder.join(file), header);
        Ok(Self {
            curves,
            clock: timing::Clock::resume(folder),
            watch: Rc::new(RefCell::new(watch)),
            warned,
            system: experiment.system.as_ref(),
            chain,
            place,
            sample,
            diagnostics: lines(diagnostics::FILE, &header)?,
            steps: lines(steps::FILE, steps::HEADER)?,
            spectrum: lines(spectrum::FILE, spectrum::HEADER)?,
            timing: lines(timing::FILE, timing::HEADER)?,
            pictures: Live::new(folder, sample),
            warnings: lines(warnings::FILE, warnings::HEADER)?,
            reporting,
            board: board.transpose()?,
        })
    }

    /// The method at a place of the chain begins, or goes on, after some updates.
    pub fn begin(&mut self, place: usize, updates: usize) {
        if place != self.place {
            self.place = place;
            let next: &Phase = &self.chain.phases[place];
            self.curves.mark(updates, &next.name);
            self.watch.borrow_mut().go_on_with(next.settings());
        }
    }

    /// Goes on with what an earlier process remembered.
    pub fn go_on_from(&mut self, state: &SavedState) {
        let mut watch = Watch::new(self.chain.phases[self.place].settings(), wording());
        match state.restore(|state| watch.exchange(state)) {
            Ok(()) => *self.watch.borrow_mut() = watch,
            Err(error) => tracing::warn!("warnings begin anew: {error}"),
        }
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
        let warnings = self.watch.borrow_mut().end(outcome);
        self.warn(warnings)?;
        self.pictures.offer(outcome.update, true, || {
            let parameters = &outcome.parameters;
            self.system.pictures(problem, parameters, self.sample)
        })
    }

    /// Tells of warnings, and writes them.
    pub fn warn(&mut self, told: Vec<Warning>) -> Result<()> {
        for warning in told {
            self.reporting.warning(&self.chain.name, &warning);
            self.warnings.write(&warnings::row(&warning))?;
            self.warned.push(warning);
        }
        Ok(())
    }
}

impl Observer for Recorder<'_> {
    fn progress(&mut self, now: &Progress<'_>) -> Result<Flow> {
        self.watch.borrow_mut().update(now);
        Ok(Flow::Continue)
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        let problem = now.problem;
        let probe = problem.test.select(&[self.sample]);
        let y = problem.objective.outputs(now.parameters, &probe)?;
        let seen = Observation {
            update: now.update,
            seconds: now.seconds,
            saturation: problem
                .objective
                .saturation(now.parameters, &problem.test)?,
            rank: told(now, "rank"),
            measures: self.system.measures(problem, now.parameters),
            y: y.row(0).iter().copied().collect(),
        };
        let saturation = seen.saturation;
        if let Some(board) = &mut self.board {
            let seconds = self.clock.seconds();
            let values = scalars(now, saturation, &seen.measures, &seconds);
            board.tell(now.update, values)?;
        }
        let row = seen.row();
        self.curves.history.push(now);
        self.curves.observed.push(seen);
        self.diagnostics.write(&row)?;
        self.steps
            .write(&steps::rows(now.update, now.diagnostics))?;
        self.spectrum
            .write(&spectrum::rows(now.update, now.spectrum))?;
        self.timing.write(&self.clock.rows(now.update))?;
        self.pictures.offer(now.update, false, || {
            self.system.pictures(problem, now.parameters, self.sample)
        })?;
        let warnings = self.watch.borrow_mut().evaluation(now, saturation);
        self.warn(warnings)?;
        Ok(Flow::Continue)
    }
}

impl Remembering for Watch {
    fn state(&mut self, update: usize) -> SavedState {
        Watch::state(self, update)
    }
}

/// How advice is written on a command line.
fn wording() -> Wording {
    Wording {
        setting: |name, word| format!("{name} = {word}"),
        method: str::to_owned,
        chain: |first, second| format!("--method {first}:500+{second}"),
        seed: "--seed",
    }
}

/// A number that the last step told.
fn told(now: &Evaluation<'_>, quantity: &str) -> Option<f64> {
    let mut told = now.diagnostics.iter();
    told.find(|(name, _)| *name == quantity)
        .map(|(_, value)| *value)
}
