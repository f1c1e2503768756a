//! Layers for grids, joins, and the matrices of J that are built without J.

mod common;

use common::*;
use hig::linalg::{self, Mat, Symmetric, stack};
use hig::loss::SquaredError;
use hig::network::{
    Activation, AveragePool2d, Boundary, Chain, Conv2d, Dense, Grid, Initializer, LayerNorm,
    Network, Scale, Unknown, Upsample2d,
};
use hig::objective::{ExplicitJacobian, Jacobian};
use hig::physics::{Differentiated, Real, SampleFunction, Widths};
use hig::settings::Settings;
use hig::step::{Adam, Spectral, method};
use hig::systems::{Architecture, Poisson, System};
use hig::trainer::{Budget, Stop, Training, train};
use hig::{Dataset, Problem, Result};
use proptest::prelude::*;

const TANH: Activation = Activation::Tanh;
const GLOROT: Initializer = Initializer::Glorot;

/// A few numbers that every control acts on, not linearly.
struct Mixed {
    control: usize,
    output: usize,
}

impl SampleFunction for Mixed {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: self.control,
            output: self.output,
        }
    }
    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        for (i, y) in y.iter_mut().enumerate() {
            let mut sum = u[0] * 0.0;
            for (j, u) in u.iter().enumerate() {
                let weight = (0.7 * ((i + 1) * (j + 2)) as f64).sin();
                sum = sum + *u * weight + *u * *u * (0.1 * weight);
            }
            *y = sum;
        }
    }
}

fn grid(channels: usize, height: usize, width: usize) -> Grid {
    Grid {
        channels,
        height,
        width,
    }
}

fn dense(inputs: usize, outputs: usize) -> Dense {
    Dense { inputs, outputs }
}

fn network(inputs: usize, chain: Chain) -> Network {
    Network::new(inputs, chain, GLOROT).unwrap()
}

fn problem(network: Network, samples: usize, output: usize) -> Problem {
    let data = |seed: u64| Dataset {
        input: normal(samples, network.inputs(), seed),
        state: Mat::zeros(samples, 0),
        target: normal(samples, output, seed + 1),
    };
    let physics = Differentiated(Mixed {
        control: network.outputs(),
        output,
    });
    Problem::new(data(1), data(3), network, physics, SquaredError::half())
}

/// Parameters where no gain is 1 and no bias 0.
fn somewhere(network: &Network) -> Vec<f64> {
    let noise = normal_vector(network.parameter_count(), 17);
    let start = network.initial_parameters(5).into_iter();
    start.zip(noise).map(|(a, b)| a + 0.3 * b).collect()
}

/// Every layer and every join, in networks that are small.
fn unknowns() -> Vec<Unknown> {
    vec![
        Unknown::positive("stiffness", 1.5),
        Unknown::free("held", 0.7).fixed(),
        Unknown::between("share", 0.2, -0.5, 1.0),
        Unknown::free("shift", -0.3),
    ]
}

