//! Training: mini-batches, budgets, schedules, evaluation and observers around a step.

mod batches;
mod budget;
mod checkpoint;
mod identity;
mod observers;
mod returned;
mod schedule;

pub use batches::{ANY_LAST_BATCH, ANY_ORDER, Batches, LastBatch, Order};
pub use budget::Budget;
pub use checkpoint::{CheckpointWriter, EVALUATED, before, recover, set_aside};
pub use identity::{Identity, TRAINING};
pub use observers::{Beginning, Checkpoint, Evaluation, Flow, MetricsWriter, Observer, Progress};
pub use returned::{EITHER, Losses, Returned};
pub use schedule::{ANY_SCHEDULE, Rescheduled, Schedule, ScheduleKind};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::files::{Exchange, SavedState};
use crate::linalg::matrix;
use crate::objective::{Consumes, Objective, Sketch};
use crate::problem::Problem;
use crate::settings::{
    ANY_COUNT, AT_LEAST_ONE, Changed, FRACTION, NON_NEGATIVE, PART, POSITIVE, SettingType, Settings,
};
use crate::spectral::few_vectors;
use crate::step::{Method, Step, Update, no_layers, no_parts};
use crate::threads::in_pool;
use crate::timing::part;
use returned::{Best, Parted, held_out};
use std::time::Instant;

crate::settings! {
    /// How a training is run, whatever the method.
    pub struct Training {
        /// Samples in a mini-batch.
        pub batch: usize = 32, AT_LEAST_ONE;
        /// Order of the samples: shuffled anew each epoch from the seed, fixed, or fresh samples for every update.
        pub order: Order = Order::Shuffled, ANY_ORDER;
        /// Updates for which samples drawn with order = fresh are kept.
        pub renew: usize = 1, AT_LEAST_ONE;
        /// What becomes of the last samples of an order where they are too few for a batch: filled from the next order, dropped, or a short batch, whose step is too long for a learning rate that belongs to the whole batch.
        pub last_batch: LastBatch = LastBatch::Filled, ANY_LAST_BATCH;
        /// Updates between two evaluations of train and test loss; 0 spaces them geometrically, 2 % apart.
        pub evaluate_every: usize = 0, ANY_COUNT;
        /// Learning rate over the budget: constant, cosine, exponential or step.
        pub schedule: ScheduleKind = ScheduleKind::Constant, ANY_SCHEDULE;
        /// Fraction of the learning rate that a schedule ends with.
        pub final_fraction: f64 = 0.01, FRACTION;
        /// Part of the time steps, where a network is called in those of a simulation, that the first update goes through; it grows evenly to all of them.
        pub first_horizon: f64 = 1.0, PART;
        /// Updates after which an update goes through all time steps, where first_horizon is below 1.
        pub horizon_updates: usize = 100, AT_LEAST_ONE;
        /// Weights that a training returns: the best by its evaluations, or the last.
        pub returned: Returned = Returned::Best, EITHER;
        /// Training samples that are held out, by whose loss the best weights are chosen: below 1 a fraction, otherwise a number; with 0 it is the training loss.
        pub validation: f64 = 0.0, NON_NEGATIVE;
        /// GiB that the matrices of one update may take; more is refused before training.
        pub memory_limit: f64 = 8.0, POSITIVE;
    }
}

impl Training {
    /// The schedule of its learning rate.
    fn schedule(&self) -> Schedule {
        Schedule {
            kind: self.schedule,
            final_fraction: self.final_fraction,
        }
    }

