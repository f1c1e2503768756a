//! Incompressible flow through a channel around an obstacle, on a staggered grid (Harlow and Welch 1965,
//! doi 10.1063/1.1761178): ∂u/∂t + ∇·(u u) = -∇p + ν∇²u with ∇·u = 0.
//!
//! What flows from one face's volume to the next is what the other one loses: momentum is conserved. It is the mean of
//! both sides, and so much of the upwind one as the grid needs (the donor cells of Hirt, Nichols and
//! Romero 1975, LA-5852, as Griebel, Dornseifer and Neunhoeffer 1998 have them). A step is Heun's, with the
//! pressure solved exactly in both stages, by a decomposition that is made once: mass is conserved in every
//! cell to rounding.
//!
//! The projection on flows without divergence is symmetric, so that the adjoint solves the same equations for
//! the pressure.

use super::banded::BandedCholesky;
use super::lanes::stored;
use super::{Lanes, Real, Stepwise};
use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, MatRef};
use crate::linalg::simd::vectorised;
use rayon::prelude::*;

/// A channel of square cells, open at its right end.
///
/// From the left comes a uniform stream, along both sides the fluid slides without friction, on the obstacle it is
/// at rest. A field has its value of row y and column x at `y · columns + x`. The state holds, for every cell, the
/// velocity along the channel at its right face, then that across at its upper face, and one number behind them,
/// the viscosity. The control is a correction of all velocities, which is added before the last pressure
/// solve of a step, so that mass stays conserved.
///
/// ```
/// use hig::linalg::Mat;
/// use hig::physics::{ChannelFlow, Stepwise};
///
/// let cylinder = |x: f64, y: f64| (x - 2.0).hypot(y - 2.0) < 0.8;
/// let flow = ChannelFlow::new(16, 8, 0.5, cylinder)?.taking(1, 0.2, 2);
/// let start = flow.at_rest(1, 0.05);
/// let nothing = Mat::zeros(1, flow.control_len());
/// let next = flow.advance(0, start.as_ref(), nothing.as_ref())?;
/// assert!(flow.divergence(next.as_ref()).norm_max() < 1e-12);
/// // As much leaves as enters, through faces of length 0.5.
/// let leaves: f64 = (0..8).map(|row| next[(0, row * 16 + 15)] * 0.5).sum();
/// assert!((leaves - 4.0).abs() < 1e-12);
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ChannelFlow {
    columns: usize,
    rows: usize,
    spacing: f64,
    stream: f64,
    upwind: f64,
    gain: f64,
    steps: usize,
    dt: f64,
    substeps: usize,
    solid: Vec<bool>,
    /// Of the velocities of the state, those that are not fixed.
    free: Vec<bool>,
    fluxes: Vec<Flux>,
    /// Of the cells column by column.
    pressure: BandedCholesky,
}

/// What flows from the volume of one velocity to that of the next, by their places among all values.
#[derive(Debug, Clone, Copy)]
struct Flux {
    /// The velocities whose mean carries.
    carrier: [usize; 2],
    /// What is carried, on both sides.
    carried: [usize; 2],
    from: usize,
    to: usize,
}

/// Values of a stage: the state, and what stands beyond the edges.
type Values = Vec<Lanes>;

impl ChannelFlow {
    /// A channel of so many cells along and across it, with an obstacle in the cells whose centres (along,
    /// across) are said to be solid; a stream of speed 1, one step of length `spacing`/2, a tenth of the upwind
    /// side, and a control that is a velocity.
    ///
    /// # Errors
    /// No cells; fluid that has no way to the open end.
    pub fn new(
        columns: usize,
        rows: usize,
        spacing: f64,
        solid: impl Fn(f64, f64) -> bool,
    ) -> Result<Self> {
        if columns == 0 || rows == 0 {
            let field = if columns == 0 { "columns" } else { "rows" };
            return Err(Error::setting(field, 0, "at least 1"));
        }
        let centre = |i: usize| (i as f64 + 0.5) * spacing;
        let solid: Vec<bool> = (0..columns * rows)
            .map(|i| solid(centre(i % columns), centre(i / columns)))
            .collect();
        let cells = columns * rows;
        let free: Vec<bool> = (0..2 * cells)
            .map(|place| {
                let (cell, along) = (place % cells, place < cells);
                let next = match along {
                    true if cell % columns + 1 == columns => None,
                    true => Some(cell + 1),
                    false if cell / columns + 1 == rows => return false,
                    false => Some(cell + columns),
                };
                !solid[cell] && next.is_none_or(|next| !solid[next])
            })
            .collect();
        let pressure = pressure(columns, rows, &solid, &free)?;
        let mut flow = Self {
            columns,
            rows,
            spacing,
            stream: 1.0,
            upwind: 0.1,
            gain: 1.0,
            steps: 1,
            dt: 0.5 * spacing,
            substeps: 1,
            solid,
            free,
            fluxes: Vec::new(),
            pressure,
        };
        flow.fluxes = flow.all_fluxes();
        Ok(flow)
    }

