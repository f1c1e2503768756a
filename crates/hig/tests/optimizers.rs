//! Optimizers against closed forms.

mod common;

use common::*;
use hig::Problem;
use hig::linalg::Mat;
use hig::network::Activation;
use hig::spectral::{DecompositionSettings, Route};
use hig::step::{Adam, Method, ScaleInvariant, Sgd, Spectral, Step, methods, physics_correction};
use hig::systems::{LinearOscillators, MlpSettings, System, Toy, systems};
use hig::trainer::{Budget, Stop, Training, train};

/// The update for all training samples at once.
fn update(step: &mut dyn Step, problem: &Problem, at: &[f64], learning_rate: f64) -> Vec<f64> {
    let batch = Batch::new(parts(problem), &problem.train, at);
    step.step(&*batch, learning_rate).unwrap().delta
}

fn advance(step: &mut dyn Step, problem: &Problem, at: &mut [f64], learning_rate: f64) {
    let delta = update(step, problem, at, learning_rate);
    for (p, d) in at.iter_mut().zip(delta) {
        *p += d;
    }
}

fn gradient(problem: &Problem, at: &[f64]) -> Vec<f64> {
    Batch::new(parts(problem), &problem.train, at).gradient()
}

#[test]
fn the_quadratic_is_what_the_closed_forms_below_assume() {
    let (problem, curvature, optimum) = quadratic(0.3, 1.7);
    let at = [0.4, -1.0, 0.2, 2.0];
    let slopes = (0..4).map(|i| curvature[i] * (at[i] - optimum[i]));
    let expected: Vec<f64> = slopes.collect();
    assert!(relative(&gradient(&problem, &at), &expected) <= 1e-14);
}

#[test]
fn plain_gradient_descent_on_a_quadratic_contracts_each_axis_geometrically() {
    let (problem, curvature, optimum) = quadratic(0.3, 1.7);
    let start = [0.4, -1.0, 0.2, 2.0];
    let (rate, count) = (0.2, 25);
    for method in [
        Box::new(Sgd::default()) as Box<dyn Method>,
        Box::new(Spectral::gradient_descent()),
    ] {
        let (mut step, mut at) = (method.start().unwrap(), start.to_vec());
        for _ in 0..count {
            advance(step.as_mut(), &problem, &mut at, rate);
        }
        for i in 0..4 {
            let left = (1.0 - rate * curvature[i]).powi(count) * (start[i] - optimum[i]);
            assert!((at[i] - optimum[i] - left).abs() <= 1e-12, "{method:?} {i}");
        }
    }
}

#[test]
fn momentum_on_a_quadratic_follows_the_damped_oscillation() {
    // e_(k+1) = (1 + μ - η·h)·e_k - μ·e_(k-1) with e_(-1) = e_0: complex roots √μ·exp(±iφ).
    let (problem, curvature, optimum) = quadratic(0.5, 1.3);
    let start = [0.4, -1.0, 0.2, 2.0];
    let (rate, momentum, count) = (0.3, 0.8_f64, 20);
    let method = Sgd {
        momentum,
        ..Sgd::default()
    };
    let (mut step, mut at) = (method.start().unwrap(), start.to_vec());
    for _ in 0..count {
        advance(step.as_mut(), &problem, &mut at, rate);
    }
    for i in 0..4 {
        let e0 = start[i] - optimum[i];
        let root = momentum.sqrt();
        let cosine = (1.0 + momentum - rate * curvature[i]) / (2.0 * root);
        assert!(cosine.abs() < 1.0, "not an oscillation");
        let angle = cosine.acos();
        let e1 = (1.0 - rate * curvature[i]) * e0;
        let sine_part = (e1 / root - e0 * angle.cos()) / angle.sin();
        let turned = angle * f64::from(count);
        let left = root.powi(count) * (e0 * turned.cos() + sine_part * turned.sin());
        assert!((at[i] - optimum[i] - left).abs() <= 1e-12, "axis {i}");
    }
}

#[test]
fn the_first_update_of_adam_is_the_gradient_over_its_size() {
    let (problem, ..) = quadratic(0.01, 1.7);
    let at = [0.4, -1.0, 0.2, 2.0];
    let g = gradient(&problem, &at);
    for epsilon in [1e-8, 1e-2] {
        let method = Adam {
            epsilon,
            ..Adam::default()
        };
        let found = update(method.start().unwrap().as_mut(), &problem, &at, 0.1);
        let expected: Vec<f64> = g.iter().map(|g| -0.1 * g / (g.abs() + epsilon)).collect();
        assert!(relative(&found, &expected) <= 1e-13);
    }
}

