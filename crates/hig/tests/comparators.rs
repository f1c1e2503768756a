//! The optimizers that the spectral family is compared with, against closed forms.

mod common;

use common::*;
use hig::data::Dataset;
use hig::linalg::Mat;
use hig::loss::{Loss, SquaredError};
use hig::network::{Activation, Initializer, Network};
use hig::objective::{Consumes, Linearized, Reduction};
use hig::physics::{Differentiated, Real, SampleFunction, Widths};
use hig::spectral::{DecompositionSettings, Route};
use hig::step::{
    AdaGrad, Adadelta, GaussNewtonLineSearch, Lbfgs, LevenbergMarquardt, Method, PrimeSr, RmsProp,
    Sgd, Spring, Step, Update, method,
};
use hig::systems::{MlpSettings, System, Toy, systems};
use hig::trainer::{Budget, Stop, Training, train};
use hig::{Problem, Result};

const NAMES: [&str; 10] = [
    "momentum",
    "adagrad",
    "adadelta",
    "rmsprop",
    "soap",
    "lbfgs",
    "lm",
    "gn-line-search",
    "spring",
    "prime-sr",
];

/// The update for all training samples at once.
fn update(step: &mut dyn Step, problem: &Problem, at: &[f64]) -> Update {
    let batch = Batch::new(parts(problem), &problem.train, at);
    step.step(&*batch, 1.0).unwrap()
}

fn advance(step: &mut dyn Step, problem: &Problem, at: &mut [f64]) -> Update {
    let update = update(step, problem, at);
    for (p, d) in at.iter_mut().zip(&update.delta) {
        *p += d;
    }
    update
}

fn gradient(problem: &Problem, at: &[f64]) -> Vec<f64> {
    Batch::new(parts(problem), &problem.train, at).gradient()
}

fn loss(problem: &Problem, at: &[f64]) -> f64 {
    loss_of(problem, at, &problem.train)
}

fn diagnostic(update: &Update, name: &str) -> f64 {
    let found = update.diagnostics.iter().find(|(n, _)| *n == name);
    found.unwrap_or_else(|| panic!("no {name}")).1
}

/// Gradients and updates, axis by axis, of a few updates at η = 1 on a quadratic.
fn follow(method: &dyn Method) -> Vec<Vec<(f64, f64)>> {
    let (problem, ..) = quadratic(0.2, 1.7);
    let (mut step, mut at) = (method.start().unwrap(), vec![0.4, -1.0, 0.2, 2.0]);
    let mut axes = vec![Vec::new(); 4];
    for _ in 0..5 {
        let g = gradient(&problem, &at);
        let delta = advance(step.as_mut(), &problem, &mut at).delta;
        for i in 0..4 {
            axes[i].push((g[i], delta[i]));
        }
    }
    axes
}

fn assert_close(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() <= 1e-12 * expected.abs(),
        "{found} for {expected}"
    );
}

#[test]
fn adagrad_divides_by_the_root_of_the_sum_of_squared_gradients() {
    let method = AdaGrad {
        epsilon: 0.3,
        ..AdaGrad::default()
    };
    for axis in follow(&method) {
        for (k, (g, delta)) in axis.iter().enumerate() {
            let squares: f64 = axis[..=k].iter().map(|(g, _)| g * g).sum();
            assert_close(*delta, -g / (squares.sqrt() + 0.3));
        }
    }
}

#[test]
fn rmsprop_divides_by_the_root_of_the_decaying_mean_of_squared_gradients() {
    let method = RmsProp {
        epsilon: 0.3,
        ..RmsProp::default()
    };
    for axis in follow(&method) {
        for (k, (g, delta)) in axis.iter().enumerate() {
            let parts = axis[..=k].iter().rev().enumerate();
            let mean: f64 = parts
                .map(|(age, (g, _))| 0.1 * 0.9_f64.powi(age as i32) * g * g)
                .sum();
            assert_close(*delta, -g / (mean.sqrt() + 0.3));
        }
    }
}

#[test]
fn adadelta_multiplies_by_the_ratio_of_the_roots_of_both_means() {
    let epsilon = 1e-6_f64;
    for axis in follow(&Adadelta::default()) {
        let [(g1, d1), (g2, d2), (g3, d3), ..] = axis[..] else {
            panic!("too few updates")
        };
        assert_close(d1, -g1 * (epsilon / (0.05 * g1 * g1 + epsilon)).sqrt());
        let gradients = 0.95 * 0.05 * g1 * g1 + 0.05 * g2 * g2;
        let steps = 0.05 * d1 * d1;
        assert_close(d2, -g2 * ((steps + epsilon) / (gradients + epsilon)).sqrt());
        let gradients = 0.95 * gradients + 0.05 * g3 * g3;
        let steps = 0.95 * steps + 0.05 * d2 * d2;
        assert_close(d3, -g3 * ((steps + epsilon) / (gradients + epsilon)).sqrt());
    }
}

#[test]
fn the_means_of_adadelta_do_not_see_its_learning_rate() {
    let (problem, ..) = quadratic(0.2, 1.7);
    let at = [0.4, -1.0, 0.2, 2.0];
    let [slow, full] = [0.1, 1.0].map(|rate| {
        let mut step = Adadelta::default().start().unwrap();
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        step.step(&*batch, rate).unwrap();
        step.step(&*batch, rate).unwrap().delta
    });
    let scaled: Vec<f64> = full.iter().map(|d| 0.1 * d).collect();
    assert!(relative(&slow, &scaled) <= 1e-15);
}