    /// The same with steps of a length, each of so many smaller ones.
    #[must_use]
    pub fn taking(mut self, steps: usize, dt: f64, substeps: usize) -> Self {
        (self.steps, self.dt, self.substeps) = (steps, dt, substeps.max(1));
        self
    }

    /// The same with a stream of this speed from the left.
    #[must_use]
    pub fn streaming(mut self, speed: f64) -> Self {
        self.stream = speed;
        self
    }

    /// The same with so much of the upwind side in what is carried: 0 is the mean of both, of second order
    /// in the spacing, 1 the upwind side alone.
    #[must_use]
    pub fn upwind(mut self, part: f64) -> Self {
        self.upwind = part;
        self
    }

    /// The same where a control of 1 corrects by this velocity.
    #[must_use]
    pub fn corrected(mut self, gain: f64) -> Self {
        self.gain = gain;
        self
    }

    /// Whether a velocity of the state, by its place, is not that of an obstacle or a wall.
    pub fn is_free(&self, place: usize) -> bool {
        self.free[place]
    }

    /// States of the uniform stream around the obstacle, made free of divergence (samples × state).
    pub fn at_rest(&self, samples: usize, viscosity: f64) -> Mat<f64> {
        let mut state = vec![Lanes::ZERO; self.state_len()];
        for (place, value) in state[..self.cells()].iter_mut().enumerate() {
            if self.free[place] {
                *value = Lanes::constant(self.stream);
            }
        }
        self.project(
            &mut state,
            self.stream,
            &mut vec![Lanes::ZERO; self.cells()],
        );
        Mat::from_fn(samples, self.state_len(), |_, i| {
            match i == 2 * self.cells() {
                true => viscosity,
                false => state[i].0[0],
            }
        })
    }

    /// What leaves each cell over what is in it, per time (samples × cells); 0 in solid cells.
    pub fn divergence(&self, state: MatRef<'_, f64>) -> Mat<f64> {
        Mat::from_fn(state.nrows(), self.cells(), |s, cell| {
            let value = |place: usize| state[(s, place)];
            let sum = self.outflow(cell, self.stream, 0.0, value, |a, b| a + b, |a, b| a - b);
            if self.solid[cell] {
                0.0
            } else {
                sum / self.spacing
            }
        })
    }

    /// The vorticity at the upper right corners of the cells (samples × cells); 0 at the edges.
    pub fn vorticity(&self, state: MatRef<'_, f64>) -> Mat<f64> {
        Mat::from_fn(state.nrows(), self.cells(), |s, cell| {
            if cell % self.columns + 1 == self.columns || cell / self.columns + 1 == self.rows {
                return 0.0;
            }
            let (n, value) = (self.cells(), |place: usize| state[(s, place)]);
            let along = value(n + cell + 1) - value(n + cell);
            (along - value(cell + self.columns) + value(cell)) / self.spacing
        })
    }

    fn cells(&self) -> usize {
        self.columns * self.rows
    }

    /// Places of what stands beyond the edges: nothing, the stream, and at the left end what is against the velocity
    /// across, so that it vanishes there.
    fn nothing(&self) -> usize {
        2 * self.cells() + 1
    }

    fn stream_place(&self) -> usize {
        self.nothing() + 1
    }

    fn against(&self, row: usize) -> usize {
        self.nothing() + 2 + row
    }

    fn values_len(&self) -> usize {
        self.against(self.rows)
    }

