//! A damped chain of masses between two walls, with unknown springs and damping.

use super::{Cotangents, Equations, Lanes, Real, SampleFunction, Widths};

/// ẍ_i = k·(x_{i-1} - 2x_i + x_{i+1}) - c·ẋ_i with walls x_0 = x_{N+1} = 0, and on the first mass the
/// control's force beside a force A·sin(x_1·B) that is known.
///
/// The state is all positions, then all velocities. The control is a force, the stiffness k and the damping c.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DampedChain {
    /// Number of masses N.
    pub masses: usize,
    /// A.
    pub force: f64,
    /// B.
    pub waves: f64,
}

impl DampedChain {
    /// The known force on the first mass, at its position.
    #[inline(always)]
    pub fn known<T: Real>(&self, position: T) -> T {
        (position * self.waves).sin() * self.force
    }
}

/// x_{i-1} - 2x_i + x_{i+1}.
#[inline(always)]
fn stretch<T: Real>(x: &[T], i: usize) -> T {
    let mut sum = -x[i] * 2.0;
    if i > 0 {
        sum = sum + x[i - 1];
    }
    if i + 1 < x.len() {
        sum = sum + x[i + 1];
    }
    sum
}

impl Equations for DampedChain {
    fn state_len(&self) -> usize {
        2 * self.masses
    }

    fn control_len(&self) -> usize {
        3
    }

    #[inline(always)]
    fn rate<T: Real>(&self, _: f64, state: &[T], control: &[T], rate: &mut [T]) {
        let (x, v) = state.split_at(self.masses);
        let (x_rate, v_rate) = rate.split_at_mut(self.masses);
        x_rate.copy_from_slice(v);
        for (i, rate) in v_rate.iter_mut().enumerate() {
            *rate = stretch(x, i) * control[1] - v[i] * control[2];
        }
        v_rate[0] = v_rate[0] + control[0] + self.known(x[0]);
    }

    #[inline(always)]
    fn rate_vjp(&self, _: f64, state: &[Lanes], control: &[Lanes], cotangents: Cotangents<'_>) {
        let (x, v) = state.split_at(self.masses);
        let slope = (x[0] * self.waves).cos() * (self.force * self.waves);
        for w in cotangents {
            let (wx, wv) = w.rate.split_at(self.masses);
            let (x_bar, v_bar) = w.state.split_at_mut(self.masses);
            for i in 0..self.masses {
                x_bar[i] += stretch(wv, i) * control[1];
                v_bar[i] += wx[i] - wv[i] * control[2];
                w.control[1] += wv[i] * stretch(x, i);
                w.control[2] += -(wv[i] * v[i]);
            }
            x_bar[0] += wv[0] * slope;
            w.control[0] += wv[0];
        }
    }
}

/// Chosen components of several states that stand side by side.
#[derive(Debug, Clone, PartialEq)]
pub struct Chosen {
    /// Length of a state.
    pub state_len: usize,
    /// How many states there are.
    pub states: usize,
    /// The places that are taken of each.
    pub places: Vec<usize>,
    /// Numbers of the sample that stand beside the states.
    pub beside: usize,
}

impl SampleFunction for Chosen {
    fn widths(&self) -> Widths {
        Widths {
            state: self.beside,
            control: self.state_len * self.states,
            output: self.places.len() * self.states,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], control: &[T], y: &mut [T]) {
        let states = control.chunks_exact(self.state_len);
        for (state, y) in states.zip(y.chunks_exact_mut(self.places.len())) {
            for (y, place) in y.iter_mut().zip(&self.places) {
                *y = state[*place];
            }
        }
    }
}