#[test]
fn a_clip_shortens_longer_gradients_and_leaves_others() {
    let (problem, ..) = quadratic(0.01, 1.7);
    let at = [0.4, -1.0, 0.2, 2.0];
    let g = gradient(&problem, &at);
    let norm = dot(&g, &g).sqrt();
    for name in [
        "sgd", "momentum", "adam", "rmsprop", "adagrad", "adadelta", "soap",
    ] {
        let mut method = hig::step::method(name).unwrap();
        if method.has("epsilon") {
            // So large that the length of a gradient counts.
            method.set("epsilon", "0.5").unwrap();
        }
        let mut first = |clip: f64| {
            method.set("clip", &clip.to_string()).unwrap();
            let mut step = method.start().unwrap();
            if name == "soap" {
                // Its first update only looks.
                update(step.as_mut(), &problem, &at, 0.1);
            }
            update(step.as_mut(), &problem, &at, 0.1)
        };
        let free = first(0.0);
        assert_eq!(bits(&first(1.01 * norm)), bits(&free), "{name}");
        let half = first(0.5 * norm);
        let clipped: Vec<f64> = g.iter().map(|g| 0.5 * g).collect();
        let expected: Vec<f64> = match name {
            "sgd" | "momentum" => clipped.iter().map(|g| -0.1 * g).collect(),
            "adam" | "adagrad" => clipped.iter().map(|g| -0.1 * g / (g.abs() + 0.5)).collect(),
            "rmsprop" => {
                let of = |g: &f64| -0.1 * g / ((0.1 * g * g).sqrt() + 0.5);
                clipped.iter().map(of).collect()
            }
            _ => {
                assert!(relative(&half, &free) > 0.05, "{name}");
                continue;
            }
        };
        assert!(relative(&half, &expected) <= 1e-13, "{name}");
    }
}

#[test]
fn adam_follows_the_weighted_means_of_its_gradients() {
    let (problem, ..) = quadratic(0.2, 1.7);
    let (b1, b2, epsilon, rate) = (0.7, 0.9, 1e-3, 0.05);
    let method = Adam {
        beta1: b1,
        beta2: b2,
        epsilon,
        ..Adam::default()
    };
    let mut step = method.start().unwrap();
    let mut at = vec![0.4, -1.0, 0.2, 2.0];
    let mut history: Vec<Vec<f64>> = Vec::new();
    for _ in 0..6 {
        history.push(gradient(&problem, &at));
        let found = update(step.as_mut(), &problem, &at, rate);
        for i in 0..4 {
            // Bias correction makes the moments means: their weights sum to one.
            let mean = |decay: f64, f: &dyn Fn(f64) -> f64| {
                let newest_first = history.iter().rev().enumerate();
                let (mut sum, mut total) = (0.0, 0.0);
                for (age, g) in newest_first {
                    let weight = decay.powi(age as i32);
                    sum += weight * f(g[i]);
                    total += weight;
                }
                sum / total
            };
            let root = mean(b2, &|g| g * g).sqrt();
            let expected = -rate * mean(b1, &|g| g) / (root + epsilon);
            assert!((found[i] - expected).abs() <= 1e-14, "axis {i}");
            at[i] += found[i];
        }
    }
}

#[test]
fn a_fresh_start_forgets_the_moments() {
    let (problem, ..) = quadratic(0.2, 1.7);
    let at = [0.4, -1.0, 0.2, 2.0];
    for method in methods() {
        let mut used = method.start().unwrap();
        let first = update(used.as_mut(), &problem, &at, 0.1);
        update(used.as_mut(), &problem, &[1.0, 2.0, 3.0, 4.0], 0.1);
        let again = update(method.start().unwrap().as_mut(), &problem, &at, 0.1);
        assert_eq!(bits(&first), bits(&again), "{method:?}");
    }
}

#[test]
fn the_spectral_gradient_step_is_the_gradient() {
    for (_, problem) in small_problems(Activation::Tanh) {
        let at = normal_vector(problem.parameter_count(), 5);
        let expected: Vec<f64> = gradient(&problem, &at).iter().map(|g| -0.3 * g).collect();
        let mut step = Spectral::gradient_descent().start().unwrap();
        assert!(relative(&update(step.as_mut(), &problem, &at, 0.3), &expected) <= 1e-14);
        // The same through a decomposition, which a cutoff asks for.
        for route in [Route::Svd, Route::Gram, Route::Normal] {
            let method = Spectral {
                cutoff: 1e-15,
                decomposition: DecompositionSettings::by(route),
                ..Spectral::gradient_descent()
            };
            let found = update(method.start().unwrap().as_mut(), &problem, &at, 0.3);
            assert!(relative(&found, &expected) <= 1e-10, "{route:?}");
        }
    }
}

