//! Derivatives of a network in its input, against closed forms, dual numbers and finite differences.

mod common;

use common::*;
use hig::linalg::{Mat, Scratch};
use hig::network::{
    Activation, Boundary, Chain, Conv2d, Dense, Derivative, Grid, Initializer, Jets, LayerNorm,
    Network, Scale,
};
use hig::objective::{Jacobian, NetworkJacobian};
use num_dual::{Dual64, DualNum, HyperDual64};
use proptest::prelude::*;
use std::borrow::Cow;
use std::f64::consts::PI;
use std::sync::Arc;

const SMOOTH: [Activation; 4] = [
    Activation::Tanh,
    Activation::Sine,
    Activation::Gelu,
    Activation::Identity,
];

/// All derivatives up to second order, the mixed ones too.
fn all(inputs: usize) -> Jets {
    let mut jets = Jets::of(inputs).with_laplacian(0..inputs);
    for i in 0..inputs {
        for j in i..inputs {
            jets = jets.with_second(i, j);
        }
    }
    jets
}

fn entry(found: &Mat<f64>, jets: &Jets, derivative: Derivative, sample: usize, o: usize) -> f64 {
    let samples = found.nrows() / jets.count();
    found[(jets.place(derivative).unwrap() * samples + sample, o)]
}

/// σ, σ', σ'' and σ''' by the textbook.
fn textbook(activation: Activation, x: f64) -> [f64; 4] {
    match activation {
        Activation::Tanh => {
            let s = 1.0 / x.cosh();
            let s2 = s * s;
            let t = x.tanh();
            [t, s2, -2.0 * t * s2, 4.0 * t * t * s2 - 2.0 * s2 * s2]
        }
        Activation::Sine => [x.sin(), x.cos(), -x.sin(), -x.cos()],
        Activation::Gelu => {
            let p = (-0.5 * x * x).exp() / (2.0 * PI).sqrt();
            let below = 0.5 * (1.0 + libm::erf(x / 2.0_f64.sqrt()));
            [
                x * below,
                below + x * p,
                2.0 * p - x * x * p,
                -4.0 * x * p + x.powi(3) * p,
            ]
        }
        Activation::Identity => [x, 1.0, 0.0, 0.0],
        Activation::Relu => [x.max(0.0), f64::from(x > 0.0), 0.0, 0.0],
    }
}

#[test]
fn derivatives_of_activations_are_those_of_the_textbook() {
    for activation in SMOOTH.into_iter().chain([Activation::Relu]) {
        for i in -40..=40 {
            let x = 0.1 * f64::from(i) + 0.013;
            let expected = textbook(activation, x);
            let found = activation.three_derivatives(x, activation.apply(x));
            for (found, expected) in found.iter().zip(&expected[1..]) {
                let error = (found - expected).abs();
                assert!(error <= 1e-14, "{activation:?} at {x}: {error:e}");
            }
        }
    }
}

#[test]
fn one_hidden_layer_is_its_closed_form() {
    for activation in SMOOTH {
        // mlp leaves out the identity.
        let chain = Chain::new()
            .then(Dense {
                inputs: 3,
                outputs: 7,
            })
            .then(activation)
            .then(Dense {
                inputs: 7,
                outputs: 2,
            });
        let network = Network::new(3, chain, Initializer::Glorot).unwrap();
        let parameters = normal_vector(network.parameter_count(), 3);
        let (weight, bias) = (&parameters[..21], &parameters[21..28]);
        let (out, offset) = (&parameters[28..42], &parameters[42..44]);
        let points = normal(5, 3, 4);
        let jets = all(3);
        let found = network.jets(&parameters, points.as_ref(), &jets).unwrap();
        for s in 0..5 {
            for o in 0..2 {
                let sum = |order: usize, of: &dyn Fn(&[f64]) -> f64| -> f64 {
                    let neurons = (0..7).map(|k| {
                        let w = &weight[3 * k..3 * k + 3];
                        let z = (0..3).map(|j| w[j] * points[(s, j)]).sum::<f64>() + bias[k];
                        out[7 * o + k] * textbook(activation, z)[order] * of(w)
                    });
                    neurons.sum()
                };
                let check = |derivative, expected: f64| {
                    let found = entry(&found, &jets, derivative, s, o);
                    let error = (found - expected).abs() / expected.abs().max(1.0);
                    assert!(
                        error <= 1e-13,
                        "{activation:?} {derivative:?}: {found} {expected}"
                    );
                };
                check(Derivative::Value, sum(0, &|_| 1.0) + offset[o]);
                for i in 0..3 {
                    check(Derivative::First(i), sum(1, &|w| w[i]));
                    for j in i..3 {
                        check(Derivative::Second(i, j), sum(2, &|w| w[i] * w[j]));
                    }
                }
                let squares = sum(2, &|w| w.iter().map(|w| w * w).sum());
                check(Derivative::Laplacian(0, 3), squares);
            }
        }
    }
}

