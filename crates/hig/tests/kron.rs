//! Half-inverse gradients in Kronecker factors: the factors against J, the step against Newton's, and what
//! must not bring it down.

mod common;

use common::*;
use hig::linalg::{Mat, Scratch};
use hig::loss::SquaredError;
use hig::network::{
    Activation, Boundary, Chain, Conv2d, Dense, Grid, Initializer, LayerMoments, LayerNorm, Moment,
    Moments, Network, Passes, Scale, WIDE,
};
use hig::objective::Linearized;
use hig::physics::{Differentiated, Real, SampleFunction, Widths};
use hig::settings::Settings;
use hig::step::{KroneckerHalfInverse, Method};
use hig::systems::{LinearOscillators, MlpSettings, System};
use hig::trainer::{Budget, Stop, Training, train};
use hig::{Dataset, Problem};

const TANH: Activation = Activation::Tanh;
const GLOROT: Initializer = Initializer::Glorot;

/// Probes whose mean square over all of them is C itself: one component of y each.
fn exact_probes(at: &dyn Linearized, samples: usize) -> Mat<f64> {
    let curvature = at.curvature().unwrap();
    let components = curvature.len() / samples;
    Mat::from_fn(curvature.len(), components, |row, k| {
        match row / samples == k {
            true => (components as f64 * curvature[row]).sqrt(),
            false => 0.0,
        }
    })
}

fn moments(at: &dyn Linearized, probes: &Mat<f64>) -> Vec<LayerMoments> {
    at.layer_moments(probes.as_ref()).unwrap().unwrap()
}

fn factors(moments: &LayerMoments) -> (Mat<f64>, Mat<f64>) {
    let Moments::Kronecker { inputs, outputs } = &moments.block else {
        panic!("a diagonal where factors were expected");
    };
    (inputs.clone().complete(), outputs.clone().complete())
}

/// JᵀCJ of a batch.
fn gauss_newton(at: &Batch<'_>) -> Mat<f64> {
    let (j, curvature) = (at.jacobian(), at.curvature());
    let weighted = Mat::from_fn(j.nrows(), j.ncols(), |r, c| curvature[r] * j[(r, c)]);
    multiply(&transpose(&j), &weighted)
}

/// The part of a matrix over the parameters that belongs to a layer.
fn part(whole: &Mat<f64>, of: &LayerMoments) -> Mat<f64> {
    let (first, count) = (of.range.start, of.range.len());
    Mat::from_fn(count, count, |i, j| whole[(first + i, first + j)])
}

/// A ⊗ B over weight (outputs × inputs, row-major) and bias.
fn kronecker(a: &Mat<f64>, b: &Mat<f64>) -> Mat<f64> {
    let (inputs, outputs) = (a.nrows() - 1, b.nrows());
    let place = |p: usize| match p < inputs * outputs {
        true => (p / inputs, p % inputs),
        false => (p - inputs * outputs, inputs),
    };
    let count = (inputs + 1) * outputs;
    Mat::from_fn(count, count, |p, q| {
        let ((o, i), (r, j)) = (place(p), place(q));
        b[(o, r)] * a[(i, j)]
    })
}

#[test]
fn the_factors_of_one_sample_are_its_block_of_the_gauss_newton_matrix() {
    for (widths, problem) in small_problems(TANH) {
        let parameters = normal_vector(problem.parameter_count(), 4);
        for sample in [0, 2] {
            let data = problem.train.select(&[sample]);
            let at = Batch::new(parts(&problem), &data, &parameters);
            let whole = gauss_newton(&at);
            let found = moments(&*at, &exact_probes(&*at, 1));
            assert_eq!(found.len(), widths.len() - 1);
            for layer in &found {
                let (a, b) = factors(layer);
                let error = relative_matrix(&kronecker(&a, &b), &part(&whole, layer));
                assert!(error <= 1e-12, "{widths:?}: {error:e}");
            }
        }
    }
}

