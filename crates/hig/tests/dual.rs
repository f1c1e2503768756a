//! Dual numbers against another library's, central differences, and what is stated at kinks.

mod common;

use common::normal;
use common::oracle::Oracle;
use hig::linalg::Mat;
use hig::physics::{
    Differentiated, Dual, Equations, Lanes, Real, RungeKutta4, SampleFunction, Simulator, Widths,
};

/// A function of two numbers that can be asked for in every number type.
trait Function {
    fn of<T: Real>(&self, x: T, y: T) -> T;
}

macro_rules! functions {
    ($($name:ident: |$x:ident, $y:ident| $body:expr;)*) => { $(
        struct $name;
        impl Function for $name {
            fn of<T: Real>(&self, $x: T, $y: T) -> T {
                let _ = $y;
                $body
            }
        }
    )* };
}

functions! {
    Sum: |x, y| x + y;
    Difference: |x, y| x - y;
    Product: |x, y| x * y;
    Quotient: |x, y| x / y;
    Negative: |x, y| -x;
    Shifted: |x, y| x + 0.7;
    Lowered: |x, y| x - 0.7;
    Scaled: |x, y| x * -0.7;
    Divided: |x, y| x / 0.7;
    Sine: |x, y| x.sin();
    Cosine: |x, y| x.cos();
    Tanh: |x, y| x.tanh();
    Exponential: |x, y| x.exp();
    Logarithm: |x, y| x.abs().ln();
    Root: |x, y| x.abs().sqrt();
    Zeroth: |x, y| x.powi(0);
    Power1: |x, y| x.powi(1);
    Power2: |x, y| x.powi(2);
    Power3: |x, y| x.powi(3);
    Power4: |x, y| x.powi(4);
    Power7: |x, y| x.powi(7);
    Inverse: |x, y| x.powi(-2);
    Real15: |x, y| x.abs().powf(1.5);
    Negative03: |x, y| x.abs().powf(-0.3);
    Absolute: |x, y| x.abs();
    Sign: |x, y| x.signum();
    Hypotenuse: |x, y| x.hypot(y);
    Angle: |x, y| x.atan2(y);
    Larger: |x, y| x.max(y);
    Smaller: |x, y| x.min(y);
    Nested: |x, y| (x * y).sin() / (x.hypot(y) + 1.0).ln() - y.tanh().powi(3);
}

/// Every function, given to `$do`.
macro_rules! every {
    ($do:expr; $($name:ident),*) => { $( $do(stringify!($name), &$name); )* };
}

macro_rules! all {
    ($do:expr) => {
        every!($do; Sum, Difference, Product, Quotient, Negative, Shifted, Lowered, Scaled, Divided,
            Sine, Cosine, Tanh, Exponential, Logarithm, Root, Zeroth, Power1, Power2, Power3, Power4,
            Power7, Inverse, Real15, Negative03, Absolute, Sign, Hypotenuse, Angle, Larger, Smaller,
            Nested)
    };
}

/// Points away from kinks, poles and branch cuts, with a direction each.
fn points() -> Vec<[f64; 4]> {
    let at = normal(400, 4, 301);
    let row = |i: usize| std::array::from_fn(|j| 2.0 * at[(i, j)]);
    let regular = |p: &[f64; 4]| p[0].abs().min(p[1].abs()).min((p[0] - p[1]).abs()) > 0.05;
    (0..400).map(row).filter(regular).collect()
}

fn directional<F: Function + ?Sized>(f: &F, [x, y, dx, dy]: [f64; 4]) -> Dual<1> {
    let along = |value, slope| Dual {
        value,
        slopes: [slope],
    };
    f.of(along(x, dx), along(y, dy))
}

fn close(a: f64, b: f64, bound: f64) -> bool {
    (a - b).abs() <= bound * (1.0 + a.abs().max(b.abs()))
}

#[test]
fn values_are_those_of_plain_numbers_to_the_last_bit() {
    fn holds<F: Function>(name: &str, f: &F) {
        for p in points() {
            let plain: f64 = f.of(p[0], p[1]);
            let value = directional(f, p).value;
            assert_eq!(value.to_bits(), plain.to_bits(), "{name} at {p:?}");
            let lanes = f.of(Lanes([p[0]; 8]), Lanes([p[1]; 8]));
            assert_eq!(lanes, Lanes([plain; 8]), "{name} at {p:?}");
        }
    }
    all!(holds);
}

