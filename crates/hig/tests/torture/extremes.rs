//! Numbers at the ends of their range, wherever a user can put them.

use crate::common::{Batch, parts};
use crate::methods::{everything, first, told};
use crate::problems::{samples, scaled, trained, whole};
use hig::trainer::{Budget, Outcome, Stop, train};
use hig::{Error, Problem};

/// From numbers that are subnormal, or whose squares are, to the largest.
const EXTREMES: [f64; 9] = [
    1e-310, 1e-300, 1e-200, 1e-160, 1e-150, 1e150, 1e200, 1e300, 1e307,
];

/// A training used its budget with finite numbers, or says which were not.
fn defined(outcome: &Outcome, told: &str) {
    assert!(outcome.parameters.iter().all(|p| p.is_finite()), "{told}");
    match &outcome.stop {
        Stop::Budget => {
            let losses = [outcome.train_loss, outcome.test_loss];
            assert!(losses.iter().all(|loss| loss.is_finite()), "{told}");
        }
        Stop::LossNotFinite { .. }
        | Stop::ValidationLossNotFinite { .. }
        | Stop::TestLossNotFinite { .. }
        | Stop::ParametersNotFinite { .. } => {}
        Stop::Failed { error, .. } => {
            let named = matches!(
                error,
                Error::Decomposition { .. }
                    | Error::NonFinite { .. }
                    | Error::NonFiniteOfSample { .. }
            );
            assert!(named, "{told}: {error}");
        }
        Stop::Asked => panic!("{told}: nobody asked"),
    }
}

fn every_method_is_defined(problem: &Problem, start: &[f64], what: &str) {
    for method in everything() {
        let budget = Budget::updates(4);
        let outcome = train(
            problem,
            method.as_ref(),
            start.to_vec(),
            &whole(),
            budget,
            0,
            &mut [],
        );
        defined(
            &outcome.unwrap(),
            &format!("{} {what}", told(method.as_ref())),
        );
    }
}

#[test]
fn outputs() {
    for scale in EXTREMES {
        let problem = scaled(scale);
        let start = problem.initial_parameters(0);
        every_method_is_defined(&problem, &start, &format!("outputs {scale:e}"));
    }
}

#[test]
fn inputs() {
    for scale in EXTREMES {
        let mut problem = scaled(1.0);
        problem.train.input = faer::Scale(scale) * samples(1.0).input;
        let start = problem.initial_parameters(0);
        every_method_is_defined(&problem, &start, &format!("inputs {scale:e}"));
    }
}

#[test]
fn parameters() {
    for scale in EXTREMES {
        let problem = scaled(1.0);
        let start = problem.initial_parameters(0);
        let start: Vec<f64> = start.iter().map(|p| scale * p).collect();
        every_method_is_defined(&problem, &start, &format!("parameters {scale:e}"));
    }
}

#[test]
fn targets() {
    for scale in EXTREMES {
        let mut problem = scaled(1.0);
        problem.train.target = samples(scale).target;
        let start = problem.initial_parameters(0);
        every_method_is_defined(&problem, &start, &format!("targets {scale:e}"));
    }
}

#[test]
fn learning_rates() {
    for mut method in everything() {
        for rate in EXTREMES {
            method.set("learning_rate", &format!("{rate:e}")).unwrap();
            let told = format!("{} η = {rate:e}", told(method.as_ref()));
            defined(&trained(&scaled(1.0), method.as_ref(), 4), &told);
        }
    }
}

/// One sample of six has outputs of another size: the step follows the large ones.
#[test]
fn sizes_side_by_side() {
    for scale in [1e-300, 1e-150, 1e150] {
        let mut problem = scaled(1.0);
        for j in 0..problem.train.input.ncols() {
            problem.train.input[(2, j)] *= scale;
        }
        problem.train.target[(2, 0)] *= scale;
        let start = problem.initial_parameters(0);
        every_method_is_defined(&problem, &start, &format!("one sample {scale:e}"));
    }
}

/// No method takes a gradient whose square is out of range for one that asks for nothing.
#[test]
fn squares_out_of_range_are_no_standstill() {
    for scale in [1e-155, 1e-150, 1e150] {
        let problem = scaled(scale);
        let start = problem.initial_parameters(0);
        let at = Batch::new(parts(&problem), &problem.train, &start);
        assert!(at.loss() > 0.0 && at.loss().is_finite());
        for method in everything() {
            // Its first update is none, whatever the gradient is.
            if method.name() == "soap" {
                continue;
            }
            if let Ok(delta) = first(method.as_ref(), &at) {
                let moved = delta.iter().any(|d| *d != 0.0);
                assert!(moved, "{} at {scale:e}", told(method.as_ref()));
            }
        }
    }
}
