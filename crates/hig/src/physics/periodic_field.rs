//! Fields on a circle that carry themselves along: ∂u/∂t + u·∂u/∂x = Lu + f, by Fourier modes.
//!
//! L multiplies the mode of wave number k by a real rate, which exponential steps integrate exactly. The
//! product is formed at the grid points, of the modes below a third of the number of points, so that
//! nothing of it falls back on other modes (Orszag 1971,
//! doi 10.1175/1520-0469(1971)028<1074:OTEOAI>2.0.CO;2): N(u) = -½·P·D·(P·u)² with the projection P and
//! the derivative D. Mean and, of N alone, energy are kept exactly.
//!
//! The adjoint is that of the discrete steps. P is symmetric and D antisymmetric, so that
//! N'(u)ᵀ·w = P·((P·u)·(P·D·w)): a cotangent costs two transforms an evaluation, as the step itself.

use super::Stepwise;
use super::field_steps::{Control, FieldEquation, FieldSteps, TimeSteps, by_field_steps};
use super::fourier::{Circle, ZERO};
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};
use realfft::num_complex::Complex;
use std::f64::consts::TAU;

/// A field on evenly spaced points of a circle that a control at the same points acts on.
///
/// ```
/// use hig::linalg::Mat;
/// use hig::physics::{PeriodicField, Scheme, Stepwise, TimeSteps};
///
/// let time = TimeSteps { scheme: Scheme::Etd4, steps: 10, dt: 0.1, substeps: 2 };
/// let field = PeriodicField::burgers(32, 1.0, 0.05, time);
/// let wave = |_, i: usize| (std::f64::consts::TAU * i as f64 / 32.0).sin();
/// let (start, force) = (Mat::from_fn(1, 32, wave), Mat::zeros(1, 32));
/// let next = field.advance(0, start.as_ref(), force.as_ref())?;
/// assert!(next.norm_l2() < start.norm_l2());
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PeriodicField(FieldSteps<Carried>);

impl PeriodicField {
    /// The viscous Burgers equation, ∂u/∂t + u·∂u/∂x = ν·∂²u/∂x² + f, on a circle of this length.
    pub fn burgers(points: usize, length: f64, viscosity: f64, time: TimeSteps) -> Self {
        let rate = |k: f64| -viscosity * k * k;
        Self::new("the Burgers equation", points, length, rate, time)
    }

    /// The Kuramoto-Sivashinsky equation, ∂u/∂t + u·∂u/∂x = -∂²u/∂x² - ∂⁴u/∂x⁴ + f, on a circle of this
    /// length: long waves grow, short ones fade, and what comes of it is chaotic from a length of
    /// about 22 on.
    pub fn kuramoto_sivashinsky(points: usize, length: f64, time: TimeSteps) -> Self {
        let rate = |k: f64| k * k * (1.0 - k * k);
        let name = "the Kuramoto-Sivashinsky equation";
        Self::new(name, points, length, rate, time)
    }

    fn new(
        name: &'static str,
        points: usize,
        length: f64,
        rate: impl Fn(f64) -> f64,
        time: TimeSteps,
    ) -> Self {
        let number = |k: usize| TAU * k as f64 / length;
        let circle = Circle::new(points);
        let kept = |k: usize| if 3 * k < points { number(k) } else { 0.0 };
        let equation = Carried {
            name,
            rates: (0..circle.modes()).map(|k| rate(number(k))).collect(),
            waves: (0..circle.modes()).map(kept).collect(),
            circle,
        };
        Self(FieldSteps::new(equation, time))
    }

    /// The same where the control is no force but a correction: `gain` times it is added to the field
    /// after the step, as a solver in the loop has it (Um et al. 2020, arXiv 2007.00016).
    #[must_use]
    pub fn corrected(mut self, gain: f64) -> Self {
        self.0.control = Control::Correction(gain);
        self
    }

    /// Number of grid points.
    pub fn points(&self) -> usize {
        self.0.equation.circle.points
    }
}

by_field_steps!(PeriodicField);

/// ∂u/∂t = Lu - u·∂u/∂x.
#[derive(Debug, Clone)]
struct Carried {
    name: &'static str,
    rates: Vec<f64>,
    /// Wave numbers of the modes that products are formed of; 0 elsewhere.
    waves: Vec<f64>,
    circle: Circle,
}

