//! A pendulum that a bounded torque turns.

use super::{Cotangents, Equations, Lanes, Real, SampleFunction, Widths};

/// A uniform rod that swings about an end, with friction, and a torque at that end of at most `torque`:
/// θ̈ = 1.5·(g/L)·sin θ + 3·(torque·tanh u - friction·θ̇)/(m·L²), θ from upright. The state is angle and
/// angular velocity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pendulum {
    /// Mass m.
    pub mass: f64,
    /// Length L.
    pub length: f64,
    /// Acceleration of gravity g.
    pub gravity: f64,
    /// Torque of friction per angular velocity.
    pub friction: f64,
    /// The largest torque.
    pub torque: f64,
}

impl Pendulum {
    /// Energy of a state, 0 at rest at a right angle.
    pub fn energy(&self, state: &[f64]) -> f64 {
        let Self {
            mass: m, length: l, ..
        } = *self;
        m * (l * state[1]).powi(2) / 6.0 + 0.5 * m * self.gravity * l * state[0].cos()
    }

    /// The rate of small swings, √(1.5·g/L).
    pub fn frequency(&self) -> f64 {
        (1.5 * self.gravity / self.length).sqrt()
    }

    /// Angular acceleration per torque.
    fn ease(&self) -> f64 {
        3.0 / (self.mass * self.length * self.length)
    }
}

impl Equations for Pendulum {
    fn state_len(&self) -> usize {
        2
    }

    #[inline(always)]
    fn rate<T: Real>(&self, _: f64, state: &[T], control: &[T], rate: &mut [T]) {
        let torque = control[0].tanh() * self.torque - state[1] * self.friction;
        rate[0] = state[1];
        rate[1] = state[0].sin() * (1.5 * self.gravity / self.length) + torque * self.ease();
    }

    #[inline(always)]
    fn rate_vjp(&self, _: f64, state: &[Lanes], control: &[Lanes], cotangents: Cotangents<'_>) {
        let lift = state[0].cos() * (1.5 * self.gravity / self.length);
        let drive = control[0].tanh();
        let drive = (-(drive * drive) + 1.0) * (self.torque * self.ease());
        for w in cotangents {
            w.state[0] += w.rate[1] * lift;
            w.state[1] += w.rate[0] - w.rate[1] * (self.friction * self.ease());
            w.control[0] += w.rate[1] * drive;
        }
    }
}

/// What there is to see of a pendulum: cos θ, sin θ and the angular velocity over a scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Direction {
    /// The angular velocity that is seen as 1.
    pub speed: f64,
}

impl SampleFunction for Direction {
    fn widths(&self) -> Widths {
        Widths {
            state: 1,
            control: 2,
            output: 3,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], control: &[T], y: &mut [T]) {
        y[0] = control[0].cos();
        y[1] = control[0].sin();
        y[2] = control[1] / self.speed;
    }
}
