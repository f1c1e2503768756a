//! Implicit steps for stiff equations, with their discrete adjoint.
//!
//! Alexander 1977, "Diagonally implicit Runge-Kutta methods for stiff O.D.E.'s", SIAM Journal on Numerical
//! Analysis 14, doi 10.1137/0714068: three stages, third order, L-stable, the last stage is the next state.

use super::lanes::{over_groups, stored};
use super::{Cotangents, Equations, Lanes, Real, Stepwise};
use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, MatRef};
use crate::linalg::simd::vectorised;
use faer::linalg::solvers::{PartialPivLu, Solve, SolveCore};

/// The root of γ³ - 3γ² + 3γ/2 - 1/6 between 1/6 and 1/2.
const GAMMA: f64 = 0.435_866_521_508_459;
const STAGES: usize = 3;
/// Stage i is x + dt·Σⱼ A[i][j]·f(stage j).
const A: [[f64; STAGES]; STAGES] = [
    [GAMMA, 0.0, 0.0],
    [0.5 * (1.0 - GAMMA), GAMMA, 0.0],
    [
        -0.25 * (6.0 * GAMMA * GAMMA - 16.0 * GAMMA + 1.0),
        0.25 * (6.0 * GAMMA * GAMMA - 20.0 * GAMMA + 5.0),
        GAMMA,
    ],
];
const NODE: [f64; STAGES] = [GAMMA, 0.5 * (1.0 + GAMMA), 1.0];

/// An implicit Runge-Kutta method of third order with constant step for stiff [`Equations`]: L-stable, so that the step
/// follows what is slow and not the fastest that decays.
///
/// Each stage is solved by Newton's method with the Jacobian of the rate, sample by sample, in O(d³)
/// operations for a state of length d. u is constant during a step. For a closed loop it is
/// [`Stepwise`]; with all controls given before, [`OpenLoop`](super::OpenLoop) makes a simulator of it. Where an
/// explicit method is stable at the step that accuracy asks for, [`RungeKutta4`](super::RungeKutta4) is faster.
///
/// ```
/// use hig::linalg::Mat;
/// use hig::physics::{Equations, OpenLoop, Real, Sdirk3, Simulator};
///
/// /// Falls back to the control within a thousandth of a step.
/// struct Fast;
///
/// impl Equations for Fast {
///     fn state_len(&self) -> usize { 1 }
///     fn rate<T: Real>(&self, _: f64, x: &[T], u: &[T], rate: &mut [T]) {
///         rate[0] = (u[0] - x[0]) * 1e4;
///     }
/// }
///
/// let physics = OpenLoop::new(Sdirk3::new(Fast, 4, 0.1));
/// let y = physics.simulate(Mat::full(1, 1, 5.0).as_ref(), Mat::full(1, 4, 2.0).as_ref())?;
/// assert!((y[(0, 0)] - 2.0).abs() < 1e-6);
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug)]
pub struct Sdirk3<E> {
    equations: E,
    steps: usize,
    dt: f64,
}

/// A solved stage of a group of samples.
struct Stage {
    /// ∂f/∂x there (state × state, row-major).
    of_state: Vec<Lanes>,
    /// ∂f/∂u there (state × control, row-major).
    of_control: Vec<Lanes>,
    /// 1 - γ·dt·∂f/∂x of each sample, decomposed.
    systems: Vec<PartialPivLu<f64>>,
}

impl<E: Equations> Sdirk3<E> {
    /// Integrates `equations` from time 0 over `steps` steps of length `dt`.
    pub fn new(equations: E, steps: usize, dt: f64) -> Self {
        Self {
            equations,
            steps,
            dt,
        }
    }

    /// ∂f/∂x and ∂f/∂u.
    fn jacobians(&self, time: f64, x: &[Lanes], u: &[Lanes]) -> (Vec<Lanes>, Vec<Lanes>) {
        let (d, c) = (x.len(), u.len());
        let unit = |k: usize| Lanes::constant(f64::from(k / d == k % d));
        let units: Vec<Lanes> = (0..d * d).map(unit).collect();
        let (mut of_state, mut of_control) = (vec![Lanes::ZERO; d * d], vec![Lanes::ZERO; d * c]);
        let cotangents = Cotangents::new((d, c), &units, &mut of_state, &mut of_control);
        vectorised(
            #[inline(always)]
            || self.equations.rate_vjp(time, x, u, cotangents),
        );
        (of_state, of_control)
    }

    /// 1 - γ·dt·∂f/∂x of each lane, decomposed.
    fn systems(&self, of_state: &[Lanes], d: usize) -> Vec<PartialPivLu<f64>> {
        let system = |lane: usize| {
            let entry = |i: usize, j: usize| {
                f64::from(i == j) - GAMMA * self.dt * of_state[i * d + j].0[lane]
            };
            Mat::from_fn(d, d, entry).partial_piv_lu()
        };
        (0..Lanes::COUNT).map(system).collect()
    }

