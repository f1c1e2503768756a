//! The step that searches the spectral family.

mod common;

use common::*;
use hig::linalg::{Mat, MatRef};
use hig::loss::SquaredError;
use hig::network::{Activation, Initializer, Network};
use hig::objective::Consumes;
use hig::physics::{Differentiated, Real, Record, SampleFunction, Simulator, Widths};
use hig::spectral::{Decomposition, Filter, Route, Treatment};
use hig::step::{AdaptiveHalfInverse, Method, Step};
use hig::step::{Update, method};
use hig::systems::{HeatInversion, LinearOscillators, MlpSettings, System, Toy};
use hig::trainer::{Budget, Outcome, Training, train};
use hig::{Dataset, Problem, Result};

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

fn loss(problem: &Problem, at: &[f64]) -> f64 {
    loss_of(problem, at, &problem.train)
}

fn diagnostic(update: &Update, name: &str) -> f64 {
    let found = update.diagnostics.iter().find(|(n, _)| *n == name);
    found.unwrap_or_else(|| panic!("no {name}")).1
}

fn trained(problem: &Problem, method: &dyn Method, batch: usize, budget: Budget) -> Outcome {
    let training = Training {
        batch,
        ..Training::default()
    };
    let start = problem.initial_parameters(0);
    train(problem, method, start, &training, budget, 0, &mut []).unwrap()
}

#[test]
fn the_model_along_a_direction_is_that_of_the_products_with_the_jacobian() {
    for (samples, route) in [(8, Route::Gram), (40, Route::Normal), (8, Route::Svd)] {
        let problem = Toy {
            samples,
            ..Toy::default()
        }
        .problem(0);
        let at = problem.initial_parameters(0);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let filter = Filter {
            exponent: 0.3,
            treatment: Treatment::Damp { damping: 1e-4 },
        };
        let g = batch.cotangent();
        let parts = Decomposition::of(&*batch, g, &filter, route, 1e-9).unwrap();
        let direction = parts.direction(&filter).unwrap();
        let image = batch.jvp(&direction);
        let (length, decrease) = parts.line_minimum(&filter);
        let (slope, square) = (dot(g, &image), dot(&image, &image));
        assert!((length / (slope / square) - 1.0).abs() <= 1e-9, "{route}");
        assert!(
            (decrease / (0.5 * slope * slope / square) - 1.0).abs() <= 1e-9,
            "{route}"
        );
    }
}

#[test]
fn linear_least_squares_are_solved_in_a_few_updates() {
    let (problem, _, optimum) = quadratic(0.1, 1.7);
    let mut step = AdaptiveHalfInverse::default().start().unwrap();
    let mut at = vec![0.4, -1.0, 0.2, 2.0];
    for _ in 0..20 {
        advance(step.as_mut(), &problem, &mut at);
    }
    assert!(relative(&at, &optimum) <= 1e-8, "{at:?} for {optimum:?}");
}

#[test]
fn the_loss_of_a_batch_that_comes_again_falls_with_every_step() {
    let problem = Toy {
        lambda: 0.1,
        samples: 64,
        ..Toy::default()
    }
    .problem(1);
    for momentum in [0.0, 0.9] {
        let settings = AdaptiveHalfInverse {
            momentum,
            ..AdaptiveHalfInverse::default()
        };
        let mut step = settings.start().unwrap();
        let mut at = problem.initial_parameters(1);
        // The first update does not know yet that its batch comes again.
        advance(step.as_mut(), &problem, &mut at);
        let mut last = loss(&problem, &at);
        for _ in 0..60 {
            let done = advance(step.as_mut(), &problem, &mut at);
            let now = loss(&problem, &at);
            assert_eq!(diagnostic(&done, "averaged"), 1.0);
            match diagnostic(&done, "step_length") > 0.0 {
                true => assert!(now < last, "{last:e} to {now:e}"),
                false => assert_eq!(now, last),
            }
            last = now;
        }
    }
}