fn networks() -> Vec<(&'static str, Network)> {
    let wide = Conv2d {
        grid: grid(2, 4, 3),
        outputs: 3,
        kernel: [3, 2],
        stride: 2,
        padding: [1, 1],
        boundary: Boundary::Zero,
    };
    let around = Conv2d {
        padding: [2, 1],
        stride: 1,
        boundary: Boundary::Periodic,
        ..wide
    };
    let same =
        |channels, outputs| Conv2d::same(grid(channels, 4, 4), outputs, 3, Boundary::Periodic);
    let scale = |channels, points| Scale {
        channels,
        points,
        gain: 0.4,
    };
    let pool = AveragePool2d {
        grid: grid(2, 4, 4),
        size: 2,
    };
    let up = Upsample2d {
        grid: grid(2, 2, 2),
        size: 2,
    };
    let inner = Chain::new().then(scale(5, 1)).then(TANH);
    let nested = Chain::new()
        .then(dense(4, 5))
        .residual(inner)
        .skip(Chain::new().then(dense(5, 2)))
        .then(dense(7, 4));
    let line = |channels, outputs| {
        let grid = grid(channels, 1, 7);
        Conv2d::along(grid, outputs, 5, Boundary::Periodic)
    };
    vec![
        (
            "conv on a line",
            network(7, Chain::new().then(line(1, 2)).then(TANH).then(line(2, 1))),
        ),
        (
            "conv",
            network(24, Chain::new().then(wide).then(TANH).then(dense(12, 3))),
        ),
        (
            "periodic conv",
            network(24, Chain::new().then(around).then(TANH)),
        ),
        (
            "conv behind conv",
            network(
                16,
                Chain::new().then(same(1, 2)).then(TANH).then(same(2, 2)),
            ),
        ),
        (
            "scale",
            network(
                6,
                Chain::new()
                    .then(dense(6, 6))
                    .then(scale(2, 3))
                    .then(TANH)
                    .then(scale(6, 1)),
            ),
        ),
        (
            "norm",
            network(
                6,
                Chain::new()
                    .then(dense(6, 6))
                    .then(LayerNorm::new(2, 3))
                    .then(TANH)
                    .then(LayerNorm::new(6, 1))
                    .then(dense(6, 2)),
            ),
        ),
        (
            "pool",
            network(
                16,
                Chain::new()
                    .then(same(1, 2))
                    .then(pool)
                    .then(TANH)
                    .then(dense(8, 2)),
            ),
        ),
        (
            "upsample",
            network(
                3,
                Chain::new()
                    .then(dense(3, 8))
                    .then(TANH)
                    .then(up)
                    .then(same(2, 1)),
            ),
        ),
        (
            "residual",
            network(
                4,
                Chain::new()
                    .residual(Chain::new().then(dense(4, 4)).then(TANH))
                    .then(dense(4, 3)),
            ),
        ),
        (
            "skip of the input",
            network(
                4,
                Chain::new()
                    .skip(Chain::new().then(dense(4, 3)).then(TANH))
                    .then(dense(7, 3)),
            ),
        ),
        (
            "nested joins",
            network(
                4,
                Chain::new().residual(nested).then(TANH).then(dense(4, 3)),
            ),
        ),
        (
            "joins before any parameter",
            network(
                4,
                Chain::new()
                    .then(TANH)
                    .residual(Chain::new())
                    .skip(Chain::new().then(TANH))
                    .skip(Chain::new().then(dense(8, 3)))
                    .then(dense(11, 2)),
            ),
        ),
        (
            "joins at the end",
            network(
                4,
                Chain::new()
                    .then(dense(4, 3))
                    .residual(Chain::new())
                    .skip(Chain::new().then(TANH)),
            ),
        ),
        (
            "unknowns beside",
            network(
                3,
                Chain::new().then(dense(3, 4)).then(TANH).then(dense(4, 2)),
            )
            .beside(unknowns())
            .unwrap(),
        ),
        (
            "unknowns alone",
            Network::of_unknowns(2, unknowns()).unwrap(),
        ),
        (
            "resnet",
            Network::resnet(grid(1, 4, 4), &[2, 3, 3], 1, Boundary::Zero, TANH, GLOROT).unwrap(),
        ),
        (
            "unet",
            Network::unet(
                grid(1, 4, 4),
                &[2, 3, 2],
                2,
                Boundary::Periodic,
                TANH,
                GLOROT,
            )
            .unwrap(),
        ),
    ]
}

/// max |found - expected| over max |expected|.
fn error(found: &Mat<f64>, expected: &Mat<f64>) -> f64 {
    (found - expected).norm_max() / expected.norm_max()
}

/// Every matrix that J makes, against the dense products of J.
fn check_matrices(name: &str, at: &dyn Jacobian, j: &Mat<f64>, tolerance: f64) {
    let close = |what: &str, found: Mat<f64>, expected: Mat<f64>| {
        let error = error(&found, &expected);
        assert!(error <= tolerance, "{name}, {what}: {error:e}");
        let asymmetry = (&found - found.transpose()).norm_max();
        assert!(asymmetry <= tolerance * found.norm_max(), "{name}, {what}");
    };
    let squared = |m: &Mat<f64>| linalg::product(m.transpose(), m.as_ref());
    let transposed = j.transpose().to_owned();
    assert_eq!(at.transposed().unwrap(), transposed, "{name}");
    let whole = |matrix: Result<Symmetric>| matrix.unwrap().complete();
    close("K", whole(at.gram()), squared(&transposed));
    close("normal", whole(at.normal()), squared(j));
    for k in [1, 3, 70] {
        let (w, v) = (normal(j.nrows(), k, 40), normal(j.ncols(), k, 41));
        let images = linalg::product(j.transpose(), w.as_ref());
        let found = whole(at.image_gram(w.as_ref()));
        close("images", found, squared(&images));
        let images = linalg::product(j.as_ref(), v.as_ref());
        let found = whole(at.normal_image_gram(v.as_ref()));
        close("normal images", found, squared(&images));
    }
}

