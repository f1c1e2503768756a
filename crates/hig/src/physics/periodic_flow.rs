//! Incompressible flow in a doubly periodic square: ∂u/∂t + u·∇u = -∇p + νΔu + f with ∇·u = 0, and
//! what it carries along, ∂d/∂t + u·∇d = κΔd, by Fourier modes.
//!
//! It is the Galerkin method of the modes below a third of the points along a side, of whose products nothing
//! falls back on them (Orszag 1971, doi 10.1175/1520-0469(1971)028<1074:OTEOAI>2.0.CO;2). The pressure makes
//! of the rest the part without divergence, û - k(k·û)/k², which is exact for each mode; viscosity is
//! exact in exponential steps. With a = (u² - v²)/2 and b = u·v, u·∇u is (∂a/∂x + ∂b/∂y, ∂b/∂x - ∂a/∂y) but
//! for a gradient. Momentum and the sum of d are kept exactly; without viscosity and force, energy,
//! enstrophy and the sum of d² by all but the time steps.
//!
//! The adjoint is that of the discrete steps, and takes as many transforms.

use super::Stepwise;
use super::field_steps::{Control, FieldEquation, FieldSteps, TimeSteps, by_field_steps};
use super::fourier::{Torus, TorusMemory, ZERO};
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};
use realfft::num_complex::Complex;
use std::f64::consts::TAU;

/// An incompressible flow on a square grid that is periodic along both sides, under a force at every point.
///
/// A field has its value of row y and column x at `y · points + x`. The state holds the velocity across, then that
/// down the rows, and behind them what [`carrying`](Self::carrying) says. The control is the force per mass,
/// across and then down. Of a state only the modes that are resolved count, and of its velocity only the
/// part without divergence: a step begins with the projection on them.
///
/// ```
/// use hig::linalg::Mat;
/// use hig::physics::{PeriodicFlow, Scheme, Stepwise, TimeSteps};
/// use std::f64::consts::TAU;
///
/// // The vortices of Taylor and Green, which fade and stay as they are.
/// let (points, viscosity) = (16, 0.1);
/// let time = TimeSteps { scheme: Scheme::Etd4, steps: 1, dt: 0.5, substeps: 4 };
/// let flow = PeriodicFlow::new(points, TAU, viscosity, time);
/// let start = Mat::from_fn(1, 2 * points * points, |_, i| {
///     let at = |j: usize| TAU * j as f64 / points as f64;
///     let (x, y) = (at(i % points), at(i / points % points));
///     if i < points * points { x.cos() * y.sin() } else { -x.sin() * y.cos() }
/// });
/// let force = Mat::zeros(1, 2 * points * points);
/// let end = flow.advance(0, start.as_ref(), force.as_ref())?;
/// let expected = faer::Scale((-2.0 * viscosity * 0.5_f64).exp()) * &start;
/// assert!((&end - &expected).norm_l2() < 1e-12 * start.norm_l2());
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PeriodicFlow(FieldSteps<Flow>);

impl PeriodicFlow {
    /// A flow on so many points along each side of a square.
    pub fn new(points: usize, length: f64, viscosity: f64, time: TimeSteps) -> Self {
        Self(FieldSteps::new(
            Flow::new(points, length, viscosity, None),
            time,
        ))
    }

    /// The same with a density behind the velocity in the state that the flow carries along and that spreads with this
    /// diffusivity.
    #[must_use]
    pub fn carrying(self, diffusivity: f64) -> Self {
        let Self(FieldSteps {
            equation,
            control,
            time,
            ..
        }) = self;
        let Flow {
            torus,
            length,
            viscosity,
            ..
        } = equation;
        let equation = Flow::new(torus.points(), length, viscosity, Some(diffusivity));
        let mut steps = FieldSteps::new(equation, time);
        steps.control = control;
        Self(steps)
    }

    /// The same where a control of 1 is this force per mass.
    #[must_use]
    pub fn pushed(mut self, force: f64) -> Self {
        self.0.control = Control::Force(force);
        self
    }

    /// Points along a side.
    pub fn points(&self) -> usize {
        self.0.equation.torus.points()
    }

