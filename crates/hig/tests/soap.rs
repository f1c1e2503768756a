//! SOAP against Adam, a closed form of its second update, and rotations.

mod common;

use common::*;
use hig::linalg::Mat;
use hig::loss::SquaredError;
use hig::network::{Activation, Boundary, Grid, Initializer, Network};
use hig::objective::ThroughPhysics;
use hig::physics::{Differentiated, Laplacian, Real, SampleFunction, Widths};
use hig::step::{Adam, Method, Soap};
use hig::{Dataset, Problem};

/// y = u.
struct Identity(usize);

impl SampleFunction for Identity {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: self.0,
            output: self.0,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], control: &[T], y: &mut [T]) {
        y.copy_from_slice(control);
    }
}

fn samples(input: Mat<f64>, target: Mat<f64>) -> Dataset {
    let state = Mat::zeros(input.nrows(), 0);
    Dataset {
        input,
        state,
        target,
    }
}

/// One dense layer: the gradient of its weights is any matrix (outputs × inputs).
fn layer(inputs: usize, outputs: usize) -> Problem {
    let network = Network::mlp(&[inputs, outputs], Activation::Tanh, Initializer::Glorot);
    let physics = Differentiated(Identity(outputs));
    let data = || samples(normal(9, inputs, 1), normal(9, outputs, 2));
    let objective = ThroughPhysics::new(network, physics, SquaredError::half());
    Problem::of(data(), data(), objective)
}

/// Updates for gradients at given places, whatever the updates before were.
fn updates(
    method: &dyn Method,
    problem: &Problem,
    places: &[Vec<f64>],
    rate: f64,
) -> Vec<Vec<f64>> {
    let mut step = method.start().unwrap();
    step.begin(0, &problem.objective.parameters());
    let update = |at: &Vec<f64>| {
        let batch = Batch::new(parts(problem), &problem.train, at);
        step.step(&*batch, rate).unwrap().delta
    };
    places.iter().map(update).collect()
}

fn places(problem: &Problem, count: u64) -> Vec<Vec<f64>> {
    let at = |seed| normal_vector(problem.parameter_count(), seed);
    (0..count).map(|k| at(20 + k)).collect()
}

#[test]
fn without_factors_it_is_adam_after_its_first_batch() {
    let problem = layer(4, 3);
    let places = places(&problem, 6);
    let soap = Soap {
        beta1: 0.9,
        beta2: 0.999,
        largest: 1,
        ..Soap::default()
    };
    let found = updates(&soap, &problem, &places, 0.1);
    assert!(found[0].iter().all(|d| *d == 0.0));
    let expected = updates(&Adam::default(), &problem, &places[1..], 0.1);
    for (found, expected) in found[1..].iter().zip(&expected) {
        assert!(relative(found, expected) <= 1e-14);
    }
    // And with factors it is another step, but for the biases, which are a vector.
    let soap = Soap { largest: 4, ..soap };
    let turned = updates(&soap, &problem, &places, 0.1);
    assert!(relative(&turned[1][..12], &expected[0][..12]) > 0.1);
    assert!(relative(&turned[3][12..], &expected[2][12..]) <= 1e-14);
}

/// The gradient of the weights of a layer (outputs × inputs).
fn matrix_of(problem: &Problem, at: &[f64], rows: usize, columns: usize) -> Mat<f64> {
    let gradient = Batch::new(parts(problem), &problem.train, at).gradient();
    Mat::from_fn(rows, columns, |i, j| gradient[i * columns + j])
}

