//! Damped systems by Cholesky factors against the decomposition, an independent SVD and themselves.

mod common;

use common::*;
use hig::linalg::Mat;
use hig::objective::ExplicitJacobian;
use hig::spectral::{DecompositionSettings, Factorization, Request, Route};
use hig::step::method;
use hig::systems::system;
use hig::trainer::{Budget, Order, Training, train};

const WAYS: [Factorization; 2] = [Factorization::Spectral, Factorization::Cholesky];

fn request(route: Route, accuracy: f64) -> Request {
    DecompositionSettings {
        accuracy,
        ..DecompositionSettings::by(route)
    }
    .request(usize::MAX)
}

#[test]
fn directions_agree_with_the_jacobi_svd_for_every_damping_asked_of_one_system() {
    for (n, p) in [(9, 23), (23, 9), (14, 14), (40, 61)] {
        let j = with_spectrum(n, p, &logarithmic(n.min(p), 1e-3), 7);
        let jacobian = ExplicitJacobian::new(&j);
        let (g, r) = (normal_vector(n, 4), normal_vector(n, 5));
        for (way, route) in [
            (Factorization::Spectral, Route::Auto),
            (Factorization::Spectral, Route::Svd),
            (Factorization::Cholesky, Route::Auto),
            (Factorization::Cholesky, Route::Gram),
            (Factorization::Cholesky, Route::Normal),
        ] {
            let request = request(route, 1e-3);
            let mut system = request.damped(&jacobian, &g, 1e-7, way).unwrap();
            let top = system.largest_square();
            // The largest singular value is 1.
            assert!((0.8..1.0 + 1e-12).contains(&top), "{way:?}: {top}");
            // Upwards as refused trials go, and back.
            for damping in [1e-7, 1e-4, 1.0, 1e3, 1e-7] {
                let solve = system.at(damping).unwrap().unwrap();
                let weight = |s: f64, _| s / (s * s + damping);
                let expected = [&g, &r].map(|g| reference_direction(&j, g, weight));
                let found = [
                    solve.direction().unwrap(),
                    solve.direction_of(&r).unwrap().unwrap(),
                ];
                for (found, expected) in found.iter().zip(&expected) {
                    let error = relative(found, expected);
                    assert!(error < 1e-8, "{way:?} {n} x {p} {damping:e}: {error:e}");
                }
            }
            let told = system.participation(1e-4);
            let known = way == Factorization::Spectral;
            assert_eq!(told.is_some(), known);
            assert_eq!(system.into_singular_values().is_empty(), !known);
        }
    }
}

#[test]
fn where_rounding_takes_the_accuracy_a_factor_leaves_the_damping_to_the_decomposition() {
    // σ down to 1e-9 of the largest: its square is far below the rounding of K.
    for (n, p) in [(30, 50), (50, 30)] {
        let j = with_spectrum(n, p, &logarithmic(30, 1e-9), 3);
        let jacobian = ExplicitJacobian::new(&j);
        let g = normal_vector(n, 4);
        for damping in [1e-9, 1e-11, 1e-14, 1e-16] {
            let request = request(Route::Auto, 1e-4);
            let weight = |s: f64, _| s / (s * s + damping);
            let expected = reference_direction(&j, &g, weight);
            let mut system = request
                .damped(&jacobian, &g, damping, Factorization::Cholesky)
                .unwrap();
            let found = system.at(damping).unwrap().unwrap().direction().unwrap();
            let error = relative(&found, &expected);
            assert!(error < 3e-4, "{n} x {p}, {damping:e}: {error:e}");
            // 16·ε/accuracy is 3.6e-11.
            assert_eq!(system.participation(damping).is_some(), damping < 3e-11);
        }
    }
}

#[test]
fn a_jacobian_far_from_one_is_left_to_the_decomposition() {
    let j = with_spectrum(6, 9, &logarithmic(6, 1e-2), 3);
    let g = normal_vector(6, 4);
    for size in [1e-160, 1e160] {
        let scaled = Mat::from_fn(6, 9, |i, k| size * j[(i, k)]);
        let jacobian = ExplicitJacobian::new(&scaled);
        let damping = 1e-3 * size * size;
        let request = request(Route::Auto, 1e-6);
        let [a, b] = WAYS.map(|way| {
            let mut system = request.damped(&jacobian, &g, damping, way).unwrap();
            let solve = system.at(damping).unwrap().unwrap();
            solve.direction().unwrap()
        });
        assert_eq!(bits(&a), bits(&b));
    }
}

#[test]
fn what_is_not_finite_is_refused_by_either() {
    let mut j = normal(6, 9, 3);
    j[(2, 3)] = f64::NAN;
    let jacobian = ExplicitJacobian::new(&j);
    let request = request(Route::Auto, 1e-6);
    for way in WAYS {
        let refused = request.damped(&jacobian, &[1.0; 6], 1e-3, way);
        assert_message(refused, &["not finite"]);
    }
}

/// Weights after some updates of `lm`.
fn trained(assignments: &[(&str, &str)], hidden: &str, updates: usize) -> Vec<f64> {
    let mut poisson = system("poisson-pinn").unwrap();
    for (key, value) in [
        ("hidden", hidden),
        ("samples", "60"),
        ("test_samples", "20"),
    ] {
        poisson.set(key, value).unwrap();
    }
    let mut method = method("lm").unwrap();
    for (key, value) in assignments {
        method.set(key, value).unwrap();
    }
    let problem = poisson.problem(3);
    let training = Training {
        batch: 60,
        order: Order::Fixed,
        ..Training::default()
    };
    let start = problem.initial_parameters(3);
    let budget = Budget::updates(updates);
    train(
        &problem,
        method.as_ref(),
        start,
        &training,
        budget,
        3,
        &mut [],
    )
    .unwrap()
    .parameters
}

#[test]
fn updates_of_lm_are_those_of_the_decomposition() {
    // More parameters than points, and fewer.
    for hidden in ["24", "6"] {
        let [a, b] = ["spectral", "cholesky"]
            .map(|way| trained(&[("factorization", way), ("accuracy", "1e-6")], hidden, 6));
        let error = relative(&a, &b);
        // The first damping is a thousandth of the largest eigenvalue, which a factor knows to a tenth.
        assert!(error > 0.0 && error < 0.1, "{hidden}: {error:e}");
    }
}

#[test]
fn a_small_system_is_decomposed_and_so_is_what_a_route_is_named_for() {
    for route in ["auto", "gram"] {
        let [auto, spectral] = ["auto", "spectral"]
            .map(|way| trained(&[("factorization", way), ("route", route)], "24", 3));
        assert_eq!(bits(&auto), bits(&spectral));
    }
}

#[test]
fn from_some_size_on_auto_takes_factors() {
    let request = request(Route::Auto, 1e-3);
    for (side, long) in [(200, false), (600, true)] {
        for (n, p) in [(side, side + 50), (side + 50, side)] {
            let jacobian = ExplicitJacobian::new(&normal(n, p, 1));
            let g = normal_vector(n, 2);
            let system = request.damped(&jacobian, &g, 1.0, Factorization::Auto);
            assert_eq!(
                system.unwrap().participation(1.0).is_none(),
                long,
                "{n} x {p}"
            );
        }
    }
}