#[test]
fn the_factor_of_the_outputs_of_a_batch_is_the_block_of_the_bias() {
    for (widths, problem) in small_problems(TANH) {
        let parameters = normal_vector(problem.parameter_count(), 5);
        let at = Batch::new(parts(&problem), &problem.train, &parameters);
        let whole = gauss_newton(&at);
        let found = moments(&*at, &exact_probes(&*at, problem.train.len()));
        for layer in &found {
            let (_, b) = factors(layer);
            let first = layer.range.end - b.nrows();
            let expected = Mat::from_fn(b.nrows(), b.nrows(), |i, j| whole[(first + i, first + j)]);
            let error = relative_matrix(&b, &expected);
            assert!(error <= 1e-12, "{widths:?}: {error:e}");
        }
        let (a, _) = factors(&found[0]);
        let count = problem.train.len();
        let input = Mat::from_fn(count, a.nrows(), |s, j| match j < a.nrows() - 1 {
            true => problem.train.input[(s, j)],
            false => 1.0,
        });
        let sum = multiply(&transpose(&input), &input);
        let expected = Mat::from_fn(a.nrows(), a.nrows(), |i, j| sum[(i, j)] / count as f64);
        assert!(relative_matrix(&a, &expected) <= 1e-14);
    }
}

#[test]
fn random_probes_are_unbiased_and_their_error_falls_with_their_root() {
    let (_, problem) = small_problems(TANH).remove(1);
    let parameters = normal_vector(problem.parameter_count(), 6);
    let at = Batch::new(parts(&problem), &problem.train, &parameters);
    let exact = moments(&*at, &exact_probes(&*at, problem.train.len()));
    let roots: Vec<f64> = at.curvature().iter().map(|c| c.sqrt()).collect();
    let error = |count: usize, seed: u64| {
        let signs = normal(roots.len(), count, seed);
        let probes = Mat::from_fn(roots.len(), count, |i, k| signs[(i, k)].signum() * roots[i]);
        let found = moments(&*at, &probes);
        let pairs = found.iter().zip(&exact);
        let errors = pairs.map(|(f, e)| relative_matrix(&factors(f).1, &factors(e).1));
        errors.fold(0.0, f64::max)
    };
    let mean = |count: usize| (0..8).map(|seed| error(count, seed)).sum::<f64>() / 8.0;
    let (few, many) = (mean(16), mean(1600));
    assert!(many < 0.05, "{many}");
    let fall = few / many;
    assert!((6.0..16.0).contains(&fall), "{few} to {many}");
}

fn network(inputs: usize, chain: Chain) -> Network {
    Network::new(inputs, chain, GLOROT).unwrap()
}

/// What a convolution reads: entry e of the patch at position t of sample s is the output there of the
/// kernel that is 1 at e alone.
fn patches(conv: &Conv2d, input: &Mat<f64>) -> Vec<Mat<f64>> {
    let patch = conv.grid.channels * conv.kernel[0] * conv.kernel[1];
    let alone = network(
        conv.grid.features(),
        Chain::new().then(Conv2d {
            outputs: 1,
            ..*conv
        }),
    );
    let unit = |e: usize| {
        let mut parameters = vec![0.0; patch + 1];
        parameters[e] = 1.0;
        alone.predict(&parameters, input.as_ref())
    };
    (0..patch).map(unit).collect()
}