    fn all_fluxes(&self) -> Vec<Flux> {
        let (columns, rows, n) = (self.columns, self.rows, self.cells());
        let along = |x: usize, y: usize| y * columns + x;
        let across = |x: usize, y: usize| n + y * columns + x;
        let (nothing, stream) = (self.nothing(), self.stream_place());
        let mut fluxes = Vec::new();
        let mut add = |carrier, carried: [usize; 2], from, to| {
            fluxes.push(Flux {
                carrier,
                carried,
                from,
                to,
            });
        };
        for y in 0..rows {
            for x in 0..columns {
                // Of the velocity along: through the middle of the cell, and through its upper right corner.
                let here = along(x, y);
                let (before, from) = match x.checked_sub(1) {
                    Some(left) => (along(left, y), along(left, y)),
                    None => (stream, nothing),
                };
                add([before, here], [before, here], from, here);
                if x + 1 == columns {
                    add([here; 2], [here; 2], here, nothing);
                }
                let right = (x + 1).min(columns - 1);
                if y + 1 < rows {
                    let above = along(x, y + 1);
                    add([across(x, y), across(right, y)], [here, above], here, above);
                }
                // Of the velocity across: through the middle of the cell, and through its upper left corner.
                let (here, below) = (across(x, y), y.checked_sub(1));
                let below = below.map_or(nothing, |y| across(x, y));
                add([below, here], [below, here], below, here);
                if y + 1 < rows {
                    let carrier = |x: usize| [along(x, y), along(x, y + 1)];
                    match x.checked_sub(1) {
                        Some(left) => {
                            let before = across(left, y);
                            add(carrier(left), [before, here], before, here);
                        }
                        None => add([stream; 2], [self.against(y), here], nothing, here),
                    }
                    if x + 1 == columns {
                        add(carrier(x), [here; 2], here, nothing);
                    }
                }
            }
        }
        let moves = |place: &usize| self.free.get(*place).copied().unwrap_or(false);
        fluxes.retain(|flux| moves(&flux.from) || moves(&flux.to));
        fluxes
    }

    /// The sum of what leaves a cell through its faces, by the values of the velocities.
    #[inline(always)]
    fn outflow<T>(
        &self,
        cell: usize,
        stream: T,
        nothing: T,
        value: impl Fn(usize) -> T,
        plus: impl Fn(T, T) -> T,
        minus: impl Fn(T, T) -> T,
    ) -> T {
        let (n, columns) = (self.cells(), self.columns);
        let left = match cell % columns {
            0 => stream,
            _ => value(cell - 1),
        };
        let below = match cell / columns {
            0 => nothing,
            _ => value(n + cell - columns),
        };
        let along = minus(value(cell), left);
        plus(along, minus(value(n + cell), below))
    }

    /// Takes from velocities what diverges, under a stream of this speed from the left, and what an obstacle or a
    /// wall stops.
    #[inline(always)]
    fn project(&self, faces: &mut [Lanes], stream: f64, pressure: &mut [Lanes]) {
        let (n, columns, rows) = (self.cells(), self.columns, self.rows);
        let stream = Lanes::constant(stream);
        for (face, free) in faces.iter_mut().zip(&self.free) {
            if !free {
                *face = Lanes::ZERO;
            }
        }
        for x in 0..columns {
            for y in 0..rows {
                let cell = y * columns + x;
                let sum = self.outflow(
                    cell,
                    stream,
                    Lanes::ZERO,
                    #[inline(always)]
                    |place| faces[place],
                    #[inline(always)]
                    |a, b| a + b,
                    #[inline(always)]
                    |a, b| a - b,
                );
                pressure[x * rows + y] = if self.solid[cell] { Lanes::ZERO } else { -sum };
            }
        }
        self.pressure.solve(pressure);
        for y in 0..rows {
            for x in 0..columns {
                let (cell, here) = (y * columns + x, pressure[x * rows + y]);
                if self.free[cell] {
                    let right = match x + 1 == columns {
                        true => Lanes::ZERO,
                        false => pressure[(x + 1) * rows + y],
                    };
                    faces[cell] = faces[cell] - (right - here);
                }
                if self.free[n + cell] {
                    let above = pressure[x * rows + y + 1];
                    faces[n + cell] = faces[n + cell] - (above - here);
                }
            }
        }
    }

