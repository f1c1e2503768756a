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

use super::exponential::Combination;
use super::{Scheme, Stepwise};
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};
use rayon::prelude::*;
use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use std::f64::consts::TAU;
use std::sync::Arc;

/// Time steps of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TimeSteps {
    /// How one is taken.
    pub scheme: Scheme,
    /// How many there are.
    pub steps: usize,
    /// Length of a step, during which a control acts.
    pub dt: f64,
    /// How many steps of the scheme make one.
    pub substeps: usize,
}

/// What a control does to a field.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Control {
    /// It is f during the step.
    Force,
    /// So many times of it are added to u after the step.
    Correction(f64),
}

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
pub struct PeriodicField {
    name: &'static str,
    time: TimeSteps,
    control: Control,
    combinations: Vec<Combination>,
    /// Wave numbers of the modes that products are formed of; 0 elsewhere.
    waves: Vec<f64>,
    fourier: Fourier,
}

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
        let modes = points / 2 + 1;
        let rates: Vec<f64> = (0..modes).map(|k| rate(number(k))).collect();
        let kept = |k: usize| if 3 * k < points { number(k) } else { 0.0 };
        let h = time.dt / time.substeps as f64;
        Self {
            name,
            time,
            control: Control::Force,
            combinations: time.scheme.combinations(&rates, h),
            waves: (0..modes).map(kept).collect(),
            fourier: Fourier::new(points),
        }
    }

    /// The same where the control is no force but a correction: `gain` times it is added to the field
    /// after the step, as a solver in the loop has it (Um et al. 2020, arXiv 2007.00016).
    #[must_use]
    pub fn corrected(mut self, gain: f64) -> Self {
        self.control = Control::Correction(gain);
        self
    }

    /// Number of grid points.
    pub fn points(&self) -> usize {
        self.fourier.points
    }

    /// The modes of a force that acts during a step.
    fn write_force(&self, control: &[f64], work: &mut Work<'_>) {
        match self.control {
            Control::Force => {
                work.forward_of(control);
                work.force.copy_from_slice(&work.modes);
            }
            Control::Correction(_) => work.force.fill(ZERO),
        }
    }

    /// Adds a correction after a step.
    fn correct(&self, control: &[f64], field: &mut [f64]) {
        if let Control::Correction(gain) = self.control {
            for (value, correction) in field.iter_mut().zip(control) {
                *value += gain * correction;
            }
        }
    }

    /// Takes a field over a step. Each stage hands the values of P·u at its point to `form`, which makes the
    /// product of them.
    fn step(
        &self,
        field: &mut [f64],
        control: &[f64],
        work: &mut Work<'_>,
        mut form: impl FnMut(&mut [f64]),
    ) {
        self.write_force(control, work);
        work.forward_of(field);
        work.field.copy_from_slice(&work.modes);
        for _ in 0..self.time.substeps {
            work.point.copy_from_slice(&work.field);
            for (s, combination) in self.combinations.iter().enumerate() {
                self.project(work);
                form(&mut work.values);
                self.carry_along(s, work);
                work.combine(combination);
            }
            std::mem::swap(&mut work.field, &mut work.point);
        }
        work.modes.copy_from_slice(&work.field);
        work.values_to(field);
        self.correct(control, field);
    }

    /// Whether products are formed of a mode.
    fn keeps(&self, k: usize) -> bool {
        3 * k < self.points()
    }

    /// The values of P·u of the point at hand.
    fn project(&self, work: &mut Work<'_>) {
        let scale = 1.0 / self.points() as f64;
        for (k, (target, mode)) in work.modes.iter_mut().zip(&work.point).enumerate() {
            *target = if self.keeps(k) { mode * scale } else { ZERO };
        }
        work.backward();
    }

    /// The slope of a stage: the modes of -P·D·v from the values of v, and the force.
    fn carry_along(&self, stage: usize, work: &mut Work<'_>) {
        work.forward();
        let slopes = work.slopes[stage].iter_mut().zip(&work.force);
        for ((mode, wave), (slope, force)) in work.modes.iter().zip(&self.waves).zip(slopes) {
            *slope = Complex::new(wave * mode.im, -wave * mode.re) + force;
        }
    }

    /// Takes a cotangent of the field after a step to that before it, and to that of the control.
    /// `products` holds P·u of all stages.
    fn step_back(
        &self,
        field: &mut [f64],
        control: &mut [f64],
        products: &[f64],
        work: &mut Work<'_>,
    ) {
        let (n, stages) = (self.points(), self.combinations.len());
        let correction = match self.control {
            Control::Force => None,
            Control::Correction(gain) => Some(gain),
        };
        if let Some(gain) = correction {
            for (control, w) in control.iter_mut().zip(field.iter()) {
                *control = gain * w;
            }
        }
        work.forward_of(field);
        work.point.copy_from_slice(&work.modes);
        work.force.fill(ZERO);
        let scale = 1.0 / n as f64;
        for products in products.chunks_exact(n * stages).rev() {
            work.slopes.iter_mut().for_each(|slope| slope.fill(ZERO));
            work.field.fill(ZERO);
            // What comes back to the point behind each stage, the last of which is the end.
            for s in (0..stages).rev() {
                let Combination { carry, weights } = &self.combinations[s];
                add_times(&mut work.field, carry, &work.point);
                for (slope, weights) in work.slopes.iter_mut().zip(weights) {
                    add_times(slope, weights, &work.point);
                }
                let waves = work.modes.iter_mut().zip(&work.slopes[s]).zip(&self.waves);
                for (((target, slope), wave), force) in waves.zip(&mut work.force) {
                    let wave = wave * scale;
                    *target = Complex::new(-wave * slope.im, wave * slope.re);
                    *force += slope;
                }
                work.backward();
                let values = products[s * n..(s + 1) * n].iter();
                work.values
                    .iter_mut()
                    .zip(values)
                    .for_each(|(v, p)| *v *= p);
                work.forward();
                for (k, (target, mode)) in work.point.iter_mut().zip(&work.modes).enumerate() {
                    *target = if self.keeps(k) { *mode } else { ZERO };
                }
            }
            for (point, mode) in work.point.iter_mut().zip(&work.field) {
                *point += mode;
            }
        }
        work.modes.copy_from_slice(&work.point);
        work.values_to(field);
        if correction.is_none() {
            work.modes.copy_from_slice(&work.force);
            work.values_to(control);
        }
    }

    /// P·u of all stages of a step of one sample.
    fn products(&self, state: &[f64], control: &[f64], work: &mut Work<'_>) -> Vec<f64> {
        let count = self.time.substeps * self.combinations.len();
        let mut products = Vec::with_capacity(count * self.points());
        let mut field = state.to_vec();
        self.step(&mut field, control, work, |values| {
            products.extend_from_slice(values);
            halve_square(values);
        });
        products
    }

    fn work(&self) -> Work<'_> {
        Work::new(&self.fourier, self.combinations.len())
    }

    /// Calls `work` for each sample, on several threads where that pays. Samples are independent, so that
    /// the result does not depend on the number of threads.
    fn over_samples(
        &self,
        samples: usize,
        rows: usize,
        work: impl Fn(usize) -> Vec<f64> + Sync + Send,
    ) -> Vec<Vec<f64>> {
        // Numbers that go through transforms before a second thread has woken up.
        const WORTH_THREADS: usize = 1 << 14;
        let of_row = self.time.substeps * self.combinations.len() * self.points();
        match samples * rows * of_row < WORTH_THREADS {
            true => (0..samples).map(work).collect(),
            false => (0..samples).into_par_iter().map(work).collect(),
        }
    }
}

