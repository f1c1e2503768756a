//! Training: mini-batches, budgets, schedules, evaluation and observers around a step.

mod batches;
mod budget;
mod checkpoint;
mod observers;
mod returned;
mod schedule;

pub use batches::{ANY_ORDER, Batches, Order};
pub use budget::Budget;
pub use checkpoint::{CheckpointWriter, EVALUATED, before, fingerprint, recover};
pub use observers::{Checkpoint, Evaluation, Flow, MetricsWriter, Observer, Progress};
pub use returned::{EITHER, Losses, Returned};
pub use schedule::{ANY_SCHEDULE, Schedule, ScheduleKind};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::files::{Exchange, SavedState};
use crate::linalg::matrix;
use crate::objective::{Consumes, Objective};
use crate::problem::Problem;
use crate::settings::{
    ANY_COUNT, AT_LEAST_ONE, Changed, FRACTION, NON_NEGATIVE, POSITIVE, SettingType, Settings,
};
use crate::step::{Method, Step, Update, no_parts};
use crate::threads::in_pool;
use crate::timing::part;
use returned::{Best, Parted, held_out};
use std::time::Instant;

crate::settings! {
    /// How a training is run, whatever the method.
    pub struct Training {
        /// Samples in a mini-batch; the last batch of an epoch may be smaller.
        pub batch: usize = 32, AT_LEAST_ONE;
        /// Order of the samples: shuffled anew each epoch from the seed, fixed, or fresh samples for every update.
        pub order: Order = Order::Shuffled, ANY_ORDER;
        /// Updates between two evaluations of train and test loss; 0 spaces them geometrically, 2 % apart.
        pub evaluate_every: usize = 0, ANY_COUNT;
        /// Learning rate over the budget: constant, cosine, exponential or step.
        pub schedule: ScheduleKind = ScheduleKind::Constant, ANY_SCHEDULE;
        /// Fraction of the learning rate that a schedule ends with.
        pub final_fraction: f64 = 0.01, FRACTION;
        /// Weights that a training returns: the best by its evaluations, or the last.
        pub returned: Returned = Returned::Best, EITHER;
        /// Training samples that are held out, by whose loss the best weights are chosen: below 1 a fraction, otherwise a number; with 0 it is the training loss.
        pub validation: f64 = 0.0, NON_NEGATIVE;
        /// GiB that the matrices of one update may take; more is refused before training.
        pub memory_limit: f64 = 8.0, POSITIVE;
    }
}

impl Training {
    /// Makes it a training with given samples in place of those of a system: `fresh` samples would
    /// pass them by, so that they are shuffled instead. Tells what was changed.
    pub fn for_given_samples(&mut self) -> Option<Changed> {
        (self.order == Order::Fresh).then(|| {
            let from = std::mem::replace(&mut self.order, Order::Shuffled);
            Changed {
                name: "order",
                from: from.value(),
                to: self.order.value(),
                reason: "fresh samples would pass the given ones by",
            }
        })
    }
}

/// Why a training ended.
#[derive(Debug)]
pub enum Stop {
    /// The budget is used up.
    Budget,
    /// The loss of a batch or of the training samples is NaN or infinite, and the step could not take
    /// its last update back.
    LossNotFinite {
        /// Updates done before.
        update: usize,
        /// The loss.
        loss: f64,
    },
    /// An update would make a parameter NaN or infinite; it was not applied.
    ParametersNotFinite {
        /// Updates done before.
        update: usize,
    },
    /// An observer asked for the end (Ctrl-C, early stopping).
    Asked,
    /// A step or an observer failed.
    Failed {
        /// Updates done before.
        update: usize,
        /// What failed.
        error: Error,
    },
}

impl std::fmt::Display for Stop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Budget => write!(f, "budget used"),
            Self::LossNotFinite { update, loss } => {
                write!(f, "loss is {loss} after update {update}")
            }
            Self::ParametersNotFinite { update } => {
                write!(f, "update {} is not finite and was not applied", update + 1)
            }
            Self::Asked => write!(f, "interrupted"),
            Self::Failed { update, error } => write!(f, "failed after update {update}: {error}"),
        }
    }
}