#[test]
fn momentum_adds_nine_tenths_of_the_last_update() {
    assert_eq!(Sgd::with_momentum().name(), "momentum");
    assert_eq!(Sgd::default().name(), "sgd");
    for axis in follow(method("momentum").unwrap().as_ref()) {
        let mut last = 0.0;
        for (g, delta) in axis {
            assert_close(delta, 0.9 * last - g);
            last = delta;
        }
    }
}

/// y = M·u, with an M that couples and scales the controls.
struct Mix;

impl SampleFunction for Mix {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 3,
            output: 3,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        y[0] = u[0] + u[1] * 0.3;
        y[1] = u[1] * 0.7 - u[2] * 0.2;
        y[2] = u[2] * 1.4 + u[0] * 0.1;
    }
}

/// Linear least squares with 15 parameters, 3 × `samples` residuals that no parameters bring to 0,
/// and its solution by the normal equations.
fn least_squares(samples: usize, loss: SquaredError) -> (Problem, Vec<f64>) {
    let targets = normal(samples, 3, 12);
    let data = || Dataset {
        input: normal(samples, 4, 11),
        state: Mat::zeros(samples, 0),
        target: targets.clone(),
    };
    let network = Network::mlp(&[4, 3], Activation::Tanh, Initializer::Glorot);
    let problem = Problem::new(data(), data(), network, Differentiated(Mix), loss);
    let start = vec![0.0; problem.parameter_count()];
    let (hessian, gradient) = gauss_newton(&problem, &start);
    let solution = solve(&hessian, &gradient).iter().map(|x| -x).collect();
    (problem, solution)
}

/// JᵀCJ from the dense J, with C from differences of the loss's own gradient, and Jᵀg.
fn gauss_newton(problem: &Problem, at: &[f64]) -> (Mat<f64>, Vec<f64>) {
    let batch = Batch::new(parts(problem), &problem.train, at);
    let (j, y, target) = (batch.jacobian(), batch.y(), &problem.train.target);
    let loss = &parts(problem).loss;
    let slope = |y: &Mat<f64>| loss.cotangents(y.as_ref(), target.as_ref());
    let ones = Mat::full(y.nrows(), y.ncols(), 1.0);
    let of_samples = slope(&(y + &ones)) - slope(y);
    let weight = match parts(problem).reduction {
        Reduction::Mean => 1.0 / y.nrows() as f64,
        Reduction::Sum => 1.0,
    };
    let c = entries(&(faer::Scale(weight) * of_samples));
    let scaled = Mat::from_fn(j.nrows(), j.ncols(), |r, k| c[r] * j[(r, k)]);
    (multiply(&transpose(&j), &scaled), batch.gradient())
}

fn losses() -> [SquaredError; 3] {
    let weighted = SquaredError::half().weighted(vec![2.0, 0.5, 7.0]);
    [SquaredError::sum(), SquaredError::half(), weighted.unwrap()]
}

#[test]
fn the_curvature_of_a_loss_is_the_difference_of_its_gradients() {
    let (y, target) = (normal(5, 3, 1), normal(5, 3, 2));
    let ones = Mat::full(5, 3, 1.0);
    for loss in losses() {
        let slope = |y: &Mat<f64>| loss.cotangents(y.as_ref(), target.as_ref());
        let expected = slope(&(&y + &ones)) - slope(&y);
        let found = loss.curvature(y.as_ref(), target.as_ref());
        assert!(relative_matrix(&found, &expected) <= 1e-14);
    }
}

#[test]
fn lbfgs_reaches_the_solution_of_the_normal_equations() {
    // The weights make the last problem much worse conditioned than the others.
    for (loss, updates) in losses().into_iter().zip([30, 30, 130]) {
        let (problem, solution) = least_squares(40, loss);
        let mut at = problem.initial_parameters(1);
        let mut step = Lbfgs::default().start().unwrap();
        for _ in 0..updates {
            advance(step.as_mut(), &problem, &mut at);
        }
        let error = relative(&at, &solution);
        assert!(error <= 1e-8, "{error:e}");
    }
}

/// H·g from the textbook's matrix recursion H ← (1 - ρsyᵀ)·H·(1 - ρysᵀ) + ρssᵀ.
fn bfgs(pairs: &[(Vec<f64>, Vec<f64>)], g: &[f64]) -> Vec<f64> {
    let p = g.len();
    let (s, y) = pairs.last().unwrap();
    let scale = dot(s, y) / dot(y, y);
    let mut h = Mat::from_fn(p, p, |i, j| if i == j { scale } else { 0.0 });
    for (s, y) in pairs {
        let rho = 1.0 / dot(s, y);
        let left = Mat::from_fn(p, p, |i, j| f64::from(i == j) - rho * s[i] * y[j]);
        let middle = multiply(&multiply(&left, &h), &transpose(&left));
        h = Mat::from_fn(p, p, |i, j| middle[(i, j)] + rho * s[i] * s[j]);
    }
    times(&h, g)
}