#[test]
fn the_factors_of_a_convolution_are_sums_over_positions() {
    let grid = Grid {
        channels: 2,
        height: 4,
        width: 3,
    };
    let same = Conv2d::same(grid, 3, 3, Boundary::Zero);
    let around = Conv2d::same(grid, 2, 3, Boundary::Periodic);
    let wide = Conv2d {
        grid,
        outputs: 2,
        kernel: [2, 1],
        stride: 2,
        padding: [1, 1],
        boundary: Boundary::Zero,
    };
    for conv in [same, around, wide] {
        let (samples, components) = (5, 3);
        let network = network(grid.features(), Chain::new().then(conv));
        let parameters = normal_vector(network.parameter_count(), 1);
        let input = normal(samples, grid.features(), 2);
        let rows = normal(components * samples, network.outputs(), 3);
        let values = network.forward(&parameters, input.as_ref());
        let found = network.moments(
            &parameters,
            &values,
            rows.as_ref(),
            Passes::ONE,
            &mut Scratch::new(),
        );
        let (a, b) = factors(&found[0]);
        let (read, points) = (patches(&conv, &input), conv.output().points());
        let count = (samples * points) as f64;
        let value = |e: usize, s: usize, t: usize| match read.get(e) {
            Some(map) => map[(s, t)],
            None => 1.0,
        };
        let expected_a = Mat::from_fn(a.nrows(), a.nrows(), |i, j| {
            let of = |s: usize| (0..points).map(move |t| value(i, s, t) * value(j, s, t));
            (0..samples).flat_map(of).sum::<f64>() / count
        });
        let expected_b = Mat::from_fn(conv.outputs, conv.outputs, |i, j| {
            let entry = |o: usize, r: usize, t: usize| rows[(r, o * points + t)];
            let of = |r: usize| (0..points).map(move |t| entry(i, r, t) * entry(j, r, t));
            let sum: f64 = (0..rows.nrows()).flat_map(of).sum();
            sum / components as f64
        });
        assert_eq!(a.nrows(), read.len() + 1);
        assert!(relative_matrix(&a, &expected_a) <= 1e-13, "{conv:?}");
        assert!(relative_matrix(&b, &expected_b) <= 1e-13, "{conv:?}");
    }
}

#[test]
fn passes_count_as_positions_and_those_without_bias_read_no_one() {
    let (samples, biased) = (4, [true, false, true]);
    let dense = Dense {
        inputs: 3,
        outputs: 2,
    };
    let network = network(3, Chain::new().then(dense));
    let parameters = normal_vector(network.parameter_count(), 1);
    let input = normal(3 * samples, 3, 2);
    let rows = normal(2 * 3 * samples, 2, 3);
    let values = network.forward(&parameters, input.as_ref());
    let passes = Passes::new(&biased);
    let scratch = &mut Scratch::new();
    let found = network.moments(&parameters, &values, rows.as_ref(), passes, scratch);
    let (a, b) = factors(&found[0]);
    let read = Mat::from_fn(3 * samples, 4, |v, j| match j {
        3 => f64::from(biased[v / samples]),
        _ => input[(v, j)],
    });
    let scaled = |m: Mat<f64>, by: f64| Mat::from_fn(m.nrows(), m.ncols(), |i, j| m[(i, j)] / by);
    let expected_a = scaled(multiply(&transpose(&read), &read), (3 * samples) as f64);
    let expected_b = scaled(multiply(&transpose(&rows), &rows), 2.0);
    assert!(relative_matrix(&a, &expected_a) <= 1e-14);
    assert!(relative_matrix(&b, &expected_b) <= 1e-14);
}

#[test]
fn other_layers_tell_the_diagonal_of_their_rows() {
    let scale = Scale {
        channels: 2,
        points: 3,
        gain: 0.4,
    };
    let chain = Chain::new()
        .then(scale)
        .then(TANH)
        .then(LayerNorm::new(3, 2));
    let network = network(6, chain);
    let parameters = normal_vector(network.parameter_count(), 1);
    let values = network.forward(&parameters, normal(5, 6, 2).as_ref());
    let rows = normal(2 * 5, 6, 3);
    let scratch = &mut Scratch::new();
    let found = network.moments(&parameters, &values, rows.as_ref(), Passes::ONE, scratch);
    let j = network.jacobian(&parameters, &values, rows.as_ref(), Passes::ONE);
    let mut told = Vec::new();
    for layer in &found {
        assert_eq!(layer.range.start, told.len());
        let Moments::Diagonal(squares) = &layer.block else {
            panic!("a gain is no weight");
        };
        told.extend_from_slice(squares);
    }
    let squares = (0..j.ncols()).map(|c| dot(j.col_as_slice(c), j.col_as_slice(c)) / 2.0);
    let expected: Vec<f64> = squares.collect();
    assert!(relative(&told, &expected) <= 1e-13);
}

