//! Fields with a form of their own: derivatives, rows, what is met exactly, unknowns beside a field.

mod common;

use common::*;
use hig::data::{Purpose, random};
use hig::linalg::{Mat, stack};
use hig::network::{Activation, Derivative, Initializer, Jets, Network, Unknown};
use hig::objective::{
    Ansatz, Block, Cuboid, Embedding, Equation, Field, Given, Objective, Residuals, formed, reading,
};
use hig::physics::Real;

/// (t, cos πx, sin πx, t·x²) of (t, x).
#[derive(Debug)]
struct Features;

impl Embedding for Features {
    fn coordinates(&self) -> usize {
        2
    }

    fn features(&self) -> usize {
        4
    }

    fn write<T: Real>(&self, x: &[T], features: &mut [T]) {
        let angle = x[1] * std::f64::consts::PI;
        features[0] = x[0];
        (features[1], features[2]) = (angle.cos(), angle.sin());
        features[3] = x[0] * x[1] * x[1];
    }
}

/// Two fields, of which the first is exp x at t = 0, the second is t·x everywhere but for a factor of sin.
#[derive(Debug)]
struct Form;

impl Ansatz for Form {
    fn coordinates(&self) -> usize {
        2
    }

    fn fields(&self) -> usize {
        2
    }

    fn write<T: Real>(&self, x: &[T], g: &mut [T], d: &mut [T]) {
        (g[0], d[0]) = (x[1].exp(), x[0] * (x[1] + 2.0));
        (g[1], d[1]) = (x[0] * x[1], (x[0] + x[1] * 2.0).sin());
    }
}

fn field() -> Network {
    let network = Network::mlp(&[4, 6, 5, 2], Activation::Tanh, Initializer::Uniform);
    formed(reading(Features, network).unwrap(), Form).unwrap()
}

#[test]
fn derivatives_are_those_of_what_the_field_predicts() {
    let network = field();
    let parameters = normal_vector(network.parameter_count(), 1);
    let jets = Jets::of(2)
        .with_laplacian(0..2)
        .with_second(0, 1)
        .with_second(1, 1);
    let points = normal(7, 2, 2);
    let found = network.jets(&parameters, points.as_ref(), &jets).unwrap();
    let u = |s: usize, moved: [f64; 2], o: usize| {
        let point = Mat::from_fn(1, 2, |_, j| points[(s, j)] + moved[j]);
        network.predict(&parameters, point.as_ref())[(0, o)]
    };
    let h = 1e-4;
    for s in 0..7 {
        for o in 0..2 {
            let u = |a: f64, b: f64| u(s, [a * h, b * h], o);
            let first = [
                (u(1.0, 0.0) - u(-1.0, 0.0)) / (2.0 * h),
                (u(0.0, 1.0) - u(0.0, -1.0)) / (2.0 * h),
            ];
            let mixed = (u(1.0, 1.0) - u(1.0, -1.0) - u(-1.0, 1.0) + u(-1.0, -1.0)) / (4.0 * h * h);
            let own = [
                (u(1.0, 0.0) - 2.0 * u(0.0, 0.0) + u(-1.0, 0.0)) / (h * h),
                (u(0.0, 1.0) - 2.0 * u(0.0, 0.0) + u(0.0, -1.0)) / (h * h),
            ];
            for (derivative, expected, allowed) in [
                (Derivative::Value, u(0.0, 0.0), 1e-13),
                (Derivative::First(0), first[0], 1e-6),
                (Derivative::First(1), first[1], 1e-6),
                (Derivative::Second(0, 1), mixed, 1e-5),
                (Derivative::Second(1, 1), own[1], 1e-5),
                (Derivative::Laplacian(0, 2), own[0] + own[1], 1e-5),
            ] {
                let found = found[(jets.place(derivative).unwrap() * 7 + s, o)];
                let error = (found - expected).abs() / (1.0 + expected.abs());
                assert!(error <= allowed, "{derivative:?}: {error:e}");
            }
        }
    }
}

/// u_xy·v - Δu + c·v_x + ∂c/∂x with an unknown c, which is the same everywhere.
struct WithUnknown;