/// What a training ends with, whatever ended it.
#[derive(Debug)]
pub struct Outcome {
    /// The parameters that [`Training::returned`] asks for, all finite.
    pub parameters: Vec<f64>,
    /// Updates done, those of the start included.
    pub updates: usize,
    /// Passes over the training samples.
    pub epochs: f64,
    /// Time of the updates alone, without evaluation and observers.
    pub seconds: f64,
    /// The update after which these parameters stood.
    pub update: usize,
    /// Mean loss of the training samples with these parameters.
    pub train_loss: f64,
    /// Mean loss of the test samples with these parameters.
    pub test_loss: f64,
    /// The best parameters' losses, and after which update they stood; none where no loss was finite.
    /// The start of the method is one of its evaluations.
    pub best: Option<Losses>,
    /// The last parameters' losses; NaN where they could not be evaluated.
    pub last: Losses,
    /// The last parameters, all finite.
    pub last_parameters: Vec<f64>,
    /// Why it ended.
    pub stop: Stop,
}

/// Where a training starts: fresh parameters, or the end of another training, whose counters then
/// go on.
#[derive(Debug, Clone, PartialEq)]
pub struct Start {
    /// Parameters.
    pub parameters: Vec<f64>,
    /// Updates done before; an update number above 0 is not evaluated again.
    pub updates: usize,
    /// Passes over the training samples done before.
    pub epochs: f64,
    /// Seconds of training done before.
    pub seconds: f64,
    /// The whole state, where a training goes on to the bits of one that was never stopped.
    state: Option<SavedState>,
}

impl Start {
    /// Goes on from a [`Checkpoint`] of a training of the same problem, method, settings and seed.
    ///
    /// # Errors
    /// A state that is none of a training.
    pub fn resume(state: SavedState) -> Result<Self> {
        let mut counters = Counters::default();
        state.restore(|exchange| exchange.part("training", |state| counters.exchange(state)))?;
        let Counters {
            parameters,
            updates,
            epoch: epochs,
            seconds,
            ..
        } = counters;
        Ok(Self {
            parameters,
            updates,
            epochs,
            seconds,
            state: Some(state),
        })
    }
}

impl From<Vec<f64>> for Start {
    fn from(parameters: Vec<f64>) -> Self {
        Self {
            parameters,
            updates: 0,
            epochs: 0.0,
            seconds: 0.0,
            state: None,
        }
    }
}

impl From<&Outcome> for Start {
    fn from(outcome: &Outcome) -> Self {
        Self {
            parameters: outcome.parameters.clone(),
            updates: outcome.updates,
            epochs: outcome.epochs,
            seconds: outcome.seconds,
            state: None,
        }
    }
}

