//! Which weights a training returns: the best that it saw, or the last.

mod common;

use common::bits;
use hig::linalg::Mat;
use hig::loss::SquaredError;
use hig::network::{Activation, Initializer, Network, ParameterView};
use hig::objective::{Consumes, Linearized, Objective};
use hig::physics::{Differentiated, Real, SampleFunction, Widths};
use hig::settings::{POSITIVE, Setting, Settings};
use hig::step::{Adam, Method, Spectral, Step, Update, methods};
use hig::systems::{LinearOscillators, MlpSettings, System, Toy};
use hig::trainer::{
    Budget, Evaluation, Flow, Observer, Order, Outcome, Returned, Start, Stop, Training, train,
};
use hig::{Dataset, Problem, Result};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

/// A row of an evaluation: update, losses, whether the best, parameters.
type Row = (usize, [f64; 3], bool, Vec<f64>);

#[derive(Default)]
struct Recorder(Vec<Row>);

impl Observer for Recorder {
    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        let losses = [now.train_loss, now.validation_loss, now.test_loss];
        let parameters = now.parameters.to_vec();
        self.0.push((now.update, losses, now.best, parameters));
        Ok(Flow::Continue)
    }
}

hig::settings! {
    /// A method of the test.
    pub struct Rate {
        /// Learning rate.
        pub learning_rate: f64 = 1.0, POSITIVE;
    }
}

/// Δθ of each update in turn, the same for all parameters; the last one repeats. Notes the inputs that
/// it sees.
#[derive(Clone, Default)]
struct Scripted {
    settings: Rate,
    deltas: Vec<f64>,
    place: usize,
    seen: Arc<Mutex<Vec<f64>>>,
}

impl Settings for Scripted {
    fn settings(&self) -> Vec<Setting> {
        self.settings.settings()
    }
    fn set(&mut self, name: &str, text: &str) -> Result<()> {
        self.settings.set(name, text)
    }
    fn check(&self) -> Result<()> {
        self.settings.check()
    }
}

impl Method for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }
    fn about(&self) -> &'static str {
        "a script"
    }
    fn learning_rate(&self) -> f64 {
        1.0
    }
    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::Gradient
    }
    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        Ok(Box::new(self.clone()))
    }
    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

impl Step for Scripted {
    fn exchange(&mut self, state: &mut hig::files::Exchange<'_>) {
        state.count("place", &mut self.place);
    }
    fn step(&mut self, at: &dyn Linearized, _: f64) -> Result<Update> {
        let parts = at.through_physics().unwrap();
        let inputs = &parts.batch().input;
        let mut seen = self.seen.lock().unwrap();
        seen.extend((0..inputs.nrows()).map(|row| inputs[(row, 0)]));
        let delta = self.deltas[self.place.min(self.deltas.len() - 1)];
        self.place += 1;
        Ok(Update {
            delta: vec![delta; at.columns()],
            ..Update::default()
        })
    }
}

fn script(deltas: &[f64]) -> Scripted {
    Scripted {
        deltas: deltas.to_vec(),
        ..Scripted::default()
    }
}

fn toy() -> Problem {
    let toy = Toy {
        samples: 40,
        test_samples: 10,
        ..Toy::default()
    };
    toy.problem(0)
}

fn every(batch: usize) -> Training {
    Training {
        batch,
        evaluate_every: 1,
        ..Training::default()
    }
}

fn run(
    problem: &Problem,
    method: &dyn Method,
    start: Start,
    training: &Training,
    updates: usize,
) -> (Outcome, Vec<Row>) {
    let mut recorder = Recorder::default();
    let budget = Budget::updates(updates);
    let observers: &mut [&mut dyn Observer] = &mut [&mut recorder];
    let outcome = train(problem, method, start, training, budget, 0, observers).unwrap();
    (outcome, recorder.0)
}

fn fresh(problem: &Problem) -> Start {
    Start::from(problem.initial_parameters(0))
}

/// The row with the least finite loss of a kind, the first of several.
fn least(rows: &[Row], loss: usize) -> &Row {
    let finite = rows.iter().filter(|row| row.1[loss].is_finite());
    finite
        .min_by(|a, b| a.1[loss].total_cmp(&b.1[loss]))
        .unwrap()
}

