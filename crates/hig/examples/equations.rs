//! What derivatives of equations cost that nobody differentiated by hand: the viscous Burgers equation on 64 cells with
//! a force on each, 32 Runge-Kutta steps of 32 samples, beside the same with a product written by hand and
//! beside dual numbers; and the same equation in two implicit steps of the same length as all of these.
//!
//! `cargo run --release -p hig --example equations`

#[path = "../tests/common/by_duals.rs"]
mod by_duals;
#[path = "../benches/common/mod.rs"]
mod common;

use by_duals::ByDuals;
use common::{done, headline, seconds};
use hig::linalg::Mat;
use hig::physics::{Cotangents, Equations, Lanes, OpenLoop, Real, RungeKutta4, Sdirk3, Simulator};

const CELLS: usize = 64;
const STEPS: usize = 32;
const DT: f64 = 0.002;
/// Implicit steps of the same time.
const LONG_STEPS: usize = 2;
const SAMPLES: usize = 32;
/// 1/(2Δx) and ν/Δx² on a circle of length 1.
const ADVECTION: f64 = CELLS as f64 / 2.0;
const DIFFUSION: f64 = 0.003 * (CELLS * CELLS) as f64;

#[derive(Clone)]
struct Burgers;

impl Equations for Burgers {
    fn state_len(&self) -> usize {
        CELLS
    }
    fn control_len(&self) -> usize {
        CELLS
    }
    // Inlined, a rate is compiled for the vectors that the machine has.
    #[inline(always)]
    fn rate<T: Real>(&self, _: f64, u: &[T], f: &[T], rate: &mut [T]) {
        for i in 0..CELLS {
            let (left, right) = (u[(i + CELLS - 1) % CELLS], u[(i + 1) % CELLS]);
            let slope = (right - left) * ADVECTION;
            let bend = (right + left - u[i] * 2.0) * DIFFUSION;
            rate[i] = bend - u[i] * slope + f[i];
        }
    }
}

struct ByHand;

impl Equations for ByHand {
    fn state_len(&self) -> usize {
        CELLS
    }
    fn control_len(&self) -> usize {
        CELLS
    }
    #[inline(always)]
    fn rate<T: Real>(&self, time: f64, u: &[T], f: &[T], rate: &mut [T]) {
        Burgers.rate(time, u, f, rate);
    }
    #[inline(always)]
    fn rate_vjp(&self, _: f64, u: &[Lanes], _: &[Lanes], cotangents: Cotangents<'_>) {
        for c in cotangents {
            for i in 0..CELLS {
                let (before, after) = ((i + CELLS - 1) % CELLS, (i + 1) % CELLS);
                let w = c.rate[i];
                let (advected, diffused) = (u[i] * w * ADVECTION, w * DIFFUSION);
                c.state[before] += diffused + advected;
                c.state[after] += diffused - advected;
                c.state[i] += -(diffused * 2.0) - (u[after] - u[before]) * w * ADVECTION;
                c.control[i] += w;
            }
        }
    }
}

fn main() {
    headline("equations");
    println!(
        "\n| derivatives | simulation, ms | one product, ms | one tangent, ms | all rows, ms |"
    );
    println!("| --- | --- | --- | --- | --- |");
    let explicit = |name, physics: &dyn Simulator| measured(name, STEPS, physics);
    explicit("by hand", &RungeKutta4::new(ByHand, STEPS, DT));
    explicit("recorded", &RungeKutta4::new(Burgers, STEPS, DT));
    explicit(
        "dual numbers",
        &RungeKutta4::new(ByDuals(Burgers), STEPS, DT),
    );
    let long = DT * (STEPS / LONG_STEPS) as f64;
    let implicit = OpenLoop::new(Sdirk3::new(Burgers, LONG_STEPS, long));
    measured("recorded, implicit steps", LONG_STEPS, &implicit);
}

fn measured(name: &str, steps: usize, physics: &dyn Simulator) {
    let state = Mat::from_fn(SAMPLES, CELLS, |s, i| (0.1 * i as f64 + s as f64).sin());
    let control = Mat::from_fn(SAMPLES, CELLS * steps, |s, k| (0.3 * (s + k) as f64).sin());
    let record = done(physics.record(state.as_ref(), control.as_ref()));
    let (cotangent, tangent) = (state.as_ref(), control.as_ref());
    let simulation = seconds(|| physics.record(state.as_ref(), control.as_ref()));
    let product = seconds(|| record.vjp(cotangent));
    let along = seconds(|| record.jvp(tangent));
    let rows = seconds(|| record.rows());
    let ms = |seconds: f64| 1e3 * seconds;
    println!(
        "| {name} | {:.2} | {:.2} | {:.2} | {:.1} |",
        ms(simulation),
        ms(product),
        ms(along),
        ms(rows)
    );
}