/// Trains a network on a problem, from fresh parameters or from where another training ended.
///
/// The same seed gives the same bits on the same machine, whatever the number of threads; only a
/// budget in seconds makes the number of updates depend on the machine.
///
/// ```
/// use hig::step::Spectral;
/// use hig::systems::{System, Toy};
/// use hig::trainer::{Budget, Training, train};
///
/// let problem = Toy::default().problem(0);
/// let start = problem.initial_parameters(0);
/// let training = Training { batch: 256, ..Training::default() };
/// let method = Spectral { cutoff: 1e-5, ..Spectral::half_inverse() };
/// let outcome = train(&problem, &method, start, &training, Budget::updates(200), 0, &mut [])?;
/// assert!(outcome.train_loss < 0.1);
/// # Ok::<(), hig::Error>(())
/// ```
///
/// # Errors
/// Everything that can be known before the first update: settings out of range, data or parameters
/// that do not fit or are not finite, a batch larger than the data, matrices larger than the memory
/// limit. What happens later ends up in [`Outcome::stop`], and nothing computed is lost.
pub fn train(
    problem: &Problem,
    method: &dyn Method,
    start: impl Into<Start>,
    training: &Training,
    budget: Budget,
    seed: u64,
    observers: &mut [&mut dyn Observer],
) -> Result<Outcome> {
    let start = start.into();
    if !(start.seconds.is_finite() && start.seconds >= 0.0) {
        let expected = "a finite number of at least 0";
        return Err(Error::setting("start.seconds", start.seconds, expected));
    }
    check(problem, method, &start.parameters, training, &budget)?;
    let schedule = Schedule {
        kind: training.schedule,
        final_fraction: training.final_fraction,
    };
    let parted = Parted::of(
        &problem.train,
        held_out(training.validation, problem.train.len())?,
    );
    let mut run = Run {
        problem,
        parted: &parted,
        returned: training.returned,
        observers,
        now: Counters {
            next_evaluation: following(start.updates, training.evaluate_every),
            parameters: start.parameters,
            updates: start.updates,
            epoch: start.epochs,
            seconds: start.seconds,
            evaluated: None,
            best: None,
        },
    };
    let mut step = method.start_within(memory(training))?;
    let mut batches = Batches::of(
        &parted.trained,
        problem,
        training.batch,
        training.order,
        seed,
    );
    if let Some(state) = start.state {
        state.restore(|state| exchange(state, &mut run.now, step.as_mut(), &mut batches))?;
        batches.check()?;
    } else {
        let stop = match run.now.updates {
            0 => run.evaluate(&Last::default(), false),
            // Told by the training before, which may have had other samples.
            _ => run.losses().err().map(|error| Stop::Failed {
                update: run.now.updates,
                error,
            }),
        };
        if let Some(stop) = stop {
            return Ok(run.finish(stop));
        }
    }
    let stop = loop {
        let used = run.now.used(&budget);
        if used >= 1.0 {
            break Stop::Budget;
        }
        let before = run.before(step.as_mut());
        let clock = Instant::now();
        let batch = batches.next_batch();
        let learning_rate = method.learning_rate() * schedule.factor(used);
        let computed = compute(
            problem.objective.as_ref(),
            &batch,
            &run.now.parameters,
            step.as_mut(),
            learning_rate,
        );
        let update = run.now.updates;
        let (loss, change) = match computed {
            Ok((loss, Some(change))) => (loss, change),
            Ok((loss, None)) => {
                run.keep_before(before, &mut batches);
                break Stop::LossNotFinite { update, loss };
            }
            Err(error) => {
                run.keep_before(before, &mut batches);
                break Stop::Failed { update, error };
            }
        };
        let stop = match run.now.apply(&change.delta) {
            Ok(true) => None,
            Ok(false) => Some(Stop::ParametersNotFinite { update }),
            Err(error) => Some(Stop::Failed { update, error }),
        };
        if let Some(stop) = stop {
            run.keep_before(before, &mut batches);
            break stop;
        }
        run.now.epoch += batch.len() as f64 / parted.trained.len() as f64;
        run.now.seconds += clock.elapsed().as_secs_f64();

        let used = run.now.used(&budget);
        let unchanged = change.delta.iter().all(|d| *d == 0.0);
        let mut stop = run.report(loss, used, unchanged);
        if run.now.updates >= run.now.next_evaluation {
            run.now.next_evaluation = following(run.now.updates, training.evaluate_every);
            let last = Last {
                loss,
                rows: problem.objective.rows(batch.len()),
                change,
            };
            let evaluated = run.evaluate(&last, step.takes_back());
            stop = stop.or(evaluated);
        }
        if let Some(failed @ Stop::Failed { .. }) = stop {
            // What an observer could not write is written again from there on.
            run.keep_before(before, &mut batches);
            break failed;
        }
        let last = stop.is_some() || used >= 1.0;
        let kept = run.keep(last, step.as_mut(), &mut batches);
        if let Some(stop) = stop.or(kept) {
            break stop;
        }
    };
    Ok(run.finish(stop))
}

/// What one update computes: the loss of a batch at the parameters, and the change that a step makes
/// of the batch, none where the loss is not finite and the step takes nothing back. All of it runs on
/// the threads of the pool.
///
/// # Errors
/// Those of the step, or the first number of the loss or the physics that is not finite behind them.
pub fn compute(
    objective: &dyn Objective,
    batch: &Dataset,
    parameters: &[f64],
    step: &mut dyn Step,
    learning_rate: f64,
) -> Result<(f64, Option<Update>)> {
    in_pool(|| {
        let _part = part!(STEP);
        let at = objective.linearize(batch, parameters)?;
        let loss = at.loss();
        let update = match loss.is_finite() || step.takes_back() {
            true => Some(step.step(at.as_ref(), learning_rate).map_err(|error| {
                match error {
                    Error::External(_) => error,
                    // A number of the physics or the loss that spoilt the step says more than the step.
                    _ => at.check_finite().err().unwrap_or(error),
                }
            })?),
            false => None,
        };
        Ok((loss, update))
    })
}

