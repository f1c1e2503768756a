//! Implicit steps for stiff equations, with their discrete adjoint.
//!
//! Alexander 1977, "Diagonally implicit Runge-Kutta methods for stiff O.D.E.'s", SIAM Journal on Numerical
//! Analysis 14, doi 10.1137/0714068: three stages, third order, L-stable, the last stage is the next state.

use super::banded::BandedLu;
use super::lanes::{over_groups, stored};
use super::{Cotangents, Equations, Lanes, Real, Stepwise, recorded};
use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, MatRef};
use crate::linalg::simd::vectorised;
use faer::linalg::solvers::{PartialPivLu, SolveCore};

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
/// Each stage is solved by Newton's method; the Jacobian of the rate is decomposed once a step, and again where
/// corrections do not fall fast. That takes O(d³) operations for a state of length d, and O(d·b²) beside an evaluation
/// of the Jacobian where each component reads only b others beside it, on a line or a circle, as stencils do. u is
/// constant during a step. For a closed loop it is
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
    pattern: Pattern,
}

/// A solved stage of a group of samples.
struct Stage {
    /// ∂f/∂x there.
    of_state: Derivative,
    /// ∂f/∂u there.
    of_control: Derivative,
    systems: Systems,
}

/// A derivative of the rate (state × width, row-major).
struct Derivative {
    entries: Vec<Lanes>,
    /// Whether it has nothing beside what is read.
    is_sparse: bool,
}

impl Derivative {
    fn of(entries: Vec<Lanes>, read: &Read) -> Self {
        Self {
            is_sparse: read.holds(&entries),
            entries,
        }
    }

    /// Its rows, each with the columns that are not 0.
    fn rows<'a>(&'a self, read: &'a Read) -> impl Iterator<Item = (&'a [Lanes], &'a [usize])> {
        let rows = self.entries.chunks_exact(read.all.len().max(1));
        rows.enumerate().map(|(i, row)| match self.is_sparse {
            true => (row, read.columns[i].as_slice()),
            false => (row, read.all.as_slice()),
        })
    }

    /// Adds the products of its transpose with vectors (count × state).
    fn add_transposed(&self, read: &Read, vectors: &[Lanes], targets: &mut [Lanes]) {
        let (d, width) = (read.columns.len(), read.all.len());
        if width == 0 {
            return;
        }
        let pairs = vectors.chunks_exact(d).zip(targets.chunks_exact_mut(width));
        for (vector, target) in pairs {
            for ((row, columns), w) in self.rows(read).zip(vector) {
                for j in columns {
                    target[*j] += row[*j] * *w;
                }
            }
        }
    }

    /// Adds its product with a vector.
    fn add_product(&self, read: &Read, vector: &[Lanes], target: &mut [Lanes]) {
        for ((row, columns), target) in self.rows(read).zip(target) {
            for j in columns {
                *target += row[*j] * vector[*j];
            }
        }
    }
}

/// 1 - γ·dt·∂f/∂x of each lane, decomposed.
struct Systems {
    /// Those that are solved within a band.
    banded: Option<BandedLu>,
    /// The others.
    dense: Vec<Option<PartialPivLu<f64>>>,
}

impl Systems {
    /// Takes over those of some lanes.
    fn take(&mut self, other: Self, lanes: [bool; Lanes::COUNT]) {
        match (&mut self.banded, other.banded) {
            (Some(own), Some(new)) => own.take(&new, lanes),
            // Lanes that are not taken over have one of their own that is dense.
            (own @ None, new) => *own = new,
            (Some(_), None) => {}
        }
        for (lane, system) in other.dense.into_iter().enumerate() {
            if lanes[lane] {
                self.dense[lane] = system;
            }
        }
    }