#[test]
fn a_tangent_is_the_product_with_the_jacobian() {
    for (widths, problem) in small_problems(TANH) {
        let parameters = normal_vector(problem.parameter_count(), 7);
        let at = Batch::new(parts(&problem), &problem.train, &parameters);
        let v = normal_vector(parameters.len(), 8);
        let error = relative(&at.tangent(&v).unwrap(), &times(&at.jacobian(), &v));
        assert!(error <= 1e-12, "{widths:?}: {error:e}");
    }
}

/// y = 3·u.
struct Tripled;

impl SampleFunction for Tripled {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 1,
            output: 1,
        }
    }
    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        y[0] = u[0] * 3.0;
    }
}

/// A linear layer of one output: its matrix is A ⊗ B exactly, and a probe of one component has no noise.
fn regression() -> Problem {
    regression_of(3)
}

fn regression_of(inputs: usize) -> Problem {
    let data = |seed: u64| Dataset {
        input: normal(20, inputs, seed),
        state: Mat::zeros(20, 0),
        target: normal(20, 1, seed + 1),
    };
    let network = Network::mlp(&[inputs, 1], TANH, GLOROT);
    let physics = Differentiated(Tripled);
    Problem::new(data(1), data(3), network, physics, SquaredError::half())
}

#[test]
fn where_the_factors_are_exact_a_step_of_exponent_one_is_newtons() {
    let problem = regression();
    let start = normal_vector(4, 5);
    let at = Batch::new(parts(&problem), &problem.train, &start);
    let method = KroneckerHalfInverse {
        exponent: 1.0,
        damping: 1e-13,
        momentum: 0.0,
        ..KroneckerHalfInverse::default()
    };
    let found = method.start().unwrap().step(&*at, 1.0).unwrap().delta;
    let newton = solve(&gauss_newton(&at), &at.gradient());
    let expected: Vec<f64> = newton.iter().map(|d| -d).collect();
    let error = relative(&found, &expected);
    assert!(error <= 1e-9, "{error:e}");
    // There the gradient is 0.
    let end: Vec<f64> = start.iter().zip(&found).map(|(p, d)| p + d).collect();
    let flat = Batch::new(parts(&problem), &problem.train, &end).gradient();
    assert!(dot(&flat, &flat) <= 1e-18 * dot(&at.gradient(), &at.gradient()));
}

#[test]
fn other_exponents_are_filters_of_the_eigenvalues() {
    // The second has more inputs than a factor is held whole for, and fewer samples than vectors are kept.
    for inputs in [3, WIDE + 6] {
        filters_of_the_eigenvalues(&regression_of(inputs), inputs + 1);
    }
}

fn filters_of_the_eigenvalues(problem: &Problem, p: usize) {
    let start = normal_vector(p, 5);
    let at = Batch::new(parts(problem), &problem.train, &start);
    let g = at.gradient();
    let whole = gauss_newton(&at);
    let (j, curvature) = (at.jacobian(), at.curvature());
    let weighted = Mat::from_fn(j.nrows(), p, |r, c| curvature[r].sqrt() * j[(r, c)]);
    let (_, sigma, v) = jacobi_svd(&weighted);
    let values: Vec<f64> = sigma.iter().map(|s| s * s).collect();
    let top = values.iter().fold(0.0_f64, |a, b| a.max(*b));
    for exponent in [-1.0, -0.3, 0.0, 0.25, 0.5, 1.0] {
        let damping = 0.03;
        let method = KroneckerHalfInverse {
            exponent,
            damping,
            momentum: 0.0,
            ..KroneckerHalfInverse::default()
        };
        let found = method.start().unwrap().step(&*at, 1.0).unwrap().delta;
        let mut direction = vec![0.0; p];
        for (k, value) in values.iter().enumerate() {
            let vector = v.col_as_slice(k);
            let power = (value + damping * top).powf(-0.5 * (1.0 + exponent));
            for (d, v) in direction.iter_mut().zip(vector) {
                *d += power * dot(vector, &g) * v;
            }
        }
        // With the length that is best on the batch.
        let length = dot(&g, &direction) / dot(&direction, &times(&whole, &direction));
        let expected: Vec<f64> = direction.iter().map(|d| -length * d).collect();
        let error = relative(&found, &expected);
        assert!(error <= 1e-9, "{p} {exponent}: {error:e}");
    }
}