    /// The time steps that an update goes through, of which the simulation has so many; none for all of them.
    fn horizon(&self, update: usize, steps: Option<usize>) -> Option<usize> {
        let steps = steps.filter(|_| self.first_horizon < 1.0 && update < self.horizon_updates)?;
        let grown = update as f64 / self.horizon_updates as f64;
        let part = self.first_horizon + (1.0 - self.first_horizon) * grown;
        Some(((part * steps as f64).ceil() as usize).clamp(1, steps))
    }

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
        /// The first number that is not finite on the way to it, where one was found.
        cause: Option<Error>,
    },
    /// The loss of the samples that are held out is NaN or infinite, and that of the others is not.
    ValidationLossNotFinite {
        /// Updates done before.
        update: usize,
        /// The loss.
        loss: f64,
        /// The first number that is not finite on the way to it, where one was found.
        cause: Option<Error>,
    },
    /// The loss of the test samples is NaN or infinite, and that of the training samples is not.
    TestLossNotFinite {
        /// Updates done before.
        update: usize,
        /// The loss.
        loss: f64,
        /// The first number that is not finite on the way to it, where one was found.
        cause: Option<Error>,
    },
    /// An update would make a parameter NaN or infinite; it was not applied.
    ParametersNotFinite {
        /// Updates done before.
        update: usize,
        /// The first number that is not finite on the way to it, where one was found.
        cause: Option<Error>,
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
            Self::LossNotFinite {
                update,
                loss,
                cause,
            } => {
                write!(f, "loss is {loss} after update {update}")?;
                because(f, cause.as_ref())
            }
            Self::ValidationLossNotFinite {
                update,
                loss,
                cause,
            } => {
                write!(f, "validation loss is {loss} after update {update}")?;
                because(f, cause.as_ref())
            }
            Self::TestLossNotFinite {
                update,
                loss,
                cause,
            } => {
                write!(f, "test loss is {loss} after update {update}")?;
                because(f, cause.as_ref())
            }
            Self::ParametersNotFinite { update, cause } => {
                write!(f, "update {} is not finite and was not applied", update + 1)?;
                because(f, cause.as_ref())
            }
            Self::Asked => write!(f, "interrupted"),
            Self::Failed { update, error } => write!(f, "failed after update {update}: {error}"),
        }
    }
}

