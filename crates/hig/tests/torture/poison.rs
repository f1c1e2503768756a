//! NaN and infinities from the physics and from the loss, at the start and in a later update.
//!
//! Whatever the method, the training ends with a reason that names the update, and hands back the
//! parameters before it.

use crate::common::relative;
use crate::methods::{everything, told};
use crate::problems::{Part, Poisoned, SAMPLES, Switch, Watch, problem_of, samples, scaled, whole};
use hig::linalg::{Mat, MatRef};
use hig::loss::{Loss, SquaredError};
use hig::step::Method;
use hig::trainer::{Budget, Order, Outcome, Stop, Training, train};
use hig::{Error, Problem};
use std::sync::atomic::Ordering;

const BAD: [f64; 3] = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY];

/// Updates before the poison.
const HEALTHY: usize = 3;

fn poisoned(part: Part, value: f64) -> (Problem, Switch) {
    let on = Switch::default();
    let physics = Poisoned {
        part,
        value,
        on: on.clone(),
    };
    (problem_of(samples(1.0), physics, SquaredError::sum()), on)
}

/// The update that a training failed at, where it ended because a number was not finite.
fn failed_at(outcome: &Outcome) -> Option<usize> {
    match &outcome.stop {
        Stop::LossNotFinite { update, .. }
        | Stop::ValidationLossNotFinite { update, .. }
        | Stop::TestLossNotFinite { update, .. }
        | Stop::ParametersNotFinite { update, .. } => Some(*update),
        Stop::Failed { update, error } => {
            let named = matches!(
                error,
                Error::Decomposition { .. }
                    | Error::NonFinite { .. }
                    | Error::NonFiniteOfSample { .. }
            );
            named.then_some(*update)
        }
        Stop::Budget | Stop::Asked => None,
    }
}

/// Which of the parameters seen a training hands back.
fn handed_back(watch: &Watch, outcome: &Outcome) -> Option<usize> {
    watch
        .parameters
        .iter()
        .rposition(|p| *p == outcome.last_parameters)
}

#[test]
fn outputs_that_are_not_finite_at_the_start_stop_before_any_update() {
    for method in everything() {
        for bad in BAD {
            let (problem, on) = poisoned(Part::Output, bad);
            on.store(true, Ordering::SeqCst);
            let mut watch = Watch::new(&problem, &on, 0, 99);
            let outcome = watch.train(&problem, method.as_ref(), &whole(), 5);
            assert!(matches!(
                outcome.stop,
                Stop::LossNotFinite { update: 0, .. }
            ));
            assert_eq!(outcome.parameters, watch.parameters[0]);
        }
    }
}

#[test]
fn outputs_that_are_not_finite_later_stop_there() {
    for method in everything() {
        // It takes an update back first.
        let tries = if method.name() == "adaptive-hig" {
            1
        } else {
            0
        };
        for evaluate_every in [1, 1000] {
            let (problem, on) = poisoned(Part::Output, f64::NAN);
            let mut watch = Watch::new(&problem, &on, HEALTHY, 99);
            let training = Training {
                evaluate_every,
                ..whole()
            };
            let outcome = watch.train(&problem, method.as_ref(), &training, 9);
            let told = told(method.as_ref());
            if method.name() == "kron-hig" {
                // It asks again at the parameters that are kept, and tells what it finds there.
                let failed =
                    matches!(outcome.stop, Stop::Failed { update, .. } if update == HEALTHY);
                assert!(failed, "{told}: {}", outcome.stop);
                assert!(outcome.parameters.iter().all(|p| p.is_finite()));
                continue;
            }
            let Stop::LossNotFinite { update, loss, .. } = outcome.stop else {
                panic!("{told}: {}", outcome.stop);
            };
            assert_eq!(update, HEALTHY + tries, "{told}");
            assert!(!loss.is_finite());
            // Differences are added and taken off again, with one rounding.
            let expected = &watch.parameters[HEALTHY - tries];
            let deviation = relative(&outcome.last_parameters, expected);
            assert!(
                deviation < 1e-15 * tries as f64 + f64::MIN_POSITIVE,
                "{told}"
            );
        }
    }
}

#[test]
fn derivatives_that_are_not_finite_stop_every_method() {
    for method in everything() {
        for bad in BAD {
            for healthy in [0, HEALTHY] {
                let (problem, on) = poisoned(Part::Derivatives, bad);
                on.store(healthy == 0, Ordering::SeqCst);
                let mut watch = Watch::new(&problem, &on, healthy, 99);
                let outcome = watch.train(&problem, method.as_ref(), &whole(), 9);
                let told = told(method.as_ref());
                let stop = &outcome.stop;
                assert_eq!(failed_at(&outcome), Some(healthy), "{told} {bad}: {stop}");
                assert_eq!(handed_back(&watch, &outcome), Some(healthy), "{told} {bad}");
                assert!(stop.to_string().contains("finite"), "{told} {bad}: {stop}");
                assert!(outcome.train_loss.is_finite());
            }
        }
    }
}