    /// Writes all values of a stage from a state, whose fixed velocities are taken to be 0, under a stream of this
    /// speed.
    #[inline(always)]
    fn complete(&self, state: &[Lanes], stream: f64, values: &mut Values) {
        let n = self.cells();
        values.resize(self.values_len(), Lanes::ZERO);
        for (place, free) in self.free.iter().enumerate() {
            values[place] = if *free { state[place] } else { Lanes::ZERO };
        }
        values[2 * n] = state[2 * n];
        values[self.nothing()] = Lanes::ZERO;
        values[self.stream_place()] = Lanes::constant(stream);
        for row in 0..self.rows {
            values[self.against(row)] = -values[n + row * self.columns];
        }
    }

    /// Adds to velocities so many times their rates of change, but for the pressure.
    #[inline(always)]
    fn add_rate(&self, values: &[Lanes], times: f64, target: &mut [Lanes]) {
        let (viscosity, times) = (
            values[2 * self.cells()] * (2.0 / self.spacing),
            times / self.spacing,
        );
        for flux in &self.fluxes {
            let (carrier, mean, half) = sides(flux, values);
            let upwind = Real::abs(carrier) * self.upwind + viscosity;
            let flow = (carrier * mean + upwind * half) * times;
            target[flux.from] = target[flux.from] - flow;
            target[flux.to] += flow;
        }
    }

    /// The same for changes of the values.
    #[inline(always)]
    fn add_rate_along(
        &self,
        values: &[Lanes],
        changes: &[Lanes],
        times: f64,
        target: &mut [Lanes],
    ) {
        let (n, factor) = (self.cells(), 2.0 / self.spacing);
        let (viscosity, change) = (values[2 * n] * factor, changes[2 * n] * factor);
        let times = times / self.spacing;
        for flux in &self.fluxes {
            let (carrier, mean, half) = sides(flux, values);
            let (d_carrier, d_mean, d_half) = sides(flux, changes);
            let upwind = Real::abs(carrier) * self.upwind + viscosity;
            let d_upwind = Real::signum(carrier) * self.upwind * d_carrier + change;
            let flow = d_carrier * mean + carrier * d_mean + d_upwind * half + upwind * d_half;
            target[flux.from] = target[flux.from] - flow * times;
            target[flux.to] += flow * times;
        }
    }

    /// The same transposed: adds to cotangents of the values.
    #[inline(always)]
    fn add_rate_back(&self, values: &[Lanes], rate: &[Lanes], times: f64, target: &mut [Lanes]) {
        let (n, factor) = (self.cells(), 2.0 / self.spacing);
        let (viscosity, times) = (values[2 * n] * factor, times / self.spacing);
        for flux in &self.fluxes {
            let (carrier, mean, half) = sides(flux, values);
            let flow = (rate[flux.to] - rate[flux.from]) * times;
            let upwind = Real::abs(carrier) * self.upwind + viscosity;
            let sign = Real::signum(carrier) * self.upwind;
            let by_carrier = flow * (mean + sign * half) * 0.5;
            let (by_mean, by_half) = (flow * carrier * 0.5, flow * upwind * 0.5);
            target[2 * n] += flow * half * factor;
            target[flux.carrier[0]] += by_carrier;
            target[flux.carrier[1]] += by_carrier;
            target[flux.carried[0]] += by_mean + by_half;
            target[flux.carried[1]] += by_mean - by_half;
        }
    }

    /// Cotangents of a state from those of all values, which are spoilt.
    #[inline(always)]
    fn collect(&self, values: &mut Values) {
        let n = self.cells();
        for row in 0..self.rows {
            let against = values[self.against(row)];
            let place = n + row * self.columns;
            values[place] = values[place] - against;
        }
        for (place, free) in self.free.iter().enumerate() {
            if !free {
                values[place] = Lanes::ZERO;
            }
        }
        values[self.nothing()..].fill(Lanes::ZERO);
    }