    /// The vorticity ∂v/∂x - ∂u/∂y of states (samples × points²).
    pub fn vorticity(&self, state: MatRef<'_, f64>) -> Mat<f64> {
        let flow = &self.0.equation;
        let mut vorticity = Mat::zeros(state.nrows(), flow.area());
        let (mut memory, mut modes) = (flow.memory(), vec![ZERO; 2 * flow.torus.modes()]);
        for s in 0..state.nrows() {
            let velocity: Vec<f64> = (0..2 * flow.area()).map(|i| state[(s, i)]).collect();
            flow.modes_of(&velocity, &mut modes, &mut memory);
            let (u, v) = modes.split_at_mut(flow.torus.modes());
            for ((u, v), [across, down]) in u.iter_mut().zip(v).zip(&flow.waves) {
                *u = derivative(*across, *v) - derivative(*down, *u);
            }
            let mut values = vec![0.0; flow.area()];
            flow.torus.backward(u, &mut values, &mut memory.torus);
            for (i, value) in values.into_iter().enumerate() {
                vorticity[(s, i)] = value;
            }
        }
        vorticity
    }
}

by_field_steps!(PeriodicFlow);

/// The equations.
#[derive(Debug, Clone)]
struct Flow {
    torus: Torus,
    length: f64,
    viscosity: f64,
    /// Of what is carried along.
    diffusivity: Option<f64>,
    /// Wave numbers across and down; 0 of modes that are not kept.
    waves: Vec<[f64; 2]>,
}

struct Memory {
    torus: TorusMemory,
    /// Values of products, or of changes and products.
    values: Vec<f64>,
    /// Modes of products.
    modes: Vec<Complex<f64>>,
}

impl Flow {
    fn new(points: usize, length: f64, viscosity: f64, diffusivity: Option<f64>) -> Self {
        let (torus, unit) = (Torus::new(points), TAU / length);
        let number = |mode| {
            torus
                .waves(mode)
                .map_or([0.0; 2], |(x, y)| [unit * x, unit * y])
        };
        Self {
            waves: (0..torus.modes()).map(number).collect(),
            torus,
            length,
            viscosity,
            diffusivity,
        }
    }

    /// Points of the square.
    fn area(&self) -> usize {
        self.torus.points() * self.torus.points()
    }

    /// Velocities across and down, and what is carried along.
    fn fields(&self) -> usize {
        2 + usize::from(self.diffusivity.is_some())
    }

    /// Products: a and b, and the velocities times what is carried along.
    fn products(&self) -> usize {
        2 * self.fields() - 2
    }

    /// Takes from a velocity what diverges.
    fn project(&self, velocity: &mut [Complex<f64>]) {
        let (u, v) = velocity.split_at_mut(self.torus.modes());
        for ((u, v), [x, y]) in u.iter_mut().zip(v).zip(&self.waves) {
            let square = x * x + y * y;
            if square > 0.0 {
                let along = (*u * *x + *v * *y) / square;
                *u -= along * *x;
                *v -= along * *y;
            }
        }
    }

    /// The modes of the products in the memory, and of them those of N.
    fn derive(&self, rate: &mut [Complex<f64>], memory: &mut Memory) {
        let (
            count,
            Memory {
                torus,
                values,
                modes,
            },
        ) = (self.torus.modes(), memory);
        let values = values.chunks_exact(self.area()).take(self.products());
        for (values, modes) in values.zip(modes.chunks_exact_mut(count)) {
            self.torus.forward(values, modes, torus);
        }
        let of = |product: usize| &modes[product * count..(product + 1) * count];
        for (k, [x, y]) in self.waves.iter().enumerate() {
            let (a, b) = (of(0)[k], of(1)[k]);
            rate[k] = -(derivative(*x, a) + derivative(*y, b));
            rate[count + k] = derivative(*y, a) - derivative(*x, b);
            if self.diffusivity.is_some() {
                let (across, down) = (of(2)[k], of(3)[k]);
                rate[2 * count + k] = -(derivative(*x, across) + derivative(*y, down));
            }
        }
        self.project(&mut rate[..2 * count]);
    }

    /// The values of all fields.
    fn all_values(&self, modes: &[Complex<f64>], values: &mut [f64], memory: &mut TorusMemory) {
        let fields = modes.chunks_exact(self.torus.modes());
        for (modes, values) in fields.zip(values.chunks_exact_mut(self.area())) {
            self.torus.backward(modes, values, memory);
        }
    }
}

/// i·wave·mode.
fn derivative(wave: f64, mode: Complex<f64>) -> Complex<f64> {
    Complex::new(-wave * mode.im, wave * mode.re)
}

impl FieldEquation for Flow {
    type Memory = Memory;