#[test]
fn lbfgs_steps_along_the_direction_of_the_explicit_bfgs_matrix() {
    let problem = Toy {
        samples: 11,
        network: MlpSettings::tanh(vec![3]),
        ..Toy::default()
    }
    .problem(2);
    for history in [1, 3, 10] {
        let settings = Lbfgs {
            history,
            ..Lbfgs::default()
        };
        let (mut step, mut pairs) = (settings.start().unwrap(), Vec::new());
        let mut at = problem.initial_parameters(2);
        for _ in 0..8 {
            let before = gradient(&problem, &at);
            let done = advance(step.as_mut(), &problem, &mut at);
            let length = diagnostic(&done, "step_length");
            let kept = &pairs[pairs.len().saturating_sub(history)..];
            let direction = match kept {
                [] => before.clone(),
                kept => bfgs(kept, &before),
            };
            let expected: Vec<f64> = direction.iter().map(|d| -length * d).collect();
            let error = relative(&done.delta, &expected);
            assert!(
                length > 0.0 && error <= 1e-9,
                "history {history}: {error:e}"
            );
            let after = gradient(&problem, &at);
            let change: Vec<f64> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
            assert!(dot(&done.delta, &change) > 0.0);
            pairs.push((done.delta, change));
        }
    }
}

#[test]
fn lbfgs_steps_meet_the_wolfe_conditions() {
    let problem = Toy {
        lambda: 0.1,
        samples: 30,
        ..Toy::default()
    }
    .problem(5);
    let mut step = Lbfgs::default().start().unwrap();
    let mut at = problem.initial_parameters(5);
    for _ in 0..60 {
        let (before, slope) = (loss(&problem, &at), gradient(&problem, &at));
        let delta = advance(step.as_mut(), &problem, &mut at).delta;
        let slope = dot(&slope, &delta);
        assert!(slope < 0.0);
        assert!(loss(&problem, &at) <= before + 1e-4 * slope + 1e-14 * before);
        assert!(dot(&gradient(&problem, &at), &delta) >= 0.9 * slope);
    }
}

#[test]
fn a_full_undamped_levenberg_marquardt_step_solves_a_linear_problem() {
    // 3·4 = 12 residuals are fewer than the 15 parameters, 3·40 are more.
    for (samples, loss_of) in [4, 40].into_iter().flat_map(|s| losses().map(|l| (s, l))) {
        let (mut problem, _) = least_squares(samples, loss_of);
        if samples == 4 {
            parts_mut(&mut problem).reduction = Reduction::Sum;
        }
        let settings = LevenbergMarquardt {
            damping: 1e-14,
            ..LevenbergMarquardt::default()
        };
        let mut at = problem.initial_parameters(1);
        let before = gradient(&problem, &at);
        let done = advance(settings.start().unwrap().as_mut(), &problem, &mut at);
        assert!((diagnostic(&done, "gain_ratio") - 1.0).abs() <= 1e-10);
        let left = gradient(&problem, &at);
        let ratio = (dot(&left, &left) / dot(&before, &before)).sqrt();
        assert!(ratio <= 1e-9, "{samples} samples: {ratio:e}");
    }
    for loss_of in losses() {
        let (problem, solution) = least_squares(40, loss_of);
        let mut at = problem.initial_parameters(1);
        let mut step = LevenbergMarquardt::default().start().unwrap();
        for _ in 0..6 {
            advance(step.as_mut(), &problem, &mut at);
        }
        assert!(relative(&at, &solution) <= 1e-8);
    }
}

#[test]
fn levenberg_marquardt_solves_the_damped_normal_equations() {
    let fraction = 0.03;
    for (_, problem) in small_problems(Activation::Tanh) {
        let at = problem.initial_parameters(3);
        let (mut matrix, g) = gauss_newton(&problem, &at);
        let (_, eigenvalues, _) = jacobi_svd(&matrix);
        let damping = fraction * eigenvalues.iter().fold(0.0_f64, |a, b| a.max(*b));
        let plain = matrix.clone();
        for i in 0..g.len() {
            matrix[(i, i)] += damping;
        }
        let expected: Vec<f64> = solve(&matrix, &g).iter().map(|x| -x).collect();
        for route in [Route::Auto, Route::Gram, Route::Normal, Route::Svd] {
            let settings = LevenbergMarquardt {
                damping: fraction,
                geodesic: false,
                corrections: 0,
                decomposition: DecompositionSettings::by(route),
                ..LevenbergMarquardt::default()
            };
            let mut step = settings.start().unwrap();
            let done = update(step.as_mut(), &problem, &at);
            assert!(relative(&done.delta, &expected) <= 1e-9, "{route:?}");
            assert!((diagnostic(&done, "damping") / damping - 1.0).abs() <= 1e-12);

            // Gain and the next damping, as algorithm 3.16 has them.
            let moved: Vec<f64> = at.iter().zip(&expected).map(|(p, d)| p + d).collect();
            let model = dot(&g, &expected) + 0.5 * dot(&expected, &times(&plain, &expected));
            let gain = (loss(&problem, &at) - loss(&problem, &moved)) / -model;
            assert!((diagnostic(&done, "gain_ratio") / gain - 1.0).abs() <= 1e-7);
            let next = damping * (1.0 - (2.0 * gain - 1.0).powi(3)).max(1.0 / 3.0);
            let again = update(step.as_mut(), &problem, &moved);
            let found = diagnostic(&again, "damping") / next;
            assert!((found - 1.0).abs() <= 1e-6, "{route:?}: {found}");
        }
    }
}

