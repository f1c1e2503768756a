//! Control of a marker in an incompressible flow: data, what is seen, and training.

mod common;

use common::{assert_message, normal, relative_matrix};
use hig::linalg::Mat;
use hig::physics::check::check;
use hig::physics::{Simulator, Stepwise};
use hig::step::Spectral;
use hig::systems::{FluidControl, Picture, System};
use hig::trainer::{Budget, Training, train};

fn small() -> FluidControl {
    FluidControl {
        grid: 12,
        steps: 4,
        samples: 16,
        test_samples: 8,
        patch: 1,
        channels: vec![3, 4],
        ..FluidControl::default()
    }
}

#[test]
fn all_densities_have_the_same_mass_and_lie_within_reach() {
    let system = FluidControl {
        samples: 40,
        reach: 0.0,
        ..FluidControl::default()
    };
    let problem = system.problem(4);
    let (train, n) = (&problem.train, 32 * 32);
    let mut far = 0.0_f64;
    for s in 0..40 {
        let start: Vec<f64> = (0..n).map(|i| train.state[(s, 2 * n + i)]).collect();
        let wanted: Vec<f64> = (0..n).map(|i| train.input[(s, i)]).collect();
        for density in [&start, &wanted] {
            assert!((density.iter().sum::<f64>() - n as f64 / 16.0).abs() < 1e-9);
        }
        // The centres agree where nothing is to be reached; shapes differ.
        let mean = |density: &[f64], along: fn(usize) -> usize| {
            let angle = |i: usize| std::f64::consts::TAU * along(i) as f64 / 32.0;
            let (sin, cos) = (density.iter().enumerate()).fold((0.0, 0.0), |(sin, cos), (i, d)| {
                (sin + d * angle(i).sin(), cos + d * angle(i).cos())
            });
            sin.atan2(cos)
        };
        for along in [(|i| i % 32) as fn(usize) -> usize, |i| i / 32] {
            let apart = mean(&start, along) - mean(&wanted, along);
            // The L is not centred.
            far = far.max(apart.sin().abs());
        }
        assert!((0..n).all(|i| train.state[(s, i)] == 0.0));
    }
    assert!(far < 0.35, "{far}");
    // What is compared is smoothed, which keeps the mass.
    let smoothed = &train.target;
    assert!((smoothed.row(3).iter().sum::<f64>() - n as f64 / 16.0).abs() < 1e-9);
    assert!(relative_matrix(smoothed, &train.input) > 0.1);
}

#[test]
fn smoothing_is_a_gaussian_and_has_its_derivatives() {
    let system = small();
    let smoothed = system.smoothed();
    let n = system.grid * system.grid;
    let states = normal(3, 3 * n, 1);
    let report = check(&smoothed, states.as_ref(), states.as_ref()).unwrap();
    assert!(report.finite_difference < 1e-8, "{report:?}");
    assert!(
        report.adjoint_identity < 1e-13 && report.rows < 1e-13,
        "{report:?}"
    );
    // A wave fades by exp(-½(kσ)²).
    let k = std::f64::consts::TAU / 12.0;
    let wave = Mat::from_fn(1, n, |_, i| {
        (2.0 * k * (i % 12) as f64 + k * (i / 12) as f64).cos()
    });
    let sigma = system.blur * 12.0;
    let factor = (-0.5 * 5.0 * (k * sigma).powi(2)).exp();
    let found = smoothed.of_densities(wave.as_ref());
    assert!(relative_matrix(&found, &(faer::Scale(factor) * &wave)) < 1e-13);
}

#[test]
fn the_default_steps_resolve_the_flow() {
    let system = FluidControl {
        samples: 1,
        test_samples: 4,
        ..FluidControl::default()
    };
    let finer = FluidControl {
        substeps: 8,
        ..system.clone()
    };
    let problem = system.problem(3);
    // Forces that carry as far as targets lie.
    let (n, state) = (32 * 32, &problem.test.state);
    let force = Mat::from_fn(4, 2 * n, |s, i| {
        let k = std::f64::consts::TAU / 32.0;
        let (x, y) = ((i % 32) as f64, (i % n / 32) as f64);
        (k * (x + (1 + s % 2) as f64 * y) + (i / n) as f64).sin()
    });
    let end = |system: &FluidControl| {
        let flow = system.flow();
        (0..16).fold(state.clone(), |state, k| {
            flow.advance(k, state.as_ref(), force.as_ref()).unwrap()
        })
    };
    let (found, exact) = (end(&system), end(&finer));
    let density = |state: &Mat<f64>| state.as_ref().subcols(2 * n, n).to_owned();
    let moved = relative_matrix(&density(&exact), &density(state));
    let error = relative_matrix(&density(&found), &density(&exact));
    assert!(moved > 0.5 && error < 0.02, "{moved} {error}");
}

#[test]
fn a_training_brings_the_marker_closer() {
    let system = small();
    let problem = system.problem(1);
    let mut method = Spectral::half_inverse();
    hig::settings::Settings::set(&mut method, "sketch", "4").unwrap();
    hig::settings::Settings::set(&mut method, "learning_rate", "auto").unwrap();
    let training = Training {
        batch: 8,
        ..Training::default()
    };
    let start = problem.initial_parameters(1);
    let before = problem.objective.loss(&start, &problem.train).unwrap();
    let budget = Budget::updates(25);
    let trained = train(&problem, &method, start, &training, budget, 0, &mut []).unwrap();
    let after = problem
        .objective
        .loss(&trained.parameters, &problem.train)
        .unwrap();
    assert!(after < 0.85 * before, "{before} {after}");
    let measured = system.measures(&problem, &trained.parameters);
    assert!(measured[0].0 == "distance" && measured[1].1 > 0.0);
    let pictures = system.pictures(&problem, &trained.parameters, 2);
    let Picture::Field(field) = &pictures[3] else {
        panic!("the density at the end");
    };
    assert_eq!((pictures.len(), field.values.len()), (6, 12));
    let state = problem.test.state.ncols();
    assert_eq!(system.smoothed().widths().control, state);
}

#[test]
fn settings_that_do_not_fit_are_refused_by_name() {
    let refused = |change: fn(&mut FluidControl), parts: &[&str]| {
        let mut system = FluidControl::default();
        change(&mut system);
        assert_message(system.check_together(), parts);
    };
    refused(
        |s| s.grid = 30,
        &["grid = 30", "multiple of 8", "3 levels", "patch = 2"],
    );
    refused(|s| s.grid = 1028, &["grid = 1028", "at most 1024"]);
}