#[test]
fn a_derivative_that_is_not_finite_is_named_with_its_place() {
    for method in everything() {
        let (problem, on) = poisoned(Part::Derivatives, f64::NAN);
        on.store(true, Ordering::SeqCst);
        let mut watch = Watch::new(&problem, &on, 0, 99);
        let stop = watch.train(&problem, method.as_ref(), &whole(), 1).stop;
        let stop = stop.to_string();
        let of_sample = |what: &str| stop.contains(&format!("{what} is NaN for training sample"));
        let product = of_sample("product with the Jacobian of the physics");
        let place = !product && of_sample("Jacobian of the physics");
        // Those who ask for the gradient first know the product only.
        assert!(product || place, "{}: {stop}", told(method.as_ref()));
        assert!(place || method.name() != "hig", "{stop}");
        assert!(stop.contains("control 0"), "{stop}");
    }
}

#[test]
fn fresh_samples_that_are_not_finite_stop_every_method() {
    for method in everything() {
        let problem = scaled(1.0).with_sampler(|count, _| {
            let mut drawn = samples(1.0);
            assert_eq!(drawn.len(), count);
            drawn.target[(SAMPLES - 1, 1)] = f64::NAN;
            drawn
        });
        let training = Training {
            order: Order::Fresh,
            ..whole()
        };
        let start = problem.initial_parameters(0);
        let budget = Budget::updates(2);
        let begun = start.clone();
        let outcome = train(
            &problem,
            method.as_ref(),
            begun,
            &training,
            budget,
            0,
            &mut [],
        );
        let outcome = outcome.unwrap();
        assert!(matches!(
            outcome.stop,
            Stop::LossNotFinite { update: 0, .. }
        ));
        assert_eq!(outcome.parameters, start);
    }
}

/// A squared error with one number of it replaced.
struct Spoilt {
    what: &'static str,
    value: f64,
}

impl Spoilt {
    fn spoil(&self, what: &str, mut healthy: Mat<f64>) -> Mat<f64> {
        if self.what == what {
            healthy[(1, 1)] = self.value;
        }
        healthy
    }
}

impl Loss for Spoilt {
    fn values(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Vec<f64> {
        let mut values = SquaredError::sum().values(y, target);
        if self.what == "value" {
            values[1] = self.value;
        }
        values
    }

    fn cotangents(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        self.spoil("cotangent", SquaredError::sum().cotangents(y, target))
    }

    fn curvature(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        self.spoil("curvature", SquaredError::sum().curvature(y, target))
    }
}

fn spoilt(method: &dyn Method, what: &'static str, value: f64) -> Outcome {
    let on = Switch::default();
    let physics = Poisoned {
        part: Part::Output,
        value,
        on: on.clone(),
    };
    let problem = problem_of(samples(1.0), physics, Spoilt { what, value });
    Watch::new(&problem, &on, 99, 99).train(&problem, method, &whole(), 2)
}

#[test]
fn losses_and_their_gradients_that_are_not_finite_stop_every_method() {
    for method in everything() {
        for bad in BAD {
            for what in ["value", "cotangent"] {
                let outcome = spoilt(method.as_ref(), what, bad);
                let told = told(method.as_ref());
                assert_eq!(
                    failed_at(&outcome),
                    Some(0),
                    "{told} {what} {bad}: {}",
                    outcome.stop
                );
                assert!(outcome.parameters.iter().all(|p| p.is_finite()));
            }
        }
    }
}

#[test]
fn curvatures_that_are_none_are_named_by_those_who_need_them() {
    for method in everything() {
        let weighs = [
            "lm",
            "gn-line-search",
            "spring",
            "prime-sr",
            "adaptive-hig",
            "kron-hig",
        ];
        let weighs = weighs.contains(&method.name());
        for bad in [f64::NAN, f64::INFINITY, 0.0, -1.0] {
            let outcome = spoilt(method.as_ref(), "curvature", bad);
            let told = told(method.as_ref());
            match (weighs, &outcome.stop) {
                (false, Stop::Budget) => {}
                (true, Stop::Failed { error, .. }) => {
                    let error = error.to_string();
                    assert!(error.contains("finite"), "{told} {bad}: {error}");
                }
                (_, stop) => panic!("{told} {bad}: {stop}"),
            }
        }
    }
}