fn because(f: &mut std::fmt::Formatter<'_>, cause: Option<&Error>) -> std::fmt::Result {
    cause.map_or(Ok(()), |cause| write!(f, " ({cause})"))
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

    /// What is to be told of a training that goes on from a checkpoint under another budget, where its
    /// schedule goes by the budget; none where nothing changes, or nothing is left to do.
    pub fn rescheduled(&self, training: &Training, budget: &Budget) -> Option<Rescheduled> {
        let before = self.state.as_ref()?.text(checkpoint::BUDGET)?;
        let before = Budget::parse(before)?;
        let used = |budget: &Budget| budget.used(self.updates, self.epochs, self.seconds);
        let steady = training.schedule == ScheduleKind::Constant || training.final_fraction == 1.0;
        if steady || before == *budget || self.updates == 0 || used(budget) >= 1.0 {
            return None;
        }
        let factor = |budget: &Budget| training.schedule().factor(used(budget));
        Some(Rescheduled {
            schedule: training.schedule,
            update: self.updates,
            factors: (factor(&before), factor(budget)),
            before,
            now: *budget,
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
/// limit, what an [`Observer`] refuses. What happens later ends up in [`Outcome::stop`], and nothing computed is lost.
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
    let schedule = training.schedule();
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
    step.begin(seed, &problem.objective.parameters());
    let mut batches = Batches::of(&parted.trained, problem, training, seed);
    let goes_on = start.state.is_some();
    if let Some(state) = start.state {
        state.restore(|state| exchange(state, &mut run.now, step.as_mut(), &mut batches))?;
        batches.check()?;
    }
    run.begin(&budget)?;
    if !goes_on {
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
        let batch = batches.next_batch(&run.now.parameters);
        let learning_rate = method.learning_rate() * schedule.factor(used);
        let update = run.now.updates;
        let objective = problem.objective.as_ref();
        let computed = compute_within(
            training.horizon(update, objective.steps()),
            objective,
            &batch,
            &run.now.parameters,
            step.as_mut(),
            learning_rate,
        );
        let place = |s| Some(parted.place_of_trained(batches.place_of(s)?));
        let placed = |error: Error| error.told_by(TRAINING_SAMPLE, place, |s| input(&batch, s));
        let (loss, change, cause) = match computed {
            Ok(Computed {
                loss,
                change: Some(change),
                cause,
            }) => (loss, change, cause.map(placed)),
            Ok(Computed { loss, cause, .. }) => {
                let cause = cause.map(placed);
                run.keep_before(before, &mut batches);
                break Stop::LossNotFinite {
                    update,
                    loss,
                    cause,
                };
            }
            Err(error) => {
                let error = placed(error);
                run.keep_before(before, &mut batches);
                break Stop::Failed { update, error };
            }
        };
        let stop = match run.now.apply(&change.delta) {
            Ok(true) => None,
            Ok(false) => Some(Stop::ParametersNotFinite { update, cause }),
            Err(error) => Some(Stop::Failed { update, error }),
        };
        if let Some(stop) = stop {
            run.keep_before(before, &mut batches);
            break stop;
        }
        run.now.epoch += batch.len() as f64 / batches.epoch() as f64;
        run.now.seconds += clock.elapsed().as_secs_f64();

        let used = run.now.used(&budget);
        let unchanged = change.delta.iter().all(|d| *d == 0.0);
        let mut stop = run.report(loss, used, unchanged);
        if run.now.updates >= run.now.next_evaluation {
            run.now.next_evaluation = following(run.now.updates, training.evaluate_every);
            let last = Last {
                loss,
                rows: seen_rows(problem, method, batch.len()),
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

/// What one update computes.
#[derive(Debug)]
pub struct Computed {
    /// The loss of the batch at the parameters.
    pub loss: f64,
    /// The change that a step makes of them; none where the loss is not finite and the step takes
    /// nothing back.
    pub change: Option<Update>,
    /// Where there is no change, or one that is not finite: the first number of the network, the physics
    /// or the loss that is not finite, where one is not.
    pub cause: Option<Error>,
}

/// Computes one update of a batch, on the threads of the pool.
///
/// # Errors
/// Those of the step, or the first number of the loss or the physics that is not finite behind them.
pub fn compute(
    objective: &dyn Objective,
    batch: &Dataset,
    parameters: &[f64],
    step: &mut dyn Step,
    learning_rate: f64,
) -> Result<Computed> {
    compute_within(None, objective, batch, parameters, step, learning_rate)
}

/// The same over the first time steps of a simulation; none for all.
fn compute_within(
    steps: Option<usize>,
    objective: &dyn Objective,
    batch: &Dataset,
    parameters: &[f64],
    step: &mut dyn Step,
    learning_rate: f64,
) -> Result<Computed> {
    in_pool(|| {
        let _part = part!(STEP);
        let at = match steps {
            None => objective.linearize(batch, parameters)?,
            Some(steps) => objective.linearize_within(steps, batch, parameters)?,
        };
        let loss = at.loss();
        if !(loss.is_finite() || step.takes_back()) {
            return Ok(Computed {
                loss,
                change: None,
                cause: at.check_finite().err(),
            });
        }
        let change = step.step(at.as_ref(), learning_rate).map_err(|error| {
            match error {
                Error::External(_) => error,
                // A number of the physics or the loss that spoilt the step says more than the step.
                _ => at.check_finite().err().unwrap_or(error),
            }
        })?;
        let spoilt = change.delta.iter().any(|d| !d.is_finite());
        Ok(Computed {
            loss,
            cause: spoilt.then(|| at.check_finite().err()).flatten(),
            change: Some(change),
        })
    })
}

/// What the network reads of a sample.
fn input(samples: &Dataset, sample: usize) -> Vec<f64> {
    let input = &samples.input;
    (0..input.ncols()).map(|j| input[(sample, j)]).collect()
}

/// How samples are called.
const TRAINING_SAMPLE: &str = "training sample";
const TEST_SAMPLE: &str = "test sample";

/// The first number of samples that is not finite, in the order of the samples; none where the objective
/// fails in another way, or finds none.
fn not_finite(
    objective: &dyn Objective,
    parameters: &[f64],
    samples: &Dataset,
    whose: &'static str,
    place: &(dyn Fn(usize) -> usize + Sync),
) -> Option<Error> {
    const CHUNK: usize = 256;
    in_pool(|| {
        (0..samples.len()).step_by(CHUNK).find_map(|first| {
            let end = (first + CHUNK).min(samples.len());
            let chunk = samples.select(&(first..end).collect::<Vec<_>>());
            let error = match objective.linearize(&chunk, parameters) {
                Ok(at) => at.check_finite().err()?,
                Err(_) => return None,
            };
            Some(error.told_by(whose, |s| Some(place(first + s)), |s| input(&chunk, s)))
        })
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
    if training.first_horizon < 1.0 && problem.objective.steps().is_none() {
        let expected = "1: this problem calls no network in the time steps of a simulation";
        let found = training.first_horizon;
        return Err(Error::setting("first_horizon", found, expected));
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
    let of_sample = problem.objective.rows(1);
    let kept = method.sketch().of(training.batch, of_sample);
    Sketch::check(kept, of_sample)?;
    let (consumes, n, _) = consumption(problem, method, training);
    if consumes == Consumes::PhysicsRows && problem.through_physics().is_none() {
        return Err(no_parts(method.name()));
    }
    if consumes == Consumes::LayerMoments && !problem.objective.tells_layer_moments() {
        return Err(no_layers(method.name()));
    }
    let passes = match consumes {
        Consumes::Gradient | Consumes::LayerMoments | Consumes::PhysicsRows => 0,
        Consumes::Products { vectors } if kept == 0 && few_vectors(vectors, of_sample) => {
            let products = problem.objective.product_numbers(training.batch);
            products.unwrap_or_else(|| problem.objective.pass_numbers(training.batch))
        }
        Consumes::Products { .. } | Consumes::Gram | Consumes::Jacobian => {
            let all = problem.objective.pass_numbers(training.batch);
            match kept {
                0 => all,
                // The passes of n_s rows, and the combinations themselves.
                _ => (all / of_sample * kept).saturating_add(n.saturating_mul(of_sample)),
            }
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

/// The rows of J that an update of a method decomposes for so many samples: all of theirs, or combinations.
fn seen_rows(problem: &Problem, method: &dyn Method, samples: usize) -> usize {
    match method.sketch().of(samples, problem.objective.rows(1)) {
        0 => problem.objective.rows(samples),
        kept => samples.saturating_mul(kept),
    }
}

/// What an update of a method will consume, with n, the rows of J that it decomposes, and p: it tells the
/// route that `auto` chose.
pub fn consumption(
    problem: &Problem,
    method: &dyn Method,
    training: &Training,
) -> (Consumes, usize, usize) {
    let n = seen_rows(problem, method, training.batch);
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
    fn begin(&mut self, budget: &Budget) -> Result<()> {
        let beginning = Beginning {
            problem: self.problem,
            budget,
            update: self.now.updates,
        };
        let mut observers = self.observers.iter_mut();
        observers.try_for_each(|observer| observer.begin(&beginning))
    }

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

    /// Evaluates the losses; one that is not finite ends the training, unless the step `takes_back` what
    /// led there, of which only training samples tell it.
    fn evaluate(&mut self, last: &Last, takes_back: bool) -> Option<Stop> {
        let update = self.now.updates;
        let (losses, best) = match self.losses() {
            Ok(found) => found,
            Err(error) => return Some(Stop::Failed { update, error }),
        };
        self.now.evaluated = Some(losses);
        let evaluation = Evaluation {
            problem: self.problem,
            parameters: &self.now.parameters,
            update: self.now.updates,
            epoch: self.now.epoch,
            seconds: self.now.seconds,
            train_loss: losses.train,
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
        if takes_back && !losses.train.is_finite() {
            return asked;
        }
        self.not_finite(&losses).or(asked)
    }

    /// The end of a training whose losses after the last update are not finite.
    fn not_finite(&self, losses: &Losses) -> Option<Stop> {
        let (update, parted) = (losses.update, self.parted);
        let cause = |samples, whose, place: &(dyn Fn(usize) -> usize + Sync)| {
            let objective = self.problem.objective.as_ref();
            not_finite(objective, &self.now.parameters, samples, whose, place)
        };
        if !losses.train.is_finite() {
            let place = |s| parted.place_of_trained(s);
            return Some(Stop::LossNotFinite {
                update,
                loss: losses.train,
                cause: cause(&parted.trained, TRAINING_SAMPLE, &place),
            });
        }
        if let Some(held) = parted.held.as_ref()
            && !losses.validation.is_finite()
        {
            let place = |s| parted.place_of_held(s);
            return Some(Stop::ValidationLossNotFinite {
                update,
                loss: losses.validation,
                cause: cause(held, TRAINING_SAMPLE, &place),
            });
        }
        (!losses.test.is_finite()).then(|| Stop::TestLossNotFinite {
            update,
            loss: losses.test,
            cause: cause(&self.problem.test, TEST_SAMPLE, &|s| s),
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
        if matches!(stop, Stop::Budget)
            && let Some(found) = self.not_finite(&last)
        {
            stop = found;
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