    /// Solves for right-hand sides (count × state), each lane with its own system or its transpose.
    fn solve(&self, sides: &mut [Lanes], band: Option<&Band>, d: usize, transposed: bool) {
        let count = sides.len() / d.max(1);
        let dense = self.dense.iter().enumerate();
        let dense = dense.filter_map(|(lane, system)| Some((lane, system.as_ref()?)));
        let solved: Vec<(usize, Mat<f64>)> = dense
            .map(|(lane, system)| {
                let mut side = Mat::from_fn(d, count, |i, w| sides[w * d + i].0[lane]);
                let conj = faer::Conj::No;
                match transposed {
                    true => system.solve_transpose_in_place_with_conj(conj, side.as_mut()),
                    false => system.solve_in_place_with_conj(conj, side.as_mut()),
                }
                (lane, side)
            })
            .collect();
        if let (Some(banded), Some(band)) = (&self.banded, band)
            && solved.len() < Lanes::COUNT
        {
            let mut turned = vec![Lanes::ZERO; d];
            vectorised(
                #[inline(always)]
                || {
                    for side in sides.chunks_exact_mut(d) {
                        for (target, component) in turned.iter_mut().zip(&band.order) {
                            *target = side[*component];
                        }
                        match transposed {
                            true => banded.solve_transposed(&mut turned),
                            false => banded.solve(&mut turned),
                        }
                        for (value, component) in turned.iter().zip(&band.order) {
                            side[*component] = *value;
                        }
                    }
                },
            );
        }
        for (lane, side) in solved {
            for (place, value) in sides.iter_mut().enumerate() {
                value.0[lane] = side[(place % d, place / d)];
            }
        }
    }
}

/// Which derivatives of a rate are not 0, whatever the state.
#[derive(Debug)]
struct Pattern {
    state: Read,
    control: Read,
    band: Option<Band>,
}

/// What of the state, or of the control, each component of the rate reads.
#[derive(Debug)]
struct Read {
    columns: Vec<Vec<usize>>,
    /// All that there is.
    all: Vec<usize>,
}

impl Read {
    /// Of inputs that are read, those of a range, counted from its first one.
    fn of(read: &[Vec<usize>], first: usize, width: usize) -> Self {
        let inside = |row: &Vec<usize>| {
            let counted = row.iter().filter_map(|j| j.checked_sub(first));
            counted.filter(|j| *j < width).collect()
        };
        Self {
            columns: read.iter().map(inside).collect(),
            all: (0..width).collect(),
        }
    }

    /// Whether a derivative has nothing beside what is read.
    fn holds(&self, derivative: &[Lanes]) -> bool {
        let rows = derivative.chunks_exact(self.all.len().max(1));
        self.columns.iter().zip(rows).all(|(columns, row)| {
            let is_some = |entry: &Lanes| entry.0.iter().any(|v| *v != 0.0);
            let read = columns.iter().filter(|j| is_some(&row[**j])).count();
            row.iter().filter(|entry| is_some(entry)).count() == read
        })
    }
}

/// An order of the components in which 1 - γ·dt·∂f/∂x lies in a narrow band.
#[derive(Debug)]
struct Band {
    /// The components one after the other.
    order: Vec<usize>,
    /// Places from the diagonal to the edge of the band.
    half: usize,
}

impl Pattern {
    fn new(read: &[Vec<usize>], controls: usize) -> Self {
        let d = read.len();
        let (state, control) = (Read::of(read, 0, d), Read::of(read, d, controls));
        // As they are, or both ends in turn, in which what goes round a circle lies in a band.
        let folded = |p: usize| match p.is_multiple_of(2) {
            true => p / 2,
            false => d - 1 - p / 2,
        };
        let orders = [(0..d).collect::<Vec<_>>(), (0..d).map(folded).collect()];
        let bands = orders.into_iter().map(|order| {
            let mut place = vec![0; d];
            for (p, component) in order.iter().enumerate() {
                place[*component] = p;
            }
            let from_diagonal = |i: usize| {
                let distances = state.columns[i].iter();
                let distances = distances.map(|j| place[i].abs_diff(place[*j]));
                distances.max().unwrap_or(0)
            };
            let half = (0..d).map(from_diagonal).max().unwrap_or(0);
            Band { order, half }
        });
        let narrowest = bands.min_by_key(|band| band.half);
        // Wider ones are not worth going without exchanges of rows.
        let band = narrowest.filter(|band| 4 * band.half < d && d > 4);
        Self {
            state,
            control,
            band,
        }
    }
}

impl<E: Equations> Sdirk3<E> {
    /// Integrates `equations` from time 0 over `steps` steps of length `dt`.
    pub fn new(equations: E, steps: usize, dt: f64) -> Self {
        let point = |width| vec![Lanes::constant(0.5); width];
        let (x, u) = (point(equations.state_len()), point(equations.control_len()));
        let read = recorded::inputs_read(&equations, 0.0, (&x, &u));
        Self {
            pattern: Pattern::new(&read, u.len()),
            equations,
            steps,
            dt,
        }
    }