/// The perceptron of `common`, for numbers that differentiate themselves.
fn deep<D: DualNum<Primitive = f64> + Copy>(
    widths: &[usize],
    sine: bool,
    parameters: &[f64],
    x: Vec<D>,
) -> Vec<D> {
    let (mut values, mut rest) = (x, parameters);
    for (l, &width) in widths[1..].iter().enumerate() {
        let (weight, after) = rest.split_at(width * values.len());
        let (bias, after) = after.split_at(width);
        rest = after;
        let sums = (0..width).map(|o| {
            let row = &weight[o * values.len()..(o + 1) * values.len()];
            let mut sum = D::from(bias[o]);
            for (w, v) in row.iter().zip(&values) {
                sum += *v * *w;
            }
            sum
        });
        values = sums.collect();
        if l + 2 < widths.len() {
            for v in &mut values {
                *v = if sine { v.sin() } else { v.tanh() };
            }
        }
    }
    values
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn deep_networks_agree_with_dual_numbers(
        inputs in 1_usize..4, hidden in prop::collection::vec(1_usize..7, 1..4), outputs in 1_usize..3,
        sine: bool, seed in 0_u64..1000,
    ) {
        let widths = [&[inputs], &hidden[..], &[outputs]].concat();
        let activation = if sine { Activation::Sine } else { Activation::Tanh };
        let network = Network::mlp(&widths, activation, Initializer::Glorot);
        let parameters = normal_vector(network.parameter_count(), seed);
        let points = normal(3, inputs, seed + 1);
        let jets = all(inputs);
        let found = network.jets(&parameters, points.as_ref(), &jets).unwrap();
        for s in 0..3 {
            let mut laplacian = vec![0.0; outputs];
            for i in 0..inputs {
                for j in i..inputs {
                    let point = (0..inputs).map(|k| {
                        let x = HyperDual64::from(points[(s, k)]);
                        HyperDual64::new(x.re, f64::from(k == i), f64::from(k == j), 0.0)
                    });
                    let expected = deep(&widths, sine, &parameters, point.collect());
                    for (o, u) in expected.iter().enumerate() {
                        let near = |derivative, expected: f64| {
                            let found = entry(&found, &jets, derivative, s, o);
                            (found - expected).abs() <= 1e-12 * expected.abs().max(10.0)
                        };
                        prop_assert!(near(Derivative::Value, u.re));
                        prop_assert!(near(Derivative::First(i), u.eps1));
                        prop_assert!(near(Derivative::First(j), u.eps2));
                        prop_assert!(near(Derivative::Second(i, j), u.eps1eps2));
                        if i == j {
                            laplacian[o] += u.eps1eps2;
                        }
                    }
                }
            }
            for (o, expected) in laplacian.iter().enumerate() {
                let found = entry(&found, &jets, Derivative::Laplacian(0, inputs), s, o);
                prop_assert!((found - expected).abs() <= 1e-12 * expected.abs().max(30.0));
            }
        }
    }
}