#[test]
fn every_method_returns_its_best_or_its_last_and_tells_both() {
    let system = LinearOscillators {
        samples: 60,
        test_samples: 10,
        network: MlpSettings::tanh(vec![8, 8]),
        ..LinearOscillators::default()
    };
    let problem = system.problem(0);
    let mut apart = 0;
    for mut method in methods() {
        // So long that most of them leave their best behind.
        if !method.has("trials") && method.has("learning_rate") {
            let rate = (300.0 * method.learning_rate()).to_string();
            method.set("learning_rate", &rate).unwrap();
        }
        for returned in [Returned::Best, Returned::Last] {
            let training = Training {
                returned,
                ..every(20)
            };
            let (outcome, rows) = run(&problem, method.as_ref(), fresh(&problem), &training, 15);
            let (best, last) = (least(&rows, 0), rows.last().unwrap());
            let name = method.name();
            let told = outcome.best.unwrap();
            assert_eq!((told.update, told.train), (best.0, best.1[0]), "{name}");
            assert_eq!(told.test, best.1[2], "{name}");
            assert!(told.validation.is_nan());
            assert_eq!(outcome.last.update, last.0, "{name}");
            assert_eq!(outcome.last.train.to_bits(), last.1[0].to_bits(), "{name}");
            assert_eq!(bits(&outcome.last_parameters), bits(&last.3), "{name}");
            let row = match returned {
                Returned::Best => best,
                Returned::Last => last,
            };
            assert_eq!(bits(&outcome.parameters), bits(&row.3), "{name}");
            let losses = [outcome.train_loss, outcome.test_loss];
            assert_eq!(bits(&losses), bits(&[row.1[0], row.1[2]]), "{name}");
            assert_eq!(outcome.updates, last.0, "{name}");
            apart += usize::from(best.0 != last.0);
            // What an observer hears is the same.
            let mut so_far = f64::INFINITY;
            for row in &rows {
                assert_eq!(row.2, row.1[0] < so_far, "{name}");
                so_far = so_far.min(row.1[0]);
            }
        }
    }
    assert!(apart > 10, "{apart}");
}

#[test]
fn the_best_is_returned_by_default() {
    assert_eq!(Training::default().returned, Returned::Best);
    assert_eq!(Training::default().validation, 0.0);
    let problem = toy();
    let method = script(&[1e-3, 5.0]);
    let (outcome, rows) = run(&problem, &method, fresh(&problem), &every(10), 6);
    assert_eq!(bits(&outcome.parameters), bits(&least(&rows, 0).3));
    assert_ne!(bits(&outcome.parameters), bits(&outcome.last_parameters));
}

/// y = u.
struct Itself(usize);

impl SampleFunction for Itself {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: self.0,
            output: self.0,
        }
    }
    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        y.copy_from_slice(u);
    }
}

#[test]
fn where_all_losses_after_the_start_are_none_the_start_comes_back() {
    let toy = toy();
    let widths = [toy.train.input.ncols(), 4, toy.train.target.ncols()];
    // Outputs of 1e200 have a loss that overflows.
    let network = Network::mlp(&widths, Activation::Relu, Initializer::Glorot);
    let physics = Differentiated(Itself(widths[2]));
    let problem = Problem::new(toy.train, toy.test, network, physics, SquaredError::sum());
    let start = problem.initial_parameters(0);
    let (outcome, rows) = run(
        &problem,
        &script(&[1e200]),
        start.clone().into(),
        &every(10),
        5,
    );
    assert!(matches!(outcome.stop, Stop::LossNotFinite { .. }));
    assert!(rows[1..].iter().all(|row| !row.1[0].is_finite()));
    assert_eq!(bits(&outcome.parameters), bits(&start));
    assert!(outcome.train_loss.is_finite() && !outcome.last.train.is_finite());
    assert_eq!(outcome.best.unwrap().update, 0);
}

#[test]
fn held_out_samples_are_never_trained_on_and_choose_the_best() {
    let problem = toy();
    let inputs = |data: &Dataset| -> BTreeSet<u64> {
        (0..data.len())
            .map(|row| data.input[(row, 0)].to_bits())
            .collect()
    };
    let all = inputs(&problem.train);
    assert_eq!(all.len(), 40);
    for (validation, held, order) in [
        (0.25, 10, Order::Shuffled),
        (7.0, 7, Order::Fixed),
        (1e-9, 1, Order::Shuffled),
    ] {
        let training = Training {
            validation,
            order,
            ..every(10)
        };
        // Down, and up again on another way.
        let method = script(&[-0.02, -0.02, 0.03, 0.01, 0.3, -0.2]);
        let (outcome, rows) = run(&problem, &method, fresh(&problem), &training, 12);
        let seen: BTreeSet<u64> = method
            .seen
            .lock()
            .unwrap()
            .iter()
            .map(|v| v.to_bits())
            .collect();
        assert_eq!(seen.len(), 40 - held);
        let out: Vec<usize> = (0..40)
            .filter(|row| !seen.contains(&problem.train.input[(*row, 0)].to_bits()))
            .collect();
        let rest: Vec<usize> = (0..40).filter(|row| !out.contains(row)).collect();
        for (_, losses, _, parameters) in &rows {
            let loss = |rows: &[usize]| {
                let data = problem.train.select(rows);
                problem.objective.loss(parameters, &data).unwrap()
            };
            assert!((loss(&rest) - losses[0]).abs() <= 1e-14 * losses[0]);
            assert!((loss(&out) - losses[1]).abs() <= 1e-14 * losses[1].max(1e-3));
        }
        let best = least(&rows, 1);
        assert_eq!(bits(&outcome.parameters), bits(&best.3));
        assert_eq!(outcome.best.unwrap().validation, best.1[1]);
        let epochs = method.seen.lock().unwrap().len() as f64 / (40 - held) as f64;
        assert!((outcome.epochs - epochs).abs() <= 1e-14 * epochs);
        // Another seed holds out the same samples.
        let other = script(&[0.0]);
        let start = fresh(&problem);
        train(
            &problem,
            &other,
            start,
            &training,
            Budget::updates(12),
            9,
            &mut [],
        )
        .unwrap();
        let others = other.seen.lock().unwrap();
        assert!(others.iter().all(|v| seen.contains(&v.to_bits())));
    }
}