    /// The stages of a step of one group, and their slopes: (stage, slope) one after the other.
    ///
    /// A stage whose numbers overflow is left as it is: what is not finite is told by who reads it.
    fn stages(&self, k: usize, x: &[Lanes], u: &[Lanes]) -> Result<Vec<(Vec<Lanes>, Vec<Lanes>)>> {
        let mut stages: Vec<(Vec<Lanes>, Vec<Lanes>)> = Vec::with_capacity(STAGES);
        for (i, weights) in A.iter().enumerate() {
            let time = (k as f64 + NODE[i]) * self.dt;
            let mut known = x.to_vec();
            for ((_, slope), weight) in stages.iter().zip(weights) {
                for (known, slope) in known.iter_mut().zip(slope) {
                    *known += *slope * (weight * self.dt);
                }
            }
            // The stage before is the best guess.
            let guess = stages.last().map_or(x, |(stage, _)| stage);
            stages.push(self.solve((k, time), &known, guess.to_vec(), u)?);
        }
        Ok(stages)
    }

    /// Solves y = known + γ·dt·f(y) by Newton's method; y and f(y).
    ///
    /// A sample whose corrections have become small keeps its y, so that it does not depend on those beside it.
    fn solve(
        &self,
        (step, time): (usize, f64),
        known: &[Lanes],
        mut y: Vec<Lanes>,
        u: &[Lanes],
    ) -> Result<(Vec<Lanes>, Vec<Lanes>)> {
        // Corrections shrink quadratically: behind one of this relative size the next is rounding.
        const SMALL: f64 = 1e-9;
        // What counts as small where rounding keeps them from shrinking on.
        const STUCK: f64 = 1e-6;
        const MOST: usize = 30;
        let d = y.len();
        let mut slope = vec![Lanes::ZERO; d];
        let mut before = [f64::INFINITY; Lanes::COUNT];
        let mut open = [true; Lanes::COUNT];
        for _ in 0..MOST {
            self.rate(time, &y, u, &mut slope);
            if !open.contains(&true) {
                return Ok((y, slope));
            }
            let (of_state, _) = self.jacobians(time, &y, u);
            let systems = self.systems(&of_state, d);
            for lane in 0..Lanes::COUNT {
                if !open[lane] {
                    continue;
                }
                let residual = |i: usize, _| {
                    known[i].0[lane] + slope[i].0[lane] * (GAMMA * self.dt) - y[i].0[lane]
                };
                let correction = systems[lane].solve(Mat::from_fn(d, 1, residual));
                let (mut largest, mut size) = (0.0_f64, f64::MIN_POSITIVE);
                for (i, y) in y.iter_mut().enumerate() {
                    y.0[lane] += correction[(i, 0)];
                    largest = Real::max(largest, correction[(i, 0)].abs());
                    size = Real::max(size, y.0[lane].abs());
                }
                let relative = largest / size;
                let stuck = relative <= STUCK && relative >= 0.5 * before[lane];
                open[lane] = relative.is_finite() && relative > SMALL && !stuck;
                before[lane] = relative;
            }
        }
        Err(Error::external(format!(
            "a stage of step {step} could not be solved in {MOST} iterations of Newton's method: a shorter \
             time step brings them nearer"
        )))
    }

    fn rate(&self, time: f64, x: &[Lanes], u: &[Lanes], rate: &mut [Lanes]) {
        vectorised(
            #[inline(always)]
            || self.equations.rate(time, x, u, rate),
        );
    }

    /// What derivatives need of the solved stages of a step.
    fn linearized(&self, k: usize, x: &[Lanes], u: &[Lanes]) -> Result<Vec<Stage>> {
        let stages = self.stages(k, x, u)?.into_iter().zip(NODE);
        let linearized = |((stage, _), node): ((Vec<Lanes>, Vec<Lanes>), f64)| {
            let time = (k as f64 + node) * self.dt;
            let (of_state, of_control) = self.jacobians(time, &stage, u);
            let systems = self.systems(&of_state, x.len());
            Stage {
                of_state,
                of_control,
                systems,
            }
        };
        Ok(stages.map(linearized).collect())
    }
}

impl Stage {
    /// Solves for `count` right-hand sides (count × state), each lane with its own system or its transpose.
    fn solve(&self, sides: &mut [Lanes], d: usize, transposed: bool) {
        let count = sides.len() / d.max(1);
        for (lane, system) in self.systems.iter().enumerate() {
            let mut side = Mat::from_fn(d, count, |i, w| sides[w * d + i].0[lane]);
            match transposed {
                true => system.solve_transpose_in_place_with_conj(faer::Conj::No, side.as_mut()),
                false => system.solve_in_place_with_conj(faer::Conj::No, side.as_mut()),
            }
            for (place, value) in sides.iter_mut().enumerate() {
                value.0[lane] = side[(place % d, place / d)];
            }
        }
    }
}

