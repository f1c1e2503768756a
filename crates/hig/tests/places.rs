//! A number that ends a training is told with the sample of the data that it belongs to.

mod common;

use common::*;
use hig::data::Dataset;
use hig::linalg::{Mat, MatRef};
use hig::loss::{Loss, SquaredError};
use hig::network::{Activation, Initializer, Network};
use hig::physics::{Record, Simulator, Widths, rows_transposed_times};
use hig::step::{Method, method, methods};
use hig::trainer::{Budget, LastBatch, Order, Stop, Training, train};
use hig::{Error, Problem, Result, SamplePlace};

const COUNT: usize = 13;
const BAD: usize = 8;

/// Where the physics, y = tanh(u) + state, has its NaN.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Part {
    None,
    Output,
    Derivative,
    Inverse,
    /// None of its own: y = u.
    Identity,
}

/// Spoilt for the sample whose state is that of `BAD`.
struct Spoilt(Part);

fn state_of(sample: usize) -> f64 {
    0.01 * sample as f64
}

fn is_bad(state: MatRef<'_, f64>, s: usize) -> bool {
    state[(s, 0)] == state_of(BAD)
}

impl Simulator for Spoilt {
    fn widths(&self) -> Widths {
        Widths {
            state: 1,
            control: 2,
            output: 2,
        }
    }

    fn name(&self) -> String {
        "Spoilt".into()
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        let samples = control.nrows();
        let mut y = Mat::from_fn(samples, 2, |s, j| control[(s, j)].tanh() + state[(s, 0)]);
        let mut rows = Mat::from_fn(2 * samples, 2, |row, j| {
            let (i, s) = (row / samples, row % samples);
            f64::from(i == j) * (1.0 - control[(s, j)].tanh().powi(2))
        });
        if self.0 == Part::Identity {
            y = control.to_owned();
            rows = Mat::from_fn(2 * samples, 2, |row, j| f64::from(row / samples == j));
        }
        for s in (0..samples).filter(|s| is_bad(state, *s)) {
            match self.0 {
                Part::Output => y[(s, 1)] = f64::NAN,
                Part::Derivative => rows[(samples + s, 1)] = f64::NAN,
                Part::None | Part::Inverse | Part::Identity => {}
            }
        }
        Ok(Box::new(Stored { y, rows }))
    }

    fn inverse(
        &self,
        state: MatRef<'_, f64>,
        control: MatRef<'_, f64>,
        _: MatRef<'_, f64>,
    ) -> Result<Option<Mat<f64>>> {
        let mut inverse = control.to_owned();
        for s in (0..control.nrows()).filter(|s| is_bad(state, *s)) {
            inverse[(s, 1)] = f64::NAN;
        }
        Ok((self.0 == Part::Inverse).then_some(inverse))
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
        Ok(rows_transposed_times(&self.rows, cotangent))
    }

    fn rows(&self) -> Result<Mat<f64>> {
        Ok(self.rows.clone())
    }
}