#[test]
fn a_wide_side_is_told_by_rows_and_is_the_same_moment() {
    let (samples, components) = (7, 2);
    let network = Network::mlp(&[WIDE, WIDE + 1], TANH, GLOROT);
    let parameters = normal_vector(network.parameter_count(), 1);
    let input = normal(samples, WIDE, 2);
    let rows = normal(components * samples, WIDE + 1, 3);
    let values = network.forward(&parameters, input.as_ref());
    let scratch = &mut Scratch::new();
    let found = network.moments(&parameters, &values, rows.as_ref(), Passes::ONE, scratch);
    let Moments::Kronecker { inputs, outputs } = &found[0].block else {
        panic!("a dense layer has factors");
    };
    assert!(matches!(
        (inputs, outputs),
        (Moment::Rows(_), Moment::Rows(_))
    ));
    let (a, b) = factors(&found[0]);
    let read = Mat::from_fn(samples, WIDE + 1, |s, j| match j < WIDE {
        true => input[(s, j)],
        false => 1.0,
    });
    let scaled = |m: Mat<f64>, by: f64| Mat::from_fn(m.nrows(), m.ncols(), |i, j| m[(i, j)] / by);
    let expected_a = scaled(multiply(&transpose(&read), &read), samples as f64);
    let expected_b = scaled(multiply(&transpose(&rows), &rows), components as f64);
    assert!(relative_matrix(&a, &expected_a) <= 1e-13);
    assert!(relative_matrix(&b, &expected_b) <= 1e-13);
}

fn trained(
    problem: &Problem,
    method: &dyn Method,
    batch: usize,
    updates: usize,
) -> hig::trainer::Outcome {
    let training = Training {
        batch,
        evaluate_every: updates,
        ..Training::default()
    };
    let start = problem.initial_parameters(2);
    let budget = Budget::updates(updates);
    train(problem, method, start, &training, budget, 2, &mut []).unwrap()
}

#[test]
fn it_reaches_in_few_updates_what_adam_does_not() {
    let problem = LinearOscillators {
        samples: 512,
        test_samples: 64,
        ..LinearOscillators::default()
    }
    .problem(2);
    let method = KroneckerHalfInverse::default();
    let found = trained(&problem, &method, 128, 300);
    let adam = trained(&problem, &hig::step::Adam::default(), 128, 300);
    assert!(matches!(found.stop, Stop::Budget));
    assert!(
        found.last.train < 0.1 * adam.last.train,
        "{:?} {:?}",
        found.last,
        adam.last
    );
}

#[test]
fn bits_do_not_depend_on_the_number_of_threads() {
    let problem = LinearOscillators {
        samples: 64,
        test_samples: 8,
        network: MlpSettings::tanh(vec![20, 20]),
        ..LinearOscillators::default()
    }
    .problem(2);
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let method = KroneckerHalfInverse::default();
        pool.unwrap()
            .install(|| bits(&trained(&problem, &method, 64, 30).last_parameters))
    };
    assert_eq!(with(1), with(3));
}

/// A small network on y = 3·u, with inputs of one's own.
fn degenerate(input: Mat<f64>, network: Network) -> Problem {
    let samples = input.nrows();
    let data = || Dataset {
        input: input.clone(),
        state: Mat::zeros(samples, 0),
        target: normal(samples, 1, 9),
    };
    let physics = Differentiated(Tripled);
    Problem::new(data(), data(), network, physics, SquaredError::half())
}

