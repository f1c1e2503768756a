//! Equations as lists of operations: the same as those written in Rust, and refused where they make no sense.

mod common;

use common::*;
use hig::data::{Purpose, random};
use hig::linalg::stack;
use hig::network::{Activation, Derivative, Initializer, Jets, Network};
use hig::objective::{
    Block, Cuboid, Equation, Field, Formula, Function, Objective, Operation, Pair, Residuals,
};
use hig::physics::Real;

/// sin(u)·v_x - Δu/(2 + x·y), and u_xy² + hypot(u, v) - √(1 + x²)·max(u_x, v).
struct Written;

impl Equation for Written {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_laplacian(0..2).with_second(0, 1)
    }

    fn count(&self) -> usize {
        2
    }

    fn residuals<T: Real>(&self, x: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        let v = u.of(1);
        residuals[0] = u.value().sin() * v.first(0) - u.laplacian(0..2) / (2.0 + x[0] * x[1]);
        let root = (1.0 + x[0] * x[0]).sqrt();
        residuals[1] =
            u.second(0, 1).powi(2) + u.value().hypot(v.value()) - u.first(0).max(v.value()) * root;
    }
}

fn listed() -> Formula {
    use Operation::{Both, Constant, Coordinate, Field, Of, Power};
    let operations = vec![
        Field(Derivative::Value, 0),
        Of(Function::Sine, 0),
        Field(Derivative::First(0), 1),
        Both(Pair::Product, 1, 2),
        Coordinate(0),
        Coordinate(1),
        Both(Pair::Product, 4, 5),
        Constant(2.0),
        Both(Pair::Sum, 7, 6),
        Field(Derivative::Laplacian(0, 2), 0),
        Both(Pair::Quotient, 9, 8),
        Both(Pair::Difference, 3, 10),
        Field(Derivative::Second(0, 1), 0),
        Power(12, 2.0),
        Field(Derivative::Value, 1),
        Both(Pair::Length, 0, 14),
        Both(Pair::Sum, 13, 15),
        Power(4, 2.0),
        Constant(1.0),
        Both(Pair::Sum, 18, 17),
        Of(Function::Root, 19),
        Field(Derivative::First(0), 0),
        Both(Pair::Larger, 21, 14),
        Both(Pair::Product, 20, 22),
        Both(Pair::Difference, 16, 23),
    ];
    Formula::new(2, 2, operations, vec![11, 24]).unwrap()
}

fn residuals(equation: impl Equation + 'static) -> Residuals {
    let network = Network::mlp(&[2, 6, 5, 2], Activation::Tanh, Initializer::Wide);
    let square = Cuboid::unit(2);
    let block = Block::of("interior", equation, 20, move |count, random| {
        square.inside(count, random)
    });
    Residuals::new(network, vec![block]).unwrap()
}

#[test]
fn a_list_of_operations_is_the_equation_that_was_written() {
    let (one, other) = (residuals(Written), residuals(listed()));
    let batch = one.draw(20, &mut random(1, Purpose::Train));
    let parameters = normal_vector(one.network().parameter_count(), 2);
    let y = |residuals: &Residuals| stack(residuals.outputs(&parameters, &batch).unwrap().as_ref());
    assert!(relative(&y(&other), &y(&one)) <= 1e-15);
    let rows = |residuals: &Residuals| {
        let at = residuals.linearize(&batch, &parameters).unwrap();
        at.transposed().unwrap()
    };
    assert!(relative_matrix(&rows(&other), &rows(&one)) <= 1e-14);
}

#[test]
fn functions_are_those_of_numbers() {
    let x = [0.7, -0.4];
    let of = |operations: Vec<Operation>| {
        let last = operations.len() - 1;
        Formula::new(2, 0, operations, vec![last])
            .unwrap()
            .of_point(&x, &[])[0]
    };
    for (function, expected) in [
        (Function::Negative, -0.7),
        (Function::Sine, 0.7_f64.sin()),
        (Function::Cosine, 0.7_f64.cos()),
        (Function::Tanh, 0.7_f64.tanh()),
        (Function::Exponential, 0.7_f64.exp()),
        (Function::Logarithm, 0.7_f64.ln()),
        (Function::Root, 0.7_f64.sqrt()),
        (Function::Absolute, 0.7),
        (Function::Sign, 1.0),
    ] {
        let found = of(vec![Operation::Coordinate(0), Operation::Of(function, 0)]);
        assert_eq!(found, expected, "{function}");
    }
    for (pair, expected) in [
        (Pair::Sum, 0.7 + -0.4),
        (Pair::Difference, 0.7 - -0.4),
        (Pair::Product, 0.7 * -0.4),
        (Pair::Quotient, 0.7 / -0.4),
        (Pair::Length, 0.7_f64.hypot(-0.4)),
        (Pair::Angle, 0.7_f64.atan2(-0.4)),
        (Pair::Larger, 0.7),
        (Pair::Smaller, -0.4),
    ] {
        let operands = [Operation::Coordinate(0), Operation::Coordinate(1)];
        let found = of([&operands[..], &[Operation::Both(pair, 0, 1)]].concat());
        assert_eq!(found, expected, "{pair}");
    }
    for (exponent, expected) in [(3.0, 0.7_f64.powi(3)), (1.5, 0.7_f64.powf(1.5))] {
        let found = of(vec![
            Operation::Coordinate(0),
            Operation::Power(0, exponent),
        ]);
        assert_eq!(found, expected);
    }
}

#[test]
fn what_makes_no_sense_is_refused_by_its_number() {
    let one = |operation| Formula::new(2, 1, vec![operation], vec![0]);
    assert_message(one(Operation::Coordinate(2)), &["coordinate", "below 2"]);
    assert_message(
        one(Operation::Field(Derivative::Value, 1)),
        &["field", "below 1"],
    );
    assert_message(
        one(Operation::Field(Derivative::Second(0, 5), 0)),
        &["coordinate", "5", "below 2"],
    );
    assert_message(
        one(Operation::Field(Derivative::Laplacian(1, 1), 0)),
        &["Laplacian", "above 1"],
    );
    assert_message(
        one(Operation::Of(Function::Sine, 0)),
        &["operand", "before"],
    );
    assert_message(
        Formula::new(1, 1, vec![], vec![]),
        &["residuals", "at least 1"],
    );
    let constant = vec![Operation::Constant(1.0)];
    assert_message(
        Formula::new(1, 1, constant, vec![1]),
        &["residual", "below 1"],
    );
}
