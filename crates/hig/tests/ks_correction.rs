//! Corrections of a coarse Kuramoto-Sivashinsky solver.

mod common;

use common::{assert_message, relative_matrix};
use hig::linalg::Mat;
use hig::physics::Stepwise;
use hig::systems::{KsCorrection, Picture, System};
use hig::trainer::{Budget, Training, train};

fn small() -> KsCorrection {
    KsCorrection {
        steps: 4,
        horizon: 30,
        samples: 64,
        test_samples: 8,
        ..KsCorrection::default()
    }
}

#[test]
fn the_reference_has_converged() {
    let few = KsCorrection {
        samples: 4,
        ..KsCorrection::default()
    };
    let finer = KsCorrection {
        finer: 2 * few.finer,
        ..few.clone()
    };
    let (one, two) = (few.problem(3), finer.problem(3));
    assert!(relative_matrix(&one.test.state, &two.test.state) < 1e-12);
    let error = relative_matrix(&one.test.target, &two.test.target);
    assert!(error < 1e-3, "{error:e}");
    // What there is to correct is far more.
    let at = vec![0.0; one.parameter_count()];
    let y = one.objective.outputs(&at, &one.test).unwrap();
    assert!(relative_matrix(&y, &one.test.target) > 30.0 * error);
}

/// The fewest points and the longest steps that are allowed.
#[test]
fn what_is_allowed_stays_finite() {
    for (points, length) in [(25, 32.0), (7, 6.0), (49, 64.0)] {
        let system = KsCorrection {
            points,
            length,
            dt: 1.0,
            ..small()
        };
        system.check_together().unwrap();
        let problem = system.problem(3);
        let largest = problem.train.target.norm_max();
        assert!(largest < 20.0, "{points} {length}: {largest}");
    }
}

#[test]
fn starts_are_on_the_attractor_and_their_mean_is_kept() {
    let system = small();
    let problem = system.problem(1);
    for s in 0..8 {
        let state: Vec<f64> = problem.test.state.row(s).iter().copied().collect();
        let mean = state.iter().sum::<f64>() / state.len() as f64;
        let square = state.iter().map(|u| u * u).sum::<f64>() / state.len() as f64;
        assert!(mean.abs() < 1e-12, "{mean}");
        assert!((0.5..4.0).contains(&square), "{square}");
    }
    // Samples are of their own, and so are those of train and test.
    let states = [&problem.train.state, &problem.test.state];
    let first = states.map(|state| state.row(0).to_owned());
    assert!((&first[0] - &first[1]).norm_l2() > 1.0);
}

#[test]
fn a_network_of_zeros_is_the_coarse_solver_alone() {
    let system = small();
    let problem = system.problem(2);
    let at = vec![0.0; problem.parameter_count()];
    let y = problem.objective.outputs(&at, &problem.test).unwrap();
    let (n, coarse) = (system.points, system.coarse(4));
    let nothing = Mat::zeros(8, n);
    let mut state = problem.test.state.clone();
    for k in 0..4 {
        state = coarse.advance(k, state.as_ref(), nothing.as_ref()).unwrap();
        let part = y.as_ref().subcols(k * n, n).to_owned();
        assert!(relative_matrix(&part, &state) < 1e-14, "{k}");
    }
    let measured = system.measures(&problem, &at);
    assert_eq!(measured[0].1.to_bits(), measured[1].1.to_bits());
}

#[test]
fn corrections_learned_in_four_steps_help_over_thirty() {
    let system = small();
    let problem = system.problem(5);
    let mut method = hig::step::method("adaptive-hig").unwrap();
    method.set("sketch", "16").unwrap();
    let training = Training {
        batch: 32,
        ..Training::default()
    };
    let start = problem.initial_parameters(5);
    let budget = Budget::updates(30);
    let trained = train(
        &problem,
        method.as_ref(),
        start,
        &training,
        budget,
        0,
        &mut [],
    )
    .unwrap();
    let measured = system.measures(&problem, &trained.parameters);
    let value = |name: &str| measured.iter().find(|(known, _)| *known == name).unwrap().1;
    let (corrected, alone) = (value("corrected_error"), value("uncorrected_error"));
    assert!(corrected < alone / 3.0, "{corrected} {alone}");
    let pictures = system.pictures(&problem, &trained.parameters, 1);
    let Picture::Field(field) = &pictures[1] else {
        panic!("the corrected field over time");
    };
    assert_eq!((pictures.len(), field.values.len()), (4, 31));
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    let refused = |change: fn(&mut KsCorrection), parts: &[&str]| {
        let mut system = KsCorrection::default();
        change(&mut system);
        assert_message(system.check_together(), parts);
    };
    refused(|s| s.kernel = 4, &["kernel = 4", "odd"]);
    refused(
        |s| s.points = 24,
        &["points = 24", "at least 25", "length = 32"],
    );
    refused(|s| s.dt = 1.1, &["dt = 1.1", "at most 1 with finer = 4"]);
    refused(|s| s.finer = 65, &["finer = 65", "at most 64"]);
    refused(
        |s| s.horizon = 10_001,
        &["horizon = 10001", "at most 10000"],
    );
}
