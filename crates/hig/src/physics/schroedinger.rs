//! The Schrödinger equation of a driven particle in an infinite well, by the Crank-Nicolson method.
//!
//! i·∂ψ/∂t = Hψ with H = -∂²/∂x² + u(t)·x, where ħ = 1 and the mass is ½. A step of length dt with
//! constant u solves (1 + iαH)·ψ′ = (1 - iαH)·ψ, α = dt/2, which is unitary (Goldberg, Schey and
//! Schwartz 1967, doi 10.1119/1.1973991).
//!
//! With A = 1 + iαH the right-hand side is (2 - A)·ψ, so that a step is one solve: ψ′ = 2φ - ψ with
//! the midpoint φ = A⁻¹ψ. A change of u moves it by dψ′ = -2iα·A⁻¹·X·φ·du, X = diag(x). A is
//! symmetric (not Hermitian), so that the pairing Re(vᵀψ) with v = w̄, which is Re(wᴴψ), takes v
//! backwards through the very same step. So does conj ψ itself: nothing has to be stored.

mod adjoint;

use super::lanes::over_groups;
use super::{Lanes, Real, Record, Simulator, Widths};
use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, MatRef};
use crate::linalg::simd::{vectorised, with_lanes};
use adjoint::Backwards;
use std::f64::consts::PI;
use std::ops::{Add, Mul, Sub};

/// The well [0, 2] with hard walls on an evenly spaced grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InfiniteWell {
    /// Grid points, the two on the walls included, where ψ = 0; at least 3.
    pub points: usize,
}

impl InfiniteWell {
    /// Distance of the walls.
    pub const WIDTH: f64 = 2.0;

    /// Number of grid points inside, where ψ is unknown.
    pub fn inside(&self) -> usize {
        self.points.saturating_sub(2)
    }

    /// Distance of neighbouring grid points.
    pub fn spacing(&self) -> f64 {
        Self::WIDTH / (self.points as f64 - 1.0)
    }

    /// Positions of the grid points inside.
    pub fn positions(&self) -> Vec<f64> {
        (1..=self.inside())
            .map(|j| j as f64 * self.spacing())
            .collect()
    }

    /// The `n`-th eigenvector of the discrete -∂²/∂x² at the grid points inside, with Σψ² = 1;
    /// n = 1 is the ground state, n = [`inside`](Self::inside) the highest.
    pub fn eigenstate(&self, n: usize) -> Vec<f64> {
        let intervals = self.points as f64 - 1.0;
        let value = |j: usize| (PI * (n * j) as f64 / intervals).sin();
        let scale = (2.0 / intervals).sqrt();
        (1..=self.inside()).map(|j| scale * value(j)).collect()
    }

    /// The eigenvalue of [`eigenstate`](Self::eigenstate) `n`.
    pub fn energy(&self, n: usize) -> f64 {
        let intervals = self.points as f64 - 1.0;
        (2.0 / self.spacing() * (0.5 * PI * n as f64 / intervals).sin()).powi(2)
    }
}

/// Crank-Nicolson steps of i·∂ψ/∂t = (-∂²/∂x² + u(t)·x)·ψ in the well, from one initial state.
///
/// The control of a sample is u of each step (`steps` numbers); y is the final ψ at the grid points
/// inside, as re, im of the first, re, im of the second, …, with Σ|ψ_j|² = 1. The state width is 0:
/// every sample starts alike.
#[derive(Debug, Clone)]
pub struct Schroedinger {
    matrix: StepMatrix,
    start: Vec<Complex<f64>>,
    steps: usize,
}

impl Schroedinger {
    /// `steps` steps of length `dt` from the ground state of the well; a negative `dt` runs
    /// backwards in time.
    pub fn new(well: InfiniteWell, steps: usize, dt: f64) -> Self {
        let ground = well.eigenstate(1);
        Self {
            matrix: StepMatrix::new(well, dt),
            start: ground.iter().map(|re| Complex::new(*re, 0.0)).collect(),
            steps,
        }
    }