#[test]
fn paths_bend_where_a_batch_comes_again_and_are_straight_where_batches_change() {
    let problem = Toy::default().problem(0);
    let half = problem.train.len() / 2;
    let halves = [0, half].map(|first| {
        let part: Vec<usize> = (first..first + half).collect();
        problem.train.select(&part)
    });
    for (changes, bends) in [(false, true), (true, false)] {
        let mut step = AdaptiveHalfInverse::default().start().unwrap();
        let mut at = problem.initial_parameters(0);
        let mut bent = 0;
        for k in 0..6 {
            let batch = Batch::new(
                parts(&problem),
                &halves[usize::from(changes) * (k % 2)],
                &at,
            );
            let done = step.step(&*batch, 1.0).unwrap();
            bent += usize::from(diagnostic(&done, "acceleration") > 0.0);
            assert!(k > 0 || bent == 0, "the first batch has come once");
            at.iter_mut().zip(&done.delta).for_each(|(p, d)| *p += d);
        }
        assert_eq!(bent > 2, bends, "{bent} of 6");
        assert!(bends || bent == 0);
    }
}

#[test]
fn no_candidate_that_is_not_finite_is_accepted() {
    let (problem, mut at) = cliff();
    let mut step = AdaptiveHalfInverse::default().start().unwrap();
    for _ in 0..60 {
        advance(step.as_mut(), &problem, &mut at);
        assert!(loss(&problem, &at).is_finite());
    }
    assert!((at[1] / (-5.0_f64).exp() - 1.0).abs() <= 1e-6);
}

#[test]
fn at_an_optimum_and_without_a_jacobian_it_stays() {
    let (mut problem, at) = cliff();
    problem.train.target = Mat::zeros(2, 1);
    let mut step = AdaptiveHalfInverse::default().start().unwrap();
    for _ in 0..3 {
        assert_eq!(update(step.as_mut(), &problem, &at).delta, [0.0, 0.0]);
    }
    // Dead units: K = 0, g is not.
    let mut problem = Toy {
        network: MlpSettings::new(vec![7], Activation::Relu),
        samples: 4,
        ..Toy::default()
    }
    .problem(0);
    parts_mut(&mut problem).physics = Box::new(Differentiated(Nothing));
    let at = problem.initial_parameters(0);
    let delta = update(step.as_mut(), &problem, &at).delta;
    assert!(delta.iter().all(|d| *d == 0.0));
}

/// y = 0 whatever the control.
struct Nothing;

impl SampleFunction for Nothing {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 2,
            output: 2,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], control: &[T], y: &mut [T]) {
        y[0] = control[0] * 0.0;
        y[1] = control[1] * 0.0;
    }
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    let problem = LinearOscillators {
        samples: 256,
        test_samples: 8,
        ..LinearOscillators::default()
    }
    .problem(0);
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let work = || {
            let method = AdaptiveHalfInverse::default();
            trained(&problem, &method, 32, Budget::updates(12)).parameters
        };
        bits(&pool.build().unwrap().install(work))
    };
    assert_eq!(on(1), on(2));
}

#[test]
fn it_never_diverges_on_the_toy() {
    for lambda in [1.0, 0.01] {
        for seed in 0..6 {
            let problem = Toy {
                lambda,
                samples: 64,
                ..Toy::default()
            }
            .problem(seed);
            let start = loss(&problem, &problem.initial_parameters(0));
            for batch in [64, 16] {
                let method = AdaptiveHalfInverse::default();
                let outcome = trained(&problem, &method, batch, Budget::updates(300));
                assert_eq!(outcome.updates, 300);
                assert!(outcome.train_loss < 0.5 * start, "{lambda} {seed} {batch}");
            }
        }
    }
}