#[test]
fn a_correction_takes_away_what_the_model_did_not_know_of_the_residuals() {
    let mut corrected = 0;
    let fractions = [0.1, 0.03, 1e-2, 3e-3, 1e-3];
    let cases = fractions.map(|f| {
        small_problems(Activation::Tanh)
            .into_iter()
            .map(move |p| (f, p))
    });
    for (fraction, (name, problem)) in cases.into_iter().flatten() {
        let at = problem.initial_parameters(3);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let roots: Vec<f64> = batch.curvature().iter().map(|c| c.sqrt()).collect();
        let (jacobian, here) = (batch.jacobian(), batch.outputs());
        let (mut matrix, g) = gauss_newton(&problem, &at);
        let (_, eigenvalues, _) = jacobi_svd(&matrix);
        let damping = fraction * eigenvalues.iter().fold(0.0_f64, |a, b| a.max(*b));
        for i in 0..g.len() {
            matrix[(i, i)] += damping;
        }
        let straight: Vec<f64> = solve(&matrix, &g).iter().map(|x| -x).collect();
        // What it leads to beside r + A·δ, solved for with the same matrix.
        let moved: Vec<f64> = at.iter().zip(&straight).map(|(p, d)| p + d).collect();
        let there = Batch::new(parts(&problem), &problem.train, &moved).outputs();
        let linear = times(&jacobian, &straight);
        let rest: Vec<f64> = (0..here.len())
            .map(|i| roots[i] * roots[i] * (there[i] - here[i] - linear[i]))
            .collect();
        let right: Vec<f64> = (0..g.len())
            .map(|k| dot(jacobian.col_as_slice(k), &rest))
            .collect();
        let correction = solve(&matrix, &right);
        let expected: Vec<f64> = straight
            .iter()
            .zip(&correction)
            .map(|(s, c)| s - c)
            .collect();
        for route in [Route::Gram, Route::Normal, Route::Svd] {
            let first = |corrections| {
                let settings = LevenbergMarquardt {
                    damping: fraction,
                    trials: 1,
                    geodesic: false,
                    corrections,
                    decomposition: DecompositionSettings::by(route),
                    ..LevenbergMarquardt::default()
                };
                update(settings.start().unwrap().as_mut(), &problem, &at)
            };
            let found = first(1);
            let text = format!("{name:?} {route:?} {fraction}");
            if diagnostic(&found, "corrections") == 1.0 {
                corrected += 1;
                assert!(relative(&found.delta, &expected) <= 1e-7, "{text}");
                let gain = diagnostic(&first(0), "gain_ratio");
                assert!(diagnostic(&found, "gain_ratio") > gain, "{text}");
            }
            // More of them end no higher.
            let gains = [0, 1, 2, 6].map(|most| diagnostic(&first(most), "gain_ratio"));
            assert!(gains.is_sorted(), "{text}: {gains:?}");
        }
    }
    assert!(corrected > 0);
}

#[test]
fn nothing_is_corrected_where_the_model_is_right_or_nothing_solves_for_other_residuals() {
    let (problem, _) = least_squares(40, SquaredError::sum());
    let at = problem.initial_parameters(1);
    let mut step = LevenbergMarquardt::default().start().unwrap();
    let done = update(step.as_mut(), &problem, &at);
    assert_eq!(diagnostic(&done, "corrections"), 0.0);
    for (_, problem) in small_problems(Activation::Tanh) {
        let settings = LevenbergMarquardt {
            decomposition: DecompositionSettings::by(Route::Lanczos),
            ..LevenbergMarquardt::default()
        };
        let at = problem.initial_parameters(3);
        let done = update(settings.start().unwrap().as_mut(), &problem, &at);
        assert_eq!(diagnostic(&done, "corrections"), 0.0);
    }
}

#[test]
fn levenberg_marquardt_is_the_same_in_sample_space_and_in_parameter_space() {
    for samples in [5, 40] {
        let problem = Toy {
            lambda: 0.1,
            samples,
            ..Toy::default()
        }
        .problem(7);
        let paths = [Route::Gram, Route::Normal, Route::Svd].map(|route| {
            let settings = LevenbergMarquardt {
                decomposition: DecompositionSettings {
                    route,
                    accuracy: 1e-10,
                    ..DecompositionSettings::default()
                },
                ..LevenbergMarquardt::default()
            };
            let mut step = settings.start().unwrap();
            let mut at = problem.initial_parameters(7);
            for _ in 0..5 {
                advance(step.as_mut(), &problem, &mut at);
            }
            at
        });
        assert!(relative(&paths[0], &paths[2]) <= 1e-10, "gram, {samples}");
        assert!(relative(&paths[1], &paths[2]) <= 1e-10, "normal, {samples}");
    }
}

#[test]
fn levenberg_marquardt_never_raises_the_loss_of_a_full_batch() {
    for (lambda, rate) in [(1.0, 1.0), (0.01, 1.0), (1.0, 0.3), (1.0, 3.0)] {
        let problem = Toy {
            lambda,
            ..Toy::default()
        }
        .problem(3);
        let mut step = LevenbergMarquardt::default().start().unwrap();
        let mut at = problem.initial_parameters(3);
        let first = loss(&problem, &at);
        let mut before = first;
        for k in 0..200 {
            let batch = Batch::new(parts(&problem), &problem.train, &at);
            let delta = step.step(&*batch, rate).unwrap().delta;
            at = at.iter().zip(delta).map(|(p, d)| p + d).collect();
            let now = loss(&problem, &at);
            assert!(
                now <= before * (1.0 + 1e-13),
                "update {k}: {before} to {now}"
            );
            before = now;
        }
        assert!(before < 0.5 * first, "λ = {lambda}, η = {rate}: {before}");
    }
}

