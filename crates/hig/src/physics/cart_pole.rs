//! Poles on a cart that a force pushes.

use super::{Cotangents, Equations, Lanes, Real, SampleFunction, Widths};

/// A uniform rod that swings freely about an end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pole {
    /// Its mass.
    pub mass: f64,
    /// Half of its length: the distance of its centre of mass from the end.
    pub half_length: f64,
}

/// Independent poles on one cart that a force pushes along a line, without friction.
///
/// The state is position and velocity of the cart, then angle from upright and angular velocity of each
/// pole. With the cart's acceleration a, and M = cart + Σm, the Lagrangian
/// ½Mẋ² + Σ(m·l·ẋ·θ̇·cos θ + ⅔m·l²·θ̇² - m·g·l·cos θ) gives
///
/// a·(M - Σ¾m·cos²θ) = force·u + Σm·(l·θ̇²·sin θ - ¾g·sin θ·cos θ), θ̈ = ¾(g·sin θ - a·cos θ)/l.
#[derive(Debug, Clone, PartialEq)]
pub struct CartPole {
    /// Mass of the cart.
    pub cart: f64,
    /// The poles.
    pub poles: Vec<Pole>,
    /// Acceleration of gravity g.
    pub gravity: f64,
    /// Force of a control of 1.
    pub force: f64,
}

impl CartPole {
    /// Energy of a state, 0 where the cart rests under poles at rest at right angles.
    pub fn energy(&self, state: &[f64]) -> f64 {
        let velocity = state[1];
        let poles = self.poles.iter().zip(state[2..].chunks_exact(2));
        let of_poles = poles.map(|(pole, motion)| {
            let (angle, spin) = (motion[0], motion[1]);
            let (m, l) = (pole.mass, pole.half_length);
            let along = 0.5 * m * velocity * velocity + m * l * velocity * spin * angle.cos();
            along + 2.0 / 3.0 * m * (l * spin).powi(2) + m * self.gravity * l * angle.cos()
        });
        0.5 * self.cart * velocity * velocity + of_poles.sum::<f64>()
    }

    /// Acceleration of the cart, and what it is divided by.
    #[inline(always)]
    fn acceleration<T: Real>(&self, state: &[T], control: T) -> (T, T) {
        let mut push = control * self.force;
        let mut inertia = T::constant(self.cart);
        for (pole, motion) in self.poles.iter().zip(state[2..].chunks_exact(2)) {
            let (sin, cos, spin) = (motion[0].sin(), motion[0].cos(), motion[1]);
            let swing = sin * spin * spin * pole.half_length;
            push = push + (swing - sin * cos * (0.75 * self.gravity)) * pole.mass;
            inertia = inertia + (-(cos * cos * 0.75) + 1.0) * pole.mass;
        }
        (push / inertia, inertia)
    }
}

impl Equations for CartPole {
    fn state_len(&self) -> usize {
        2 + 2 * self.poles.len()
    }

    #[inline(always)]
    fn rate<T: Real>(&self, _: f64, state: &[T], control: &[T], rate: &mut [T]) {
        let (acceleration, _) = self.acceleration(state, control[0]);
        rate[0] = state[1];
        rate[1] = acceleration;
        let poles = self.poles.iter().zip(state[2..].chunks_exact(2));
        for ((pole, motion), rate) in poles.zip(rate[2..].chunks_exact_mut(2)) {
            let (sin, cos) = (motion[0].sin(), motion[0].cos());
            rate[0] = motion[1];
            rate[1] = (sin * self.gravity - acceleration * cos) * (0.75 / pole.half_length);
        }
    }

    #[inline(always)]
    fn rate_vjp(&self, _: f64, state: &[Lanes], control: &[Lanes], cotangents: Cotangents<'_>) {
        let (acceleration, inertia) = self.acceleration(state, control[0]);
        let turned = |motion: &[Lanes]| (motion[0].sin(), motion[0].cos());
        let angles: Vec<_> = state[2..].chunks_exact(2).map(turned).collect();
        let spins = state[3..].iter().step_by(2);
        for w in cotangents {
            w.state[1] += w.rate[0];
            let mut pull = w.rate[1];
            for (i, pole) in self.poles.iter().enumerate() {
                let (sin, cos) = angles[i];
                let turn = w.rate[3 + 2 * i] * (0.75 / pole.half_length);
                pull += -(cos * turn);
                w.state[2 + 2 * i] += turn * (cos * self.gravity + sin * acceleration);
                w.state[3 + 2 * i] += w.rate[2 + 2 * i];
            }
            let pull = pull / inertia;
            w.control[0] += pull * self.force;
            for (i, (pole, spin)) in self.poles.iter().zip(spins.clone()).enumerate() {
                let (sin, cos) = angles[i];
                let pull = pull * pole.mass;
                let swing = cos * *spin * *spin * pole.half_length;
                let weight = (cos * cos - sin * sin) * (0.75 * self.gravity);
                let inertia = acceleration * cos * sin * 1.5;
                w.state[2 + 2 * i] += pull * (swing - weight - inertia);
                w.state[3 + 2 * i] += pull * sin * *spin * (2.0 * pole.half_length);
            }
        }
    }
}

/// How far poles are from upright, and how fast they and others move.
///
/// Of each angle θ from upright y has `chord` times the chord 2·sin(θ/2) between the tip of a pole of
/// length 1 and its place, so that ½y² = chord²·(1 - cos θ) with a single row of J; behind the chords it
/// has each speed times its weight.
#[derive(Debug, Clone, PartialEq)]
pub struct Upright {
    /// Length of the state.
    pub state_len: usize,
    /// The places of the angles in the state.
    pub angles: Vec<usize>,
    /// Weight of the chords.
    pub chord: f64,
    /// The places of speeds in the state, with their weights.
    pub speeds: Vec<(usize, f64)>,
}

impl SampleFunction for Upright {
    fn widths(&self) -> Widths {
        Widths {
            state: self.state_len,
            control: self.state_len,
            output: self.angles.len() + self.speeds.len(),
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], control: &[T], y: &mut [T]) {
        let (chords, speeds) = y.split_at_mut(self.angles.len());
        for (chord, place) in chords.iter_mut().zip(&self.angles) {
            *chord = (control[*place] * 0.5).sin() * (2.0 * self.chord);
        }
        for (speed, (place, weight)) in speeds.iter_mut().zip(&self.speeds) {
            *speed = control[*place] * *weight;
        }
    }
}