/// y = u = W·x + b.
fn line(input: Vec<f64>, target: Vec<f64>) -> (Problem, Vec<f64>) {
    let column = |values: &[f64]| Mat::from_fn(values.len(), 1, |i, _| values[i]);
    let data = Dataset {
        state: column(&input),
        input: column(&input),
        target: column(&target),
    };
    let network = Network::mlp(&[1, 1], Activation::Identity, Initializer::Glorot);
    let physics = Differentiated(Itself);
    let problem = Problem::new(data.clone(), data, network, physics, SquaredError::sum());
    (problem, vec![0.3, 0.0])
}

/// y = u.
struct Itself;

impl SampleFunction for Itself {
    fn widths(&self) -> Widths {
        Widths {
            state: 1,
            control: 1,
            output: 1,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], control: &[T], y: &mut [T]) {
        y[0] = control[0];
    }
}

#[test]
fn what_a_new_batch_finds_far_worse_is_taken_back() {
    let mut step = AdaptiveHalfInverse::default().start().unwrap();
    let (near, start) = line(vec![1.0], vec![0.31]);
    let mut at = start.clone();
    advance(step.as_mut(), &near, &mut at);
    assert!(at != start);
    // A thousand times as far out, where the start was right.
    let (far, _) = line(vec![1e3], vec![300.0]);
    let before = loss(&far, &start);
    assert!(loss(&far, &at) > 1.0);
    advance(step.as_mut(), &far, &mut at);
    assert!(loss(&far, &at) <= before);
    // With given parameters that it did not lead to, nothing is taken back.
    let mut elsewhere = vec![0.1, 0.1];
    let found = loss(&near, &elsewhere);
    advance(step.as_mut(), &near, &mut elsewhere);
    assert!(loss(&near, &elsewhere) < found);
}

/// y = u + sin(60·u)/4: sixteen waves in the way that the slope of one promises.
struct Waves;

impl SampleFunction for Waves {
    fn widths(&self) -> Widths {
        Itself.widths()
    }

    fn evaluate<T: Real>(&self, _: &[f64], control: &[T], y: &mut [T]) {
        y[0] = control[0] + (control[0] * 60.0).sin() * 0.25;
    }
}

#[test]
fn a_loss_that_rises_and_falls_along_every_step_does_not_hold_it() {
    let inputs = (0..32).map(|i| 1.0 + f64::from(i) / 32.0).collect();
    let (mut problem, start) = line(inputs, vec![0.0; 32]);
    parts_mut(&mut problem).physics = Box::new(Differentiated(Waves));
    let reached = |trials: usize| {
        let settings = AdaptiveHalfInverse {
            trials,
            ..AdaptiveHalfInverse::default()
        };
        let mut step = settings.start().unwrap();
        let mut at = vec![3.0, start[1]];
        for _ in 0..100 {
            advance(step.as_mut(), &problem, &mut at);
        }
        loss(&problem, &at)
    };
    // Without a third trial every step is judged.
    let (held, free) = (reached(2), reached(8));
    assert!(free < 0.5 * held, "{free:e} and {held:e}");
}

/// y = u, with the derivative of -u: every step leads up.
struct Upwards;

/// The outputs of [`Upwards`].
struct Outputs(Mat<f64>);

impl Simulator for Upwards {
    fn widths(&self) -> Widths {
        Itself.widths()
    }

    fn record(&self, _: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        Ok(Box::new(Outputs(control.to_owned())))
    }
}

impl Record for Outputs {
    fn y(&self) -> &Mat<f64> {
        &self.0
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(-cotangent.to_owned())
    }
}