#[test]
fn its_second_update_is_the_signs_in_the_basis_of_the_first_gradient() {
    let (inputs, outputs) = (3, 3);
    let problem = layer(inputs, outputs);
    let places = places(&problem, 2);
    let (u, _, v) = jacobi_svd(&matrix_of(&problem, &places[0], outputs, inputs));
    let second = matrix_of(&problem, &places[1], outputs, inputs);
    let turned = multiply(&multiply(&transpose(&u), &second), &v);
    let signs = Mat::from_fn(outputs, inputs, |i, j| turned[(i, j)].signum());
    let expected = multiply(&multiply(&u, &signs), &transpose(&v));
    let found = &updates(&Soap::default(), &problem, &places, 0.1)[1];
    let count = outputs * inputs;
    let found = Mat::from_fn(outputs, inputs, |i, j| -found[i * inputs + j] / 0.1);
    assert_eq!(count, 9);
    assert!(relative_matrix(&found, &expected) <= 1e-6);
}

#[test]
fn rotated_matrices_have_rotated_updates() {
    let (inputs, outputs) = (4, 3);
    let (a, b) = (
        orthonormal(outputs, outputs, 7),
        orthonormal(inputs, inputs, 8),
    );
    let problem = layer(inputs, outputs);
    let mut rotated = layer(inputs, outputs);
    rotated.train.input = multiply(&problem.train.input, &transpose(&b));
    rotated.train.target = multiply(&problem.train.target, &transpose(&a));
    // W → A·W·Bᵀ and b → A·b: then so is the gradient.
    let count = outputs * inputs;
    let weights = |at: &[f64]| Mat::from_fn(outputs, inputs, |i, j| at[i * inputs + j]);
    let turn = |w: &Mat<f64>| multiply(&multiply(&a, w), &transpose(&b));
    let flat = |w: &Mat<f64>| -> Vec<f64> { entries(&transpose(w)) };
    let places = places(&problem, 25);
    let turned: Vec<Vec<f64>> = places
        .iter()
        .map(|at| [flat(&turn(&weights(at))), times(&a, &at[count..])].concat())
        .collect();
    let soap = Soap {
        frequency: 3,
        ..Soap::default()
    };
    let found = updates(&soap, &rotated, &turned, 0.1);
    let expected = updates(&soap, &problem, &places, 0.1);
    for (k, (found, expected)) in found.iter().zip(&expected).enumerate().skip(1) {
        let error = relative(&found[..count], &flat(&turn(&weights(expected))));
        assert!(error <= 1e-6, "update {k}: {error:e}");
    }
    // Adam has no such symmetry.
    let adam = Adam::default();
    let found = updates(&adam, &rotated, &turned, 0.1);
    let expected = updates(&adam, &problem, &places, 0.1);
    let error = relative(&found[1][..count], &flat(&turn(&weights(&expected[1]))));
    assert!(error > 0.1, "{error}");
}

#[test]
fn convolutions_have_a_factor_for_each_axis() {
    let grid = Grid {
        channels: 1,
        height: 4,
        width: 4,
    };
    let (tanh, glorot) = (Activation::Tanh, Initializer::Glorot);
    let network = Network::resnet(grid, &[3, 2], 1, Boundary::Zero, tanh, glorot).unwrap();
    let data = || samples(normal(6, 16, 1), normal(6, 16, 2));
    let laplacian = Laplacian::new(4, 1.0);
    let objective = ThroughPhysics::new(network, laplacian, SquaredError::half());
    let problem = Problem::of(data(), data(), objective);
    let mut at = problem.initial_parameters(0);
    let start = loss_of(&problem, &at, &problem.train);
    let mut step = Soap::default().start().unwrap();
    step.begin(0, &problem.objective.parameters());
    for k in 0..60 {
        let batch = Batch::new(parts(&problem), &problem.train, &at);
        assert_eq!(batch.columns(), at.len());
        let delta = step.step(&*batch, 0.01).unwrap().delta;
        // In any basis no number of a step with orthogonal axes is longer than all of its numbers are.
        let largest = delta.iter().fold(0.0_f64, |m, d| m.max(d.abs()));
        assert!(largest < 0.5, "{k}: {largest}");
        at.iter_mut().zip(&delta).for_each(|(a, d)| *a += d);
    }
    let end = loss_of(&problem, &at, &problem.train);
    assert!(end < 0.5 * start, "{start} to {end}");
}
