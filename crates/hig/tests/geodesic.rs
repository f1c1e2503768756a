//! Geodesic acceleration against closed forms, and what it brings.

mod common;

use common::*;
use hig::Problem;
use hig::data::Dataset;
use hig::linalg::Mat;
use hig::loss::SquaredError;
use hig::network::{Activation, Initializer, Network};
use hig::physics::{Differentiated, Real, SampleFunction, Widths};
use hig::spectral::{Decomposition, Filter, Route};
use hig::step::{Method, method};

const NAMES: [&str; 3] = ["lm", "gn-line-search", "spring"];

/// y = c + L·u + ½·(uᵀ·B·u), with a matrix B for each component: its third derivative is 0.
struct Quadratic;

const SIDE: usize = 3;

fn linear(i: usize, j: usize) -> f64 {
    [[2.0, 0.3, -0.2], [0.1, 1.5, 0.4], [-0.3, 0.2, 1.0]][i][j]
}

fn bent(i: usize, j: usize, k: usize) -> f64 {
    let symmetric = [[0.7, -0.4, 0.2], [-0.4, 0.5, 0.3], [0.2, 0.3, -0.6]][j][k];
    [1.0, -0.8, 0.5][i] * symmetric
}

impl SampleFunction for Quadratic {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: SIDE,
            output: SIDE,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        for (i, y) in y.iter_mut().enumerate() {
            *y = T::constant(0.0);
            for j in 0..SIDE {
                *y = *y + u[j] * linear(i, j);
                for k in 0..SIDE {
                    *y = *y + u[j] * u[k] * (0.5 * bent(i, j, k));
                }
            }
        }
    }
}

/// Rosenbrock's residuals, 10·(u₂ - u₁²) and 1 - u₁.
struct Rosenbrock;

impl SampleFunction for Rosenbrock {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 2,
            output: 2,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        y[0] = (u[1] - u[0] * u[0]) * 10.0;
        y[1] = -u[0] + 1.0;
    }
}

/// A function of the biases alone: the network has one layer, whose input is 0.
fn of_biases<F: SampleFunction + 'static>(function: F, target: &[f64]) -> Problem {
    let widths = function.widths();
    let data = || Dataset {
        input: Mat::zeros(1, 1),
        state: Mat::zeros(1, 0),
        target: Mat::from_fn(1, widths.output, |_, j| target[j]),
    };
    let network = Network::mlp(&[1, widths.control], Activation::Tanh, Initializer::Glorot);
    let physics = Differentiated(function);
    Problem::new(data(), data(), network, physics, SquaredError::sum())
}

/// The parameters whose biases are u.
fn with_biases(u: &[f64]) -> Vec<f64> {
    [vec![0.0; u.len()], u.to_vec()].concat()
}

fn set(name: &str, settings: &[(&str, &str)]) -> Box<dyn Method> {
    let mut method = method(name).unwrap();
    for (setting, value) in settings {
        method.set(setting, value).unwrap();
    }
    method
}

/// The first update, with what it tells of its acceleration.
fn first(method: &dyn Method, problem: &Problem, at: &[f64]) -> (Vec<f64>, f64) {
    let batch = problem.objective.linearize(&problem.train, at).unwrap();
    let mut step = method.start().unwrap();
    let update = step.step(batch.as_ref(), method.learning_rate()).unwrap();
    let told = update.diagnostics.iter();
    let told = told.clone().find(|(name, _)| *name == "acceleration");
    (update.delta, told.unwrap().1)
}

fn quadratic_towards(optimum: &[f64]) -> Problem {
    let start = of_biases(Quadratic, &[0.0; SIDE]);
    let at = with_biases(optimum);
    let y = start.objective.outputs(&at, &start.train).unwrap();
    of_biases(Quadratic, &[y[(0, 0)], y[(0, 1)], y[(0, 2)]])
}