#[test]
fn every_layer_and_join_agrees_with_finite_differences_and_the_dense_jacobian() {
    for (name, network) in networks() {
        let problem = problem(network, 5, 3);
        let at = somewhere(&parts(&problem).network);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let predicted = parts(&problem)
            .network
            .predict(&at, problem.train.input.as_ref());
        assert_eq!(&predicted, batch.control(), "{name}");
        let j = batch.jacobian();
        let expected = difference_jacobian(&at, 1e-5, |moved| {
            stack(
                problem
                    .objective
                    .outputs(moved, &problem.train)
                    .unwrap()
                    .as_ref(),
            )
        });
        let error = relative_matrix(&j, &expected);
        assert!(error <= 1e-7, "{name}: {error:e}");
        let (v, w) = (normal_vector(j.ncols(), 18), normal_vector(j.nrows(), 19));
        let found = (batch.jvp(&v), batch.vjp(&w));
        assert!(relative(&found.0, &times(&j, &v)) <= 1e-13, "{name} jvp");
        let expected = times(&transpose(&j), &w);
        assert!(relative(&found.1, &expected) <= 1e-13, "{name} vjp");
    }
}

#[test]
fn the_matrices_of_j_are_products_of_the_dense_jacobian() {
    for (name, _) in networks() {
        // Few and many samples for the lanes of a convolution; n = 3 to 300.
        for samples in [1, 3, 9, 16, 100] {
            let problem = problem(rebuilt(name), samples, 3);
            let at = somewhere(&parts(&problem).network);
            let batch = Batch::new(parts(&problem), &problem.train, &at);
            let j = batch.jacobian();
            check_matrices(name, &*batch, &j, 1e-12);
            if samples == 9 {
                check_matrices(name, &ExplicitJacobian::new(&j), &j, 1e-12);
            }
        }
    }
}

/// The network of that name again: networks cannot be cloned.
fn rebuilt(name: &str) -> Network {
    networks().into_iter().find(|(n, _)| *n == name).unwrap().1
}

#[test]
fn blocks_of_units_and_of_rows_that_do_not_fit_at_once_give_the_same() {
    // Dense images: (samples + inputs + 1)·k numbers a unit, 2²² at once.
    let wide = network(
        40,
        Chain::new()
            .then(dense(40, 60))
            .then(TANH)
            .then(dense(60, 70)),
    );
    let problem = problem(wide, 150, 3);
    let at = somewhere(&parts(&problem).network);
    let batch = Batch::new(parts(&problem), &problem.train, &at);
    let j = batch.jacobian();
    let w = normal(450, 440, 42);
    let images = linalg::product(j.transpose(), w.as_ref());
    let expected = linalg::product(images.transpose(), images.as_ref());
    assert!(error(&batch.image_gram(w.as_ref()), &expected) <= 1e-12);
    // Rows of J: 2²³ numbers at once.
    for (samples, output) in [(5000, 3), (40, 300)] {
        let chain = Chain::new()
            .then(dense(20, 35))
            .then(TANH)
            .then(dense(35, 4));
        let problem = self::problem(network(20, chain), samples, output);
        let at = somewhere(&parts(&problem).network);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let j = batch.jacobian();
        assert!(j.nrows() * j.ncols() > 1 << 23);
        let v = normal(j.ncols(), 5, 43);
        let images = linalg::product(j.as_ref(), v.as_ref());
        let expected = linalg::product(images.transpose(), images.as_ref());
        let found = batch.normal_image_gram(v.as_ref());
        assert!(error(&found, &expected) <= 1e-12);
        let expected = linalg::product(j.transpose(), j.as_ref());
        assert!(error(&batch.normal(), &expected) <= 1e-12);
    }
}