/// What transforms read, write and need besides.
struct Memory {
    values: Vec<f64>,
    modes: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl Carried {
    /// Whether products are formed of a mode.
    fn keeps(&self, k: usize) -> bool {
        3 * k < self.circle.points
    }

    /// The values of P·u, in the memory.
    fn project(&self, point: &[Complex<f64>], memory: &mut Memory) {
        let scale = 1.0 / self.circle.points as f64;
        for (k, (target, mode)) in memory.modes.iter_mut().zip(point).enumerate() {
            *target = if self.keeps(k) { mode * scale } else { ZERO };
        }
        self.backward(memory);
    }

    /// The modes of -P·D·v from values v in the memory.
    fn derive(&self, rate: &mut [Complex<f64>], memory: &mut Memory) {
        self.forward(memory);
        for ((rate, mode), wave) in rate.iter_mut().zip(&memory.modes).zip(&self.waves) {
            *rate = Complex::new(wave * mode.im, -wave * mode.re);
        }
    }

    fn forward(&self, memory: &mut Memory) {
        let Memory {
            values,
            modes,
            scratch,
        } = memory;
        self.circle.forward(values, modes, scratch);
    }

    fn backward(&self, memory: &mut Memory) {
        let Memory {
            values,
            modes,
            scratch,
        } = memory;
        self.circle.backward(modes, values, scratch);
    }
}

impl FieldEquation for Carried {
    type Memory = Memory;

    fn name(&self) -> &'static str {
        self.name
    }

    fn state_len(&self) -> usize {
        self.circle.points
    }

    fn control_len(&self) -> usize {
        self.circle.points
    }

    fn rates(&self) -> Vec<f64> {
        self.rates.clone()
    }

    fn memory(&self) -> Memory {
        Memory {
            values: vec![0.0; self.circle.points],
            modes: vec![ZERO; self.circle.modes()],
            scratch: vec![ZERO; self.circle.scratch_len()],
        }
    }

    fn modes_of(&self, values: &[f64], modes: &mut [Complex<f64>], memory: &mut Memory) {
        memory.values.copy_from_slice(values);
        let Memory {
            values, scratch, ..
        } = memory;
        self.circle.forward(values, modes, scratch);
    }

    fn values_of(&self, modes: &[Complex<f64>], values: &mut [f64], memory: &mut Memory) {
        memory.modes.copy_from_slice(modes);
        self.backward(memory);
        let scale = 1.0 / self.circle.points as f64;
        for (target, value) in values.iter_mut().zip(&memory.values) {
            *target = value * scale;
        }
    }

    /// Values are those of P·u.
    fn rate(
        &self,
        point: &[Complex<f64>],
        values: &mut [f64],
        rate: &mut [Complex<f64>],
        memory: &mut Memory,
    ) {
        self.project(point, memory);
        values.copy_from_slice(&memory.values);
        for value in &mut memory.values {
            *value = 0.5 * (*value * *value);
        }
        self.derive(rate, memory);
    }

    fn rate_along(
        &self,
        change: &[Complex<f64>],
        values: &[f64],
        rate: &mut [Complex<f64>],
        memory: &mut Memory,
    ) {
        self.project(change, memory);
        times(&mut memory.values, values);
        self.derive(rate, memory);
    }

    fn rate_back(
        &self,
        rate: &[Complex<f64>],
        values: &[f64],
        point: &mut [Complex<f64>],
        memory: &mut Memory,
    ) {
        let scale = 1.0 / self.circle.points as f64;
        let modes = memory.modes.iter_mut().zip(rate).zip(&self.waves);
        for ((target, slope), wave) in modes {
            let wave = wave * scale;
            *target = Complex::new(-wave * slope.im, wave * slope.re);
        }
        self.backward(memory);
        times(&mut memory.values, values);
        self.forward(memory);
        for (k, (target, mode)) in point.iter_mut().zip(&memory.modes).enumerate() {
            *target = if self.keeps(k) { *mode } else { ZERO };
        }
    }
}

/// Multiplies value by value.
fn times(values: &mut [f64], factors: &[f64]) {
    for (value, factor) in values.iter_mut().zip(factors) {
        *value *= factor;
    }
}