#[test]
fn spectral_updates_agree_with_the_jacobi_svd_of_the_jacobian() {
    for (_, problem) in small_problems(Activation::Tanh) {
        let at = normal_vector(problem.parameter_count(), 6);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let (j, g) = (batch.jacobian(), batch.cotangent());
        for exponent in [0.0, 0.5, 1.0] {
            let cutoff = 1e-2;
            let expected = reference_direction(&j, g, |s, top| {
                if s > cutoff * top {
                    -0.7 * s.powf(-exponent)
                } else {
                    0.0
                }
            });
            for route in [Route::Svd, Route::Gram, Route::Normal, Route::Auto] {
                let method = Spectral {
                    exponent,
                    cutoff,
                    decomposition: DecompositionSettings::by(route),
                    ..Spectral::default()
                };
                let found = update(method.start().unwrap().as_mut(), &problem, &at, 0.7);
                assert!(relative(&found, &expected) <= 1e-9, "{route:?} {exponent}");
            }
        }
    }
}

#[test]
fn one_full_gauss_newton_step_solves_a_linear_least_squares_problem() {
    let samples = 12;
    let problem = LinearOscillators {
        samples,
        test_samples: 1,
        network: MlpSettings::tanh(vec![]),
        ..LinearOscillators::default()
    }
    .problem(4);
    let start = problem.initial_parameters(4);
    let batch = Batch::new(parts(&problem), &problem.train, &start);
    // The best that any parameters reach: what of the residual no column of J sees.
    let (u, sigma, _) = jacobi_svd(&batch.jacobian());
    let scale = samples as f64 / 2.0;
    let residual: Vec<f64> = batch.cotangent().iter().map(|g| scale * g).collect();
    let top = sigma.iter().fold(0.0_f64, |a, b| a.max(*b));
    let seen: f64 = (0..sigma.len())
        .filter(|k| sigma[*k] > 1e-6 * top)
        .map(|k| dot(u.col_as_slice(k), &residual).powi(2))
        .sum();
    let best = (dot(&residual, &residual) - seen) / samples as f64;
    assert!(best < 0.9 * batch.loss(), "nothing to gain");

    for route in [Route::Svd, Route::Gram, Route::Normal, Route::Auto] {
        let method = Spectral {
            decomposition: DecompositionSettings::by(route),
            ..Spectral::gauss_newton()
        };
        let mut at = start.clone();
        advance(method.start().unwrap().as_mut(), &problem, &mut at, scale);
        let reached = loss_of(&problem, &at, &problem.train);
        assert!(
            (reached - best).abs() <= 1e-9 * batch.loss(),
            "{route:?}: {reached} for {best}"
        );
        let flat = gradient(&problem, &at);
        let before = batch.gradient();
        let ratio = (dot(&flat, &flat) / dot(&before, &before)).sqrt();
        assert!(ratio <= 1e-6, "{route:?}: {ratio:e}");
    }
}

#[test]
fn a_half_inverse_step_moves_the_output_downhill_by_the_root_of_each_singular_value() {
    // Where all singular values are equal, HIG is the gradient over σ^(3/2).
    let (problem, ..) = quadratic(1.0, 1.0);
    let at = [0.4, -1.0, 0.2, 2.0];
    let sigma = 2.0_f64.sqrt();
    let g = gradient(&problem, &at);
    let expected: Vec<f64> = g.iter().map(|g| -0.3 * g / sigma.powf(1.5)).collect();
    let mut step = Spectral::half_inverse().start().unwrap();
    assert!(relative(&update(step.as_mut(), &problem, &at, 0.3), &expected) <= 1e-12);
}

#[test]
fn the_correction_of_the_toy_is_its_exact_inverse() {
    for lambda in [1.0, 0.01, -2.0] {
        let problem = Toy {
            lambda,
            samples: 9,
            ..Toy::default()
        }
        .problem(6);
        let at = problem.initial_parameters(6);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let found = physics_correction(&batch, 1e-5).unwrap();
        let (target, u) = (&problem.train.target, batch.control());
        let expected = Mat::from_fn(9, 2, |i, j| match j {
            0 => target[(i, 0)] - u[(i, 0)],
            _ => target[(i, 1)] / lambda - u[(i, 1)],
        });
        assert!(relative_matrix(&found, &expected) <= 1e-14);
    }
}