#[test]
fn a_rejected_trial_leaves_the_parameters_and_raises_the_damping() {
    let (problem, at) = cliff();
    let settings = LevenbergMarquardt {
        trials: 1,
        ..LevenbergMarquardt::default()
    };
    let mut step = settings.start().unwrap();
    // One eigenvalue: 2·(∂y/∂u)² = 2.
    let mut dampings = Vec::new();
    loop {
        let done = update(step.as_mut(), &problem, &at);
        if done.delta != [0.0, 0.0] {
            assert_eq!(diagnostic(&done, "damping"), *dampings.last().unwrap());
            break;
        }
        assert_eq!(diagnostic(&done, "gain_ratio"), 0.0);
        dampings.push(diagnostic(&done, "damping"));
    }
    for (k, damping) in dampings.iter().enumerate() {
        assert_close(*damping, 2e-3 * 2.0_f64.powi(k as i32 + 1));
    }
    // 1 - 5 / (1 + μ/2) is above 0 from μ = 8 on, which is the twelfth doubling of 0.002.
    assert_eq!(dampings.len(), 12);

    // Within one update the factor itself doubles: 2·4·8·16·32 = 2^15 is the first above 2^12.
    let mut step = LevenbergMarquardt::default().start().unwrap();
    let done = update(step.as_mut(), &problem, &at);
    assert_close(diagnostic(&done, "damping"), 2e-3 * 2.0_f64.powi(15));
}

#[test]
fn spring_without_momentum_is_the_damped_gauss_newton_step() {
    let fraction = 0.03;
    for (_, problem) in small_problems(Activation::Tanh) {
        let at = problem.initial_parameters(3);
        let (matrix, g) = gauss_newton(&problem, &at);
        let expected = proximal(&matrix, &g, fraction, &vec![0.0; g.len()]);
        for route in [Route::Auto, Route::Gram, Route::Normal, Route::Svd] {
            let settings = Spring {
                damping: fraction,
                momentum: 0.0,
                decomposition: DecompositionSettings::by(route),
                ..unlimited()
            };
            let mut step = settings.start().unwrap();
            // What came before must leave no trace.
            update(step.as_mut(), &problem, &vec![0.1; at.len()]);
            let found = update(step.as_mut(), &problem, &at).delta;
            let expected: Vec<f64> = expected.iter().map(|x| -x).collect();
            assert!(relative(&found, &expected) <= 1e-9, "{route:?}");
        }
    }
}

fn unlimited() -> Spring {
    Spring {
        norm_limit: 1e9,
        geodesic: false,
        ..Spring::default()
    }
}

/// The least |A·φ - r|² + λ·|φ - near|² from AᵀA and Aᵀr, with λ a fraction of the largest eigenvalue.
fn proximal(matrix: &Mat<f64>, g: &[f64], fraction: f64, near: &[f64]) -> Vec<f64> {
    let (_, eigenvalues, _) = jacobi_svd(matrix);
    let damping = fraction * eigenvalues.iter().fold(0.0_f64, |a, b| a.max(*b));
    let mut damped = matrix.clone();
    for i in 0..g.len() {
        damped[(i, i)] += damping;
    }
    let right: Vec<f64> = g.iter().zip(near).map(|(g, n)| g + damping * n).collect();
    solve(&damped, &right)
}

#[test]
fn spring_minimises_the_damped_model_around_a_part_of_its_last_step() {
    let (fraction, momentum, rate) = (0.01, 0.7, 0.3);
    for (_, problem) in small_problems(Activation::Tanh) {
        let settings = Spring {
            damping: fraction,
            momentum,
            ..unlimited()
        };
        let mut step = settings.start().unwrap();
        let mut at = problem.initial_parameters(3);
        let mut phi = vec![0.0; at.len()];
        for k in 0..5 {
            let (matrix, g) = gauss_newton(&problem, &at);
            let near: Vec<f64> = phi.iter().map(|p| momentum * p).collect();
            phi = proximal(&matrix, &g, fraction, &near);
            let batch = Batch::new(parts(&problem), &problem.train, &at);
            let delta = step.step(&*batch, rate).unwrap().delta;
            let expected: Vec<f64> = phi.iter().map(|p| -rate * p).collect();
            assert!(relative(&delta, &expected) <= 1e-8, "update {k}");
            at = at.iter().zip(&delta).map(|(p, d)| p + d).collect();
        }
    }
}