fn following(update: usize, every: usize) -> usize {
    const SPACING: f64 = 1.02;
    match every {
        0 => (update + 1).max((update as f64 * SPACING) as usize),
        _ => (update / every + 1) * every,
    }
}

/// Refuses everything that can be known to be wrong before the first update.
///
/// # Errors
/// See [`train`].
pub fn check(
    problem: &Problem,
    method: &dyn Method,
    parameters: &[f64],
    training: &Training,
    budget: &Budget,
) -> Result<()> {
    training.check()?;
    method.check()?;
    budget.check()?;
    problem.check()?;
    let p = problem.parameter_count();
    if parameters.len() != p {
        return Err(Error::Shape {
            what: "parameters".into(),
            found: format!("length {}", parameters.len()),
            expected: format!("length {p}"),
        });
    }
    matrix::check_finite_vector("parameters", parameters)?;
    if training.order == Order::Fresh && problem.sampler.is_none() {
        let expected = "shuffled or fixed: this problem has given samples only";
        return Err(Error::setting("order", "fresh", expected));
    }
    let samples = problem.train.len();
    let held = held_out(training.validation, samples)?;
    let samples = samples - held;
    if training.batch > samples {
        let without = match held {
            0 => String::new(),
            held => format!(" ({held} more are held out)"),
        };
        let expected = format!("at most the number of training samples, {samples}{without}");
        return Err(Error::setting("batch", training.batch, expected));
    }
    let (consumes, n, _) = consumption(problem, method, training);
    if consumes == Consumes::PhysicsRows && problem.through_physics().is_none() {
        return Err(no_parts(method.name()));
    }
    let passes = match consumes {
        Consumes::Gradient | Consumes::PhysicsRows => 0,
        Consumes::Products | Consumes::Gram | Consumes::Jacobian => {
            problem.objective.pass_numbers(training.batch)
        }
    };
    let gibibytes = (consumes.numbers(n, p) + passes) as f64 / NUMBERS_PER_GIB;
    if gibibytes > training.memory_limit {
        return Err(Error::Memory {
            what: format!("one update ({consumes}, {n} x {p})"),
            needed: gibibytes,
            limit: training.memory_limit,
            batch: training.batch,
        });
    }
    Ok(())
}

pub(crate) const NUMBERS_PER_GIB: f64 = (1_u64 << 27) as f64;

/// The numbers (f64) that an update may hold.
fn memory(training: &Training) -> usize {
    (training.memory_limit * NUMBERS_PER_GIB) as usize
}

/// What an update of a method will consume, with n and p: it tells the route that `auto` chose.
pub fn consumption(
    problem: &Problem,
    method: &dyn Method,
    training: &Training,
) -> (Consumes, usize, usize) {
    let n = problem.objective.rows(training.batch);
    let p = problem.parameter_count();
    (method.consumes(n, p, memory(training)), n, p)
}

/// Everything that a training goes on from.
fn exchange(
    state: &mut Exchange<'_>,
    now: &mut Counters,
    step: &mut dyn Step,
    batches: &mut Batches<'_>,
) {
    exchange_without_batches(state, now, step);
    state.part("batches", |state| batches.exchange(state));
}

fn exchange_without_batches(state: &mut Exchange<'_>, now: &mut Counters, step: &mut dyn Step) {
    state.of_parameters(now.parameters.len());
    state.part("training", |state| now.exchange(state));
    state.part("step", |state| step.exchange(state));
}

/// How far a training is.
#[derive(Debug, Default)]
struct Counters {
    parameters: Vec<f64>,
    updates: usize,
    epoch: f64,
    /// Time of the updates alone.
    seconds: f64,
    /// Update at which the next evaluation is due.
    next_evaluation: usize,
    /// The last evaluation.
    evaluated: Option<Losses>,
    best: Option<Best>,
}