    /// Takes a state over a step. Each stage hands all its values to `add_rate`, which adds so many times the
    /// rates to the target; `stream` is the speed from the left.
    #[inline(always)]
    fn step(
        &self,
        state: &mut [Lanes],
        control: &[Lanes],
        stream: f64,
        mut add_rate: impl FnMut(&Values, f64, &mut [Lanes]),
    ) {
        let (n, h) = (self.cells(), self.dt / self.substeps as f64);
        let (mut start, mut point) = (Values::new(), Values::new());
        let (mut next, mut pressure) = (Values::new(), vec![Lanes::ZERO; n]);
        for substep in 0..self.substeps {
            self.complete(state, stream, &mut start);
            next.clone_from(&start);
            add_rate(&start, h, &mut next);
            self.project(&mut next, stream, &mut pressure);
            self.complete(&next, stream, &mut point);
            next.clone_from(&point);
            add_rate(&point, h, &mut next);
            for (next, start) in next[..2 * n].iter_mut().zip(&start) {
                *next = (*next + *start) * 0.5;
            }
            if substep + 1 == self.substeps {
                for (next, control) in next.iter_mut().zip(control) {
                    *next += *control * self.gain;
                }
            }
            self.project(&mut next, stream, &mut pressure);
            state[..2 * n].copy_from_slice(&next[..2 * n]);
        }
    }

    /// All values of all stages of a step.
    #[inline(always)]
    fn stages(&self, state: &[Lanes], control: &[Lanes]) -> Vec<Values> {
        let (mut state, mut stages) = (state.to_vec(), Vec::with_capacity(2 * self.substeps));
        self.step(
            &mut state,
            control,
            self.stream,
            #[inline(always)]
            |values, times, target| {
                stages.push(values.clone());
                self.add_rate(values, times, target);
            },
        );
        stages
    }

    /// Takes a cotangent of the state after a step to that before it, and to that of the control.
    #[inline(always)]
    fn step_back(&self, state: &mut [Lanes], control: &mut [Lanes], stages: &[Values]) {
        let (n, h) = (self.cells(), self.dt / self.substeps as f64);
        let mut pressure = vec![Lanes::ZERO; n];
        let (mut end, mut point) = (Values::new(), Values::new());
        let mut start = Values::new();
        let mut viscosity = state[2 * n];
        for (substep, stages) in stages.chunks_exact(2).enumerate().rev() {
            self.complete(state, 0.0, &mut end);
            self.project(&mut end, 0.0, &mut pressure);
            if substep + 1 == self.substeps {
                for (control, w) in control.iter_mut().zip(&end) {
                    *control = *w * self.gain;
                }
            }
            // The end is half the start, and half the point with its rates.
            for half in [&mut start, &mut point] {
                half.clear();
                half.resize(self.values_len(), Lanes::ZERO);
                let ends = half.iter_mut().zip(&end[..2 * n]);
                ends.for_each(|(half, w)| *half = *w * 0.5);
            }
            self.clear_beyond(&mut end);
            self.add_rate_back(&stages[1], &end, 0.5 * h, &mut point);
            self.collect(&mut point);
            viscosity += point[2 * n];
            self.project(&mut point, 0.0, &mut pressure);
            for (start, w) in start.iter_mut().zip(&point[..2 * n]) {
                *start += *w;
            }
            self.clear_beyond(&mut point);
            self.add_rate_back(&stages[0], &point, h, &mut start);
            self.collect(&mut start);
            viscosity += start[2 * n];
            state[..2 * n].copy_from_slice(&start[..2 * n]);
        }
        state[2 * n] = viscosity;
    }

    /// Nothing is a rate there.
    #[inline(always)]
    fn clear_beyond(&self, values: &mut [Lanes]) {
        values[2 * self.cells()..].fill(Lanes::ZERO);
    }

    /// Calls `work` for each group of samples, on several threads where that pays. Samples are independent, so
    /// that the result does not depend on the number of threads.
    fn over_groups<T: Send>(
        &self,
        samples: usize,
        rows: usize,
        work: impl Fn(usize) -> T + Sync + Send,
    ) -> Vec<T> {
        // Fluxes of groups before a second thread has woken up.
        const WORTH_THREADS: usize = 1 << 13;
        let groups = Lanes::groups(samples);
        match groups * rows * self.substeps * self.fluxes.len() < WORTH_THREADS {
            true => (0..groups).map(work).collect(),
            false => (0..groups).into_par_iter().map(work).collect(),
        }
    }
}