#[test]
fn an_undamped_spring_step_is_the_nearest_to_the_last_that_solves_the_batch() {
    // 3·4 residuals and 15 parameters; the batches have different null spaces.
    for loss_of in losses() {
        let (first, _) = least_squares(4, loss_of.clone());
        let (mut second, _) = least_squares(4, loss_of);
        second.train.input = normal(4, 4, 77);
        let settings = Spring {
            damping: 1e-15,
            momentum: 0.9,
            decomposition: DecompositionSettings::accurate(1e-9),
            ..unlimited()
        };
        let mut step = settings.start().unwrap();
        let at = first.initial_parameters(1);
        let earlier = update(step.as_mut(), &first, &at).delta;
        let delta = update(step.as_mut(), &second, &at).delta;
        let left = gradient(
            &second,
            &at.iter()
                .zip(&delta)
                .map(|(p, d)| p + d)
                .collect::<Vec<f64>>(),
        );
        let before = gradient(&second, &at);
        assert!(dot(&left, &left).sqrt() <= 1e-9 * dot(&before, &before).sqrt());

        // The nearest: the difference has no part in the null space of J.
        let batch = Batch::new(parts(&second), &second.train, &at);
        let (_, sigma, v) = jacobi_svd(&batch.jacobian());
        let top = sigma.iter().fold(0.0_f64, |a, b| a.max(*b));
        let moved: Vec<f64> = delta
            .iter()
            .zip(&earlier)
            .map(|(d, e)| d - 0.9 * e)
            .collect();
        let inside = |vector: &[f64]| -> f64 {
            let rows = (0..sigma.len()).filter(|k| sigma[*k] > 1e-12 * top);
            rows.map(|k| dot(v.col_as_slice(k), vector).powi(2)).sum()
        };
        let outside = |vector: &[f64]| (dot(vector, vector) - inside(vector)).abs();
        assert!(outside(&moved) <= 1e-12 * dot(&moved, &moved));
        assert!(outside(&earlier) >= 1e-2 * dot(&earlier, &earlier));
    }
}

/// The left singular vectors of √C·J of all training samples, the largest singular value first, with these.
fn left_vectors(problem: &Problem, at: &[f64]) -> (Vec<f64>, Vec<Vec<f64>>) {
    let batch = Batch::new(parts(problem), &problem.train, at);
    let (jacobian, curvature) = (batch.jacobian(), batch.curvature());
    let weighted = Mat::from_fn(jacobian.nrows(), jacobian.ncols(), |i, j| {
        curvature[i].sqrt() * jacobian[(i, j)]
    });
    let (u, sigma, _) = jacobi_svd(&weighted);
    let mut order: Vec<usize> = (0..sigma.len()).collect();
    order.sort_by(|i, j| sigma[*j].total_cmp(&sigma[*i]));
    let columns = order.iter().map(|k| u.col_as_slice(*k).to_vec()).collect();
    (order.iter().map(|k| sigma[*k]).collect(), columns)
}

#[test]
fn prime_sr_is_spring_with_the_momentum_of_its_formula() {
    let fraction = 0.01;
    for (_, problem) in small_problems(Activation::Tanh) {
        for route in [Route::Gram, Route::Normal, Route::Svd] {
            let settings = PrimeSr {
                damping: fraction,
                norm_limit: 1e9,
                decomposition: DecompositionSettings::by(route),
                ..PrimeSr::default()
            };
            let mut step = settings.start().unwrap();
            let mut at = problem.initial_parameters(3);
            let mut phi = vec![0.0; at.len()];
            let mut before: Option<Vec<Vec<f64>>> = None;
            for k in 0..4 {
                let (sigma, u) = left_vectors(&problem, &at);
                let n = u[0].len() as f64;
                let squares: Vec<f64> = sigma.iter().map(|s| s * s).collect();
                let some = squares
                    .iter()
                    .filter(|s| **s > n * f64::EPSILON * squares[0]);
                let (sum, fourth, rank) =
                    some.fold((0.0, 0.0, 0.0), |(a, b, r), s| (a + s, b + s * s, r + 1.0));
                let alpha: f64 = sum * sum / fourth;
                let now = u[..alpha.ceil() as usize].to_vec();
                let momentum = before.as_ref().map_or(0.0, |before| {
                    let products = now.iter().flat_map(|u| before.iter().map(|v| dot(u, v)));
                    let least = now.len().min(before.len()) as f64;
                    let overlap = products.map(|p| p * p).sum::<f64>().sqrt() / least.sqrt();
                    1.0 - (1.0 - overlap.sqrt()) * (1.0 - (alpha / rank).powf(0.25))
                });
                let (matrix, g) = gauss_newton(&problem, &at);
                let near: Vec<f64> = phi.iter().map(|p| momentum * p).collect();
                phi = proximal(&matrix, &g, fraction, &near);
                let done = update(step.as_mut(), &problem, &at);
                let expected: Vec<f64> = phi.iter().map(|p| -p).collect();
                let told = diagnostic(&done, "momentum");
                let text = format!("{route:?}, update {k}: {told} for {momentum}");
                assert!((told - momentum).abs() <= 1e-7, "{text}");
                assert_eq!(k > 0, momentum > 0.0, "{text}");
                assert!(relative(&done.delta, &expected) <= 1e-6, "{text}");
                at = at
                    .iter()
                    .zip(&done.delta)
                    .map(|(p, d)| p + 0.1 * d)
                    .collect();
                before = Some(now);
            }
        }
    }
}

#[test]
fn prime_sr_has_no_momentum_where_there_is_no_overlap() {
    let (problem, _) = least_squares(6, SquaredError::sum());
    let (shorter, _) = least_squares(5, SquaredError::sum());
    let at = problem.initial_parameters(1);
    let mut step = PrimeSr::default().start().unwrap();
    let mut momentum = |problem| diagnostic(&update(step.as_mut(), problem, &at), "momentum");
    assert_eq!(momentum(&problem), 0.0);
    // The same rows again: the subspaces are the same.
    assert!((momentum(&problem) - 1.0).abs() < 1e-7);
    assert_eq!(momentum(&shorter), 0.0);
    let lanczos = PrimeSr {
        decomposition: DecompositionSettings::by(Route::Lanczos),
        ..PrimeSr::default()
    };
    let mut step = lanczos.start().unwrap();
    for _ in 0..2 {
        assert_eq!(
            diagnostic(&update(step.as_mut(), &problem, &at), "momentum"),
            0.0
        );
    }
}