#[test]
fn derivatives_are_those_of_another_library() {
    // To the last bit where both use the same formula; sines and cosines are our own.
    fn exactly<F: Function>(name: &str, f: &F) {
        for p in points() {
            let theirs = f.of(Oracle::new(p[0], p[2]), Oracle::new(p[1], p[3]));
            assert_eq!(directional(f, p).slopes[0], theirs.0.eps, "{name} at {p:?}");
        }
    }
    every!(exactly; Sum, Difference, Product, Quotient, Negative, Shifted, Lowered, Scaled, Divided,
        Exponential, Logarithm, Zeroth, Power1, Power2, Power3, Power4, Absolute, Sign, Larger,
        Smaller);
    fn nearly<F: Function>(name: &str, f: &F) {
        for p in points() {
            let theirs = f.of(Oracle::new(p[0], p[2]), Oracle::new(p[1], p[3])).0.eps;
            let ours = directional(f, p).slopes[0];
            assert!(
                close(ours, theirs, 1e-13),
                "{name} at {p:?}: {ours} {theirs}"
            );
        }
    }
    all!(nearly);
}

#[test]
fn derivatives_are_those_of_central_differences() {
    fn holds<F: Function>(name: &str, f: &F) {
        for p in points() {
            let [x, y, dx, dy] = p;
            let step = 1e-6;
            let shifted = |h: f64| f.of(x + h * dx, y + h * dy);
            let expected = (shifted(step) - shifted(-step)) / (2.0 * step);
            let found = directional(f, p).slopes[0];
            assert!(
                close(found, expected, 1e-5),
                "{name} at {p:?}: {found} {expected}"
            );
        }
    }
    all!(holds);
}

#[test]
fn directions_do_not_depend_on_each_other() {
    fn holds<F: Function>(name: &str, f: &F) {
        for p in points() {
            let gradient = f.of(Dual::<2>::variable(p[0], 0), Dual::<2>::variable(p[1], 1));
            let alone = |dx, dy| directional(f, [p[0], p[1], dx, dy]).slopes[0];
            assert_eq!(
                gradient.slopes,
                [alone(1.0, 0.0), alone(0.0, 1.0)],
                "{name} at {p:?}"
            );
        }
    }
    all!(holds);
}

#[test]
fn dual_numbers_of_dual_numbers_give_second_derivatives() {
    type Second = Dual<2, Dual<2>>;
    fn holds<F: Function>(name: &str, f: &F) {
        for p in points() {
            let variable = |k: usize| Second::variable(Dual::variable(p[k], k), k);
            let hessian = f.of(variable(0), variable(1)).slopes;
            let gradient = |x, y| {
                f.of(Dual::<2>::variable(x, 0), Dual::<2>::variable(y, 1))
                    .slopes
            };
            let (step, [x, y, ..]) = (1e-6, p);
            let columns = [
                (gradient(x + step, y), gradient(x - step, y)),
                (gradient(x, y + step), gradient(x, y - step)),
            ];
            for i in 0..2 {
                assert_eq!(hessian[i].value, gradient(x, y)[i], "{name} at {p:?}");
                for (j, (ahead, behind)) in columns.iter().enumerate() {
                    let expected = (ahead[i] - behind[i]) / (2.0 * step);
                    let found = hessian[i].slopes[j];
                    assert!(
                        close(found, expected, 1e-4),
                        "{name} at {p:?}: {found} {expected}"
                    );
                }
            }
        }
    }
    all!(holds);
}

#[test]
fn dual_numbers_of_lanes_differentiate_eight_samples() {
    fn holds<F: Function>(name: &str, f: &F) {
        for group in points().chunks_exact(Lanes::COUNT) {
            let column = |k: usize| Lanes(std::array::from_fn(|i| group[i][k]));
            let along = |value, slope| Dual::<1, Lanes> {
                value: column(value),
                slopes: [column(slope)],
            };
            let found = f.of(along(0, 2), along(1, 3)).slopes[0];
            let expected = Lanes(std::array::from_fn(|i| directional(f, group[i]).slopes[0]));
            assert_eq!(found, expected, "{name}");
        }
    }
    all!(holds);
}

fn gradient(f: &impl Function, x: f64, y: f64) -> [f64; 2] {
    f.of(Dual::<2>::variable(x, 0), Dual::<2>::variable(y, 1))
        .slopes
}