impl Counters {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.vector("parameters", &mut self.parameters);
        state.count("updates", &mut self.updates);
        state.number("epoch", &mut self.epoch);
        state.number("seconds", &mut self.seconds);
        state.count("next_evaluation", &mut self.next_evaluation);
        let unknown = || Losses::unknown(0);
        state.optional("evaluated", &mut self.evaluated, unknown, |state, last| {
            last.exchange(state);
        });
        state.optional("best", &mut self.best, Best::unknown, |state, best| {
            best.exchange(state);
        });
    }

    fn used(&self, budget: &Budget) -> f64 {
        budget.used(self.updates, self.epoch, self.seconds)
    }

    /// Adds an update, and answers whether it could: no parameter may stop being finite.
    fn apply(&mut self, delta: &[f64]) -> Result<bool> {
        if delta.len() != self.parameters.len() {
            return Err(Error::Shape {
                what: "update of the step".into(),
                found: format!("length {}", delta.len()),
                expected: format!("length {}", self.parameters.len()),
            });
        }
        let pairs = self.parameters.iter().zip(delta);
        let next: Vec<f64> = pairs.map(|(p, d)| p + d).collect();
        let finite = next.iter().all(|p| p.is_finite());
        if finite {
            self.parameters = next;
            self.updates += 1;
        }
        Ok(finite)
    }
}

/// What an evaluation tells of the update before it.
struct Last {
    /// Loss of the batch.
    loss: f64,
    /// Rows of its J.
    rows: usize,
    change: Update,
}

impl Default for Last {
    /// None.
    fn default() -> Self {
        Self {
            loss: f64::NAN,
            rows: 0,
            change: Update::default(),
        }
    }
}

struct Run<'a, 'o> {
    problem: &'a Problem,
    parted: &'a Parted<'a>,
    returned: Returned,
    observers: &'a mut [&'o mut dyn Observer],
    now: Counters,
}

impl Run<'_, '_> {
    fn report(&mut self, batch_loss: f64, budget_used: f64, unchanged: bool) -> Option<Stop> {
        let progress = Progress {
            parameters: &self.now.parameters,
            update: self.now.updates,
            epoch: self.now.epoch,
            seconds: self.now.seconds,
            batch_loss,
            budget_used,
            unchanged,
        };
        let flows = self.observers.iter_mut().map(|o| o.progress(&progress));
        stop_of(flows, self.now.updates)
    }

    /// The losses at the parameters, and whether these are the best so far.
    fn losses(&mut self) -> Result<(Losses, bool)> {
        let _part = part!(EVALUATE);
        let objective = self.problem.objective.as_ref();
        let loss = |data| objective.loss(&self.now.parameters, data);
        let held = self.parted.held.as_ref();
        let losses = Losses {
            update: self.now.updates,
            train: loss(&self.parted.trained)?,
            validation: held.map_or(Ok(f64::NAN), loss)?,
            test: loss(&self.problem.test)?,
        };
        let judged = match held {
            Some(_) => losses.validation,
            None => losses.train,
        };
        let best = Best::hear(&mut self.now.best, &self.now.parameters, losses, judged);
        Ok((losses, best))
    }

    /// Evaluates the losses; one that is not finite ends the training, unless the step `takes_back`.
    fn evaluate(&mut self, last: &Last, takes_back: bool) -> Option<Stop> {
        let update = self.now.updates;
        let (losses, best) = match self.losses() {
            Ok(found) => found,
            Err(error) => return Some(Stop::Failed { update, error }),
        };
        self.now.evaluated = Some(losses);
        let train_loss = losses.train;
        let evaluation = Evaluation {
            problem: self.problem,
            parameters: &self.now.parameters,
            update: self.now.updates,
            epoch: self.now.epoch,
            seconds: self.now.seconds,
            train_loss,
            validation_loss: losses.validation,
            test_loss: losses.test,
            best,
            batch_loss: last.loss,
            rows: last.rows,
            diagnostics: &last.change.diagnostics,
            spectrum: &last.change.spectrum,
        };
        let _part = part!(RECORD);
        let flows = self.observers.iter_mut().map(|o| o.evaluation(&evaluation));
        let asked = stop_of(flows, self.now.updates);
        if train_loss.is_finite() || takes_back {
            return asked;
        }
        Some(Stop::LossNotFinite {
            update: self.now.updates,
            loss: train_loss,
        })
    }