impl Stepwise for PeriodicField {
    fn steps(&self) -> usize {
        self.time.steps
    }

    fn state_len(&self) -> usize {
        self.points()
    }

    fn control_len(&self) -> usize {
        self.points()
    }

    fn name(&self) -> String {
        self.name.into()
    }

    fn time(&self, step: usize) -> f64 {
        step as f64 * self.time.dt
    }

    fn advance(&self, _: usize, x: MatRef<'_, f64>, u: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let (samples, n) = (x.nrows(), self.points());
        let (x, u) = (x.transpose().to_owned(), u.transpose().to_owned());
        let fields = self.over_samples(samples, 1, |s| {
            let mut field = x.col_as_slice(s).to_vec();
            let work = &mut self.work();
            self.step(&mut field, u.col_as_slice(s), work, halve_square);
            field
        });
        Ok(Mat::from_fn(samples, n, |s, i| fields[s][i]))
    }

    fn pull_back(
        &self,
        _: usize,
        (x, u): (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        let (samples, n) = (x.nrows(), self.points());
        let count = rows.nrows() / samples.max(1);
        let (x, u) = (x.transpose().to_owned(), u.transpose().to_owned());
        let rows = rows.transpose().to_owned();
        let pulled = self.over_samples(samples, count, |s| {
            let work = &mut self.work();
            let products = self.products(x.col_as_slice(s), u.col_as_slice(s), work);
            let mut pulled = vec![0.0; 2 * count * n];
            for (i, pulled) in pulled.chunks_exact_mut(2 * n).enumerate() {
                let (field, control) = pulled.split_at_mut(n);
                field.copy_from_slice(rows.col_as_slice(i * samples + s));
                self.step_back(field, control, &products, work);
            }
            pulled
        });
        let part = |first: usize| {
            Mat::from_fn(rows.ncols(), n, |row, j| {
                pulled[row % samples][2 * n * (row / samples) + first + j]
            })
        };
        Ok((part(0), part(n)))
    }

    fn push_forward(
        &self,
        _: usize,
        (x, u): (MatRef<'_, f64>, MatRef<'_, f64>),
        (dx, du): (MatRef<'_, f64>, MatRef<'_, f64>),
    ) -> Result<Mat<f64>> {
        let (samples, n) = (x.nrows(), self.points());
        let [x, u, dx, du] = [x, u, dx, du].map(|batch| batch.transpose().to_owned());
        let changes = self.over_samples(samples, 1, |s| {
            let work = &mut self.work();
            let products = self.products(x.col_as_slice(s), u.col_as_slice(s), work);
            let mut products = products.chunks_exact(n.max(1));
            let mut change = dx.col_as_slice(s).to_vec();
            self.step(&mut change, du.col_as_slice(s), work, |values| {
                let products = products.next().expect("every stage has its products");
                values.iter_mut().zip(products).for_each(|(v, p)| *v *= p);
            });
            change
        });
        Ok(Mat::from_fn(samples, n, |s, i| changes[s][i]))
    }
}

const ZERO: Complex<f64> = Complex::new(0.0, 0.0);

/// ½u², of which the derivative is u·∂u/∂x.
fn halve_square(values: &mut [f64]) {
    for value in values {
        *value = 0.5 * (*value * *value);
    }
}

/// Adds modes times real factors.
fn add_times(target: &mut [Complex<f64>], factors: &[f64], modes: &[Complex<f64>]) {
    for ((target, factor), mode) in target.iter_mut().zip(factors).zip(modes) {
        *target += mode * *factor;
    }
}

/// The transforms between a real field and the half of its modes that tells the other, neither of which
/// scales: there and back multiplies by the number of points.
#[derive(Clone)]
struct Fourier {
    points: usize,
    forward: Arc<dyn RealToComplex<f64>>,
    backward: Arc<dyn ComplexToReal<f64>>,
}

impl Fourier {
    fn new(points: usize) -> Self {
        let mut planner = RealFftPlanner::new();
        Self {
            points,
            forward: planner.plan_fft_forward(points),
            backward: planner.plan_fft_inverse(points),
        }
    }
}

impl std::fmt::Debug for Fourier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fourier of {} points", self.points)
    }
}