#[test]
fn the_acceleration_is_the_dense_one_with_the_analytic_second_derivative() {
    let problem = quadratic_towards(&[0.4, -0.3, 0.6]);
    let u = [0.55, -0.2, 0.45];
    let at = with_biases(&u);
    let batch = Batch::new(parts(&problem), &problem.train, &at);
    let (j, root) = (batch.jacobian(), 2.0_f64.sqrt());
    let a = Mat::from_fn(j.nrows(), j.ncols(), |i, k| root * j[(i, k)]);
    for name in NAMES {
        for route in ["gram", "normal", "svd"] {
            let straight = set(name, &[("geodesic", "false"), ("route", route)]);
            let bent_step = set(name, &[("geodesic", "true"), ("route", route)]);
            let (v, none) = first(straight.as_ref(), &problem, &at);
            let (both, ratio) = first(bent_step.as_ref(), &problem, &at);
            assert_eq!(none, 0.0);
            let second: Vec<f64> = (0..SIDE)
                .map(|i| {
                    let pairs = (0..SIDE).flat_map(|j| (0..SIDE).map(move |k| (j, k)));
                    let terms = pairs.map(|(j, k)| bent(i, j, k) * v[SIDE + j] * v[SIDE + k]);
                    root * terms.sum::<f64>()
                })
                .collect();
            // The largest eigenvalue is what these dampings are fractions of.
            let weight = |s: f64, top: f64| match name {
                "lm" => s / (s * s + 1e-3 * top * top),
                "spring" => s / (s * s + 1e-8 * top * top),
                _ => 1.0 / s,
            };
            let rank_3 = |s: f64, top: f64| if s > 1e-9 * top { weight(s, top) } else { 0.0 };
            let expected = reference_direction(&a, &second, rank_3);
            let expected: Vec<f64> = expected.iter().map(|d| -0.5 * d).collect();
            let size = 2.0 * dot(&expected, &expected).sqrt() / dot(&v, &v).sqrt();
            assert!(
                (ratio - size).abs() <= 1e-8,
                "{name} {route}: {ratio} {size}"
            );
            let (found, limited): (Vec<f64>, bool) = (
                both.iter().zip(&v).map(|(b, v)| b - v).collect(),
                name == "spring",
            );
            // Spring's limit on the length of Δθ shortens the sum.
            if limited {
                let sum: Vec<f64> = v.iter().zip(&expected).map(|(v, a)| v + a).collect();
                let turned = dot(&sum, &both) / (dot(&sum, &sum) * dot(&both, &both)).sqrt();
                assert!((turned - 1.0).abs() <= 1e-12, "{route}: {turned}");
                assert!(dot(&both, &both).sqrt() <= 0.03 * (1.0 + 1e-12));
            } else {
                let error = relative(&found, &expected);
                assert!(error <= 1e-8, "{name} {route}: {error:e}");
            }
        }
    }
}

#[test]
fn on_quadratic_residuals_the_error_of_a_gauss_newton_step_gains_an_order() {
    let optimum = [0.4, -0.3, 0.6];
    let problem = quadratic_towards(&optimum);
    for route in ["gram", "normal", "svd"] {
        let slope = |geodesic: &str| {
            let method = set(
                "gn-line-search",
                &[("geodesic", geodesic), ("cutoff", "1e-9"), ("route", route)],
            );
            let error = |distance: f64| {
                let shift = [1.0, -0.7, 0.4].map(|s| distance * s);
                let start: Vec<f64> = optimum.iter().zip(shift).map(|(o, s)| o + s).collect();
                let at = with_biases(&start);
                let (delta, _) = first(method.as_ref(), &problem, &at);
                let end: Vec<f64> = at.iter().zip(&delta).map(|(a, d)| a + d).collect();
                relative(&end, &with_biases(&optimum))
            };
            let distances = [0.08, 0.04, 0.02, 0.01];
            let points = distances.map(|distance| (distance, error(distance)));
            logarithmic_slope(&points)
        };
        let (straight, bent) = (slope("false"), slope("true"));
        assert!((straight - 2.0).abs() < 0.1, "{route}: {straight}");
        assert!((bent - 3.0).abs() < 0.15, "{route}: {bent}");
    }
}

/// Updates until the loss is below 1e-12.
fn updates(method: &dyn Method, problem: &Problem, start: &[f64]) -> usize {
    let (mut at, mut step) = (start.to_vec(), method.start().unwrap());
    for count in 0..2000 {
        let batch = problem.objective.linearize(&problem.train, &at).unwrap();
        if batch.loss() <= 1e-12 {
            return count;
        }
        let update = step.step(batch.as_ref(), method.learning_rate()).unwrap();
        let moved = at.iter().zip(&update.delta).map(|(a, d)| a + d).collect();
        drop(batch);
        at = moved;
    }
    panic!("{} does not arrive", method.name());
}

