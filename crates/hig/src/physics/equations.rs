//! Ordinary differential equations with a control, written once.

use super::{Dual, Lanes, Real, recorded};

/// Equations of motion ẋ = f(t, x, u) for one sample.
///
/// The right-hand side is all that a system needs: derivatives come from its operations, which are recorded.
/// For the last bit of speed [`rate_vjp`](Self::rate_vjp) can be written by hand.
pub trait Equations: Send + Sync {
    /// Length of the state x.
    fn state_len(&self) -> usize;

    /// Length of the control u that acts during one time step.
    fn control_len(&self) -> usize {
        1
    }

    /// Writes ẋ = f(time, state, control) into `rate`.
    fn rate<T: Real>(&self, time: f64, state: &[T], control: &[T], rate: &mut [T]);

    /// For each cotangent w of the rate, adds (∂f/∂x)ᵀ·w and (∂f/∂u)ᵀ·w, for eight samples at once.
    ///
    /// The default records the operations of [`rate`](Self::rate) and walks them backwards. Where one of
    /// them has an infinite derivative at the point, it takes the derivatives of dual numbers.
    fn rate_vjp(&self, time: f64, state: &[Lanes], control: &[Lanes], cotangents: Cotangents<'_>) {
        let at = (state, control);
        let Some(cotangents) = recorded::pull_back(self, time, at, cotangents) else {
            return;
        };
        let jacobian = jacobian_by_duals(self, time, state, control);
        let (d, width) = (self.state_len(), self.state_len() + self.control_len());
        for c in cotangents {
            for (i, w) in c.rate.iter().enumerate() {
                let row = &jacobian[i * width..(i + 1) * width];
                for (target, slope) in c.state.iter_mut().zip(&row[..d]) {
                    *target += *slope * *w;
                }
                for (target, slope) in c.control.iter_mut().zip(&row[d..]) {
                    *target += *slope * *w;
                }
            }
        }
    }
}

/// One cotangent of a rate and where its products are added.
#[derive(Debug)]
pub struct Cotangent<'a> {
    /// w, a cotangent of ẋ.
    pub rate: &'a [Lanes],
    /// Receives += (∂f/∂x)ᵀ·w.
    pub state: &'a mut [Lanes],
    /// Receives += (∂f/∂u)ᵀ·w.
    pub control: &'a mut [Lanes],
}

/// Several cotangents at the same point.
#[derive(Debug)]
pub struct Cotangents<'a> {
    widths: (usize, usize),
    rate: &'a [Lanes],
    state: &'a mut [Lanes],
    control: &'a mut [Lanes],
}

impl<'a> Cotangents<'a> {
    /// Cotangents side by side: k × state, k × state, k × control; there may be no control.
    #[inline(always)]
    pub fn new(
        widths: (usize, usize),
        rate: &'a [Lanes],
        state: &'a mut [Lanes],
        control: &'a mut [Lanes],
    ) -> Self {
        Self {
            widths,
            rate,
            state,
            control,
        }
    }
}

impl<'a> Iterator for Cotangents<'a> {
    type Item = Cotangent<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Cotangent<'a>> {
        if self.rate.is_empty() {
            return None;
        }
        let (d, c) = self.widths;
        let (rate, rest) = self.rate.split_at(d);
        self.rate = rest;
        let (state, rest) = std::mem::take(&mut self.state).split_at_mut(d);
        self.state = rest;
        let (control, rest) = std::mem::take(&mut self.control).split_at_mut(c);
        self.control = rest;
        Some(Cotangent {
            rate,
            state,
            control,
        })
    }
}

/// [∂f/∂x, ∂f/∂u], row-major (state × (state + control)), from dual numbers.
fn jacobian_by_duals<E: Equations + ?Sized>(
    equations: &E,
    time: f64,
    state: &[Lanes],
    control: &[Lanes],
) -> Vec<Lanes> {
    const DIRECTIONS: usize = 8;
    let (d, width) = (state.len(), state.len() + control.len());
    let mut jacobian = vec![Lanes::ZERO; d * width];
    let mut rate = vec![Dual::<DIRECTIONS>::constant(0.0); d];
    for lane in 0..Lanes::COUNT {
        for first in (0..width).step_by(DIRECTIONS) {
            let values = state.iter().chain(control).map(|v| v.0[lane]);
            let point = Dual::point(values, first);
            equations.rate(time, &point[..d], &point[d..], &mut rate);
            for (i, r) in rate.iter().enumerate() {
                for j in first..width.min(first + DIRECTIONS) {
                    jacobian[i * width + j].0[lane] = r.slopes[j - first];
                }
            }
        }
    }
    jacobian
}
