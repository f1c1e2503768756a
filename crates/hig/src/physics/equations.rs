//! Ordinary differential equations with a control, written once.

use super::{Dual, Lanes, Real};

/// Equations of motion ẋ = f(t, x, u) for one sample.
///
/// The right-hand side is all that a system needs: derivatives come from dual numbers. Where speed
/// matters, [`rate_vjp`](Self::rate_vjp) can be written by hand.
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
    /// The default evaluates [`rate`](Self::rate) with dual numbers, eight directions at a time.
    fn rate_vjp(&self, time: f64, state: &[Lanes], control: &[Lanes], cotangents: Cotangents<'_>) {
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
    rate: std::slice::ChunksExact<'a, Lanes>,
    state: std::slice::ChunksExactMut<'a, Lanes>,
    control: std::slice::ChunksExactMut<'a, Lanes>,
}

impl<'a> Cotangents<'a> {
    /// Cotangents side by side: k × state, k × state, k × control.
    #[inline(always)]
    pub fn new(
        (d, c): (usize, usize),
        rate: &'a [Lanes],
        state: &'a mut [Lanes],
        control: &'a mut [Lanes],
    ) -> Self {
        Self {
            rate: rate.chunks_exact(d),
            state: state.chunks_exact_mut(d),
            control: control.chunks_exact_mut(c),
        }
    }
}

impl<'a> Iterator for Cotangents<'a> {
    type Item = Cotangent<'a>;

    #[inline(always)]
    fn next(&mut self) -> Option<Cotangent<'a>> {
        Some(Cotangent {
            rate: self.rate.next()?,
            state: self.state.next()?,
            control: self.control.next()?,
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