#[test]
fn levenberg_marquardt_needs_fewer_updates_in_the_valley_of_rosenbrock() {
    let problem = of_biases(Rosenbrock, &[0.0, 0.0]);
    for start in [[-1.2, 1.0], [-2.0, 2.0], [0.0, 3.0]] {
        let at = with_biases(&start);
        let [straight, bent] = ["false", "true"].map(|geodesic| {
            let method = set("lm", &[("geodesic", geodesic), ("corrections", "0")]);
            updates(method.as_ref(), &problem, &at)
        });
        println!("{start:?}: {straight} {bent}");
        assert!(bent < straight, "{start:?}: {bent} of {straight}");
    }
}

#[test]
fn a_step_on_residuals_that_do_not_bend_keeps_its_bits() {
    let (problem, ..) = quadratic(0.3, 1.7);
    let at = [0.4, -1.0, 0.2, 2.0];
    for name in NAMES {
        let steps = ["false", "true"].map(|geodesic| {
            let (delta, ratio) =
                first(set(name, &[("geodesic", geodesic)]).as_ref(), &problem, &at);
            assert_eq!(ratio, 0.0, "{name}");
            bits(&delta)
        });
        assert_eq!(steps[0], steps[1], "{name}");
    }
}

#[test]
fn where_y_is_not_finite_ahead_the_step_is_straight() {
    // The Gauss-Newton step leads to where ln u is not a number, a tenth of it too.
    let (mut problem, _) = cliff();
    problem.train.target = Mat::full(2, 1, -50.0);
    let at = [0.0, 1.0];
    let method = set("gn-line-search", &[("geodesic", "true")]);
    let (delta, ratio) = first(method.as_ref(), &problem, &at);
    assert_eq!(ratio, 0.0);
    assert!(delta.iter().all(|d| d.is_finite()) && delta[1] < 0.0);
}

#[test]
fn a_decomposition_answers_for_another_residual_on_every_route_but_lanczos() {
    for (rows, columns) in [(6, 9), (9, 6)] {
        let j = with_spectrum(rows, columns, &logarithmic(6, 1e-3), 3);
        for size in [1.0, 1e-150] {
            let scaled = Mat::from_fn(rows, columns, |i, k| size * j[(i, k)]);
            let jacobian = hig::objective::ExplicitJacobian::new(&scaled);
            let (g, r) = (normal_vector(rows, 4), normal_vector(rows, 5));
            for filter in [
                Filter::truncated(1.0, 1e-6),
                Filter::truncated(0.5, 1e-2),
                Filter {
                    exponent: 0.5,
                    treatment: hig::spectral::Treatment::Damp {
                        damping: 1e-4 * size * size,
                    },
                },
            ] {
                for route in [Route::Gram, Route::Normal, Route::Svd] {
                    let of =
                        |g: &[f64]| Decomposition::of(&jacobian, g, &filter, route, 1e-9).unwrap();
                    let found = of(&g).direction_of(&filter, &r).unwrap().unwrap();
                    let expected = of(&r).direction(&filter).unwrap();
                    let error = relative(&found, &expected);
                    assert!(error <= 1e-9, "{route:?} {filter:?} {size:e}: {error:e}");
                    assert!(of(&g).answers_for_others());
                }
                let krylov =
                    Decomposition::of(&jacobian, &g, &filter, Route::Lanczos, 1e-3).unwrap();
                assert!(!krylov.answers_for_others());
                assert!(krylov.direction_of(&filter, &r).unwrap().is_none());
            }
        }
    }
}

#[test]
fn on_the_lanczos_route_steps_are_straight_and_say_so() {
    let problem = quadratic_towards(&[0.4, -0.3, 0.6]);
    let at = with_biases(&[0.55, -0.2, 0.45]);
    for name in NAMES {
        let [straight, bent] = ["false", "true"].map(|geodesic| {
            let method = set(name, &[("geodesic", geodesic), ("route", "lanczos")]);
            let (delta, ratio) = first(method.as_ref(), &problem, &at);
            assert_eq!(ratio, 0.0);
            bits(&delta)
        });
        assert_eq!(straight, bent, "{name}");
    }
}
