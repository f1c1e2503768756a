//! `adaptive-hig` takes an update back after which the loss is not finite, and goes on.

use crate::common::{cliff, loss_of, relative};
use crate::methods::everything;
use crate::problems::{Part, Poisoned, Switch, Watch, problem_of, samples, whole};
use hig::loss::SquaredError;
use hig::step::Method;
use hig::trainer::{Budget, Stop, Training, train};

fn searching() -> impl Iterator<Item = Box<dyn Method>> {
    everything()
        .into_iter()
        .filter(|m| m.name() == "adaptive-hig")
}

#[test]
fn a_poison_that_passes_costs_one_update() {
    for method in searching() {
        for (evaluate_every, first, last) in [(1000, 3, 3), (1, 3, 3), (1, 1, 1), (2, 4, 4)] {
            let on = Switch::default();
            let physics = Poisoned {
                part: Part::Output,
                value: f64::NAN,
                on: on.clone(),
            };
            let problem = problem_of(samples(1.0), physics, SquaredError::sum());
            let mut watch = Watch::new(&problem, &on, first, last);
            let training = Training {
                evaluate_every,
                ..whole()
            };
            let outcome = watch.train(&problem, method.as_ref(), &training, 12);
            assert!(matches!(outcome.stop, Stop::Budget), "{}", outcome.stop);
            assert_eq!(outcome.updates, 12);
            let returned = relative(&watch.parameters[first + 1], &watch.parameters[first - 1]);
            assert!(returned < 1e-15, "{returned}");
            let before = loss_of(&problem, &watch.parameters[first], &problem.train);
            assert!(
                outcome.train_loss < before,
                "{} {before}",
                outcome.train_loss
            );
            let seen = watch.losses.iter().filter(|loss| loss.is_nan()).count();
            assert_eq!(seen, usize::from(first % evaluate_every == 0));
        }
    }
}

/// Whatever the budget, a training that ends where the loss is not finite says so.
#[test]
fn a_budget_that_ends_on_a_poison_is_no_success() {
    for method in everything() {
        for evaluate_every in [1, 1000] {
            let on = Switch::default();
            let physics = Poisoned {
                part: Part::Output,
                value: f64::NAN,
                on: on.clone(),
            };
            let problem = problem_of(samples(1.0), physics, SquaredError::sum());
            let mut watch = Watch::new(&problem, &on, 3, 99);
            let training = Training {
                evaluate_every,
                ..whole()
            };
            let outcome = watch.train(&problem, method.as_ref(), &training, 3);
            assert!(matches!(
                outcome.stop,
                Stop::LossNotFinite { update: 3, .. }
            ));
            assert!(outcome.last.train.is_nan());
            assert!(outcome.parameters.iter().all(|p| p.is_finite()));
        }
    }
}

/// The logarithm of what a step makes negative: trials beyond the cliff are no candidates.
#[test]
fn searches_stay_on_this_side_of_a_cliff() {
    let (problem, start) = cliff();
    for method in everything() {
        if !["lm", "gn-line-search", "adaptive-hig", "lbfgs"].contains(&method.name()) {
            continue;
        }
        let training = Training {
            batch: 2,
            evaluate_every: 1,
            ..Training::default()
        };
        let budget = Budget::updates(30);
        let outcome = train(
            &problem,
            method.as_ref(),
            start.clone(),
            &training,
            budget,
            0,
            &mut [],
        )
        .unwrap();
        assert!(matches!(outcome.stop, Stop::Budget), "{}", outcome.stop);
        assert!(
            outcome.train_loss < 1e-6,
            "{}: {}",
            method.name(),
            outcome.train_loss
        );
    }
}