/// A network of each kind of layer that carries derivatives, with joins.
fn networks() -> Vec<(&'static str, Network)> {
    let new = |inputs, chain| Network::new(inputs, chain, Initializer::Glorot).unwrap();
    let dense = |inputs, outputs| Dense { inputs, outputs };
    let grid = Grid {
        channels: 1,
        height: 2,
        width: 2,
    };
    let conv = Conv2d::same(grid, 2, 3, Boundary::Periodic);
    let scale = Scale {
        channels: 5,
        points: 1,
        gain: 0.7,
    };
    let block = Chain::new()
        .then(dense(5, 4))
        .then(Activation::Gelu)
        .then(dense(4, 5));
    let tanh = |widths: &[usize]| Network::mlp(widths, Activation::Tanh, Initializer::Uniform);
    vec![
        ("one layer", tanh(&[3, 6, 1])),
        ("two layers", tanh(&[2, 5, 4, 2])),
        ("linear", tanh(&[2, 3])),
        (
            "sine",
            Network::mlp(&[3, 4, 4, 1], Activation::Sine, Initializer::Lecun),
        ),
        (
            "joins",
            new(
                2,
                Chain::new()
                    .then(dense(2, 5))
                    .then(Activation::Tanh)
                    .residual(block)
                    .then(scale)
                    .skip(Chain::new().then(Activation::Sine))
                    .then(dense(10, 1)),
            ),
        ),
        (
            "convolution",
            new(
                4,
                Chain::new()
                    .then(conv)
                    .then(Activation::Tanh)
                    .then(dense(8, 1)),
            ),
        ),
    ]
}

#[test]
fn every_kind_of_layer_agrees_with_finite_differences() {
    const STEP: f64 = 1e-5;
    for (name, network) in networks() {
        let d = network.inputs();
        let parameters = normal_vector(network.parameter_count(), 8);
        let points = normal(4, d, 9);
        let jets = all(d);
        let at = |points: &Mat<f64>| network.jets(&parameters, points.as_ref(), &jets).unwrap();
        let found = at(&points);
        for j in 0..d {
            let moved = |sign: f64| {
                let mut moved = points.clone();
                (0..4).for_each(|s| moved[(s, j)] += sign * STEP);
                at(&moved)
            };
            let slope = (moved(1.0) - moved(-1.0)) * faer::Scale(0.5 / STEP);
            let check = |of, derivative| {
                for s in 0..4 {
                    for o in 0..network.outputs() {
                        let expected = entry(&slope, &jets, of, s, o);
                        let found = entry(&found, &jets, derivative, s, o);
                        let error = (found - expected).abs() / expected.abs().max(1.0);
                        assert!(error <= 1e-8, "{name} {derivative:?}: {error:e}");
                    }
                }
            };
            check(Derivative::Value, Derivative::First(j));
            for i in 0..d {
                let second = Derivative::Second(i.min(j), i.max(j));
                check(Derivative::First(i), second);
            }
        }
    }
}