#[test]
fn what_cannot_be_held_out_is_refused() {
    let problem = toy();
    let refused = |validation: f64, batch: usize| {
        let training = Training {
            validation,
            ..every(batch)
        };
        let start = fresh(&problem);
        let budget = Budget::updates(1);
        let method = Spectral::half_inverse();
        train(&problem, &method, start, &training, budget, 0, &mut [])
            .unwrap_err()
            .to_string()
    };
    for validation in [-0.5, f64::NAN, f64::INFINITY] {
        assert!(refused(validation, 10).contains("at least 0"));
    }
    assert!(refused(2.5, 10).contains("a whole number"));
    for validation in [40.0, 1e9, 0.999] {
        assert!(refused(validation, 10).contains("fewer than the 40 training samples"));
    }
    let told = refused(0.5, 32);
    assert!(told.contains("at most the number of training samples, 20 (20 more are held out)"));
}

#[test]
fn the_next_method_goes_on_from_what_the_one_before_returned() {
    let problem = toy();
    let method = script(&[1e-3, 5.0]);
    for returned in [Returned::Best, Returned::Last] {
        let training = Training {
            returned,
            ..every(10)
        };
        let (first, _) = run(&problem, &method, fresh(&problem), &training, 4);
        let (second, rows) = run(&problem, &script(&[3.0]), Start::from(&first), &training, 6);
        // What only makes worse gives back what it was given, with the losses that were known.
        let best = second.best.unwrap();
        assert_eq!((best.update, best.train), (4, first.train_loss));
        assert_eq!(best.test, first.test_loss);
        assert_eq!(rows[0].0, 5);
        let moved: Vec<f64> = first.parameters.iter().map(|p| p + 3.0).collect();
        assert_eq!(bits(&rows[0].3), bits(&moved));
        if returned == Returned::Best {
            assert_eq!(bits(&second.parameters), bits(&first.parameters));
            assert_eq!(second.test_loss, first.test_loss);
        }
    }
}

/// Counts the samples whose loss is asked for.
struct Counting(Box<dyn Objective>, Arc<Mutex<usize>>);

impl Objective for Counting {
    fn parameters(&self) -> Vec<ParameterView> {
        self.0.parameters()
    }
    fn initial(&self, seed: u64) -> Vec<f64> {
        self.0.initial(seed)
    }
    fn rows(&self, samples: usize) -> usize {
        self.0.rows(samples)
    }
    fn pass_numbers(&self, samples: usize) -> usize {
        self.0.pass_numbers(samples)
    }
    fn check_samples(&self, samples: &Dataset) -> Result<()> {
        self.0.check_samples(samples)
    }
    fn outputs(&self, at: &[f64], samples: &Dataset) -> Result<Mat<f64>> {
        self.0.outputs(at, samples)
    }
    fn loss(&self, at: &[f64], samples: &Dataset) -> Result<f64> {
        *self.1.lock().unwrap() += samples.len();
        self.0.loss(at, samples)
    }
    fn linearize<'a>(
        &'a self,
        batch: &'a Dataset,
        at: &'a [f64],
    ) -> Result<Box<dyn Linearized + 'a>> {
        self.0.linearize(batch, at)
    }
}

#[test]
fn an_evaluation_asks_for_the_loss_of_each_sample_once_whatever_is_returned() {
    for (returned, validation) in [
        (Returned::Best, 0.0),
        (Returned::Last, 0.0),
        (Returned::Best, 0.25),
    ] {
        let mut problem = toy();
        let asked = Arc::new(Mutex::new(0));
        problem.objective = Box::new(Counting(problem.objective, asked.clone()));
        let training = Training {
            returned,
            validation,
            ..every(10)
        };
        let (_, rows) = run(&problem, &Adam::default(), fresh(&problem), &training, 7);
        assert_eq!(*asked.lock().unwrap(), rows.len() * 50);
    }
}