#[test]
fn where_there_is_no_derivative_it_is_the_stated_one() {
    assert_eq!(gradient(&Absolute, 0.0, 1.0), [0.0, 0.0]);
    assert_eq!(gradient(&Absolute, -0.0, 1.0), [0.0, 0.0]);
    assert_eq!(gradient(&Sign, 0.0, 1.0), [0.0, 0.0]);
    assert_eq!(Real::signum(0.0_f64), 0.0);
    assert_eq!(Real::signum(-0.0_f64), 0.0);
    assert_eq!(gradient(&Hypotenuse, 0.0, 0.0), [0.0, 0.0]);
    assert_eq!(gradient(&Angle, 0.0, 0.0), [0.0, 0.0]);
    assert_eq!(gradient(&Larger, 0.3, 0.3), [0.5, 0.5]);
    assert_eq!(gradient(&Smaller, 0.3, 0.3), [0.5, 0.5]);
    assert_eq!(gradient(&Zeroth, 0.0, 1.0), [0.0, 0.0]);
    functions! {
        NoPower: |x, y| x.powf(0.0);
        HalfPower: |x, y| x.powf(0.5);
        PlainRoot: |x, y| x.sqrt();
        PlainLogarithm: |x, y| x.ln();
    }
    assert_eq!(gradient(&NoPower, 0.0, 1.0), [0.0, 0.0]);
    // Infinite in the direction that moves, 0 in the one that does not.
    assert_eq!(gradient(&PlainRoot, 0.0, 1.0), [f64::INFINITY, 0.0]);
    assert_eq!(gradient(&HalfPower, 0.0, 1.0), [f64::INFINITY, 0.0]);
    assert_eq!(gradient(&PlainLogarithm, 0.0, 1.0), [f64::INFINITY, 0.0]);
    assert_eq!(gradient(&Inverse, 0.0, 1.0), [f64::NEG_INFINITY, 0.0]);
}

#[test]
fn the_hyperbolic_tangent_of_large_numbers_is_flat() {
    for x in [30.0, 800.0, -800.0, f64::MAX] {
        assert_eq!(directional(&Tanh, [x, 1.0, 1.0, 0.0]).value, x.signum());
        assert_eq!(gradient(&Tanh, x, 1.0), [0.0, 0.0]);
    }
}

#[test]
fn not_a_number_stays_not_a_number() {
    fn holds<F: Function>(name: &str, f: &F) {
        let nan = directional(f, [f64::NAN, 1.5, 1.0, 0.5]);
        assert!(nan.value.is_nan() || name == "Zeroth", "{name}");
        let slopes_vary = !matches!(name, "Zeroth" | "Sign" | "Negative" | "Shifted" | "Lowered");
        let linear = matches!(name, "Sum" | "Difference" | "Scaled" | "Divided" | "Power1");
        assert!(nan.slopes[0].is_nan() || !slopes_vary || linear, "{name}");
    }
    all!(holds);
    for f in [Real::max, Real::min] {
        assert!(f(f64::NAN, 1.0_f64).is_nan() && f(1.0_f64, f64::NAN).is_nan());
    }
}

/// Drag that grows with the square of the speed, whose root has an infinite slope at rest.
#[derive(Clone)]
struct Drag;

impl Equations for Drag {
    fn state_len(&self) -> usize {
        1
    }
    fn rate<T: Real>(&self, _: f64, v: &[T], u: &[T], rate: &mut [T]) {
        let speed = (v[0] * v[0]).sqrt();
        rate[0] = u[0] - speed * v[0];
    }
}

/// The same as a function of one sample.
struct DragOnce;

impl SampleFunction for DragOnce {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 2,
            output: 1,
        }
    }
    fn evaluate<T: Real>(&self, _: &[f64], u: &[T], y: &mut [T]) {
        Drag.rate(0.0, &u[..1], &u[1..], y);
    }
}

#[test]
fn drag_has_a_jacobian_at_rest() {
    let physics = RungeKutta4::new(Drag, 3, 0.1);
    let at_rest = physics.record(Mat::zeros(2, 1).as_ref(), Mat::zeros(2, 3).as_ref());
    // Nothing moves, so that each step adds dt·u.
    let rows = at_rest.unwrap().rows().unwrap();
    for j in 0..3 {
        assert!(close(rows[(0, j)], 0.1, 1e-15), "{rows:?}");
    }
    let once = Differentiated(DragOnce);
    let rows = once
        .record(Mat::zeros(1, 0).as_ref(), Mat::zeros(1, 2).as_ref())
        .unwrap()
        .rows()
        .unwrap();
    assert_eq!((rows[(0, 0)], rows[(0, 1)]), (0.0, 1.0));
}