impl Equation for WithUnknown {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_laplacian(0..2).with_second(0, 1)
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        let (v, c) = (u.of(1), u.of(2));
        let own = u.second(0, 1) * v.value() - u.laplacian(0..2);
        residuals[0] = own + c.value() * v.first(1) + c.first(1) + c.laplacian(0..2);
    }
}

fn with_unknown() -> Residuals {
    let unknowns = vec![
        Unknown::positive("c", 0.7),
        Unknown::free("held", 1.0).fixed(),
    ];
    let network = field().beside(unknowns).unwrap();
    let [first, second] = [(); 2].map(|()| Cuboid::new(&[(0.0, 1.0), (-1.0, 1.0)]).unwrap());
    let blocks = vec![
        Block::of("interior", WithUnknown, 8, move |count, random| {
            first.inside(count, random)
        }),
        Block::of("data", Given { coordinates: 2 }, 5, move |count, random| {
            second.inside(count, random)
        })
        .with_weight(3.0),
    ];
    Residuals::new(network, blocks).unwrap()
}

#[test]
fn rows_of_a_formed_field_with_an_unknown_are_finite_differences() {
    let residuals = with_unknown();
    let batch = residuals.draw(13, &mut random(1, Purpose::Train));
    let parameters = normal_vector(residuals.network().parameter_count(), 3);
    let y = |parameters: &[f64]| stack(residuals.outputs(parameters, &batch).unwrap().as_ref());
    let expected = difference_jacobian(&parameters, 1e-5, y);
    let at = residuals.linearize(&batch, &parameters).unwrap();
    let transposed = at.transposed().unwrap();
    let error = relative_matrix(&transpose(&transposed), &expected);
    assert!(error <= 1e-8, "{error:e}");
    // Products of every kind are those of that J.
    let v = normal_vector(parameters.len(), 4);
    let image = at.jvp(&v).unwrap();
    let w = normal_vector(image.len(), 5);
    let back = at.vjp(&w).unwrap();
    for (i, found) in image.iter().enumerate() {
        let expected: f64 = (0..v.len()).map(|j| transposed[(j, i)] * v[j]).sum();
        assert!((found - expected).abs() <= 1e-11 * (1.0 + expected.abs()));
    }
    for (j, found) in back.iter().enumerate() {
        let expected: f64 = (0..w.len()).map(|i| transposed[(j, i)] * w[i]).sum();
        assert!((found - expected).abs() <= 1e-11 * (1.0 + expected.abs()));
    }
    let gram = at.gram().unwrap().complete();
    let square = multiply(&transpose(&transposed), &transposed);
    assert!(relative_matrix(&gram, &square) <= 1e-12);
    let [(c, place), (held, none)] = residuals.unknowns().try_into().unwrap();
    assert_eq!((c.name, held.name, none), ("c", "held", None));
    assert_eq!(place, Some(parameters.len() - 1));
}

/// u_xy·v - Δu + e^v·u_x.
struct Curved;

impl Equation for Curved {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_laplacian(0..2).with_second(0, 1)
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        let v = u.of(1).value();
        residuals[0] = u.second(0, 1) * v - u.laplacian(0..2) + v.exp() * u.first(1);
    }
}

#[test]
fn second_derivatives_along_a_line_are_those_of_the_tangents() {
    for activation in [Activation::Tanh, Activation::Sine, Activation::Gelu] {
        let network = Network::mlp(&[4, 6, 5, 2], activation, Initializer::Uniform);
        let network = formed(reading(Features, network).unwrap(), Form).unwrap();
        let domain = Cuboid::new(&[(0.0, 1.0), (-1.0, 1.0)]).unwrap();
        let [inside, sides] = [domain.clone(), domain];
        let blocks = vec![
            Block::of("interior", Curved, 8, move |count, random| {
                inside.inside(count, random)
            }),
            Block::of(
                "boundary",
                Given { coordinates: 2 },
                5,
                move |count, random| sides.boundary(count, random),
            ),
        ];
        let residuals = Residuals::new(network, blocks).unwrap();
        let batch = residuals.draw(13, &mut random(1, Purpose::Train));
        let parameters = normal_vector(residuals.network().parameter_count(), 3);
        let v = normal_vector(parameters.len(), 4);
        let slopes = |t: f64| {
            let moved: Vec<f64> = parameters.iter().zip(&v).map(|(p, v)| p + t * v).collect();
            let at = residuals.linearize(&batch, &moved).unwrap();
            at.jvp(&v).unwrap()
        };
        let h = 1e-4;
        let (ahead, behind) = (slopes(h), slopes(-h));
        let (far, near) = (slopes(2.0 * h), slopes(-2.0 * h));
        let expected: Vec<f64> = (0..ahead.len())
            .map(|i| (8.0 * (ahead[i] - behind[i]) - far[i] + near[i]) / (12.0 * h))
            .collect();
        let at = residuals.linearize(&batch, &parameters).unwrap();
        let found = at.second_along(&v).unwrap().unwrap();
        let error = relative(&found, &expected);
        assert!(error <= 1e-8, "{activation:?}: {error:e}");
    }
    // Values of unknowns are no affine function of what is trained.
    let residuals = with_unknown();
    let batch = residuals.draw(13, &mut random(1, Purpose::Train));
    let parameters = normal_vector(residuals.network().parameter_count(), 3);
    let at = residuals.linearize(&batch, &parameters).unwrap();
    assert!(at.second_along(&parameters).unwrap().is_none());
}

