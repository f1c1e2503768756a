//! A chain of masses on springs, each also held to its place, with a force on the last one.

use super::{Cotangents, Equations, Lanes, Real};

/// The law of the springs between neighbours.
pub trait Spring: Copy + Send + Sync {
    /// Force of a spring that is stretched by `stretch`.
    fn force<T: Real>(&self, stretch: T) -> T;
    /// Derivative of the force.
    fn slope<T: Real>(&self, stretch: T) -> T;
}

/// Force proportional to the stretch.
#[derive(Debug, Clone, Copy)]
pub struct LinearSpring(
    /// Force per stretch.
    pub f64,
);

impl Spring for LinearSpring {
    #[inline(always)]
    fn force<T: Real>(&self, stretch: T) -> T {
        stretch * self.0
    }
    #[inline(always)]
    fn slope<T: Real>(&self, _: T) -> T {
        T::constant(self.0)
    }
}

/// Force that grows with the cube of the stretch.
#[derive(Debug, Clone, Copy)]
pub struct CubicSpring;

impl Spring for CubicSpring {
    #[inline(always)]
    fn force<T: Real>(&self, stretch: T) -> T {
        stretch * stretch * stretch
    }
    #[inline(always)]
    fn slope<T: Real>(&self, stretch: T) -> T {
        stretch * stretch * 3.0
    }
}

/// ẋ = v, v̇_i = -x_i + Σ over neighbours j of force(x_j - x_i), plus control·u(t) on the last
/// mass; missing neighbours contribute nothing. The state is all positions, then all velocities.
#[derive(Debug, Clone, Copy)]
pub struct OscillatorChain<S> {
    /// Number of masses.
    pub masses: usize,
    /// Springs between neighbours.
    pub spring: S,
    /// Strength of the control on the last mass.
    pub control: f64,
}

impl<S: Spring> Equations for OscillatorChain<S> {
    fn state_len(&self) -> usize {
        2 * self.masses
    }

    #[inline(always)]
    fn rate<T: Real>(&self, _: f64, state: &[T], control: &[T], rate: &mut [T]) {
        let (x, v) = state.split_at(self.masses);
        let (x_rate, v_rate) = rate.split_at_mut(self.masses);
        x_rate.copy_from_slice(v);
        for (rate, x) in v_rate.iter_mut().zip(x) {
            *rate = -*x;
        }
        for i in 1..self.masses {
            let force = self.spring.force(x[i] - x[i - 1]);
            v_rate[i - 1] = v_rate[i - 1] + force;
            v_rate[i] = v_rate[i] - force;
        }
        let last = self.masses - 1;
        v_rate[last] = v_rate[last] + control[0] * self.control;
    }

    #[inline(always)]
    fn rate_vjp(&self, _: f64, state: &[Lanes], _: &[Lanes], cotangents: Cotangents<'_>) {
        for w in cotangents {
            let (wx, wv) = w.rate.split_at(self.masses);
            let (x_bar, v_bar) = w.state.split_at_mut(self.masses);
            for i in 0..self.masses {
                x_bar[i] += -wv[i];
                v_bar[i] += wx[i];
            }
            for i in 1..self.masses {
                let slope = self.spring.slope(state[i] - state[i - 1]);
                let pull = slope * (wv[i - 1] - wv[i]);
                x_bar[i] += pull;
                x_bar[i - 1] += -pull;
            }
            w.control[0] += wv[self.masses - 1] * self.control;
        }
    }
}