    /// ∂f/∂x and ∂f/∂u.
    fn jacobians(&self, time: f64, x: &[Lanes], u: &[Lanes]) -> (Derivative, Derivative) {
        let (d, c) = (x.len(), u.len());
        let unit = |k: usize| Lanes::constant(f64::from(k / d == k % d));
        let units: Vec<Lanes> = (0..d * d).map(unit).collect();
        let (mut of_state, mut of_control) = (vec![Lanes::ZERO; d * d], vec![Lanes::ZERO; d * c]);
        let cotangents = Cotangents::new((d, c), &units, &mut of_state, &mut of_control);
        vectorised(
            #[inline(always)]
            || self.equations.rate_vjp(time, x, u, cotangents),
        );
        let Pattern { state, control, .. } = &self.pattern;
        let of_control = Derivative::of(of_control, control);
        (Derivative::of(of_state, state), of_control)
    }

    /// 1 - γ·dt·∂f/∂x of each lane, decomposed: within the band of the pattern where that is as good as with exchanges
    /// of rows.
    fn systems(&self, of_state: &Derivative) -> Systems {
        let (d, entries) = (self.equations.state_len(), &of_state.entries);
        let banded = self.pattern.band.as_ref().filter(|_| of_state.is_sparse);
        let (banded, sound) = match banded {
            None => (None, [false; Lanes::COUNT]),
            Some(Band { order, half }) => {
                let mut rows = vec![Lanes::ZERO; d * (2 * half + 1)];
                for (p, row) in rows.chunks_exact_mut(2 * half + 1).enumerate() {
                    for (place, entry) in row.iter_mut().enumerate() {
                        let q = (p + place).checked_sub(*half);
                        let Some(column) = q.and_then(|q| order.get(q)) else {
                            continue;
                        };
                        let identity = Lanes::constant(f64::from(place == *half));
                        *entry = identity - entries[order[p] * d + column] * (GAMMA * self.dt);
                    }
                }
                let (banded, sound) = vectorised(
                    #[inline(always)]
                    || BandedLu::new(*half, rows),
                );
                (Some(banded), sound)
            }
        };
        let dense = |lane: usize| {
            let entry = |i: usize, j: usize| {
                f64::from(i == j) - GAMMA * self.dt * entries[i * d + j].0[lane]
            };
            (!sound[lane]).then(|| Mat::from_fn(d, d, entry).partial_piv_lu())
        };
        Systems {
            banded,
            dense: (0..Lanes::COUNT).map(dense).collect(),
        }
    }

    fn solve_with(&self, systems: &Systems, sides: &mut [Lanes], transposed: bool) {
        let d = self.equations.state_len();
        systems.solve(sides, self.pattern.band.as_ref(), d, transposed);
    }