#[test]
fn rows_of_j_are_the_derivatives_of_weighted_jets_in_the_parameters() {
    const SAMPLES: usize = 3;
    const ROWS: usize = 2;
    for (name, network) in networks() {
        let parameters = normal_vector(network.parameter_count(), 12);
        let points = normal(SAMPLES, network.inputs(), 13);
        let jets = Arc::new(all(network.inputs()));
        let (count, outputs) = (jets.count(), network.outputs());
        let weights = normal(ROWS * count * SAMPLES, outputs, 14);
        // Row (component, sample): the sum of the sample's jet with these weights.
        let sums = |parameters: &[f64]| -> Vec<f64> {
            let found = network.jets(parameters, points.as_ref(), &jets).unwrap();
            let mut sums = vec![0.0; ROWS * SAMPLES];
            for k in 0..ROWS {
                for c in 0..count {
                    for s in 0..SAMPLES {
                        let row = (k * count + c) * SAMPLES + s;
                        sums[k * SAMPLES + s] += (0..outputs)
                            .map(|o| weights[(row, o)] * found[(c * SAMPLES + s, o)])
                            .sum::<f64>();
                    }
                }
            }
            sums
        };
        let expected = difference_jacobian(&parameters, 1e-5, sums);
        let values = network.forward_jets(&parameters, points.as_ref(), &jets);
        let j = NetworkJacobian::new(&network, &parameters, &values, Cow::Borrowed(&weights))
            .of_passes(jets.passes());
        let formed = j.formed();
        let error = relative_matrix(&formed, &expected);
        assert!(error <= 1e-8, "{name}: {error:e}");

        let close = |what: &str, found: &Mat<f64>, expected: &Mat<f64>| {
            let error = relative_matrix(found, expected);
            assert!(error <= 1e-12, "{name}, {what}: {error:e}");
        };
        let transposed = transpose(&formed);
        close("Jᵀ", &j.transposed().unwrap(), &transposed);
        let (w, v) = (normal(ROWS * SAMPLES, 2, 1), normal(parameters.len(), 2, 2));
        let column = |vector: Vec<f64>| Mat::from_fn(vector.len(), 1, |i, _| vector[i]);
        let product = |a: &Mat<f64>, b: &[f64]| column(times(a, b));
        let first = w.col_as_slice(0);
        close(
            "vjp",
            &column(j.vjp(first).unwrap()),
            &product(&transposed, first),
        );
        let first = v.col_as_slice(0);
        close(
            "jvp",
            &column(j.jvp(first).unwrap()),
            &product(&formed, first),
        );
        let square = |m: &Mat<f64>| multiply(&transpose(m), m);
        close("K", &j.gram().unwrap().complete(), &square(&transposed));
        close("JᵀJ", &j.normal().unwrap().complete(), &square(&formed));
        let images = j.image_gram(w.as_ref()).unwrap().complete();
        close("images", &images, &square(&multiply(&transposed, &w)));
        let images = j.normal_image_gram(v.as_ref()).unwrap().complete();
        close("normal images", &images, &square(&multiply(&formed, &v)));
        // K by masks, whatever takes fewer operations.
        let mut by_mask = hig::linalg::Symmetric::zeros(ROWS * SAMPLES);
        let mut by_columns = hig::linalg::Symmetric::zeros(ROWS * SAMPLES);
        let scratch = &mut Scratch::new();
        network.backward(
            &parameters,
            &values,
            weights.as_ref(),
            scratch,
            |part, scratch| {
                match part.layer.is_outer_product() {
                    true => part.add_gram_by_mask(&mut by_mask, jets.passes(), scratch),
                    false => part.add_gram_by_columns(&mut by_mask, jets.passes(), scratch),
                }
                part.add_gram_by_columns(&mut by_columns, jets.passes(), scratch);
            },
        );
        close("masks", &by_mask.complete(), &square(&transposed));
        close("columns", &by_columns.complete(), &square(&transposed));
    }
}

#[test]
fn a_laplacian_is_the_same_in_every_orthonormal_basis_and_scales_with_the_square() {
    let network = Network::mlp(&[3, 8, 5, 1], Activation::Tanh, Initializer::Glorot);
    let parameters = normal_vector(network.parameter_count(), 5);
    let points = normal(6, 3, 6);
    let jets = Jets::of(3).with_laplacian(0..3);
    let laplacian = |parameters: &[f64], points: &Mat<f64>| -> Vec<f64> {
        let found = network.jets(parameters, points.as_ref(), &jets).unwrap();
        let samples = 0..points.nrows();
        let of = Derivative::Laplacian(0, 3);
        samples.map(|s| entry(&found, &jets, of, s, 0)).collect()
    };
    // u(B·x) is the same network with the first weight times B.
    let through = |b: &Mat<f64>| {
        let weight = Mat::from_fn(8, 3, |i, j| parameters[3 * i + j]);
        let weight = multiply(&weight, b);
        let mut moved = parameters.clone();
        for i in 0..8 {
            for j in 0..3 {
                moved[3 * i + j] = weight[(i, j)];
            }
        }
        moved
    };
    let rotation = orthonormal(3, 3, 7);
    let rotated = multiply(&points, &transpose(&rotation));
    let expected = laplacian(&parameters, &rotated);
    let found = laplacian(&through(&rotation), &points);
    assert!(relative(&found, &expected) <= 1e-13);
    let stretch = Mat::from_fn(3, 3, |i, j| if i == j { 2.5 } else { 0.0 });
    let expected = laplacian(&parameters, &multiply(&points, &stretch));
    let expected: Vec<f64> = expected.iter().map(|l| 6.25 * l).collect();
    let found = laplacian(&through(&stretch), &points);
    assert!(relative(&found, &expected) <= 1e-13);
}