#[test]
fn what_cancels_in_an_image_cancels_before_it_is_squared() {
    for (name, network) in networks() {
        let problem = problem(network, 4, 3);
        let at = somewhere(&parts(&problem).network);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let (u, sigma, v) = jacobi_svd(&batch.jacobian());
        let largest = sigma.iter().fold(0.0_f64, |a, b| a.max(*b));
        let (smallest, least) = (0..sigma.len())
            .map(|k| (k, sigma[k]))
            .min_by(|a, b| a.1.total_cmp(&b.1))
            .unwrap();
        let direction = Mat::from_fn(u.nrows(), 1, |i, _| u[(i, smallest)]);
        let found = batch.image_gram(direction.as_ref())[(0, 0)].sqrt();
        assert!((found - least).abs() <= 1e-13 * largest, "{name}");
        let direction = Mat::from_fn(v.nrows(), 1, |i, _| v[(i, smallest)]);
        let found = batch.normal_image_gram(direction.as_ref())[(0, 0)].sqrt();
        assert!((found - least).abs() <= 1e-13 * largest, "{name}");
    }
}

#[test]
fn a_dependent_row_has_an_image_of_rounding_size() {
    // Two equal samples: the difference of their rows has no image at all, which a Gram matrix
    // knows to √ε only.
    for (name, network) in networks() {
        let mut problem = problem(network, 2, 1);
        for j in 0..problem.train.input.ncols() {
            problem.train.input[(1, j)] = problem.train.input[(0, j)];
        }
        let at = somewhere(&parts(&problem).network);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let w = Mat::from_fn(2, 1, |i, _| [1.0, -1.0 + 1e-12][i]);
        let row = batch.jacobian().row(0).norm_l2();
        let found = batch.image_gram(w.as_ref())[(0, 0)].sqrt();
        assert!(
            (found / (1e-12 * row) - 1.0).abs() < 1e-2,
            "{name}: {found:e}"
        );
    }
}

/// The definition of a convolution, index by index.
fn naive(conv: &Conv2d, parameters: &[f64], input: &Mat<f64>) -> Mat<f64> {
    let Grid {
        channels,
        height,
        width,
    } = conv.grid;
    let [rows, columns] = conv.kernel;
    let ([down, across], step) = (conv.padding.map(|p| p as i64), conv.stride as i64);
    let tall = (height as i64 + 2 * down - rows as i64) / step + 1;
    let long = (width as i64 + 2 * across - columns as i64) / step + 1;
    let read = |s: usize, c: usize, y: i64, x: i64| {
        let (h, w) = (height as i64, width as i64);
        let inside = (0..h).contains(&y) && (0..w).contains(&x);
        let (y, x) = match conv.boundary {
            Boundary::Zero if !inside => return 0.0,
            Boundary::Zero => (y, x),
            Boundary::Periodic => (y.rem_euclid(h), x.rem_euclid(w)),
        };
        input[(s, c * height * width + (y * w + x) as usize)]
    };
    let bias = &parameters[conv.outputs * channels * rows * columns..];
    let points = (tall * long) as usize;
    Mat::from_fn(input.nrows(), conv.outputs * points, |s, feature| {
        let (o, point) = (feature / points, (feature % points) as i64);
        let (y, x) = (point / long, point % long);
        let mut sum = bias[o];
        for c in 0..channels {
            for ky in 0..rows {
                for kx in 0..columns {
                    let weight = parameters[((o * channels + c) * rows + ky) * columns + kx];
                    let (from, along) =
                        (y * step + ky as i64 - down, x * step + kx as i64 - across);
                    sum += weight * read(s, c, from, along);
                }
            }
        }
        sum
    })
}