    /// The stages of a step of one group, and their slopes: (stage, slope) one after the other.
    ///
    /// A stage whose numbers overflow is left as it is: what is not finite is told by who reads it.
    fn stages(&self, k: usize, x: &[Lanes], u: &[Lanes]) -> Result<Vec<(Vec<Lanes>, Vec<Lanes>)>> {
        let mut stages: Vec<(Vec<Lanes>, Vec<Lanes>)> = Vec::with_capacity(STAGES);
        let mut systems = None;
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
            let solved = self.solve((k, time), &known, guess, u, &mut systems)?;
            stages.push(solved);
        }
        Ok(stages)
    }

    /// Solves y = known + γ·dt·f(y) by Newton's method; y and f(y).
    ///
    /// The systems of a step serve all of its stages. A sample whose corrections do not fall fast by them has its own
    /// evaluated at every iteration from then on. A sample whose corrections have become small keeps its y, so that it
    /// does not depend on those beside it.
    fn solve(
        &self,
        (step, time): (usize, f64),
        known: &[Lanes],
        guess: &[Lanes],
        u: &[Lanes],
        kept: &mut Option<Systems>,
    ) -> Result<(Vec<Lanes>, Vec<Lanes>)> {
        // Corrections by a system that was evaluated where they begin shrink quadratically: behind one of this
        // relative size the next is rounding.
        const SMALL: f64 = 1e-9;
        // Others shrink by a factor, which from here on is too slow.
        const SLOW: f64 = 0.2;
        // What counts as small where rounding keeps them from shrinking on.
        const STUCK: f64 = 1e-6;
        const MOST: usize = 40;
        let d = guess.len();
        let (mut y, mut slope) = (guess.to_vec(), vec![Lanes::ZERO; d]);
        let mut before = [f64::INFINITY; Lanes::COUNT];
        let (mut open, mut slow) = ([true; Lanes::COUNT], [false; Lanes::COUNT]);
        for _ in 0..MOST {
            self.rate(time, &y, u, &mut slope);
            if !open.contains(&true) {
                return Ok((y, slope));
            }
            // Whose system is that at y.
            let mut fresh = slow;
            let evaluated = || self.systems(&self.jacobians(time, &y, u).0);
            let systems = match kept {
                Some(systems) => {
                    if (0..Lanes::COUNT).any(|lane| open[lane] && slow[lane]) {
                        systems.take(evaluated(), slow);
                    }
                    systems
                }
                None => {
                    fresh = [true; Lanes::COUNT];
                    kept.insert(evaluated())
                }
            };
            let residuals = known.iter().zip(&slope).zip(&y);
            let residual = |((known, slope), y): ((&Lanes, &Lanes), &Lanes)| {
                *known + *slope * (GAMMA * self.dt) - *y
            };
            let mut correction: Vec<Lanes> = residuals.map(residual).collect();
            self.solve_with(systems, &mut correction, false);
            for lane in 0..Lanes::COUNT {
                if !open[lane] {
                    continue;
                }
                let (mut largest, mut size) = (0.0_f64, f64::MIN_POSITIVE);
                for (y, correction) in y.iter_mut().zip(&correction) {
                    y.0[lane] += correction.0[lane];
                    largest = Real::max(largest, correction.0[lane].abs());
                    size = Real::max(size, y.0[lane].abs());
                }
                let relative = largest / size;
                // By what factor they shrink; of the first one nothing is known.
                let factor = relative / before[lane];
                if fresh[lane] {
                    let stuck = relative <= STUCK && factor >= 0.5;
                    open[lane] = relative.is_finite() && relative > SMALL && !stuck;
                } else {
                    let next = if before[lane].is_finite() {
                        relative * factor
                    } else {
                        relative
                    };
                    slow[lane] = factor >= SLOW || !relative.is_finite();
                    open[lane] = slow[lane] || next > f64::EPSILON;
                    if slow[lane] && (relative.is_nan() || relative > STUCK) {
                        // By what may have led away from the solution.
                        for (y, guess) in y.iter_mut().zip(guess) {
                            y.0[lane] = guess.0[lane];
                        }
                    }
                }
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
            let systems = self.systems(&of_state);
            Stage {
                of_state,
                of_control,
                systems,
            }
        };
        Ok(stages.map(linearized).collect())
    }
}

/// What all groups answer, or the first error.
fn all<T>(groups: Vec<Result<T>>) -> Result<Vec<T>> {
    groups.into_iter().collect()
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
                let Pattern { state, control, .. } = &self.pattern;
                let of_state = &stage.of_state;
                of_state.add_transposed(state, &slope_bar, &mut cotangent);
                self.solve_with(&stage.systems, &mut cotangent, true);
                for ((sum, slope), cotangent) in
                    x_bar.iter_mut().zip(&mut slope_bar).zip(&cotangent)
                {
                    *sum += *cotangent;
                    *slope += *cotangent * (GAMMA * self.dt);
                }
                let of_control = &stage.of_control;
                of_control.add_transposed(control, &slope_bar, &mut u_bar);
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
                let Pattern { state, control, .. } = &self.pattern;
                stage.of_control.add_product(control, &du, &mut slope);
                change.copy_from_slice(&dx);
                for (known, weight) in slopes.iter().chain([&slope]).zip(weights) {
                    for (sum, known) in change.iter_mut().zip(known) {
                        *sum += *known * (weight * self.dt);
                    }
                }
                // Of the stage's own slope only the part of the control is known: its weight is γ.
                self.solve_with(&stage.systems, &mut change, false);
                stage.of_state.add_product(state, &change, &mut slope);
                slopes.push(slope);
            }
            Ok(change)
        });
        Ok(stored(all(groups)?, samples, 1, d))
    }
}