/// What all groups answer, or the first error.
fn all<T>(groups: Vec<Result<T>>) -> Result<Vec<T>> {
    groups.into_iter().collect()
}

/// Adds the product of a transposed matrix (rows × width, row-major) with each of the vectors (count × rows).
fn add_transposed(matrix: &[Lanes], width: usize, vectors: &[Lanes], targets: &mut [Lanes]) {
    let rows = matrix.len() / width.max(1);
    let pairs = vectors
        .chunks_exact(rows)
        .zip(targets.chunks_exact_mut(width));
    for (vector, target) in pairs {
        for (row, w) in matrix.chunks_exact(width).zip(vector) {
            for (target, entry) in target.iter_mut().zip(row) {
                *target += *entry * *w;
            }
        }
    }
}

/// Adds the product of a matrix (rows × width, row-major) with a vector.
fn add_product(matrix: &[Lanes], vector: &[Lanes], target: &mut [Lanes]) {
    let rows = matrix.chunks_exact(vector.len().max(1)).zip(target);
    for (row, target) in rows {
        for (entry, v) in row.iter().zip(vector) {
            *target += *entry * *v;
        }
    }
}

impl<E: Equations + 'static> Stepwise for Sdirk3<E> {
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
        let samples = state.nrows();
        let groups = over_groups(samples, STAGES, |group| {
            let (x, u) = (Lanes::load(state, group), Lanes::load(control, group));
            let last = self.stages(k, &x, &u)?.pop();
            Ok(last.map_or(x, |(stage, _)| stage))
        });
        Ok(stored(all(groups)?, samples, 1, state.ncols()))
    }

    /// Differentiates the solved stages: (1 - γ·dt·∂f/∂x)ᵀ is solved in place of Newton's iterations being walked
    /// back.
    fn pull_back(
        &self,
        k: usize,
        (state, control): (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        let (samples, d, c) = (state.nrows(), state.ncols(), control.ncols());
        let count = rows.nrows() / samples.max(1);
        let component = |i: usize| rows.subrows(i * samples, samples);
        let groups = over_groups(samples, STAGES * count, |group| {
            let (x, u) = (Lanes::load(state, group), Lanes::load(control, group));
            let stages = self.linearized(k, &x, &u)?;
            let next: Vec<Lanes> = (0..count)
                .flat_map(|i| Lanes::load(component(i), group))
                .collect();
            let (mut x_bar, mut u_bar) =
                (vec![Lanes::ZERO; count * d], vec![Lanes::ZERO; count * c]);
            // Cotangents of the stages behind the one at hand.
            let mut solved: Vec<Vec<Lanes>> = vec![Vec::new(); STAGES];
            for (i, stage) in stages.iter().enumerate().rev() {
                let mut slope_bar = vec![Lanes::ZERO; count * d];
                for (later, weights) in solved.iter().zip(A).skip(i + 1) {
                    for (sum, cotangent) in slope_bar.iter_mut().zip(later) {
                        *sum += *cotangent * (weights[i] * self.dt);
                    }
                }
                let mut cotangent = match i + 1 == STAGES {
                    true => next.clone(),
                    false => vec![Lanes::ZERO; count * d],
                };
                add_transposed(&stage.of_state, d, &slope_bar, &mut cotangent);
                stage.solve(&mut cotangent, d, true);
                for ((sum, slope), cotangent) in
                    x_bar.iter_mut().zip(&mut slope_bar).zip(&cotangent)
                {
                    *sum += *cotangent;
                    *slope += *cotangent * (GAMMA * self.dt);
                }
                if c > 0 {
                    add_transposed(&stage.of_control, c, &slope_bar, &mut u_bar);
                }
                solved[i] = cotangent;
            }
            Ok((x_bar, u_bar))
        });
        let (before, during): (Vec<_>, Vec<_>) = all(groups)?.into_iter().unzip();
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
        let groups = over_groups(samples, STAGES, |group| {
            let (x, u) = (Lanes::load(at.0, group), Lanes::load(at.1, group));
            let (dx, du) = (Lanes::load(along.0, group), Lanes::load(along.1, group));
            let mut slopes: Vec<Vec<Lanes>> = Vec::with_capacity(STAGES);
            let mut change = dx.clone();
            for (stage, weights) in self.linearized(k, &x, &u)?.iter().zip(A) {
                let mut slope = vec![Lanes::ZERO; d];
                if !du.is_empty() {
                    add_product(&stage.of_control, &du, &mut slope);
                }
                change.copy_from_slice(&dx);
                for (known, weight) in slopes.iter().chain([&slope]).zip(weights) {
                    for (sum, known) in change.iter_mut().zip(known) {
                        *sum += *known * (weight * self.dt);
                    }
                }
                // Of the stage's own slope only the part of the control is known: its weight is γ.
                stage.solve(&mut change, d, false);
                add_product(&stage.of_state, &change, &mut slope);
                slopes.push(slope);
            }
            Ok(change)
        });
        Ok(stored(all(groups)?, samples, 1, d))
    }
}
