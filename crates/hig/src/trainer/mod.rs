//! Training: mini-batches, budgets, schedules, evaluation and observers around a step.

mod batches;
mod budget;
mod observers;
mod schedule;

pub use batches::{ANY_ORDER, Batches, Order};
pub use budget::Budget;
pub use observers::{
    CheckpointWriter, Evaluation, Flow, MetricsWriter, Observer, Progress, Saturation, saturation,
};
pub use schedule::{ANY_SCHEDULE, Schedule, ScheduleKind};

use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::linearization::{Consumes, Linearization, Model};
use crate::problem::Problem;
use crate::settings::{ANY_COUNT, AT_LEAST_ONE, FRACTION, POSITIVE, Settings};
use crate::step::{Method, Step, Update};
use crate::threads::in_pool;
use std::time::{Duration, Instant};

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
        /// GiB that the matrices of one update may take; more is refused before training.
        pub memory_limit: f64 = 8.0, POSITIVE;
    }
}

/// Why a training ended.
#[derive(Debug)]
pub enum Stop {
    /// The budget is used up.
    Budget,
    /// The loss of a batch is NaN or infinite.
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
    /// The last parameters, all finite.
    pub parameters: Vec<f64>,
    /// Updates done, those of the start included.
    pub updates: usize,
    /// Passes over the training samples.
    pub epochs: f64,
    /// Time of the updates alone, without evaluation and observers.
    pub seconds: f64,
    /// Mean loss of the training samples at the end.
    pub train_loss: f64,
    /// Mean loss of the test samples at the end.
    pub test_loss: f64,
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
}