#[test]
fn constant_inputs_dead_units_and_zero_rows_are_trained_past() {
    let mlp = |activation| Network::mlp(&[3, 6, 1], activation, GLOROT);
    let constant = degenerate(Mat::full(12, 3, 0.7), mlp(TANH));
    let nothing = degenerate(Mat::zeros(12, 3), mlp(TANH));
    for (name, problem) in [("constant", constant), ("zero", nothing)] {
        let outcome = trained(&problem, &KroneckerHalfInverse::default(), 12, 200);
        assert!(
            matches!(outcome.stop, Stop::Budget),
            "{name}: {}",
            outcome.stop
        );
        let targets = problem.train.target.col_as_slice(0);
        let mean = targets.iter().sum::<f64>() / 12.0;
        let best: f64 = targets
            .iter()
            .map(|t| 0.5 * (t - mean).powi(2))
            .sum::<f64>()
            / 12.0;
        let above = outcome.last.train - best;
        assert!(above <= 1e-6 * best, "{name}: {above:e} above {best}");
    }
    // Negative inputs to positive weights: no unit is ever active, and the first layer has no gradient.
    let dead = degenerate(
        Mat::from_fn(12, 3, |s, j| -1.0 - 0.1 * (s + j) as f64),
        mlp(Activation::Relu),
    );
    let mut start = dead.initial_parameters(2);
    start[..18].iter_mut().for_each(|w| *w = w.abs() + 0.1);
    let training = Training {
        batch: 12,
        ..Training::default()
    };
    let method = KroneckerHalfInverse::default();
    let budget = Budget::updates(100);
    let outcome = train(&dead, &method, start.clone(), &training, budget, 2, &mut []).unwrap();
    assert!(matches!(outcome.stop, Stop::Budget), "{}", outcome.stop);
    assert_eq!(bits(&outcome.last_parameters[..18]), bits(&start[..18]));
    assert!(outcome.last.train < dead.objective.loss(&start, &dead.train).unwrap());
}

#[test]
fn a_step_that_fails_is_taken_back() {
    // ln u is no number where a step is too long; the targets are far.
    let (problem, start) = cliff();
    let training = Training {
        batch: 2,
        ..Training::default()
    };
    let method = KroneckerHalfInverse::default();
    let budget = Budget::updates(200);
    let before = problem.objective.loss(&start, &problem.train).unwrap();
    let outcome = train(&problem, &method, start, &training, budget, 0, &mut []).unwrap();
    assert!(matches!(outcome.stop, Stop::Budget), "{}", outcome.stop);
    assert!(outcome.last.train < 1e-3 * before, "{:?}", outcome.last);
}

#[test]
fn parameters_from_elsewhere_begin_anew() {
    let problem = regression();
    let [here, there] = [5, 6].map(|seed| normal_vector(4, seed));
    let method = KroneckerHalfInverse::default();
    let mut step = method.start().unwrap();
    let delta = |step: &mut dyn hig::step::Step, at: &[f64]| {
        let at = Batch::new(parts(&problem), &problem.train, at);
        step.step(&*at, 1.0).unwrap()
    };
    let told = |update: &hig::step::Update| {
        let momentum = update
            .diagnostics
            .iter()
            .find(|(name, _)| *name == "momentum");
        momentum.unwrap().1
    };
    let first = delta(step.as_mut(), &here);
    assert_eq!(told(&first), 0.0);
    let next: Vec<f64> = here.iter().zip(&first.delta).map(|(p, d)| p + d).collect();
    assert_eq!(told(&delta(step.as_mut(), &next)), 0.9);
    assert_eq!(told(&delta(step.as_mut(), &there)), 0.0);
}

#[test]
fn settings_out_of_range_are_refused() {
    for (name, value) in [
        ("exponent", "1.5"),
        ("damping", "0"),
        ("momentum", "1"),
        ("renewal", "0"),
        ("change", "0"),
    ] {
        let mut method = KroneckerHalfInverse::default();
        assert_message(method.set(name, value), &[name]);
    }
}
