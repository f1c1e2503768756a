//! The Laplacian on a grid against its closed form.

mod common;

use common::{Batch, loss_of, normal, parts};
use hig::linalg::Mat;
use hig::physics::{Laplacian, Simulator, check::check};
use hig::systems::{Poisson, System};
use std::f64::consts::PI;

#[test]
fn sine_modes_are_eigenvectors_with_the_known_eigenvalues() {
    for (grid, spacing) in [(1, 1.0), (5, 0.5), (8, 1.0)] {
        let laplacian = Laplacian::new(grid, spacing);
        let sides = (grid + 1) as f64;
        for k in 1..=grid {
            for l in 1..=grid {
                let mode = Mat::from_fn(1, grid * grid, |_, place| {
                    let (i, j) = ((place / grid + 1) as f64, (place % grid + 1) as f64);
                    (PI * k as f64 * i / sides).sin() * (PI * l as f64 * j / sides).sin()
                });
                let half = |m: usize| (PI * m as f64 / (2.0 * sides)).sin().powi(2);
                let eigenvalue = -4.0 * (half(k) + half(l)) / (spacing * spacing);
                let error = laplacian.apply(mode.as_ref()) - faer::Scale(eigenvalue) * &mode;
                assert!(error.norm_max() < 1e-12 / (spacing * spacing));
            }
        }
    }
}

#[test]
fn solving_and_applying_are_inverse_to_each_other() {
    let laplacian = Laplacian::new(7, 0.3);
    let fields = normal(3, 49, 1);
    let back = laplacian.solve(laplacian.apply(fields.as_ref()).as_ref());
    assert!((&back - &fields).norm_max() < 1e-12);
    let right = normal(3, 49, 2);
    let again = laplacian.apply(laplacian.solve(right.as_ref()).as_ref());
    assert!((&again - &right).norm_max() < 1e-11);
}

#[test]
fn derivatives_pass_the_public_check() {
    let laplacian = Laplacian::new(6, 1.0);
    let state = Mat::zeros(5, 0);
    let report = check(&laplacian, state.as_ref(), normal(5, 36, 3).as_ref()).unwrap();
    assert!(report.finite_difference < 1e-8, "{report:?}");
    assert!(
        report.adjoint_identity < 1e-14 && report.rows < 1e-14,
        "{report:?}"
    );
    let goal = normal(5, 36, 4);
    let inverse = laplacian.inverse(state.as_ref(), state.as_ref(), goal.as_ref());
    assert!(inverse.unwrap().is_some());
}

#[test]
fn fields_are_smooth_of_unit_variance_and_their_laplacian_is_the_input() {
    let system = Poisson {
        samples: 4000,
        modes: 3,
        ..Poisson::default()
    };
    let problem = system.problem(0);
    assert_eq!(problem.train.input, problem.train.target);
    let laplacian = Laplacian::new(8, 1.0);
    let fields = laplacian.solve(problem.train.target.as_ref());
    let variance = fields.norm_l2().powi(2) / (4000.0 * 64.0);
    // Nine normal amplitudes a field: the mean of their squares scatters by √(2 / 36000).
    assert!(
        (variance - 1.0).abs() < 5.0 * (2.0 / 36_000.0_f64).sqrt(),
        "{variance}"
    );
    // The largest eigenvalue among three modes a side bounds |Δu| by the band limit.
    let bound = 8.0 * (PI * 3.0 / 18.0).sin().powi(2);
    assert!(problem.train.target.norm_l2() <= bound * fields.norm_l2() * (1.0 + 1e-12));
}

#[test]
fn a_perfect_prediction_has_no_loss_and_no_distance() {
    // A network without hidden layer can be the exact inverse.
    let system = Poisson {
        grid: 3,
        modes: 3,
        hidden: Vec::new(),
        samples: 10,
        test_samples: 10,
        ..Poisson::default()
    };
    let problem = system.problem(0);
    let units = Mat::<f64>::identity(9, 9);
    let inverse = Laplacian::new(3, 1.0).solve(units.as_ref());
    let mut parameters: Vec<f64> = (0..81).map(|k| inverse[(k / 9, k % 9)]).collect();
    parameters.resize(90, 0.0);
    assert!(loss_of(&problem, &parameters, &problem.test) < 1e-24);
    assert!(system.measures(&problem, &parameters)[0].1 < 1e-12);
}

#[test]
fn the_objective_is_the_sum_over_the_batch() {
    let system = Poisson {
        grid: 3,
        modes: 2,
        samples: 6,
        ..Poisson::default()
    };
    let problem = system.problem(0);
    let parameters = problem.initial_parameters(0);
    let at = Batch::new(parts(&problem), &problem.train, &parameters);
    let mean = loss_of(&problem, &parameters, &problem.train);
    assert!((at.loss() / (6.0 * mean) - 1.0).abs() < 1e-14);
    let difference = at.y() - &problem.train.target;
    assert!((hig::linalg::unstack(at.cotangent(), 6) - difference).norm_max() < 1e-14);
}

#[test]
fn more_modes_than_grid_points_are_refused() {
    let system = Poisson {
        grid: 3,
        modes: 4,
        ..Poisson::default()
    };
    let message = system.check_together().unwrap_err().to_string();
    assert!(
        message.contains("modes = 4") && message.contains("grid = 3"),
        "{message}"
    );
}