#[test]
fn a_spring_step_is_no_longer_than_its_limit() {
    let (problem, _) = least_squares(40, SquaredError::sum());
    let at = problem.initial_parameters(1);
    let full = update(unlimited().start().unwrap().as_mut(), &problem, &at).delta;
    for (scale, limit) in [(1.0, 1e-3), (10.0, 1e-3), (1e-3, 1e-3)] {
        let at: Vec<f64> = at.iter().map(|p| scale * p).collect();
        let settings = Spring {
            norm_limit: limit,
            ..Spring::default()
        };
        let done = update(settings.start().unwrap().as_mut(), &problem, &at);
        let longest = limit * dot(&at, &at).sqrt().max(1.0);
        let ratio = dot(&done.delta, &done.delta).sqrt() / longest;
        assert!((ratio - 1.0).abs() <= 1e-12, "{scale}: {ratio}");
        assert!(diagnostic(&done, "step_length") < 1.0);
        if scale == 1.0 {
            let cosine = dot(&done.delta, &full) / (dot(&full, &full).sqrt() * longest);
            assert!((cosine - 1.0).abs() <= 1e-12);
        }
    }
}

#[test]
fn gauss_newton_with_a_line_search_solves_least_squares_in_one_update() {
    for loss_of in losses() {
        let (problem, solution) = least_squares(40, loss_of);
        for route in [Route::Auto, Route::Gram, Route::Svd] {
            let settings = GaussNewtonLineSearch {
                decomposition: DecompositionSettings::by(route),
                ..GaussNewtonLineSearch::default()
            };
            let mut at = problem.initial_parameters(1);
            let done = advance(settings.start().unwrap().as_mut(), &problem, &mut at);
            assert_eq!(diagnostic(&done, "step_length"), 1.0);
            assert!(relative(&at, &solution) <= 1e-8, "{route:?}");
        }
    }
}

#[test]
fn the_line_search_goes_along_the_truncated_pseudo_inverse() {
    let cutoff = 1e-2;
    for (_, problem) in small_problems(Activation::Tanh) {
        let at = problem.initial_parameters(3);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let (matrix, g) = gauss_newton(&problem, &at);
        // The eigenvalues of AᵀA are σ²: truncated at the square of the cut-off.
        let (_, eigenvalues, v) = jacobi_svd(&matrix);
        let top = eigenvalues.iter().fold(0.0_f64, |a, b| a.max(*b));
        let mut expected = vec![0.0; g.len()];
        for (k, value) in eigenvalues.iter().enumerate() {
            if *value > cutoff * cutoff * top {
                let part = dot(v.col_as_slice(k), &g) / value;
                for (e, v) in expected.iter_mut().zip(v.col_as_slice(k)) {
                    *e -= part * v;
                }
            }
        }
        let settings = GaussNewtonLineSearch {
            cutoff,
            ..GaussNewtonLineSearch::default()
        };
        let done = settings.start().unwrap().step(&*batch, 0.5).unwrap();
        let length = diagnostic(&done, "step_length");
        let expected: Vec<f64> = expected.iter().map(|e| length * e).collect();
        assert!(length > 0.0 && relative(&done.delta, &expected) <= 1e-8);
    }
}

#[test]
fn the_line_search_lowers_the_loss_of_the_batch_by_enough_or_stays() {
    for (lambda, rate) in [(1.0, 1.0), (0.01, 1.0), (0.01, 7.0)] {
        let problem = Toy {
            lambda,
            ..Toy::default()
        }
        .problem(3);
        let mut step = GaussNewtonLineSearch::default().start().unwrap();
        let mut at = problem.initial_parameters(3);
        let first = loss(&problem, &at);
        let mut before = first;
        for k in 0..200 {
            let batch = Batch::new(parts(&problem), &problem.train, &at);
            let done = step.step(&*batch, rate).unwrap();
            let slope = dot(&batch.gradient(), &done.delta);
            at = at.iter().zip(&done.delta).map(|(p, d)| p + d).collect();
            let now = loss(&problem, &at);
            let halvings = (rate / diagnostic(&done, "step_length")).log2();
            assert!(halvings == halvings.round() || slope == 0.0);
            assert!(
                now <= before + 1e-4 * slope,
                "update {k}: {before} to {now}"
            );
            assert!(now < before || slope == 0.0, "update {k}");
            before = now;
        }
        assert!(before < 0.95 * first, "λ = {lambda}, η = {rate}: {before}");
    }
}

#[test]
fn a_line_search_gives_up_after_its_halvings() {
    // From u = 1 the full step leads to u = -4, its eighth is the first above 0.
    let (problem, at) = cliff();
    for (halvings, length) in [(0, 0.0), (2, 0.0), (3, 0.125), (20, 0.125)] {
        let settings = GaussNewtonLineSearch {
            halvings,
            ..GaussNewtonLineSearch::default()
        };
        let done = update(settings.start().unwrap().as_mut(), &problem, &at);
        assert_eq!(diagnostic(&done, "step_length"), length);
        let moved = at[1] + done.delta[1];
        assert!((moved - (1.0 - 5.0 * length)).abs() <= 1e-12);
    }
}

