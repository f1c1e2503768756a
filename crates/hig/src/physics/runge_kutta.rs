//! The classical Runge-Kutta method with its discrete adjoint.
//!
//! Hairer, Nørsett and Wanner, "Solving Ordinary Differential Equations I", section II.1, for the
//! method; the adjoint differentiates the discrete steps themselves (Hager 2000,
//! doi 10.1007/s002110000178), so that its products are exact for the numbers that were simulated.

use super::lanes::{over_groups, stored};
use super::{Cotangents, Dual, Equations, Lanes, Real, Record, Simulator, Stepwise, Widths};
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};
use crate::linalg::simd::vectorised;
use std::sync::Arc;

/// Fourth-order Runge-Kutta with constant step; y is the final state.
///
/// The control of a sample holds u of the first step, then u of the second, and so on; u is
/// constant during a step.
#[derive(Debug)]
pub struct RungeKutta4<E> {
    equations: Arc<E>,
    steps: usize,
    dt: f64,
}

impl<E: Equations> RungeKutta4<E> {
    /// Integrates `equations` from time 0 over `steps` steps of length `dt`.
    pub fn new(equations: E, steps: usize, dt: f64) -> Self {
        Self {
            equations: Arc::new(equations),
            steps,
            dt,
        }
    }

    /// The states of one sample at times 0, dt, 2·dt, …, in any number type.
    pub fn trajectory<T: Real>(&self, state: &[T], control: &[T]) -> Vec<Vec<T>> {
        let c = self.equations.control_len();
        let mut scratch = Stages::new(state.len());
        let mut states = vec![state.to_vec()];
        for k in 0..self.steps {
            let mut next = states[k].clone();
            let u = &control[k * c..(k + 1) * c];
            step(
                &*self.equations,
                k as f64 * self.dt,
                self.dt,
                &mut next,
                u,
                &mut scratch,
            );
            states.push(next);
        }
        states
    }

    /// Simulates one group of samples, keeping every state (steps + 1, side by side).
    fn run_group(
        &self,
        state: MatRef<'_, f64>,
        control: MatRef<'_, f64>,
        group: usize,
    ) -> Vec<Lanes> {
        let (d, c) = (self.equations.state_len(), self.equations.control_len());
        let u = Lanes::load(control, group);
        let mut states = Lanes::load(state, group);
        states.resize((self.steps + 1) * d, Lanes::ZERO);
        let mut scratch = Stages::new(d);
        vectorised(
            #[inline(always)]
            || {
                for k in 0..self.steps {
                    let (done, rest) = states.split_at_mut((k + 1) * d);
                    let next = &mut rest[..d];
                    next.copy_from_slice(&done[k * d..]);
                    let u = &u[k * c..(k + 1) * c];
                    step(
                        &*self.equations,
                        k as f64 * self.dt,
                        self.dt,
                        next,
                        u,
                        &mut scratch,
                    );
                }
            },
        );
        states
    }
}

impl<E: Equations + 'static> Simulator for RungeKutta4<E> {
    fn widths(&self) -> Widths {
        Widths {
            state: self.equations.state_len(),
            control: self.equations.control_len() * self.steps,
            output: self.equations.state_len(),
        }
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        let samples = state.nrows();
        let d = self.equations.state_len();
        let trajectories = over_groups(samples, self.steps, |group| {
            self.run_group(state, control, group)
        });
        let ends = trajectories
            .iter()
            .map(|states| states[self.steps * d..].iter().copied());
        let y = stored(ends, samples, 1, d);
        Ok(Box::new(Trajectories {
            equations: Arc::clone(&self.equations),
            steps: self.steps,
            dt: self.dt,
            control: control.to_owned(),
            trajectories,
            y,
        }))
    }
}