#[test]
fn a_derivative_is_carried_once_and_found_by_its_name() {
    let jets = Jets::of(3)
        .with_second(2, 0)
        .with_first(1)
        .with_second(0, 2)
        .with_laplacian(1..3);
    let expected = [
        Derivative::Value,
        Derivative::First(2),
        Derivative::First(0),
        Derivative::First(1),
        Derivative::Second(0, 2),
        Derivative::Laplacian(1, 3),
    ];
    assert_eq!(jets.components().len(), expected.len());
    for derivative in expected {
        assert!(jets.place(derivative).is_some(), "{derivative:?}");
    }
    // First derivatives stand before second ones.
    assert_eq!(jets.components()[4..], expected[4..]);
    assert_eq!(
        jets.passes().biased(),
        [true, false, false, false, false, false]
    );
    let both = Jets::of(3).with_gradient().joined(&jets);
    assert_eq!(both.count(), 6);
    assert_eq!(jets.place(Derivative::Second(1, 1)), None);
}

#[test]
fn networks_without_such_derivatives_are_refused_by_name() {
    let relu = Network::mlp(&[2, 5, 1], Activation::Relu, Initializer::He);
    let first = Jets::of(2).with_gradient();
    relu.check_jets(&first).unwrap();
    let second = Jets::of(2).with_second(0, 0);
    assert_message(relu.check_jets(&second), &["Relu", "smooth", "tanh"]);
    let chain = Chain::new().then(LayerNorm::new(2, 1)).then(Dense {
        inputs: 2,
        outputs: 1,
    });
    let norm = Network::new(2, chain, Initializer::He).unwrap();
    norm.check_jets(&Jets::of(2)).unwrap();
    assert_message(
        norm.check_jets(&first),
        &["LayerNorm", "layer 0", "carried"],
    );
    assert_message(
        relu.check_jets(&Jets::of(3)),
        &["coordinates", "3", "2 (the inputs"],
    );
    let points = normal(4, 2, 1);
    let parameters = relu.initial_parameters(0);
    assert!(relu.jets(&parameters, points.as_ref(), &second).is_err());
}

/// Dual numbers in the parameters: the tangent of a jet, for one direction.
#[test]
fn tangents_in_the_parameters_agree_with_dual_numbers() {
    let widths = [2, 4, 3, 1];
    let network = Network::mlp(&widths, Activation::Tanh, Initializer::Glorot);
    let parameters = normal_vector(network.parameter_count(), 21);
    let direction = normal_vector(parameters.len(), 22);
    let points = normal(3, 2, 23);
    let jets = Arc::new(Jets::of(2).with_gradient());
    let values = network.forward_jets(&parameters, points.as_ref(), &jets);
    let mut found = Mat::zeros(9, 1);
    let scratch = &mut Scratch::new();
    let (target, passes) = (found.as_mut(), jets.passes());
    network.tangents_into(&parameters, &values, &direction, passes, target, scratch);
    // The value's tangent by a difference of dual numbers in x: u and its slopes, moved in θ.
    let at = |t: f64| -> Vec<f64> {
        let moved: Vec<f64> = parameters
            .iter()
            .zip(&direction)
            .map(|(p, d)| p + t * d)
            .collect();
        let mut column = vec![0.0; 9];
        for s in 0..3 {
            for i in 0..2 {
                let x = (0..2).map(|k| Dual64::new(points[(s, k)], f64::from(k == i)));
                let u = deep(&widths, false, &moved, x.collect())[0];
                column[s] = u.re;
                column[(i + 1) * 3 + s] = u.eps;
            }
        }
        column
    };
    let (ahead, behind) = (at(1e-5), at(-1e-5));
    let expected: Vec<f64> = ahead
        .iter()
        .zip(&behind)
        .map(|(a, b)| (a - b) / 2e-5)
        .collect();
    assert!(relative(found.col_as_slice(0), &expected) <= 1e-8);
}