#[test]
fn a_beginning_that_keeps_nothing_of_what_was_promised_is_gone_back_on() {
    let inputs: Vec<f64> = (0..8).map(|i| 1.0 + f64::from(i) / 8.0).collect();
    let batch = |k: i32| line(inputs.clone(), vec![0.1 * f64::from(k % 3); 8]).0;
    let mut step = AdaptiveHalfInverse::default().start().unwrap();
    let mut at = vec![3.0, 0.0];
    for k in 0..2 {
        advance(step.as_mut(), &batch(k), &mut at);
    }
    let learned = at[0];
    assert!(learned.abs() < 1.0, "{at:?}");
    let (mut returns, mut before) = (Vec::new(), learned);
    for k in 0..40 {
        let mut problem = batch(k);
        parts_mut(&mut problem).physics = Box::new(Upwards);
        advance(step.as_mut(), &problem, &mut at);
        if (at[0] - 3.0).abs() < 0.5 && (before - 3.0).abs() > 1.0 {
            returns.push(k);
        }
        before = at[0];
    }
    assert_eq!(returns.len(), 1, "{returns:?}");
    assert!((8..40).contains(&returns[0]), "{returns:?}");
}

#[test]
fn batches_that_contradict_each_other_are_averaged() {
    // Two samples of the same input: either alone is fitted outright, the best lies between them.
    let (low, start) = line(vec![1.0], vec![0.0]);
    let (high, _) = line(vec![1.0], vec![1.0]);
    let mut step = AdaptiveHalfInverse::default().start().unwrap();
    let mut at = start;
    let mut averaged = Vec::new();
    for _ in 0..40 {
        for batch in [&low, &high] {
            let update = advance(step.as_mut(), batch, &mut at);
            averaged.push(diagnostic(&update, "averaged"));
        }
    }
    let both = loss(&low, &at) + loss(&high, &at);
    // Now and then a span is given up for another one.
    let often = averaged.iter().filter(|span| **span > 1.0).count();
    assert!(2 * often > averaged.len(), "{averaged:?}");
    assert!(both < 0.6, "{both}: a fit of either is 1, the best is 0.5");
}

#[test]
fn after_equal_updates_it_is_below_plain_half_inverse_gradients() {
    for seed in 0..2 {
        let problem = LinearOscillators {
            samples: 512,
            test_samples: 64,
            ..LinearOscillators::default()
        }
        .problem(seed);
        let [adaptive, plain] = ["adaptive-hig", "hig"].map(|name| {
            let method = method(name).unwrap();
            trained(&problem, method.as_ref(), 32, Budget::updates(64)).test_loss
        });
        assert!(adaptive < 0.1 * plain, "{adaptive:e} and {plain:e}");
    }
}

#[test]
fn it_does_not_run_away_where_a_batch_says_little_of_the_others() {
    // With full steps the sum of updates that each fit their batch ends at 5 to 1e9 here.
    for seed in [40, 41] {
        let problem = HeatInversion::default().problem(seed);
        let start = loss(&problem, &problem.initial_parameters(0));
        for (batch, updates) in [(1, 1500), (2, 800), (4, 400)] {
            let method = AdaptiveHalfInverse::default();
            let end = trained(&problem, &method, batch, Budget::updates(updates)).train_loss;
            assert!(end < 0.05 * start, "batch {batch}: from {start} to {end}");
        }
    }
}

#[test]
fn a_large_batch_is_left_to_lanczos() {
    let method = AdaptiveHalfInverse::default();
    let consumed = |n, p| method.consumes(n, p, usize::MAX);
    assert_eq!(consumed(100, 200), Consumes::Gram);
    let vectors = Consumes::VECTORS;
    assert_eq!(consumed(20_000, 30_000), Consumes::Products { vectors });
}

#[test]
fn settings_out_of_range_are_refused() {
    for (setting, bad) in [
        ("learning_rate", "0"),
        ("exponent", "-0.1"),
        ("exponent", "1.1"),
        ("damping", "0"),
        ("damping", "2"),
        ("least_damping", "0"),
        ("momentum", "1"),
        ("trials", "0"),
        ("accuracy", "0"),
        ("tolerance", "NaN"),
    ] {
        let mut method = method("adaptive-hig").unwrap();
        assert_message(method.set(setting, bad), &[setting]);
    }
    let method = AdaptiveHalfInverse {
        damping: f64::NAN,
        ..AdaptiveHalfInverse::default()
    };
    assert_message(method.start().map(|_| ()), &["damping"]);
}