impl<E: Equations + 'static> Stepwise for RungeKutta4<E> {
    fn steps(&self) -> usize {
        self.steps
    }

    fn state_len(&self) -> usize {
        self.equations.state_len()
    }

    fn control_len(&self) -> usize {
        self.equations.control_len()
    }

    fn time(&self, step: usize) -> f64 {
        step as f64 * self.dt
    }

    fn advance(
        &self,
        k: usize,
        state: MatRef<'_, f64>,
        control: MatRef<'_, f64>,
    ) -> Result<Mat<f64>> {
        let (samples, d) = (state.nrows(), state.ncols());
        let groups = over_groups(samples, 1, |group| {
            let (mut x, u) = (Lanes::load(state, group), Lanes::load(control, group));
            let (mut stages, time) = (Stages::new(d), self.time(k));
            vectorised(
                #[inline(always)]
                || step(&*self.equations, time, self.dt, &mut x, &u, &mut stages),
            );
            x
        });
        Ok(stored(groups, samples, 1, d))
    }

    fn pull_back(
        &self,
        k: usize,
        (state, control): (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        let (samples, d, c) = (state.nrows(), state.ncols(), control.ncols());
        let count = rows.nrows() / samples.max(1);
        let component = |i: usize| rows.subrows(i * samples, samples);
        let groups = over_groups(samples, count, |group| {
            let (x, u) = (Lanes::load(state, group), Lanes::load(control, group));
            let components = (0..count).flat_map(|i| Lanes::load(component(i), group));
            let mut x_bar: Vec<Lanes> = components.collect();
            let mut u_bar = vec![Lanes::ZERO; count * c];
            let mut stages = AdjointStages::new(d, count);
            let time = (self.time(k), self.dt);
            vectorised(
                #[inline(always)]
                || {
                    adjoint_step(
                        &*self.equations,
                        time,
                        &x,
                        &u,
                        &mut x_bar,
                        &mut u_bar,
                        &mut stages,
                    );
                },
            );
            (x_bar, u_bar)
        });
        let (before, during): (Vec<_>, Vec<_>) = groups.into_iter().unzip();
        let whole = |groups: Vec<Vec<Lanes>>, width| stored(groups, samples, count, width);
        Ok((whole(before, d), whole(during, c)))
    }

    fn push_forward(
        &self,
        k: usize,
        at: (MatRef<'_, f64>, MatRef<'_, f64>),
        along: (MatRef<'_, f64>, MatRef<'_, f64>),
    ) -> Result<Mat<f64>> {
        let (samples, d) = (at.0.nrows(), at.0.ncols());
        let groups = over_groups(samples, 1, |group| {
            let mut x = with_tangents(at.0, along.0, group);
            let u = with_tangents(at.1, along.1, group);
            let (mut stages, time) = (Stages::new(d), self.time(k));
            vectorised(
                #[inline(always)]
                || step(&*self.equations, time, self.dt, &mut x, &u, &mut stages),
            );
            x
        });
        Ok(tangents(&groups, samples, d))
    }
}

/// One group of samples with a tangent of each.
fn with_tangents(
    values: MatRef<'_, f64>,
    tangents: MatRef<'_, f64>,
    group: usize,
) -> Vec<Dual<1, Lanes>> {
    let (values, tangents) = (Lanes::load(values, group), Lanes::load(tangents, group));
    let both = values.into_iter().zip(tangents);
    let dual = |(value, tangent)| Dual {
        value,
        slopes: [tangent],
    };
    both.map(dual).collect()
}

/// The tangents of all groups (samples × width).
fn tangents(groups: &[Vec<Dual<1, Lanes>>], samples: usize, width: usize) -> Mat<f64> {
    let slopes = groups
        .iter()
        .map(|values| values.iter().map(|value| value.slopes[0]));
    stored(slopes, samples, 1, width)
}

/// Stored trajectories of a batch; derivatives walk them backwards.
struct Trajectories<E> {
    equations: Arc<E>,
    steps: usize,
    dt: f64,
    control: Mat<f64>,
    trajectories: Vec<Vec<Lanes>>,
    y: Mat<f64>,
}

impl<E: Equations> Trajectories<E> {
    /// Carries k cotangents of the final state (k × state) of one group back through time; returns
    /// the cotangents of the control (steps × k × control).
    fn adjoint(&self, group: usize, cotangents: Vec<Lanes>) -> Vec<Lanes> {
        let (d, c) = (self.equations.state_len(), self.equations.control_len());
        let count = cotangents.len() / d;
        let u = Lanes::load(self.control.as_ref(), group);
        let states = &self.trajectories[group];
        let mut x_bar = cotangents;
        let mut u_bar = vec![Lanes::ZERO; self.steps * count * c];
        let mut scratch = AdjointStages::new(d, count);
        vectorised(
            #[inline(always)]
            || {
                for k in (0..self.steps).rev() {
                    adjoint_step(
                        &*self.equations,
                        (k as f64 * self.dt, self.dt),
                        &states[k * d..(k + 1) * d],
                        &u[k * c..(k + 1) * c],
                        &mut x_bar,
                        &mut u_bar[k * count * c..(k + 1) * count * c],
                        &mut scratch,
                    );
                }
            },
        );
        u_bar
    }

    /// Adjoints of all groups as rows (count·samples × control).
    fn adjoints(&self, count: usize, seed: impl Fn(usize) -> Vec<Lanes> + Sync) -> Mat<f64> {
        let (samples, c) = (self.y.nrows(), self.equations.control_len());
        let groups = over_groups(samples, self.steps * count, |group| {
            self.adjoint(group, seed(group))
        });
        let mut rows = Mat::zeros(count * samples, self.steps * c);
        for (group, u_bar) in groups.iter().enumerate() {
            for (place, value) in u_bar.iter().enumerate() {
                let (k, i, j) = (place / (count * c), place / c % count, place % c);
                value.store(&mut rows, i * samples, samples, group, k * c + j);
            }
        }
        rows
    }
}