    /// The same from another initial state, interleaved like y.
    ///
    /// # Errors
    /// A length other than two numbers for each grid point inside.
    pub fn starting_from(mut self, state: &[f64]) -> Result<Self> {
        let expected = 2 * self.start.len();
        if state.len() != expected {
            return Err(Error::Shape {
                what: "initial state".into(),
                found: format!("length {}", state.len()),
                expected: format!("length {expected}"),
            });
        }
        self.start = interleaved(state);
        Ok(self)
    }

    /// The states of one sample at times 0, dt, 2·dt, …, interleaved like y, in any number type.
    pub fn trajectory<T: Real>(&self, control: &[T]) -> Vec<Vec<T>> {
        let mut state = self.initial();
        let mut scratch = vec![Complex::zero(); 2 * state.len()];
        let (pivots, midpoint) = scratch.split_at_mut(state.len());
        let flat = |state: &[Complex<T>]| state.iter().flat_map(|z| [z.re, z.im]).collect();
        let mut states = vec![flat(&state)];
        for u in &control[..self.steps] {
            self.matrix.advance(*u, &mut state, midpoint, pivots);
            states.push(flat(&state));
        }
        states
    }

    fn initial<T: Real>(&self) -> Vec<Complex<T>> {
        let constant = |z: &Complex<f64>| Complex::new(T::constant(z.re), T::constant(z.im));
        self.start.iter().map(constant).collect()
    }

    /// The final state of one group of samples.
    fn simulate_group(&self, control: MatRef<'_, f64>, group: usize) -> Vec<Complex<Lanes>> {
        let u = Lanes::load(control, group);
        let mut state = self.initial();
        let mut scratch = vec![Complex::zero(); 2 * state.len()];
        let (pivots, midpoint) = scratch.split_at_mut(state.len());
        vectorised(
            // Without it the loop may be compiled apart, for the oldest processor.
            #[inline(always)]
            || {
                for u in &u {
                    self.matrix.advance(*u, &mut state, midpoint, pivots);
                }
            },
        );
        state
    }
}

impl Simulator for Schroedinger {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: self.steps,
            output: 2 * self.start.len(),
        }
    }

    fn has_products(&self) -> bool {
        true
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        Ok(Box::new(Simulated {
            y: self.simulate(state, control)?,
            physics: self.clone(),
            control: control.to_owned(),
        }))
    }

    fn simulate(&self, _: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let samples = control.nrows();
        let states = over_groups(samples, self.steps, |group| {
            self.simulate_group(control, group)
        });
        Ok(batch_of_states(&states, samples))
    }
}

/// The simulated batch. Nothing else is kept: a step can be undone, so that derivatives walk the
/// trajectory again instead of reading it from memory that is slower than the steps.
struct Simulated {
    physics: Schroedinger,
    control: Mat<f64>,
    y: Mat<f64>,
}

impl Simulated {
    /// Carries v of `count` cotangents (count × points inside) of one group back through time.
    /// Returns the complex slopes s of each step (steps × count): du = Im s, and for i·w in place
    /// of the cotangent w, whose v is -i·v, du = -Re s.
    fn adjoint(&self, group: usize, mut cotangents: Vec<Complex<Lanes>>) -> Vec<Complex<Lanes>> {
        let (matrix, n) = (&self.physics.matrix, self.physics.start.len());
        let count = cotangents.len() / n;
        let mut slopes = vec![Complex::zero(); self.physics.steps * count];
        with_lanes(Backwards {
            matrix,
            control: &Lanes::load(self.control.as_ref(), group),
            state: &mut conjugates(self.y.as_ref(), group),
            cotangents: &mut cotangents,
            slopes: &mut slopes,
        });
        slopes
    }