fn any_convolution() -> impl Strategy<Value = Conv2d> {
    let sizes = (1_usize..4, 1_usize..7, 1_usize..7, 1_usize..4);
    let kernel = (
        1_usize..5,
        1_usize..5,
        1_usize..4,
        [0_usize..4, 0_usize..4],
        any::<bool>(),
    );
    (sizes, kernel).prop_filter_map("the kernel fits", |(sizes, kernel)| {
        let conv = Conv2d {
            grid: grid(sizes.0, sizes.1, sizes.2),
            outputs: sizes.3,
            kernel: [kernel.0, kernel.1],
            stride: kernel.2,
            padding: kernel.3,
            boundary: match kernel.4 {
                true => Boundary::Periodic,
                false => Boundary::Zero,
            },
        };
        (conv.output().features() > 0).then_some(conv)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_convolution_is_its_definition_and_has_its_jacobian(
        conv in any_convolution(),
        samples in 1_usize..20,
        seed in any::<u64>(),
    ) {
        // Behind a dense layer, so that the rows run through the convolution.
        let features = conv.grid.features();
        let alone = network(features, Chain::new().then(conv));
        let parameters = normal_vector(alone.parameter_count(), seed);
        let input = normal(samples, features, seed ^ 1);
        let expected = naive(&conv, &parameters, &input);
        prop_assert_eq!(alone.outputs(), expected.ncols());
        let found = alone.predict(&parameters, input.as_ref());
        prop_assert!((&found - &expected).norm_max() <= 1e-13 * (1.0 + expected.norm_max()));

        let problem = problem(network(2, Chain::new().then(dense(2, features)).then(TANH).then(conv)), samples, 2);
        let at = somewhere(&parts(&problem).network);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let j = batch.jacobian();
        // Columns by forward differentiation, which shares nothing with the backward pass.
        for c in (0..j.ncols()).step_by(1 + j.ncols() / 7) {
            let mut unit = vec![0.0; j.ncols()];
            unit[c] = 1.0;
            prop_assert!(distance(&batch.jvp(&unit), j.col_as_slice(c)) <= 1e-12 * j.norm_l2());
        }
        let w = normal_vector(j.nrows(), seed ^ 2);
        prop_assert!(relative(&batch.vjp(&w), &times(&transpose(&j), &w)) <= 1e-12);
        let (k, expected) = (batch.gram(), linalg::product(j.as_ref(), j.transpose()));
        prop_assert!(error(&k, &expected) <= 1e-12);
    }

    #[test]
    fn any_small_unet_and_resnet_is_adjoint_to_itself(
        seed in any::<u64>(),
        channels in prop::collection::vec(1_usize..4, 1..4),
        tall in 1_usize..3,
        long in 1_usize..3,
        periodic in any::<bool>(),
        unet in any::<bool>(),
    ) {
        let halved = 1 << (channels.len() - 1);
        let boundary = if periodic { Boundary::Periodic } else { Boundary::Zero };
        let make = if unet { Network::unet } else { Network::resnet };
        let grid = grid(2, tall * halved, long * halved);
        let problem = problem(make(grid, &channels, 2, boundary, TANH, GLOROT).unwrap(), 3, 4);
        let at = somewhere(&parts(&problem).network);
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        let (v, w) = (normal_vector(batch.columns(), seed), normal_vector(batch.rows(), seed ^ 1));
        let (jv, jw) = (batch.jvp(&v), batch.vjp(&w));
        let scale = (dot(&jv, &jv) * dot(&w, &w)).sqrt() + (dot(&jw, &jw) * dot(&v, &v)).sqrt();
        prop_assert!((dot(&jv, &w) - dot(&v, &jw)).abs() <= 1e-13 * scale);
        let j = batch.jacobian();
        let expected = linalg::product(j.as_ref(), j.transpose());
        prop_assert!(error(&batch.gram(), &expected) <= 1e-12);
    }
}

#[test]
fn pooling_takes_means_and_upsampling_repeats() {
    let pool = AveragePool2d {
        grid: grid(1, 2, 4),
        size: 2,
    };
    let up = Upsample2d {
        grid: pool.output(),
        size: 2,
    };
    let input = Mat::from_fn(1, 8, |_, j| [1., 2., 3., 4., 5., 6., 7., 8.][j]);
    let pooled = network(8, Chain::new().then(pool)).predict(&[], input.as_ref());
    assert_eq!(entries(&pooled), [3.5, 5.5]);
    let repeated = network(2, Chain::new().then(up)).predict(&[], pooled.as_ref());
    assert_eq!(entries(&repeated), [3.5, 3.5, 5.5, 5.5, 3.5, 3.5, 5.5, 5.5]);
}

#[test]
fn a_norm_has_mean_0_and_variance_1_and_a_skip_puts_the_earlier_value_first() {
    let norm = LayerNorm {
        epsilon: 0.0,
        ..LayerNorm::new(2, 4)
    };
    let network = network(8, Chain::new().skip(Chain::new().then(norm)));
    let input = normal(5, 8, 3);
    let output = network.predict(&network.initial_parameters(0), input.as_ref());
    assert_eq!(output.get(.., ..8), input.as_ref());
    for s in 0..5 {
        let values: Vec<f64> = (8..16).map(|j| output[(s, j)]).collect();
        assert!(values.iter().sum::<f64>().abs() <= 1e-13);
        assert!((dot(&values, &values) / 8.0 - 1.0).abs() <= 1e-13);
    }
}

#[test]
fn initial_weights_follow_the_fan_of_a_convolution_and_gains_their_layer() {
    let conv = Conv2d::same(grid(20, 3, 3), 30, 5, Boundary::Zero);
    let scale = Scale {
        channels: 30,
        points: 9,
        gain: 0.25,
    };
    let chain = Chain::new()
        .then(conv)
        .then(scale)
        .then(LayerNorm::new(270, 1));
    let count = 30 * 20 * 25;
    for (initializer, variance) in [
        (Initializer::Glorot, 2.0 / (500.0 + 750.0)),
        (Initializer::He, 2.0 / 500.0),
        (Initializer::Lecun, 1.0 / 500.0),
        (Initializer::Uniform, 1.0 / 3.0 / 500.0),
        (Initializer::Wide, 1.0 / 500.0),
    ] {
        let network = Network::new(180, Chain::new().then(conv), initializer).unwrap();
        let start = network.initial_parameters(1);
        let (weights, bias) = start.split_at(count);
        let found = dot(weights, weights) / count as f64;
        // The variance of a squared normal number is 2, of a uniform one less.
        let scatter = (2.0 / count as f64).sqrt();
        assert!(
            (found / variance - 1.0).abs() < 5.0 * scatter,
            "{initializer:?}"
        );
        let with_biases = matches!(initializer, Initializer::Uniform | Initializer::Wide);
        assert!(bias.iter().all(|b| (*b != 0.0) == with_biases));
        assert!(bias.iter().all(|b| b * b <= 3.0 * variance));
    }
    let start = network(180, chain).initial_parameters(1);
    assert_eq!(&start[count + 30..count + 60], &[0.25; 30]);
    assert_eq!(&start[count + 60..count + 90], &[0.0; 30]);
    assert_eq!(&start[count + 90..count + 360], &[1.0; 270]);
}

/// A network of convolutions around a circle answers a turned field with a turned answer.
#[test]
fn convolutions_around_a_circle_do_not_know_where_it_begins() {
    let network = Network::around_circle(9, &[3, 4], 5, TANH, GLOROT).unwrap();
    assert_eq!((network.inputs(), network.outputs()), (9, 9));
    assert_eq!(network.parameter_count(), 5 * (3 + 12 + 4) + 3 + 4 + 1);
    let at = somewhere(&network);
    let field = normal(4, 9, 1);
    let turned = |field: &Mat<f64>| Mat::from_fn(4, 9, |s, i| field[(s, (i + 2) % 9)]);
    let answer = network.predict(&at, field.as_ref());
    let of_turned = network.predict(&at, turned(&field).as_ref());
    assert!((&of_turned - &turned(&answer)).norm_max() < 1e-14);
    // A point is seen by those around it, and by no others.
    let mut other = field.clone();
    other[(0, 0)] += 1.0;
    let change = network.predict(&at, other.as_ref()) - &answer;
    let seen = |layers: &[usize]| {
        let network = Network::around_circle(9, layers, 3, TANH, GLOROT).unwrap();
        let at = somewhere(&network);
        let change = network.predict(&at, other.as_ref()) - network.predict(&at, field.as_ref());
        (0..9).map(|i| change[(0, i)] != 0.0).collect::<Vec<_>>()
    };
    assert!((0..9).all(|i| change[(0, i)] != 0.0));
    assert_eq!(
        seen(&[2]),
        [true, true, true, false, false, false, false, true, true]
    );
    assert_message(
        Network::around_circle(9, &[3], 4, TANH, GLOROT),
        &["kernel = 4", "odd"],
    );
}

#[test]
fn wrong_shapes_are_found_when_the_network_is_made() {
    let refuse = |inputs: usize, chain: Chain, parts: &[&str]| {
        assert_message(Network::new(inputs, chain, GLOROT), parts);
    };
    let start = || Chain::new().then(dense(3, 8)).then(TANH);
    let conv = Conv2d::same(grid(2, 2, 2), 1, 3, Boundary::Zero);
    refuse(
        4,
        start(),
        &["layer 0", "Dense", "width 4", "needs width 3"],
    );
    refuse(
        3,
        start().then(dense(9, 1)),
        &["layer 2", "width 8", "needs width 9"],
    );
    let other = Conv2d {
        grid: grid(1, 3, 3),
        ..conv
    };
    refuse(
        3,
        start().then(other),
        &["layer 2", "Conv2d", "width 8", "needs width 9", "1 x 3 x 3"],
    );
    let large = Conv2d {
        kernel: [5, 5],
        ..conv
    };
    refuse(
        3,
        start().then(large),
        &["kernel 5 x 5", "2 x 2 with padding 1 x 1"],
    );
    refuse(
        3,
        start().then(Conv2d { stride: 0, ..conv }),
        &["stride", "at least 1"],
    );
    refuse(
        3,
        start().then(Conv2d { outputs: 0, ..conv }),
        &["outputs", "at least 1"],
    );
    let odd = AveragePool2d {
        grid: grid(1, 2, 4),
        size: 4,
    };
    refuse(
        3,
        start().then(odd),
        &["AveragePool2d", "size 4 must divide 2 x 4"],
    );
    let narrow = Upsample2d {
        grid: grid(1, 2, 2),
        size: 2,
    };
    refuse(
        3,
        start().then(narrow),
        &["Upsample2d", "width 8", "needs width 4"],
    );
    let nothing = AveragePool2d {
        grid: grid(0, 2, 4),
        size: 2,
    };
    refuse(3, start().then(nothing), &["extents of at least 1"]);
    refuse(
        3,
        start().then(LayerNorm::new(3, 2)),
        &["LayerNorm", "width 8", "6", "3 x 2"],
    );
    refuse(3, start().then(LayerNorm::new(0, 2)), &["at least 1"]);
    let scale = Scale {
        channels: 8,
        points: 2,
        gain: 1.0,
    };
    refuse(
        3,
        start().then(scale),
        &["Scale", "width 8", "needs width 16"],
    );
    let narrower = start().residual(Chain::new().then(dense(8, 5)));
    refuse(3, narrower, &["layer 3 (residual)", "width 5", "width 8"]);
    let unet = Network::unet(grid(1, 6, 8), &[2, 2, 2], 1, Boundary::Zero, TANH, GLOROT);
    assert_message(unet, &["AveragePool2d", "must divide 3 x 4"]);
}

#[test]
fn a_network_through_a_file_keeps_its_bits_and_its_names() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    for (name, network) in networks() {
        let parameters = somewhere(&network);
        network.save_parameters(&parameters, &path).unwrap();
        let back = network.load_parameters(&path).unwrap();
        assert_eq!(bits(&parameters), bits(&back), "{name}");
    }
    let grid = grid(1, 4, 4);
    let network = Network::resnet(grid, &[2], 1, Boundary::Zero, TANH, GLOROT).unwrap();
    let views = network.views();
    let names: Vec<&str> = views.iter().map(|view| view.name.as_str()).collect();
    assert_eq!(
        names[..3],
        ["layers.0.weight", "layers.0.bias", "layers.1.weight"]
    );
    assert_eq!(views[2].shape, [2, 2, 3, 3]);
    assert_eq!(views[6].shape, [2]);
    assert_eq!(network.total_width(), 16 + 32 * 7 + 32 + 16);
    let values = network.forward(&somewhere(&network), normal(3, 16, 1).as_ref());
    assert_eq!(network.activated(&values).count(), 3);
}

fn poisson(architecture: Architecture) -> Poisson {
    Poisson {
        grid: 4,
        modes: 3,
        samples: 64,
        test_samples: 16,
        architecture,
        channels: vec![3, 3],
        ..Poisson::default()
    }
}

fn in_threads<T: Send>(count: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(count);
    pool.build().unwrap().install(work)
}

#[test]
fn the_bits_do_not_depend_on_the_number_of_threads() {
    for architecture in [Architecture::Resnet, Architecture::Unet] {
        let problem = poisson(architecture).problem(0);
        let at = problem.initial_parameters(0);
        let work = || {
            let batch = Batch::new(parts(&problem), &problem.train, &at);
            let (w, v) = (normal(1024, 300, 1), normal(at.len(), 300, 2));
            [
                batch.gram(),
                batch.image_gram(w.as_ref()),
                batch.normal(),
                batch.normal_image_gram(v.as_ref()),
                batch.jacobian(),
            ]
            .map(|m| bits(&entries(&m)))
        };
        let one = in_threads(1, work);
        assert_eq!(one, in_threads(2, work));
        assert_eq!(one, in_threads(3, work));
    }
}

#[test]
fn grid_networks_learn_the_poisson_problem_by_every_method_and_route() {
    for architecture in [Architecture::Resnet, Architecture::Unet] {
        let problem = poisson(architecture).problem(0);
        let start = problem.initial_parameters(0);
        let before = loss_of(&problem, &start, &problem.train);
        let learn = |name: &str, settings: &[(&str, &str)], batch: usize, updates: usize| {
            let mut method = method(name).unwrap();
            for (key, value) in settings {
                method.set(key, value).unwrap();
            }
            let training = Training {
                batch,
                ..Training::default()
            };
            let budget = Budget::updates(updates);
            let start = start.clone();
            let outcome = train(
                &problem,
                method.as_ref(),
                start,
                &training,
                budget,
                0,
                &mut [],
            );
            let outcome = outcome.unwrap();
            assert!(
                matches!(outcome.stop, Stop::Budget),
                "{name}: {}",
                outcome.stop
            );
            outcome.train_loss / before
        };
        let adam = learn("adam", &[("learning_rate", "0.01")], 32, 200);
        assert!(adam < 0.5, "{architecture:?} adam {adam}");
        let sip = learn("sip", &[("learning_rate", "0.01")], 32, 200);
        assert!(sip < 0.9, "{architecture:?} sip {sip}");
        let lbfgs = learn("lbfgs", &[], 64, 30);
        assert!(lbfgs < 0.5, "{architecture:?} lbfgs {lbfgs}");
        // n = 128 < p and n = 1024 > p.
        for (route, batch) in [("gram", 8), ("normal", 64), ("svd", 8), ("auto", 64)] {
            let route = ("route", route);
            let lm = learn("lm", &[route], batch, 10);
            assert!(lm < 0.7, "{architecture:?} lm {route:?} {lm}");
            let cutoff = ("cutoff", "1e-2");
            let gn = learn("gn", &[route, cutoff, ("learning_rate", "0.2")], batch, 10);
            assert!(gn < 0.9, "{architecture:?} gn {route:?} {gn}");
            let hig = learn(
                "hig",
                &[route, cutoff, ("learning_rate", "0.02")],
                batch,
                10,
            );
            assert!(hig < 0.9, "{architecture:?} hig {route:?} {hig}");
        }
    }
}

#[test]
fn a_small_unet_on_the_poisson_problem_learns_with_adam_and_hig() {
    let system = Poisson {
        samples: 128,
        test_samples: 32,
        architecture: Architecture::Unet,
        channels: vec![4, 4, 4],
        ..Poisson::default()
    };
    let problem = system.problem(1);
    let start = problem.initial_parameters(1);
    let before = loss_of(&problem, &start, &problem.test);
    let training = Training {
        batch: 8,
        ..Training::default()
    };
    let adam = Adam {
        learning_rate: 0.01,
        ..Adam::default()
    };
    let hig = Spectral {
        learning_rate: 0.02.into(),
        cutoff: 1e-4,
        ..Spectral::half_inverse()
    };
    let run = |method: &dyn hig::step::Method, updates: usize| {
        let budget = Budget::updates(updates);
        train(
            &problem,
            method,
            start.clone(),
            &training,
            budget,
            0,
            &mut [],
        )
        .unwrap()
    };
    let (adam, hig) = (run(&adam, 200).test_loss, run(&hig, 20).test_loss);
    assert!(adam < 0.6 * before, "adam {before} to {adam}");
    assert!(hig < 0.6 * before, "hig {before} to {hig}");
}

#[test]
fn a_grid_that_the_levels_do_not_divide_is_refused() {
    let mut system = Poisson {
        grid: 6,
        architecture: Architecture::Unet,
        ..Poisson::default()
    };
    let expected = ["grid = 6", "multiple of 4", "3 levels"];
    assert_message(system.check_together(), &expected);
    system.set("architecture", "resnet").unwrap();
    assert!(system.check_together().is_ok());
    assert_message(
        system.set("architecture", "cnn"),
        &["architecture = cnn", "mlp, resnet or unet"],
    );
}