    fn name(&self) -> &'static str {
        "the periodic flow"
    }

    fn state_len(&self) -> usize {
        self.fields() * self.area()
    }

    fn control_len(&self) -> usize {
        2 * self.area()
    }

    fn rates(&self) -> Vec<f64> {
        let (viscosity, waves) = (self.viscosity, &self.waves);
        let of = |factor: f64| waves.iter().map(move |[x, y]| -factor * (x * x + y * y));
        let velocities = of(viscosity).chain(of(viscosity));
        velocities
            .chain(self.diffusivity.into_iter().flat_map(of))
            .collect()
    }

    fn memory(&self) -> Memory {
        let count = self.fields() + self.products();
        Memory {
            torus: self.torus.memory(),
            values: vec![0.0; count * self.area()],
            modes: vec![ZERO; count * self.torus.modes()],
        }
    }

    fn modes_of(&self, values: &[f64], modes: &mut [Complex<f64>], memory: &mut Memory) {
        let count = self.torus.modes();
        let fields = values.chunks_exact(self.area());
        for (values, modes) in fields.zip(modes.chunks_exact_mut(count)) {
            self.torus.forward(values, modes, &mut memory.torus);
        }
        self.project(&mut modes[..2 * count]);
    }

    fn values_of(&self, modes: &[Complex<f64>], values: &mut [f64], memory: &mut Memory) {
        self.all_values(modes, values, &mut memory.torus);
    }

    fn rate(
        &self,
        point: &[Complex<f64>],
        values: &mut [f64],
        rate: &mut [Complex<f64>],
        memory: &mut Memory,
    ) {
        self.all_values(point, values, &mut memory.torus);
        let n = self.area();
        for i in 0..n {
            let (u, v) = (values[i], values[n + i]);
            memory.values[i] = 0.5 * (u * u - v * v);
            memory.values[n + i] = u * v;
            if self.diffusivity.is_some() {
                let d = values[2 * n + i];
                memory.values[2 * n + i] = u * d;
                memory.values[3 * n + i] = v * d;
            }
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
        let (n, products) = (self.area(), self.products());
        let (made, changes) = memory.values.split_at_mut(products * n);
        self.all_values(change, changes, &mut memory.torus);
        for i in 0..n {
            let (u, v, du, dv) = (values[i], values[n + i], changes[i], changes[n + i]);
            made[i] = u * du - v * dv;
            made[n + i] = u * dv + v * du;
            if self.diffusivity.is_some() {
                let (d, dd) = (values[2 * n + i], changes[2 * n + i]);
                made[2 * n + i] = u * dd + d * du;
                made[3 * n + i] = v * dd + d * dv;
            }
        }
        self.derive(rate, memory);
    }

    /// The derivatives are antisymmetric, and the projection is symmetric, as the cotangents at hand are
    /// projected.
    fn rate_back(
        &self,
        rate: &[Complex<f64>],
        values: &[f64],
        point: &mut [Complex<f64>],
        memory: &mut Memory,
    ) {
        let (n, count, products) = (self.area(), self.torus.modes(), self.products());
        let of = |field: usize| &rate[field * count..(field + 1) * count];
        let (modes, torus) = (&mut memory.modes, &mut memory.torus);
        for (k, [x, y]) in self.waves.iter().enumerate() {
            let (u, v) = (of(0)[k], of(1)[k]);
            modes[k] = derivative(*x, u) - derivative(*y, v);
            modes[count + k] = derivative(*y, u) + derivative(*x, v);
            if self.diffusivity.is_some() {
                let d = of(2)[k];
                modes[2 * count + k] = derivative(*x, d);
                modes[3 * count + k] = derivative(*y, d);
            }
        }
        let (made, changes) = memory.values.split_at_mut(products * n);
        self.all_values(&modes[..products * count], made, torus);
        for i in 0..n {
            let (u, v, a, b) = (values[i], values[n + i], made[i], made[n + i]);
            changes[i] = u * a + v * b;
            changes[n + i] = u * b - v * a;
            if self.diffusivity.is_some() {
                let (d, across, down) = (values[2 * n + i], made[2 * n + i], made[3 * n + i]);
                changes[i] += d * across;
                changes[n + i] += d * down;
                changes[2 * n + i] = u * across + v * down;
            }
        }
        let changes = changes.chunks_exact(n);
        for (values, modes) in changes.zip(point.chunks_exact_mut(count)) {
            self.torus.forward(values, modes, torus);
        }
        self.project(&mut point[..2 * count]);
    }
}