    /// Carries a change of the control of one group forward: dψ of the final state.
    fn tangent(&self, group: usize, tangent: MatRef<'_, f64>) -> Vec<Complex<Lanes>> {
        let (matrix, n) = (&self.physics.matrix, self.physics.start.len());
        let u = Lanes::load(self.control.as_ref(), group);
        let du = Lanes::load(tangent, group);
        let mut state = self.physics.initial();
        let mut scratch = vec![Complex::zero(); 2 * n];
        let (pivots, midpoint) = scratch.split_at_mut(n);
        let mut change = vec![Complex::zero(); n];
        let mut solved = change.clone();
        vectorised(
            #[inline(always)]
            || {
                for (u, du) in u.iter().zip(&du) {
                    matrix.advance(*u, &mut state, midpoint, pivots);
                    solved.copy_from_slice(&change);
                    matrix.push(midpoint, *du, &mut solved);
                    matrix.solve(pivots, &mut solved);
                    reflect(&mut change, &solved);
                }
            },
        );
        change
    }
}

impl Record for Simulated {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let samples = self.y.nrows();
        let steps = self.physics.steps;
        let groups = over_groups(samples, steps, |group| {
            self.adjoint(group, conjugates(cotangent, group))
        });
        let mut du = Mat::zeros(samples, steps);
        for (group, slopes) in groups.iter().enumerate() {
            for (k, slope) in slopes.iter().enumerate() {
                slope.im.store(&mut du, 0, samples, group, k);
            }
        }
        Ok(du)
    }

    // The step is linear in ψ over the complex numbers: the row of an imaginary part follows from
    // that of the real part.
    fn rows(&self) -> Result<Mat<f64>> {
        let (samples, n) = (self.y.nrows(), self.y.ncols() / 2);
        let units = (0..n * n).map(|place| f64::from(place / n == place % n));
        let units: Vec<Complex<Lanes>> = units
            .map(|unit| Complex::new(Lanes::constant(unit), Lanes::ZERO))
            .collect();
        let steps = self.physics.steps;
        let groups = over_groups(samples, steps * n, |group| {
            self.adjoint(group, units.clone())
        });
        let mut rows = Mat::zeros(2 * n * samples, steps);
        for (group, slopes) in groups.iter().enumerate() {
            for (place, slope) in slopes.iter().enumerate() {
                let (k, first) = (place / n, place % n * 2 * samples);
                slope.im.store(&mut rows, first, samples, group, k);
                (-slope.re).store(&mut rows, first + samples, samples, group, k);
            }
        }
        Ok(rows)
    }

    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let samples = self.y.nrows();
        let changes = over_groups(samples, self.physics.steps, |group| {
            self.tangent(group, tangent)
        });
        Ok(batch_of_states(&changes, samples))
    }
}

/// A = 1 + iαH(u), tridiagonal, and its elimination without pivoting: every pivot has a real part
/// of at least 1, because that of A's diagonal is 1 and the elimination adds positive numbers.
#[derive(Debug, Clone)]
struct StepMatrix {
    /// α/dx²; the entries beside the diagonal are -i times it.
    hopping: f64,
    /// α·x of each grid point inside.
    dipole: Vec<f64>,
}

impl StepMatrix {
    fn new(well: InfiniteWell, dt: f64) -> Self {
        let alpha = 0.5 * dt;
        Self {
            hopping: alpha / well.spacing().powi(2),
            dipole: well.positions().iter().map(|x| alpha * x).collect(),
        }
    }

    /// One step: ψ becomes ψ′, with its midpoint and the elimination.
    #[inline(always)]
    fn advance<T: Real>(
        &self,
        u: T,
        state: &mut [Complex<T>],
        midpoint: &mut [Complex<T>],
        pivots: &mut [Complex<T>],
    ) {
        self.eliminate(u, pivots);
        midpoint.copy_from_slice(state);
        self.solve(pivots, midpoint);
        reflect(state, midpoint);
    }

    /// Writes 1/pivot of each row.
    #[inline(always)]
    fn eliminate<T: Real>(&self, u: T, pivots: &mut [Complex<T>]) {
        let square = self.hopping * self.hopping;
        let mut before = Complex::zero();
        for (pivot, dipole) in pivots.iter_mut().zip(&self.dipole) {
            let diagonal = Complex::new(T::constant(1.0), u * *dipole + 2.0 * self.hopping);
            before = (diagonal + before.scale(square)).reciprocal();
            *pivot = before;
        }
    }