/// The mean of what carries, and the mean and half the difference of what is carried.
#[inline(always)]
fn sides(flux: &Flux, values: &[Lanes]) -> (Lanes, Lanes, Lanes) {
    let [p, q] = flux.carrier;
    let [before, behind] = flux.carried.map(|place| values[place]);
    (
        (values[p] + values[q]) * 0.5,
        (before + behind) * 0.5,
        (before - behind) * 0.5,
    )
}

/// The equations of the pressure: what leaves a fluid cell through its free faces by differences of pressure, 0
/// beyond the open end. A solid cell has a pressure of its own, which nothing asks for.
fn pressure(columns: usize, rows: usize, solid: &[bool], free: &[bool]) -> Result<BandedCholesky> {
    let (cells, height) = (columns * rows, rows + 1);
    let mut entries = vec![0.0; cells * height];
    let place = |cell: usize| cell % columns * rows + cell / columns;
    for cell in 0..cells {
        if solid[cell] {
            entries[place(cell) * height] = 1.0;
        }
        for (face, step, ends) in [
            (cell, 1, cell % columns + 1 == columns),
            (cells + cell, columns, false),
        ] {
            if !free[face] {
                continue;
            }
            entries[place(cell) * height] += 1.0;
            if !ends {
                let (here, next) = (place(cell), place(cell + step));
                entries[next * height] += 1.0;
                entries[here * height + next - here] -= 1.0;
            }
        }
    }
    BandedCholesky::new(rows, entries).map_err(|_| {
        let expected = "fluid that has a way to the open end from everywhere";
        Error::setting("obstacle", "closed", expected)
    })
}

impl Stepwise for ChannelFlow {
    fn steps(&self) -> usize {
        self.steps
    }

    fn state_len(&self) -> usize {
        2 * self.cells() + 1
    }

    fn control_len(&self) -> usize {
        2 * self.cells()
    }

    fn name(&self) -> String {
        "the flow through the channel".into()
    }

    fn time(&self, step: usize) -> f64 {
        step as f64 * self.dt
    }

    fn advance(&self, _: usize, x: MatRef<'_, f64>, u: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let samples = x.nrows();
        let groups = self.over_groups(samples, 1, |group| {
            let (mut state, control) = (Lanes::load(x, group), Lanes::load(u, group));
            vectorised(
                #[inline(always)]
                || {
                    self.step(
                        &mut state,
                        &control,
                        self.stream,
                        #[inline(always)]
                        |values, times, target| self.add_rate(values, times, target),
                    );
                },
            );
            state
        });
        Ok(stored(groups, samples, 1, self.state_len()))
    }