    /// Lets the observers take a checkpoint.
    fn keep(&mut self, last: bool, step: &mut dyn Step, batches: &mut Batches<'_>) -> Option<Stop> {
        let now = &mut self.now;
        let update = now.updates;
        let mut state = || SavedState::of(|state| exchange(state, now, step, batches));
        let mut checkpoint = Checkpoint {
            update,
            last,
            state: &mut state,
        };
        let observers = self.observers.iter_mut();
        stop_of(observers.map(|o| o.checkpoint(&mut checkpoint)), update)
    }

    /// The state before an update, where an observer takes checkpoints; the batches, of which it may be
    /// a large part, know their own.
    fn before(&mut self, step: &mut dyn Step) -> Option<SavedState> {
        let wanted = self.observers.iter().any(|o| o.takes_checkpoints());
        let now = &mut self.now;
        wanted.then(|| SavedState::of(|state| exchange_without_batches(state, now, step)))
    }

    /// Lets the observers take a checkpoint of the state before an update that failed, or after which
    /// something failed. That failure is the one that is told, whatever comes of it.
    fn keep_before(&mut self, before: Option<SavedState>, batches: &mut Batches<'_>) {
        let Some(before) = before else { return };
        let mut counters = Counters::default();
        let read = before.restore(|state| state.part("training", |state| counters.exchange(state)));
        debug_assert!(read.is_ok(), "it was just written");
        batches.take_back();
        let mut state = || {
            let mut whole = before.clone();
            whole.add(|state| state.part("batches", |state| batches.exchange(state)));
            whole
        };
        let update = counters.updates;
        let mut checkpoint = Checkpoint {
            update,
            last: true,
            state: &mut state,
        };
        let observers = self.observers.iter_mut();
        let _ = stop_of(observers.map(|o| o.checkpoint(&mut checkpoint)), update);
    }

    fn finish(mut self, stop: Stop) -> Outcome {
        let mut stop = stop;
        let evaluated = |now: &Counters| now.evaluated.filter(|last| last.update == now.updates);
        if evaluated(&self.now).is_none()
            && let Some(last) = self.evaluate(&Last::default(), false)
            && matches!(stop, Stop::Budget)
        {
            stop = last;
        }
        let last = evaluated(&self.now).unwrap_or_else(|| Losses::unknown(self.now.updates));
        if matches!(stop, Stop::Budget) && !last.train.is_finite() {
            stop = Stop::LossNotFinite {
                update: self.now.updates,
                loss: last.train,
            };
        }
        let last_parameters = self.now.parameters;
        let best = self.now.best.as_ref().map(|best| best.losses);
        let wanted = self.now.best.filter(|_| self.returned == Returned::Best);
        let (parameters, losses) = match wanted {
            Some(best) => (best.parameters, best.losses),
            None => (last_parameters.clone(), last),
        };
        let mut outcome = Outcome {
            parameters,
            updates: self.now.updates,
            epochs: self.now.epoch,
            seconds: self.now.seconds,
            update: losses.update,
            train_loss: losses.train,
            test_loss: losses.test,
            best,
            last,
            last_parameters,
            stop,
        };
        for observer in self.observers.iter_mut() {
            if let Err(error) = observer.end(&outcome)
                && !matches!(outcome.stop, Stop::Failed { .. })
            {
                let update = outcome.updates;
                outcome.stop = Stop::Failed { update, error };
            }
        }
        outcome
    }
}

/// Every observer is heard before the first failure or wish to stop is obeyed.
fn stop_of(flows: impl Iterator<Item = Result<Flow>>, update: usize) -> Option<Stop> {
    let mut stop = None;
    for flow in flows {
        match flow {
            Ok(Flow::Continue) => {}
            Ok(Flow::Stop) => {
                stop.get_or_insert(Stop::Asked);
            }
            Err(error) => {
                stop.get_or_insert(Stop::Failed { update, error });
            }
        }
    }
    stop
}