/// Memory for the steps of one sample.
struct Work<'a> {
    fourier: &'a Fourier,
    /// What transforms read, write and need besides.
    values: Vec<f64>,
    modes: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
    /// Modes of the field, of the point of the stage at hand, of the force and of the slopes.
    field: Vec<Complex<f64>>,
    point: Vec<Complex<f64>>,
    force: Vec<Complex<f64>>,
    slopes: Vec<Vec<Complex<f64>>>,
}

impl<'a> Work<'a> {
    fn new(fourier: &'a Fourier, stages: usize) -> Self {
        let (there, back) = (&fourier.forward, &fourier.backward);
        let scratch = there.get_scratch_len().max(back.get_scratch_len());
        let zero = vec![ZERO; fourier.points / 2 + 1];
        Self {
            fourier,
            values: vec![0.0; fourier.points],
            scratch: vec![ZERO; scratch],
            field: zero.clone(),
            point: zero.clone(),
            force: zero.clone(),
            slopes: vec![zero.clone(); stages],
            modes: zero,
        }
    }

    /// The point of the next stage: carry·field + Σ weights·slopes.
    fn combine(&mut self, combination: &Combination) {
        self.point.fill(ZERO);
        add_times(&mut self.point, &combination.carry, &self.field);
        for (weights, slope) in combination.weights.iter().zip(&self.slopes) {
            add_times(&mut self.point, weights, slope);
        }
    }

    /// Modes from values, which it spoils.
    fn forward(&mut self) {
        let (values, modes, scratch) = (&mut self.values, &mut self.modes, &mut self.scratch);
        let done = (self.fourier.forward).process_with_scratch(values, modes, scratch);
        done.expect("the lengths are those of the plan");
    }

    /// Values from modes, which it spoils.
    fn backward(&mut self) {
        // Of a real field they are real, up to rounding.
        self.modes[0].im = 0.0;
        if self.fourier.points.is_multiple_of(2) {
            self.modes[self.fourier.points / 2].im = 0.0;
        }
        let (values, modes, scratch) = (&mut self.values, &mut self.modes, &mut self.scratch);
        let done = (self.fourier.backward).process_with_scratch(modes, values, scratch);
        done.expect("the lengths are those of the plan");
    }

    fn forward_of(&mut self, values: &[f64]) {
        self.values.copy_from_slice(values);
        self.forward();
    }

    /// The values of modes, which it spoils.
    fn values_to(&mut self, target: &mut [f64]) {
        self.backward();
        let scale = 1.0 / self.fourier.points as f64;
        for (target, value) in target.iter_mut().zip(&self.values) {
            *target = value * scale;
        }
    }
}