/// A squared error, one part of which is spoilt for the sample whose target is that of `BAD`.
struct SpoiltLoss(&'static str);

fn target_of(sample: usize) -> f64 {
    0.5 - 0.03 * sample as f64
}

impl SpoiltLoss {
    fn spoil(&self, what: &str, target: MatRef<'_, f64>, mut healthy: Mat<f64>) -> Mat<f64> {
        let bad = (0..target.nrows()).filter(|s| target[(*s, 0)] == target_of(BAD));
        for s in bad.filter(|_| self.0 == what) {
            healthy[(s, 1)] = f64::NAN;
        }
        healthy
    }
}

impl Loss for SpoiltLoss {
    fn values(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Vec<f64> {
        let mut values = SquaredError::sum().values(y, target);
        for (s, value) in values.iter_mut().enumerate() {
            if self.0 == "value" && target[(s, 0)] == target_of(BAD) {
                *value = f64::NAN;
            }
        }
        values
    }

    fn cotangents(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        let healthy = SquaredError::sum().cotangents(y, target);
        self.spoil("cotangent", target, healthy)
    }

    fn curvature(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        let healthy = SquaredError::sum().curvature(y, target);
        self.spoil("curvature", target, healthy)
    }
}

fn input_of(sample: usize) -> [f64; 2] {
    [0.1 * sample as f64, 1.0]
}

fn samples(count: usize) -> Dataset {
    Dataset {
        input: Mat::from_fn(count, 2, |s, j| input_of(s)[j]),
        state: Mat::from_fn(count, 1, |s, _| state_of(s)),
        target: Mat::from_fn(count, 2, |s, _| target_of(s)),
    }
}

fn problem(physics: Part, loss: &'static str) -> Problem {
    let network = Network::mlp(&[2, 4, 2], Activation::Tanh, Initializer::Glorot);
    let (train, test) = (samples(COUNT), samples(2));
    Problem::new(train, test, network, Spoilt(physics), SpoiltLoss(loss))
}

fn stop_of(problem: &Problem, method: &dyn Method, training: &Training) -> Stop {
    let start = problem.initial_parameters(3);
    let budget = Budget::epochs(3.0);
    train(problem, method, start, training, budget, 3, &mut [])
        .unwrap()
        .stop
}

/// What ended a training, and where.
fn told(stop: &Stop) -> Option<(&str, &SamplePlace)> {
    let error = match stop {
        Stop::LossNotFinite { cause, .. }
        | Stop::ValidationLossNotFinite { cause, .. }
        | Stop::TestLossNotFinite { cause, .. }
        | Stop::ParametersNotFinite { cause, .. } => cause.as_ref()?,
        Stop::Failed { error, .. } => error,
        Stop::Budget | Stop::Asked => return None,
    };
    match error {
        Error::NonFiniteOfSample { what, place, .. } => Some((what, place)),
        _ => None,
    }
}

fn assert_place(stop: &Stop, what: &[&str], component: Option<usize>, control: Option<usize>) {
    let Some((found, place)) = told(stop) else {
        panic!("{stop}");
    };
    assert!(what.contains(&found), "{stop}");
    assert_eq!(place.whose, "training sample", "{stop}");
    assert_eq!(place.sample, BAD, "{stop}");
    assert_eq!(place.input, input_of(BAD), "{stop}");
    assert_eq!(
        (place.component, place.control),
        (component, control),
        "{stop}"
    );
}

/// Where the bad sample is met at an evaluation, in a batch, or in one that was filled.
fn trainings() -> Vec<Training> {
    let mut all = Vec::new();
    for (batch, order, last_batch) in [
        (COUNT, Order::Shuffled, LastBatch::Filled),
        (4, Order::Shuffled, LastBatch::Filled),
        (5, Order::Fixed, LastBatch::Filled),
        (5, Order::Shuffled, LastBatch::Short),
    ] {
        all.push(Training {
            batch,
            order,
            last_batch,
            evaluate_every: 1000,
            ..Training::default()
        });
    }
    all
}

#[test]
fn the_output_of_the_physics_is_told_by_its_sample() {
    for method in methods() {
        for training in trainings() {
            let stop = stop_of(&problem(Part::Output, ""), method.as_ref(), &training);
            assert_place(&stop, &["output of Spoilt"], Some(1), None);
            let message = stop.to_string();
            for part in [
                "loss is NaN after update",
                "output of Spoilt is NaN for training sample 8, component 1",
                "(input [0.8, 1.0])",
            ] {
                assert!(message.contains(part), "{part}: {message}");
            }
        }
    }
}

#[test]
fn a_test_loss_is_told_by_its_test_sample() {
    let mut problem = problem(Part::Output, "");
    problem.train = samples(BAD);
    problem.test = samples(COUNT);
    let training = Training {
        batch: 4,
        ..Training::default()
    };
    for method in methods() {
        let stop = stop_of(&problem, method.as_ref(), &training);
        let (what, place) = told(&stop).unwrap_or_else(|| panic!("{stop}"));
        assert_eq!((what, place.whose), ("output of Spoilt", "test sample"));
        assert_eq!((place.sample, place.component), (BAD, Some(1)), "{stop}");
        assert!(
            stop.to_string()
                .starts_with("test loss is NaN after update 0 (")
        );
    }
}

#[test]
fn places_are_those_among_all_samples_where_some_are_held_out() {
    let mut held = Vec::new();
    for validation in [1.0, 3.0, 6.0, 9.0] {
        let training = Training {
            batch: 4,
            validation,
            ..Training::default()
        };
        for method in methods() {
            let stop = stop_of(&problem(Part::Output, ""), method.as_ref(), &training);
            assert_place(&stop, &["output of Spoilt"], Some(1), None);
            held.push(matches!(stop, Stop::ValidationLossNotFinite { .. }));
        }
    }
    assert!(held.contains(&true) && held.contains(&false));
}

#[test]
fn derivatives_are_told_by_sample_component_and_control() {
    for method in methods() {
        for training in trainings() {
            let stop = stop_of(&problem(Part::Derivative, ""), method.as_ref(), &training);
            let (what, place) = told(&stop).unwrap_or_else(|| panic!("{stop}"));
            assert_eq!((place.sample, place.control), (BAD, Some(1)), "{stop}");
            assert_eq!(place.input, input_of(BAD));
            match place.component {
                // A product does not tell which component of y spoilt it.
                None => assert_eq!(what, "product with the Jacobian of Spoilt"),
                component => assert_eq!((what, component), ("Jacobian of Spoilt", Some(1))),
            }
        }
    }
}

#[test]
fn losses_are_told_by_their_sample() {
    for method in methods() {
        for training in trainings() {
            let stop = stop_of(&problem(Part::None, "value"), method.as_ref(), &training);
            assert_place(&stop, &["loss"], None, None);
            let stop = stop_of(
                &problem(Part::None, "cotangent"),
                method.as_ref(),
                &training,
            );
            let what = "gradient of the loss in y";
            match method.name() {
                // Its steps are made of the loss's optimum in y.
                "sip" if told(&stop).is_none() => {}
                _ => assert_place(&stop, &[what], Some(1), None),
            }
        }
    }
}

#[test]
fn curvatures_are_told_by_those_who_need_them() {
    for name in ["lm", "gn-line-search", "spring", "prime-sr", "adaptive-hig"] {
        for training in trainings() {
            let method = method(name).unwrap();
            let stop = stop_of(
                &problem(Part::None, "curvature"),
                method.as_ref(),
                &training,
            );
            let what = "gradient in y over the root of the curvature";
            assert_place(&stop, &[what], Some(1), None);
        }
    }
}

#[test]
fn inverses_are_told_by_their_sample() {
    for training in trainings() {
        let sip = method("sip").unwrap();
        let stop = stop_of(&problem(Part::Inverse, ""), sip.as_ref(), &training);
        assert_place(&stop, &["inverse of Spoilt"], Some(1), None);
    }
}

#[test]
fn outputs_of_the_network_are_told_by_their_sample() {
    let mut problem = problem(Part::Identity, "");
    let network = Network::mlp(&[2, 2], Activation::Tanh, Initializer::Glorot);
    parts_mut(&mut problem).network = network;
    // Only one sample has so large an input.
    problem.train.input[(BAD, 0)] = 1e300;
    let start = vec![1e10, 1e10, 0.0, 0.0, 0.0, 0.0];
    let adam = method("adam").unwrap();
    for training in trainings() {
        let budget = Budget::epochs(3.0);
        let stop = train(
            &problem,
            adam.as_ref(),
            start.clone(),
            &training,
            budget,
            3,
            &mut [],
        )
        .unwrap()
        .stop;
        let (what, place) = told(&stop).unwrap_or_else(|| panic!("{stop}"));
        assert_eq!(
            (what, place.sample),
            ("output of the network", BAD),
            "{stop}"
        );
        assert_eq!(place.input, [1e300, 1.0]);
    }
}

#[test]
fn a_sample_that_was_drawn_for_its_batch_has_no_number_in_the_data() {
    let mut problem = problem(Part::Output, "").with_sampler(|count, _| {
        let mut drawn = samples(count);
        drawn.state[(2, 0)] = state_of(BAD);
        drawn.input[(2, 0)] = -7.0;
        drawn
    });
    problem.train = samples(5);
    let training = Training {
        batch: 4,
        order: Order::Fresh,
        ..Training::default()
    };
    for method in methods() {
        let stop = stop_of(&problem, method.as_ref(), &training);
        let (_, place) = told(&stop).unwrap_or_else(|| panic!("{stop}"));
        assert_eq!((place.whose, place.sample), ("sample of the batch", 2));
        assert_eq!(place.input, [-7.0, 1.0]);
    }
}

/// y = ln u for one sample, and √u for another: both fail for long steps, the first at once.
struct Cliffs;

impl Simulator for Cliffs {
    fn widths(&self) -> Widths {
        Widths {
            state: 1,
            control: 1,
            output: 1,
        }
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        let values = |s: usize| {
            let u = control[(s, 0)];
            match state[(s, 0)] {
                0.0 => (u.ln(), 1.0 / u),
                // Healthy to simulate, and without a derivative.
                _ => (u, f64::NAN),
            }
        };
        let samples = control.nrows();
        let y = Mat::from_fn(samples, 1, |s, _| values(s).0);
        let rows = Mat::from_fn(samples, 1, |s, _| values(s).1);
        Ok(Box::new(Stored { y, rows }))
    }
}

#[test]
fn after_a_line_search_the_number_that_ended_the_run_is_told() {
    // The batch of sample 0 is searched along a line whose first trials are NaN; then sample 1 fails.
    let data = || Dataset {
        input: Mat::from_fn(2, 1, |s, _| s as f64),
        state: Mat::from_fn(2, 1, |s, _| s as f64),
        target: Mat::full(2, 1, -5.0),
    };
    let network = Network::mlp(&[1, 1], Activation::Tanh, Initializer::Glorot);
    let problem = Problem::new(data(), data(), network, Cliffs, SquaredError::sum());
    let training = Training {
        batch: 1,
        order: Order::Fixed,
        evaluate_every: 1000,
        ..Training::default()
    };
    for name in ["gn-line-search", "lm", "lbfgs", "adaptive-hig"] {
        let method = method(name).unwrap();
        let budget = Budget::updates(9);
        let start = vec![0.0, 1.0];
        let outcome = train(
            &problem,
            method.as_ref(),
            start,
            &training,
            budget,
            0,
            &mut [],
        )
        .unwrap();
        assert_eq!(outcome.updates, 1, "{name}");
        let (_, place) = told(&outcome.stop).unwrap_or_else(|| panic!("{name}: {}", outcome.stop));
        assert_eq!(
            (place.sample, place.input.as_slice()),
            (1, [1.0].as_slice()),
            "{name}"
        );
    }
}