fn oscillators(masses: usize) -> Problem {
    LinearOscillators {
        masses,
        samples: 7,
        test_samples: 1,
        ..LinearOscillators::default()
    }
    .problem(8)
}

#[test]
fn the_correction_of_linear_physics_reaches_the_target_at_once() {
    for masses in [1, 2, 3] {
        let problem = oscillators(masses);
        let at = problem.initial_parameters(8);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let moved = batch.control() + physics_correction(&batch, 1e-9).unwrap();
        let state = problem.train.state.as_ref();
        let reached = parts(&problem)
            .physics
            .simulate(state, moved.as_ref())
            .unwrap();
        let error = relative_matrix(&reached, &problem.train.target);
        assert!(error <= 1e-9, "{masses} masses: {error:e}");
    }
}

#[test]
fn the_correction_is_the_truncated_pseudo_inverse_of_each_sample() {
    let problem = oscillators(2);
    let at = problem.initial_parameters(8);
    let batch = Batch::new(parts(&problem), &problem.train, &at);
    let rows = batch.physics_rows();
    for cutoff in [1e-9, 0.3] {
        let found = physics_correction(&batch, cutoff).unwrap();
        for s in 0..7 {
            let own = Mat::from_fn(4, 24, |i, j| rows[(i * 7 + s, j)]);
            let target = &problem.train.target;
            let wanted: Vec<f64> = (0..4).map(|i| target[(s, i)] - batch.y()[(s, i)]).collect();
            let expected =
                reference_direction(
                    &own,
                    &wanted,
                    |s, top| {
                        if s > cutoff * top { 1.0 / s } else { 0.0 }
                    },
                );
            let found: Vec<f64> = (0..24).map(|j| found[(s, j)]).collect();
            assert!(relative(&found, &expected) <= 1e-10, "cutoff {cutoff}");
        }
    }
}

#[test]
fn scale_invariant_training_is_adam_on_the_distance_to_the_corrected_controls() {
    for problem in [oscillators(2), small_problems(Activation::Tanh).remove(0).1] {
        let at = problem.initial_parameters(8);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let goal = batch.control() + physics_correction(&batch, 1e-5).unwrap();
        let samples = problem.train.len() as f64;
        let slopes = difference_jacobian(&at, 1e-5, |moved| {
            let u = parts(&problem)
                .network
                .predict(moved, problem.train.input.as_ref());
            let squares = entries(&u).into_iter().zip(entries(&goal));
            let sum: f64 = squares.map(|(a, b)| (a - b).powi(2)).sum();
            vec![0.5 * sum / samples]
        });
        let expected: Vec<f64> = entries(&slopes)
            .iter()
            .map(|g| -0.1 * g / (g.abs() + 1e-8))
            .collect();
        let mut step = ScaleInvariant::default().start().unwrap();
        let found = update(step.as_mut(), &problem, &at, 0.1);
        assert!(relative(&found, &expected) <= 1e-4);
    }
}

#[test]
fn the_proxy_loss_of_scale_invariant_training_is_a_mean_over_samples() {
    // Only a gradient as small as Adam's ε shows its own size.
    let mut problem = Toy {
        samples: 9,
        ..Toy::default()
    }
    .problem(6);
    let at = problem.initial_parameters(6);
    let y = problem.objective.outputs(&at, &problem.train).unwrap();
    problem.train.target = {
        let direction = normal(9, 2, 7);
        Mat::from_fn(9, 2, |i, j| y[(i, j)] + 1e-8 * direction[(i, j)])
    };
    let batch = Batch::new(parts(&problem), &problem.train, &at);
    let moved = entries(&(&y - &problem.train.target));
    let expected: Vec<f64> = times(&transpose(&batch.jacobian()), &moved)
        .iter()
        .map(|sum| sum / 9.0)
        .map(|g| -0.1 * g / (g.abs() + 1e-8))
        .collect();
    let mut step = ScaleInvariant::default().start().unwrap();
    assert!(relative(&update(step.as_mut(), &problem, &at, 0.1), &expected) <= 1e-6);
}