#[test]
fn what_is_built_in_holds_whatever_the_parameters() {
    let network = field();
    for seed in 0..3 {
        let parameters = normal_vector(network.parameter_count(), seed);
        let points = Mat::from_fn(9, 2, |s, j| if j == 0 { 0.0 } else { s as f64 / 4.0 - 1.0 });
        let u = network.predict(&parameters, points.as_ref());
        assert!((0..9).all(|s| u[(s, 0)] == points[(s, 1)].exp()));
        // A period that the network reads, where the rest is left out.
        let circle = reading(
            Angle,
            Network::mlp(&[2, 5, 1], Activation::Tanh, Initializer::Wide),
        )
        .unwrap();
        let parameters = normal_vector(circle.parameter_count(), seed);
        let at = |x: f64| circle.predict(&parameters, Mat::full(1, 1, x).as_ref())[(0, 0)];
        assert!((at(0.3) - at(0.3 + std::f64::consts::TAU)).abs() < 1e-14);
        assert!((at(0.3) - at(1.3)).abs() > 1e-3);
    }
}

#[derive(Debug)]
struct Angle;

impl Embedding for Angle {
    fn coordinates(&self) -> usize {
        1
    }

    fn features(&self) -> usize {
        2
    }

    fn write<T: Real>(&self, x: &[T], features: &mut [T]) {
        (features[0], features[1]) = (x[0].cos(), x[0].sin());
    }
}

#[test]
fn products_without_jets_are_those_of_the_same_layers() {
    // The value alone is a field of one pass; the plain passes must agree with it.
    let network = field();
    let parameters = normal_vector(network.parameter_count(), 1);
    let points = normal(6, 2, 2);
    let values = network.forward(&parameters, points.as_ref());
    let cotangents = normal(6, 2, 3);
    let found = network.vjp(&parameters, &values, cotangents.as_ref());
    let y = |parameters: &[f64]| stack(network.predict(parameters, points.as_ref()).as_ref());
    let jacobian = difference_jacobian(&parameters, 1e-5, y);
    let w = stack(cotangents.as_ref());
    for j in 0..parameters.len() {
        let expected: f64 = (0..w.len()).map(|i| jacobian[(i, j)] * w[i]).sum();
        assert!((found[(j, 0)] - expected).abs() <= 1e-7 * (1.0 + expected.abs()));
    }
    let direction = normal_vector(parameters.len(), 4);
    let tangent = stack(network.jvp(&parameters, &values, &direction).as_ref());
    for (i, found) in tangent.iter().enumerate() {
        let expected: f64 = (0..parameters.len())
            .map(|j| jacobian[(i, j)] * direction[j])
            .sum();
        assert!((found - expected).abs() <= 1e-7 * (1.0 + expected.abs()));
    }
}

#[test]
fn shapes_that_do_not_fit_are_refused() {
    let network = || Network::mlp(&[3, 4, 2], Activation::Tanh, Initializer::Uniform);
    assert_message(reading(Features, network()), &["width 4", "3"]);
    assert_message(formed(network(), Form), &["2 coordinates to 2 fields"]);
}