impl<E: Equations> Record for Trajectories<E> {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(self.adjoints(1, |group| Lanes::load(cotangent, group)))
    }

    fn vjps(&self, cotangents: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let samples = self.y.nrows();
        let count = cotangents.nrows() / samples.max(1);
        Ok(self.adjoints(count, |group| {
            let of_count = |k| Lanes::load(cotangents.subrows(k * samples, samples), group);
            (0..count).flat_map(of_count).collect()
        }))
    }

    fn rows(&self) -> Result<Mat<f64>> {
        let d = self.equations.state_len();
        Ok(self.adjoints(d, |_| {
            (0..d * d)
                .map(|k| Lanes::constant(f64::from(k / d == k % d)))
                .collect()
        }))
    }

    /// Simulates once more, with dual numbers.
    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let (samples, d) = (self.y.nrows(), self.equations.state_len());
        let c = self.equations.control_len();
        let groups = over_groups(samples, self.steps, |group| {
            let start = &self.trajectories[group][..d];
            let mut x: Vec<_> = start.iter().map(|value| Dual::fixed(*value)).collect();
            let u = with_tangents(self.control.as_ref(), tangent, group);
            let mut stages = Stages::new(d);
            vectorised(
                #[inline(always)]
                || {
                    for k in 0..self.steps {
                        let (time, u) = (k as f64 * self.dt, &u[k * c..(k + 1) * c]);
                        step(&*self.equations, time, self.dt, &mut x, u, &mut stages);
                    }
                },
            );
            x
        });
        Ok(tangents(&groups, samples, d))
    }
}

/// The slopes and the point of the stage at hand.
struct Stages<T> {
    point: Vec<T>,
    slopes: [Vec<T>; 4],
}

impl<T: Real> Stages<T> {
    fn new(d: usize) -> Self {
        let zero = || vec![T::constant(0.0); d];
        Self {
            point: zero(),
            slopes: [zero(), zero(), zero(), zero()],
        }
    }
}

// Stage s evaluates f at x + NODE[s]·dt·(slope before); the step sums WEIGHT[s]·dt·slope.
const NODE: [f64; 4] = [0.0, 0.5, 0.5, 1.0];
const WEIGHT: [f64; 4] = [1.0 / 6.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 6.0];

#[inline(always)]
fn step<T: Real, E: Equations>(
    equations: &E,
    time: f64,
    dt: f64,
    x: &mut [T],
    u: &[T],
    stages: &mut Stages<T>,
) {
    stages.point.copy_from_slice(x);
    for (s, node) in NODE.into_iter().enumerate() {
        if s > 0 {
            for (i, p) in stages.point.iter_mut().enumerate() {
                *p = x[i] + stages.slopes[s - 1][i] * (node * dt);
            }
        }
        let at = time + node * dt;
        equations.rate(at, &stages.point, u, &mut stages.slopes[s]);
    }
    for (i, x) in x.iter_mut().enumerate() {
        let [k1, k2, k3, k4] = &stages.slopes;
        *x = *x + (k1[i] + (k2[i] + k3[i]) * 2.0 + k4[i]) * (dt / 6.0);
    }
}

struct AdjointStages {
    points: [Vec<Lanes>; 4],
    slope: Vec<Lanes>,
    slope_bar: Vec<Lanes>,
    point_bar: Vec<Lanes>,
}

impl AdjointStages {
    fn new(d: usize, count: usize) -> Self {
        let zero = || vec![Lanes::ZERO; d];
        Self {
            points: [zero(), zero(), zero(), zero()],
            slope: zero(),
            slope_bar: vec![Lanes::ZERO; count * d],
            point_bar: vec![Lanes::ZERO; count * d],
        }
    }
}

/// Takes cotangents of the state after a step (k × state) to those before it, and adds those of
/// the step's control (k × control).
#[inline(always)]
fn adjoint_step<E: Equations>(
    equations: &E,
    (time, dt): (f64, f64),
    x: &[Lanes],
    u: &[Lanes],
    x_bar: &mut [Lanes],
    u_bar: &mut [Lanes],
    scratch: &mut AdjointStages,
) {
    let AdjointStages {
        points,
        slope,
        slope_bar,
        point_bar,
    } = scratch;
    points[0].copy_from_slice(x);
    for s in 1..4 {
        equations.rate(time + NODE[s - 1] * dt, &points[s - 1], u, slope);
        for (i, p) in points[s].iter_mut().enumerate() {
            *p = x[i] + slope[i] * (NODE[s] * dt);
        }
    }
    // Every stage's slope reads the final cotangent and the point of the stage after it; x_bar
    // itself may only change once all four slopes have read it.
    let mut x_bar_new = x_bar.to_vec();
    for s in (0..4).rev() {
        for (i, k) in slope_bar.iter_mut().enumerate() {
            *k = x_bar[i] * (WEIGHT[s] * dt);
            if s < 3 {
                *k += point_bar[i] * (NODE[s + 1] * dt);
            }
        }
        point_bar.fill(Lanes::ZERO);
        let widths = (x.len(), u.len());
        let cotangents = Cotangents::new(widths, slope_bar, point_bar, u_bar);
        equations.rate_vjp(time + NODE[s] * dt, &points[s], u, cotangents);
        for (target, p) in x_bar_new.iter_mut().zip(point_bar.iter()) {
            *target += *p;
        }
    }
    x_bar.copy_from_slice(&x_bar_new);
}
