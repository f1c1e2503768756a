//! One sample, one output, one parameter: y = θ·x, where every step has a closed form.

use crate::common::{Batch, assert_message, parts};
use crate::methods::{EXPONENTS, ROUTES, everything, told};
use hig::Problem;
use hig::data::Dataset;
use hig::linalg::{Accum, Mat, MatMut, MatRef, Scratch};
use hig::loss::SquaredError;
use hig::network::{Chain, Initializer, Layer, Network, Parameter, Values};
use hig::physics::{Differentiated, Real, SampleFunction, Widths};
use hig::settings::Settings;
use hig::step::{Method, Spectral};
use hig::trainer::{Budget, Stop, Training, train};
use std::ops::Range;

/// θ times the input.
#[derive(Debug)]
struct Gain;

impl Layer for Gain {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        Ok(inputs)
    }

    fn parameters(&self) -> Vec<Parameter> {
        vec![Parameter::constant("weight", 1, 1.0)]
    }

    fn forward(
        &self,
        parameters: &[f64],
        input: MatRef<'_, f64>,
        mut output: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        output.copy_from(faer::Scale(parameters[0]) * input);
    }

    fn backward(
        &self,
        parameters: &[f64],
        _: Values<'_>,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        target.copy_from(faer::Scale(parameters[0]) * rows);
    }

    fn jvp_input(
        &self,
        parameters: &[f64],
        _: Values<'_>,
        tangent: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        accumulate: Accum,
        _: &mut Scratch,
    ) {
        let moved = faer::Scale(parameters[0]) * tangent;
        match accumulate {
            Accum::Add => target += moved,
            Accum::Replace => target.copy_from(moved),
        }
    }

    fn write_columns(
        &self,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        columns: Range<usize>,
        mut target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        if !columns.is_empty() {
            target[(0, 0)] = input[(0, 0)] * rows[(0, 0)];
        }
    }
}

struct Identity;

impl SampleFunction for Identity {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 1,
            output: 1,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        y[0] = u[0];
    }
}

/// From θ = 1 towards `target`.
fn problem(x: f64, target: f64) -> Problem {
    let data = || Dataset {
        input: Mat::full(1, 1, x),
        state: Mat::zeros(1, 0),
        target: Mat::full(1, 1, target),
    };
    let network = Network::new(1, Chain::new().then(Gain), Initializer::Glorot).unwrap();
    Problem::new(
        data(),
        data(),
        network,
        Differentiated(Identity),
        SquaredError::half(),
    )
}

/// Δθ = -η·x·|x|^(-1-κ)·(x - target).
#[test]
fn steps_of_the_family_have_their_closed_form() {
    for (x, target) in [
        (2.0, 3.0),
        (-0.5, 1.0),
        (1e100, -1e100),
        (-1e-100, 0.0),
        (1e-300, 3e-300),
    ] {
        let problem = problem(x, target);
        let at = Batch::new(parts(&problem), &problem.train, &[1.0]);
        for route in ROUTES {
            for treatment in ["truncate", "clamp"] {
                for exponent in EXPONENTS {
                    let size = x.abs();
                    let expected = -(x - target) * x.signum() * size.powf(-exponent);
                    let mut method = Spectral {
                        learning_rate: 1.0.into(),
                        exponent,
                        cutoff: 1e-6,
                        ..Spectral::default()
                    };
                    method.set("route", route).unwrap();
                    method.set("treatment", treatment).unwrap();
                    let update = method.start().unwrap().step(&*at, 1.0).unwrap();
                    let error = (update.delta[0] - expected).abs();
                    assert!(
                        error <= 1e-12 * expected.abs(),
                        "{} {exponent} at {x:e}: {} {expected}",
                        told(&method),
                        update.delta[0]
                    );
                }
            }
        }
    }
}

#[test]
fn every_method_trains_one_parameter_on_one_sample() {
    let problem = problem(2.0, 3.0);
    let training = Training {
        batch: 1,
        ..Training::default()
    };
    for method in everything() {
        let budget = Budget::updates(20);
        let outcome = train(
            &problem,
            method.as_ref(),
            vec![1.0],
            &training,
            budget,
            0,
            &mut [],
        )
        .unwrap();
        let told = told(method.as_ref());
        assert!(
            matches!(outcome.stop, Stop::Budget),
            "{told}: {}",
            outcome.stop
        );
        assert!(outcome.train_loss < 0.5, "{told}: {}", outcome.train_loss);
    }
}

#[test]
fn a_batch_of_more_samples_than_there_are_is_refused() {
    let training = Training {
        batch: 2,
        ..Training::default()
    };
    let method = Spectral::half_inverse();
    let refused = train(
        &problem(1.0, 2.0),
        &method,
        vec![1.0],
        &training,
        Budget::updates(1),
        0,
        &mut [],
    );
    assert_message(refused, &["batch = 2", "1"]);
}
