//! Derivatives of right-hand sides from their recorded operations, against those of dual numbers.

#[path = "common/by_duals.rs"]
mod by_duals;
mod common;

use by_duals::ByDuals;
use common::*;
use hig::linalg::Mat;
use hig::physics::{Cotangents, Equations, Lanes, Real, RungeKutta4, Simulator};

/// Products of some cotangents, added to what stands there already.
fn products<E: Equations>(equations: &E, time: f64, point: &Mat<f64>, count: usize) -> Vec<f64> {
    let (d, c) = (equations.state_len(), equations.control_len());
    let lanes = |rows: usize, seed: u64| Lanes::load(normal(Lanes::COUNT, rows, seed).as_ref(), 0);
    let values = Lanes::load(point.as_ref(), 0);
    let rate = lanes(count * d, 3);
    let (mut state, mut control) = (lanes(count * d, 4), lanes(count * c, 5));
    let cotangents = Cotangents::new((d, c), &rate, &mut state, &mut control);
    equations.rate_vjp(time, &values[..d], &values[d..], cotangents);
    state.iter().chain(&control).flat_map(|v| v.0).collect()
}

fn assert_as_duals<E: Equations + Clone>(equations: &E, what: &str) {
    let width = equations.state_len() + equations.control_len();
    // One structure after another and back, as a simulation asks.
    for (time, count, seed) in [(0.0, 1, 11), (0.0, 3, 12), (2.0, 1, 13), (0.5, 17, 14)] {
        let point = normal(Lanes::COUNT, width, seed);
        let found = products(equations, time, &point, count);
        let expected = products(&ByDuals(equations.clone()), time, &point, count);
        let error = relative(&found, &expected);
        assert!(error <= 1e-14, "{what}, time {time}: {error}");
    }
}

/// The viscous Burgers equation on a circle, with a force on every cell.
#[derive(Clone)]
struct Burgers(usize);

impl Equations for Burgers {
    fn state_len(&self) -> usize {
        self.0
    }
    fn control_len(&self) -> usize {
        self.0
    }
    fn rate<T: Real>(&self, _: f64, u: &[T], f: &[T], rate: &mut [T]) {
        let n = self.0;
        for i in 0..n {
            let (left, right) = (u[(i + n - 1) % n], u[(i + 1) % n]);
            let slope = (right - left) * (n as f64 / 2.0);
            let bend = (right + left - u[i] * 2.0) * (0.01 * (n * n) as f64);
            rate[i] = bend - u[i] * slope + f[i];
        }
    }
}

/// Every operation, with numbers that are used several times, not at all, or by all components.
#[derive(Clone)]
struct Everything;

impl Equations for Everything {
    fn state_len(&self) -> usize {
        7
    }
    fn control_len(&self) -> usize {
        3
    }
    fn rate<T: Real>(&self, time: f64, x: &[T], u: &[T], rate: &mut [T]) {
        let mean = x.iter().fold(T::constant(0.0), |sum, x| sum + *x) / 7.0;
        let size = (x[0] * x[0] + x[1] * x[1] + 0.3).sqrt();
        let unused = size.exp() * u[2];
        let _ = unused.sin();
        rate[0] = (x[0] * size).sin() * x[1].cos() - mean * 3.0 + time;
        rate[1] = (x[2] / size).tanh() + (-x[3]).exp() * 0.1 + x[0] * x[0];
        let same = x[4];
        rate[2] = size.ln() * x[4].abs() - (x[4] - same) + x[4].signum() * x[5];
        rate[3] = x[5].powi(3) + size.powf(1.7) + x[6].powi(0) - x[6].powi(-2);
        rate[4] = x[0].hypot(x[1]) + x[1].atan2(x[2]) + mean * mean;
        rate[5] = x[3].max(x[4]) * x[5].min(mean) + x[6].max(x[6]) + x[0].chain(x[1]);
        rate[6] = match time < 1.0 {
            true => T::constant(2.0) - u[0] * 2.0 + T::constant(3.0) / (u[0] * u[0] + 1.0),
            false => T::constant(0.5).exp(),
        };
    }
}

/// Particles that all attract each other, and a field that reads all of them.
#[derive(Clone)]
struct Cloud(usize);

impl Equations for Cloud {
    fn state_len(&self) -> usize {
        2 * self.0
    }
    fn control_len(&self) -> usize {
        0
    }
    fn rate<T: Real>(&self, _: f64, x: &[T], _: &[T], rate: &mut [T]) {
        let n = self.0;
        let mean = x[n..].iter().fold(T::constant(0.0), |sum, v| sum + *v) / n as f64;
        for i in 0..n {
            rate[i] = x[n + i];
            rate[n + i] = (mean - x[n + i]) * mean;
        }
        for i in 0..n {
            for j in 0..i {
                let force = (x[j] - x[i]).sin();
                rate[n + i] = rate[n + i] + force;
                rate[n + j] = rate[n + j] - force;
            }
        }
    }
}

#[test]
fn they_are_those_of_dual_numbers() {
    assert_as_duals(&Burgers(3), "three cells");
    assert_as_duals(&Burgers(24), "cells");
    assert_as_duals(&Everything, "everything");
    assert_as_duals(&Cloud(1), "one");
    assert_as_duals(&Cloud(9), "a cloud");
}

/// A drag at rest, whose root has an infinite derivative there, and the square root of a control.
#[derive(Clone)]
struct Drag;

impl Equations for Drag {
    fn state_len(&self) -> usize {
        2
    }
    fn rate<T: Real>(&self, _: f64, x: &[T], u: &[T], rate: &mut [T]) {
        rate[0] = x[1] - (x[0] * x[0]).sqrt() * x[0];
        rate[1] = u[0].sqrt() - x[0];
    }
}

#[test]
fn where_a_derivative_is_infinite_as_well() {
    let mut point = normal(Lanes::COUNT, 3, 21);
    for s in 0..Lanes::COUNT {
        point[(s, 2)] = 1.0 + s as f64;
    }
    point[(2, 0)] = 0.0;
    point[(5, 2)] = 0.0;
    let found = products(&Drag, 0.0, &point, 2);
    let expected = products(&ByDuals(Drag), 0.0, &point, 2);
    let of_roots = expected.iter().filter(|v| v.is_infinite()).count();
    assert_eq!(of_roots, 2, "the control's alone");
    for (a, b) in found.iter().zip(&expected) {
        assert!(a == b || (a - b).abs() <= 1e-14 * b.abs(), "{a} {b}");
    }
}

#[test]
fn a_simulation_has_the_same_rows_products_and_tangents() {
    let (ours, theirs) = (
        RungeKutta4::new(Burgers(12), 5, 0.02),
        RungeKutta4::new(ByDuals(Burgers(12)), 5, 0.02),
    );
    let (state, control) = (normal(19, 12, 31), normal(19, 60, 32));
    let a = ours.record(state.as_ref(), control.as_ref()).unwrap();
    let b = theirs.record(state.as_ref(), control.as_ref()).unwrap();
    assert_eq!(a.y(), b.y());
    let rows = b.rows().unwrap();
    assert!(relative_matrix(&a.rows().unwrap(), &rows) <= 1e-13);
    let (cotangent, tangent) = (normal(19, 12, 33), normal(19, 60, 34));
    let product = b.vjp(cotangent.as_ref()).unwrap();
    assert!(relative_matrix(&a.vjp(cotangent.as_ref()).unwrap(), &product) <= 1e-13);
    let expected = hig::physics::rows_times(&rows, tangent.as_ref());
    assert!(relative_matrix(&a.jvp(tangent.as_ref()).unwrap(), &expected) <= 1e-13);
}