impl From<Vec<f64>> for Start {
    fn from(parameters: Vec<f64>) -> Self {
        Self {
            parameters,
            updates: 0,
            epochs: 0.0,
            seconds: 0.0,
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
/// let start = problem.network.initial_parameters(0);
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
    let mut run = Run {
        problem,
        parameters: start.parameters,
        updates: start.updates,
        epoch: start.epochs,
        elapsed: Duration::from_secs_f64(start.seconds),
        observers,
        last_evaluation: None,
    };
    let mut step = prepared(method, training)?;
    let mut batches = Batches::new(problem, training.batch, training.order, seed);

    if run.updates == 0
        && let Some(stop) = run.evaluate(Vec::new())
    {
        return Ok(run.finish(stop));
    }
    let mut next_evaluation = following(run.updates, training.evaluate_every);
    let stop = loop {
        let used = budget.used(run.updates, run.epoch, run.elapsed);
        if used >= 1.0 {
            break Stop::Budget;
        }
        let clock = Instant::now();
        let batch = batches.next_batch();
        let learning_rate = method.learning_rate() * schedule.factor(used);
        let computed = compute(
            problem.model(),
            &batch,
            &run.parameters,
            step.as_mut(),
            learning_rate,
        );
        let (loss, update) = match computed {
            Ok((loss, Some(update))) => (loss, update),
            Ok((loss, None)) => {
                let update = run.updates;
                break Stop::LossNotFinite { update, loss };
            }
            Err(error) => {
                let update = run.updates;
                break Stop::Failed { update, error };
            }
        };
        if update.delta.len() != run.parameters.len() {
            let update_length = update.delta.len();
            break Stop::Failed {
                update: run.updates,
                error: Error::Shape {
                    what: "update of the step".into(),
                    found: format!("length {update_length}"),
                    expected: format!("length {}", run.parameters.len()),
                },
            };
        }
        if !run.apply(&update.delta) {
            let update = run.updates;
            break Stop::ParametersNotFinite { update };
        }
        run.updates += 1;
        run.epoch += batch.len() as f64 / problem.train.len() as f64;
        run.elapsed += clock.elapsed();

        let used = budget.used(run.updates, run.epoch, run.elapsed);
        if let Some(stop) = run.report(loss, used) {
            break stop;
        }
        if run.updates >= next_evaluation {
            next_evaluation = following(run.updates, training.evaluate_every);
            if let Some(stop) = run.evaluate(update.diagnostics) {
                break stop;
            }
        }
    };
    Ok(run.finish(stop))
}

/// What one update computes: the loss of a batch at the parameters, and the change that a step makes
/// of the batch, none where the loss is not finite. All of it runs on the threads of the pool.
///
/// # Errors
/// Those of the step.
pub fn compute(
    model: Model<'_>,
    batch: &Dataset,
    parameters: &[f64],
    step: &mut dyn Step,
    learning_rate: f64,
) -> Result<(f64, Option<Update>)> {
    in_pool(|| {
        let at = Linearization::new(model, batch, parameters);
        let loss = at.loss();
        let update = match loss.is_finite() {
            true => Some(step.step(&at, learning_rate)?),
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
    let p = problem.network.parameter_count();
    if parameters.len() != p {
        return Err(Error::Shape {
            what: "parameters".into(),
            found: format!("length {}", parameters.len()),
            expected: format!("length {p}"),
        });
    }
    if let Some(i) = parameters.iter().position(|v| !v.is_finite()) {
        return Err(Error::NonFinite {
            what: "parameters".into(),
            value: parameters[i],
            row: i,
            column: 0,
        });
    }
    if training.order == Order::Fresh && problem.sampler.is_none() {
        let expected = "shuffled or fixed: this problem has given samples only";
        return Err(Error::setting("order", "fresh", expected));
    }
    let samples = problem.train.len();
    if training.batch > samples {
        let expected = format!("at most the number of training samples, {samples}");
        return Err(Error::setting("batch", training.batch, expected));
    }
    let (consumes, n, _) = consumption(problem, method, training)?;
    let rows = n * (problem.network.total_width() + problem.physics.widths().control);
    let passes = match consumes {
        Consumes::Gradient | Consumes::PhysicsRows => 0,
        Consumes::Products | Consumes::Gram | Consumes::Jacobian => rows,
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

const NUMBERS_PER_GIB: f64 = (1_u64 << 27) as f64;

/// A method at work within the memory limit.
fn prepared(method: &dyn Method, training: &Training) -> Result<Box<dyn Step>> {
    let mut step = method.start()?;
    step.limit_memory((training.memory_limit * NUMBERS_PER_GIB) as usize);
    Ok(step)
}

/// What an update of a method will consume, with n and p: it tells the route that `auto` chose.
///
/// # Errors
/// A setting out of range.
pub fn consumption(
    problem: &Problem,
    method: &dyn Method,
    training: &Training,
) -> Result<(Consumes, usize, usize)> {
    let n = training.batch * problem.physics.widths().output;
    let p = problem.network.parameter_count();
    Ok((prepared(method, training)?.consumes(n, p), n, p))
}

struct Run<'a, 'o> {
    problem: &'a Problem,
    parameters: Vec<f64>,
    updates: usize,
    epoch: f64,
    elapsed: Duration,
    observers: &'a mut [&'o mut dyn Observer],
    last_evaluation: Option<(usize, f64, f64)>,
}

impl Run<'_, '_> {
    /// Adds an update unless a parameter would stop being finite.
    fn apply(&mut self, delta: &[f64]) -> bool {
        let next: Vec<f64> = self
            .parameters
            .iter()
            .zip(delta)
            .map(|(p, d)| p + d)
            .collect();
        let finite = next.iter().all(|p| p.is_finite());
        if finite {
            self.parameters = next;
        }
        finite
    }

    fn report(&mut self, batch_loss: f64, budget_used: f64) -> Option<Stop> {
        let progress = Progress {
            parameters: &self.parameters,
            update: self.updates,
            epoch: self.epoch,
            seconds: self.elapsed.as_secs_f64(),
            batch_loss,
            budget_used,
        };
        let flows = self.observers.iter_mut().map(|o| o.progress(&progress));
        stop_of(flows, self.updates)
    }

    fn evaluate(&mut self, diagnostics: Vec<(&'static str, f64)>) -> Option<Stop> {
        let model = self.problem.model();
        let train_loss = model.loss(&self.parameters, &self.problem.train);
        let test_loss = model.loss(&self.parameters, &self.problem.test);
        self.last_evaluation = Some((self.updates, train_loss, test_loss));
        let evaluation = Evaluation {
            problem: self.problem,
            parameters: &self.parameters,
            update: self.updates,
            epoch: self.epoch,
            seconds: self.elapsed.as_secs_f64(),
            train_loss,
            test_loss,
            diagnostics: &diagnostics,
        };
        let flows = self.observers.iter_mut().map(|o| o.evaluation(&evaluation));
        let asked = stop_of(flows, self.updates);
        if train_loss.is_finite() {
            return asked;
        }
        Some(Stop::LossNotFinite {
            update: self.updates,
            loss: train_loss,
        })
    }

    fn finish(mut self, stop: Stop) -> Outcome {
        let mut stop = stop;
        if self
            .last_evaluation
            .is_none_or(|(update, ..)| update != self.updates)
            && let Some(last) = self.evaluate(Vec::new())
            && matches!(stop, Stop::Budget)
        {
            stop = last;
        }
        let (_, train_loss, test_loss) =
            self.last_evaluation
                .unwrap_or((self.updates, f64::NAN, f64::NAN));
        Outcome {
            parameters: self.parameters,
            updates: self.updates,
            epochs: self.epoch,
            seconds: self.elapsed.as_secs_f64(),
            train_loss,
            test_loss,
            stop,
        }
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
