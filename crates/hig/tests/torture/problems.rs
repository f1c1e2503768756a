//! A small smooth physics, and what can be done to it.

use hig::data::Dataset;
use hig::linalg::{Mat, MatRef};
use hig::loss::{Loss, SquaredError};
use hig::network::{Activation, Initializer, Network};
use hig::physics::{Differentiated, Real, Record, SampleFunction, Simulator, Widths};
use hig::trainer::{Budget, Evaluation, Flow, Observer, Outcome, Progress, Training, train};
use hig::{Problem, Result, step::Method};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub const SAMPLES: usize = 6;
pub const OUTPUTS: usize = 2;

/// y = s·(sin u₀ + u₁/2, u₀·u₁ + exp(u₁)).
pub struct Smooth {
    pub scale: f64,
}

impl SampleFunction for Smooth {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 2,
            output: OUTPUTS,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        y[0] = (u[0].sin() + u[1] * 0.5) * self.scale;
        y[1] = (u[0] * u[1] + u[1].exp()) * self.scale;
    }
}

/// Samples with targets of size `scale`, spread over what the physics can reach.
pub fn samples(scale: f64) -> Dataset {
    Dataset {
        input: Mat::from_fn(SAMPLES, 2, |i, j| ((1 + i * (3 + 4 * j)) as f64).sin()),
        state: Mat::zeros(SAMPLES, 0),
        target: Mat::from_fn(SAMPLES, OUTPUTS, |i, j| {
            scale * (0.5 + 0.4 * ((i + 5 * j) as f64).cos())
        }),
    }
}

pub fn network() -> Network {
    Network::mlp(&[2, 5, 2], Activation::Tanh, Initializer::Glorot)
}

pub fn problem_of(
    data: Dataset,
    physics: impl Simulator + 'static,
    loss: impl Loss + 'static,
) -> Problem {
    Problem::new(data.clone(), data, network(), physics, loss)
}

/// The physics with its outputs and targets times a number.
pub fn scaled(scale: f64) -> Problem {
    let physics = Differentiated(Smooth { scale });
    problem_of(samples(scale), physics, SquaredError::sum())
}

/// Full batches in the stored order.
pub fn whole() -> Training {
    Training {
        batch: SAMPLES,
        evaluate_every: 1000,
        ..Training::default()
    }
}

/// A training on full batches from the network's first parameters.
pub fn trained(problem: &Problem, method: &dyn Method, updates: usize) -> Outcome {
    let start = problem.initial_parameters(0);
    let budget = Budget::updates(updates);
    train(problem, method, start, &whole(), budget, 0, &mut []).unwrap()
}

/// What a poison gets into.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Part {
    Output,
    Derivatives,
}

/// Turned on and off while a training runs.
pub type Switch = Arc<AtomicBool>;

/// The physics, whose first component of sample 2 of a batch becomes a given number.
pub struct Poisoned {
    pub part: Part,
    pub value: f64,
    pub on: Switch,
}

const SAMPLE: usize = 2;

impl Simulator for Poisoned {
    fn widths(&self) -> Widths {
        Smooth { scale: 1.0 }.widths()
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        let healthy = Differentiated(Smooth { scale: 1.0 }).record(state, control)?;
        let poison = |part| self.part == part && self.on.load(Ordering::SeqCst);
        let mut y = healthy.y().clone();
        let mut rows = healthy.rows()?;
        if poison(Part::Output) {
            y[(SAMPLE, 0)] = self.value;
        }
        if poison(Part::Derivatives) {
            rows[(SAMPLE, 0)] = self.value;
        }
        Ok(Box::new(Stored { y, rows }))
    }
}

struct Stored {
    y: Mat<f64>,
    rows: Mat<f64>,
}

impl Record for Stored {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(hig::physics::rows_transposed_times(&self.rows, cotangent))
    }

    fn rows(&self) -> Result<Mat<f64>> {
        Ok(self.rows.clone())
    }
}

/// Turns a switch on after some updates and off after others, and keeps the parameters.
pub struct Watch {
    pub on: Switch,
    pub first: usize,
    pub last: usize,
    /// Before the first update and after every one.
    pub parameters: Vec<Vec<f64>>,
    /// Training losses of the evaluations.
    pub losses: Vec<f64>,
}

impl Watch {
    /// The poison acts on updates `first` (counted from 0) to `last`.
    pub fn new(problem: &Problem, on: &Switch, first: usize, last: usize) -> Self {
        Self {
            on: on.clone(),
            first,
            last,
            parameters: vec![problem.initial_parameters(0)],
            losses: Vec::new(),
        }
    }

    pub fn train(
        &mut self,
        problem: &Problem,
        method: &dyn Method,
        training: &Training,
        updates: usize,
    ) -> Outcome {
        let start = self.parameters[0].clone();
        let budget = Budget::updates(updates);
        train(problem, method, start, training, budget, 0, &mut [self]).unwrap()
    }
}

impl Observer for Watch {
    fn progress(&mut self, now: &Progress<'_>) -> Result<Flow> {
        self.parameters.push(now.parameters.to_vec());
        let poisoned = (self.first..=self.last).contains(&now.update);
        self.on.store(poisoned, Ordering::SeqCst);
        Ok(Flow::Continue)
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        self.losses.push(now.train_loss);
        Ok(Flow::Continue)
    }
}