    fn pull_back(
        &self,
        _: usize,
        (x, u): (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        let (samples, d, c) = (x.nrows(), self.state_len(), self.control_len());
        let count = rows.nrows() / samples.max(1);
        let groups = self.over_groups(samples, count, |group| {
            let (state, control) = (Lanes::load(x, group), Lanes::load(u, group));
            let of = |i: usize| Lanes::load(rows.subrows(i * samples, samples), group);
            let mut before: Vec<Vec<Lanes>> = (0..count).map(of).collect();
            let mut during = vec![vec![Lanes::ZERO; c]; count];
            vectorised(
                #[inline(always)]
                || {
                    let stages = self.stages(&state, &control);
                    for (state, control) in before.iter_mut().zip(&mut during) {
                        self.step_back(state, control, &stages);
                    }
                },
            );
            (before, during)
        });
        let (mut before, mut during) = (Mat::zeros(rows.nrows(), d), Mat::zeros(rows.nrows(), c));
        for (group, (states, controls)) in groups.iter().enumerate() {
            for (batches, target) in [(states, &mut before), (controls, &mut during)] {
                for (i, values) in batches.iter().enumerate() {
                    for (j, value) in values.iter().enumerate() {
                        value.store(target, i * samples, samples, group, j);
                    }
                }
            }
        }
        Ok((before, during))
    }

    fn push_forward(
        &self,
        _: usize,
        (x, u): (MatRef<'_, f64>, MatRef<'_, f64>),
        (dx, du): (MatRef<'_, f64>, MatRef<'_, f64>),
    ) -> Result<Mat<f64>> {
        let samples = x.nrows();
        let groups = self.over_groups(samples, 1, |group| {
            let (state, control) = (Lanes::load(x, group), Lanes::load(u, group));
            let (mut change, along) = (Lanes::load(dx, group), Lanes::load(du, group));
            vectorised(
                #[inline(always)]
                || {
                    let stages = self.stages(&state, &control);
                    let mut stages = stages.iter();
                    self.step(
                        &mut change,
                        &along,
                        0.0,
                        #[inline(always)]
                        |changes, times, target| {
                            let values = stages.next().expect("every stage has its values");
                            self.add_rate_along(values, changes, times, target);
                        },
                    );
                },
            );
            change
        });
        Ok(stored(groups, samples, 1, self.state_len()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rates of change of all velocities of a state, but for the pressure.
    fn rates(flow: &ChannelFlow, state: &[f64]) -> Vec<f64> {
        let state: Vec<Lanes> = state.iter().map(|v| Lanes::constant(*v)).collect();
        let mut values = Values::new();
        flow.complete(&state, flow.stream, &mut values);
        let mut target = vec![Lanes::ZERO; flow.values_len()];
        flow.add_rate(&values, 1.0, &mut target);
        target.iter().map(|lanes| lanes.0[0]).collect()
    }

    fn empty(columns: usize, rows: usize, spacing: f64) -> ChannelFlow {
        ChannelFlow::new(columns, rows, spacing, |_, _| false).unwrap()
    }

    /// u = (cos x · sin y, -sin x · cos y) has no divergence, and u·∇u - νΔu is
    /// (-½ sin 2x, -½ sin 2y) + 2ν·u.
    #[test]
    fn rates_are_those_of_vortices_to_their_order() {
        let viscosity = 0.3;
        for (upwind, order) in [(0.0, 2.0), (1.0, 1.0)] {
            let error = |cells: usize| {
                let spacing = 1.0 / cells as f64;
                let flow = empty(cells, cells, spacing).upwind(upwind);
                let n = cells * cells;
                let place = |i: usize| {
                    let (x, y) = ((i % cells) as f64, (i % n / cells) as f64);
                    let at = if i < n {
                        (x + 1.0, y + 0.5)
                    } else {
                        (x + 0.5, y + 1.0)
                    };
                    (at.0 * spacing, at.1 * spacing)
                };
                let velocity = |i: usize| {
                    let (x, y) = place(i);
                    if i < n {
                        x.cos() * y.sin()
                    } else {
                        -x.sin() * y.cos()
                    }
                };
                let mut state: Vec<f64> = (0..2 * n).map(velocity).collect();
                state.push(viscosity);
                let found = rates(&flow, &state);
                // Away from the edges, which are not those of the vortices.
                let inside = |i: &usize| {
                    let (x, y) = (i % cells, i % n / cells);
                    (2..cells - 2).contains(&x) && (2..cells - 2).contains(&y)
                };
                let errors = (0..2 * n).filter(inside).map(|i| {
                    let (x, y) = place(i);
                    let carried = 0.5 * (2.0 * if i < n { x } else { y }).sin();
                    (found[i] - carried + 2.0 * viscosity * velocity(i)).abs()
                });
                errors.fold(0.0, f64::max)
            };
            let (coarse, fine) = (error(16), error(32));
            let found = (coarse / fine).log2();
            assert!(
                (found - order).abs() < 0.25,
                "{upwind}: {found} {coarse} {fine}"
            );
        }
    }

    /// What the volumes gain together comes in at the left end or leaves at the right one.
    #[test]
    fn momentum_along_the_channel_is_conserved() {
        let (columns, rows, spacing, viscosity, stream) = (5, 4, 0.7, 0.2, 1.1);
        let flow = empty(columns, rows, spacing).upwind(0.6).streaming(stream);
        let n = columns * rows;
        let mut state: Vec<f64> = (0..2 * n).map(|i| (1.0 + 2.3 * i as f64).sin()).collect();
        state.push(viscosity);
        let found: f64 = rates(&flow, &state)[..n].iter().sum();
        let through = |row: usize| {
            let (first, last) = (state[row * columns], state[row * columns + columns - 1]);
            let (carrier, half) = (0.5 * (stream + first), 0.5 * (stream - first));
            let upwind = 0.6 * carrier.abs() + 2.0 * viscosity / spacing;
            (carrier * carrier + upwind * half - last * last) / spacing
        };
        let expected: f64 = (0..rows).map(through).sum();
        assert!((found - expected).abs() < 1e-12 * expected.abs());
    }
}