#[test]
fn the_scale_of_the_physics_does_not_reach_scale_invariant_training() {
    let problem = |lambda: f64| {
        let mut problem = Toy {
            lambda,
            samples: 9,
            ..Toy::default()
        }
        .problem(6);
        for i in 0..9 {
            problem.train.target[(i, 1)] *= lambda;
        }
        problem
    };
    let at = problem(1.0).initial_parameters(6);
    let [a, b] = [1.0, 0.01].map(|lambda| {
        let mut step = ScaleInvariant::default().start().unwrap();
        update(step.as_mut(), &problem(lambda), &at, 0.1)
    });
    assert!(relative(&a, &b) <= 1e-6);
}

/// Sizes that keep every system small.
const SMALL: [(&str, &str); 7] = [
    ("samples", "24"),
    ("test_samples", "4"),
    ("hidden", "8,8"),
    ("steps", "12"),
    ("grid", "4"),
    ("points", "7"),
    ("length", "6"),
];

#[test]
fn every_method_decreases_the_loss_of_every_system() {
    for system in systems() {
        let mut system = system.boxed();
        for (name, value) in SMALL {
            if system.has(name) {
                system.set(name, value).unwrap();
            }
        }
        let fields = [
            "heat-inversion-2d",
            "ks-correction",
            "fluid-control",
            "wake-flow-correction",
        ];
        if fields.contains(&system.name()) {
            // All states or all cells are rows.
            common::quick_fields(system.as_mut());
            system.set("channels", "2").unwrap();
        }
        let problem = system.problem(1);
        for mut method in methods() {
            let compared = system.comparison();
            if method.name() == "sip" && compared.iter().all(|(name, _)| *name != "sip") {
                // It descends on the distance of the controls, which is another function.
                continue;
            }
            method.set("learning_rate", "1e-4").unwrap();
            if method.has("cutoff") {
                // Singular values near 0 would make even these steps of Gauss-Newton long.
                method.set("cutoff", "1e-2").unwrap();
            }
            let training = Training {
                batch: problem.train.len(),
                ..Training::default()
            };
            let start = problem.initial_parameters(1);
            let before = loss_of(&problem, &start, &problem.train);
            let budget = Budget::updates(50);
            let outcome = train(
                &problem,
                method.as_ref(),
                start,
                &training,
                budget,
                1,
                &mut [],
            )
            .unwrap();
            assert!(
                matches!(outcome.stop, Stop::Budget),
                "{}: {}",
                method.name(),
                outcome.stop
            );
            assert!(
                outcome.train_loss < before,
                "{} {}: {before} to {}",
                system.name(),
                method.name(),
                outcome.train_loss
            );
        }
    }
}

#[test]
fn training_on_a_linear_problem_contracts_each_mode_by_its_singular_value_to_the_power() {
    // J is constant: the residual's part along u_k shrinks by 1 - η·(2/b)·σ^(1-κ) an update.
    let samples = 10;
    let problem = LinearOscillators {
        masses: 1,
        samples,
        test_samples: 1,
        network: MlpSettings::tanh(vec![]),
        ..LinearOscillators::default()
    }
    .problem(4);
    let start = problem.initial_parameters(4);
    let batch = Batch::new(parts(&problem), &problem.train, &start);
    let (u, sigma, _) = jacobi_svd(&batch.jacobian());
    let scale = samples as f64 / 2.0;
    let residual: Vec<f64> = batch.cotangent().iter().map(|g| scale * g).collect();
    let top = sigma.iter().fold(0.0_f64, |a, b| a.max(*b));
    for exponent in [0.0, 0.5, 1.0] {
        let (count, rate) = (30, 0.1 * scale / top.powf(1.0 - exponent));
        let mut expected = dot(&residual, &residual);
        for (k, s) in sigma.iter().enumerate().filter(|(_, s)| **s > 1e-6 * top) {
            let part = dot(u.col_as_slice(k), &residual).powi(2);
            let left = 1.0 - rate / scale * s.powf(1.0 - exponent);
            expected -= part * (1.0 - left.powi(2 * count));
        }
        expected /= samples as f64;
        let method = Spectral {
            exponent,
            ..Spectral::default()
        };
        let (mut step, mut at) = (method.start().unwrap(), start.clone());
        for _ in 0..count {
            advance(step.as_mut(), &problem, &mut at, rate);
        }
        let found = loss_of(&problem, &at, &problem.train);
        assert!(
            (found / expected - 1.0).abs() <= 1e-6,
            "exponent {exponent}: {found} for {expected}"
        );
    }
}

#[test]
fn methods_that_are_copied_keep_their_settings() {
    for mut method in methods() {
        method.set("learning_rate", "0.125").unwrap();
        assert_eq!(method.boxed().settings(), method.settings());
        assert_eq!(method.learning_rate(), 0.125);
    }
}