    /// Solves A·z = r in place.
    #[inline(always)]
    fn solve<T: Real>(&self, pivots: &[Complex<T>], z: &mut [Complex<T>]) {
        let n = pivots.len();
        for j in 1..n {
            let carry = pivots[j - 1].scale(self.hopping).times_i();
            z[j] = z[j] + carry * z[j - 1];
        }
        z[n - 1] = z[n - 1] * pivots[n - 1];
        for j in (1..n).rev() {
            let carry = pivots[j - 1].scale(self.hopping).times_i();
            z[j - 1] = z[j - 1] * pivots[j - 1] + carry * z[j];
        }
    }

    /// z += -iαX·φ·du, the right-hand side that a change of u adds.
    #[inline(always)]
    fn push<T: Real>(&self, midpoint: &[Complex<T>], du: T, z: &mut [Complex<T>]) {
        for ((z, phi), dipole) in z.iter_mut().zip(midpoint).zip(&self.dipole) {
            let force = du * *dipole;
            *z = Complex::new(z.re + phi.im * force, z.im - phi.re * force);
        }
    }
}

/// v becomes 2z - v: the second half of a step whose midpoint is z.
#[inline(always)]
fn reflect<T: Real>(v: &mut [Complex<T>], z: &[Complex<T>]) {
    for (v, z) in v.iter_mut().zip(z) {
        *v = z.scale(2.0) - *v;
    }
}

/// The conjugates of one group's states, from a batch of interleaved real numbers.
fn conjugates(batch: MatRef<'_, f64>, group: usize) -> Vec<Complex<Lanes>> {
    let numbers = Lanes::load(batch, group);
    let pairs = numbers.chunks_exact(2);
    pairs.map(|z| Complex::new(z[0], -z[1])).collect()
}

/// Groups of states as a batch matrix (samples × 2·points inside).
fn batch_of_states(groups: &[Vec<Complex<Lanes>>], samples: usize) -> Mat<f64> {
    let width = groups.first().map_or(0, |state| 2 * state.len());
    let mut batch = Mat::zeros(samples, width);
    for (group, state) in groups.iter().enumerate() {
        for (j, z) in state.iter().enumerate() {
            z.re.store(&mut batch, 0, samples, group, 2 * j);
            z.im.store(&mut batch, 0, samples, group, 2 * j + 1);
        }
    }
    batch
}

fn interleaved(numbers: &[f64]) -> Vec<Complex<f64>> {
    let pairs = numbers.chunks_exact(2);
    pairs.map(|pair| Complex::new(pair[0], pair[1])).collect()
}

#[derive(Debug, Clone, Copy)]
struct Complex<T> {
    re: T,
    im: T,
}

impl<T: Real> Complex<T> {
    #[inline(always)]
    fn new(re: T, im: T) -> Self {
        Self { re, im }
    }

    #[inline(always)]
    fn zero() -> Self {
        Self::new(T::constant(0.0), T::constant(0.0))
    }

    #[inline(always)]
    fn scale(self, factor: f64) -> Self {
        Self::new(self.re * factor, self.im * factor)
    }

    #[inline(always)]
    fn conjugate(self) -> Self {
        Self::new(self.re, -self.im)
    }

    #[inline(always)]
    fn times_i(self) -> Self {
        Self::new(-self.im, self.re)
    }

    #[inline(always)]
    fn reciprocal(self) -> Self {
        let scale = T::constant(1.0) / (self.re * self.re + self.im * self.im);
        Self::new(self.re * scale, -(self.im * scale))
    }
}

impl<T: Real> Add for Complex<T> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self::new(self.re + other.re, self.im + other.im)
    }
}

impl<T: Real> Sub for Complex<T> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self::new(self.re - other.re, self.im - other.im)
    }
}

impl<T: Real> Mul for Complex<T> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        Self::new(
            self.re * other.re - self.im * other.im,
            self.re * other.im + self.im * other.re,
        )
    }
}