#[test]
fn no_trial_that_is_not_finite_is_accepted() {
    for name in ["lbfgs", "lm", "gn-line-search"] {
        let (problem, mut at) = cliff();
        let mut step = method(name).unwrap().start().unwrap();
        for _ in 0..60 {
            advance(step.as_mut(), &problem, &mut at);
            assert!(loss(&problem, &at).is_finite(), "{name}");
        }
        assert!((at[1] / (-5.0_f64).exp() - 1.0).abs() <= 1e-6, "{name}");
    }
}

#[test]
fn at_an_optimum_the_searching_methods_stay() {
    let (mut problem, at) = cliff();
    problem.train.target = Mat::zeros(2, 1);
    for name in ["lbfgs", "lm", "gn-line-search"] {
        let mut step = method(name).unwrap().start().unwrap();
        for _ in 0..3 {
            let done = update(step.as_mut(), &problem, &at);
            assert_eq!(done.delta, [0.0, 0.0], "{name}");
        }
    }
}

#[test]
fn a_learning_rate_scales_the_step_that_a_line_search_found() {
    let (problem, _) = least_squares(40, SquaredError::sum());
    let at = problem.initial_parameters(1);
    let [part, full] = [0.25, 1.0].map(|rate| {
        let mut step = Lbfgs::default().start().unwrap();
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        step.step(&*batch, rate).unwrap().delta
    });
    let scaled: Vec<f64> = full.iter().map(|d| 0.25 * d).collect();
    assert!(relative(&part, &scaled) <= 1e-15);
}

#[test]
fn comparators_state_what_they_consume() {
    let consumes = |name: &str, n, p| method(name).unwrap().consumes(n, p, usize::MAX);
    for name in &NAMES[..6] {
        assert_eq!(consumes(name, 10, 20), Consumes::Gradient);
    }
    for name in &NAMES[6..] {
        assert_eq!(consumes(name, 10, 20), Consumes::Gram);
        assert_eq!(consumes(name, 20, 10), Consumes::Gram);
    }
}

#[test]
fn comparators_refuse_settings_out_of_range() {
    fn start(method: impl Method) -> Result<()> {
        method.start().map(|_| ())
    }
    for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
        let results = [
            start(Sgd {
                learning_rate: bad,
                ..Sgd::with_momentum()
            }),
            start(AdaGrad {
                learning_rate: bad,
                ..AdaGrad::default()
            }),
            start(Adadelta {
                learning_rate: bad,
                ..Adadelta::default()
            }),
            start(RmsProp {
                learning_rate: bad,
                ..RmsProp::default()
            }),
            start(Lbfgs {
                learning_rate: bad,
                ..Lbfgs::default()
            }),
            start(LevenbergMarquardt {
                learning_rate: bad,
                ..LevenbergMarquardt::default()
            }),
            start(GaussNewtonLineSearch {
                learning_rate: bad,
                ..GaussNewtonLineSearch::default()
            }),
            start(Spring {
                learning_rate: bad,
                ..Spring::default()
            }),
            start(PrimeSr {
                learning_rate: bad,
                ..PrimeSr::default()
            }),
        ];
        for result in results {
            assert_message(result, &["learning_rate", "above 0"]);
        }
    }
    for (name, setting, bad) in [
        ("momentum", "momentum", "1"),
        ("adagrad", "epsilon", "0"),
        ("adadelta", "rho", "1"),
        ("adadelta", "epsilon", "0"),
        ("rmsprop", "decay", "-0.1"),
        ("rmsprop", "epsilon", "0"),
        ("lbfgs", "history", "0"),
        ("lbfgs", "trials", "0"),
        ("lm", "damping", "0"),
        ("lm", "trials", "0"),
        ("lm", "accuracy", "0"),
        ("gn-line-search", "cutoff", "1"),
        ("gn-line-search", "halvings", "-1"),
        ("spring", "damping", "0"),
        ("spring", "momentum", "1"),
        ("spring", "norm_limit", "0"),
        ("prime-sr", "damping", "0"),
        ("prime-sr", "norm_limit", "0"),
    ] {
        let mut method = method(name).unwrap();
        assert_message(method.set(setting, bad), &[setting]);
    }
}

#[test]
fn comparators_lower_the_loss_of_every_system() {
    for mut system in systems() {
        for name in ["samples", "test_samples"] {
            system.set(name, "8").unwrap();
        }
        common::quick_fields(system.as_mut());
        let problem = system.problem(1);
        let training = Training {
            batch: problem.train.len(),
            ..Training::default()
        };
        for name in NAMES {
            let mut method = method(name).unwrap();
            if name == "momentum" {
                // It alone has no idea of the scale of a loss.
                method.set("learning_rate", "1e-6").unwrap();
            }
            if ["spring", "prime-sr"].contains(&name) {
                // They take every step, and almost undamped ones rise and fall on eight samples.
                method.set("damping", "1e-2").unwrap();
            }
            let start = problem.initial_parameters(1);
            let before = loss(&problem, &start);
            let outcome = train(
                &problem,
                method.as_ref(),
                start,
                &training,
                Budget::updates(10),
                1,
                &mut [],
            )
            .unwrap();
            let text = format!(
                "{} {name}: {before} to {}",
                system.name(),
                outcome.train_loss
            );
            assert!(matches!(outcome.stop, Stop::Budget), "{text}");
            assert!(outcome.train_loss < before, "{text}");
        }
    }
}
