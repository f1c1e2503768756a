//! Exponential steps of fields that Fourier modes tell, with their tangent and adjoint.

use super::exponential::Combination;
use super::fourier::ZERO;
use super::{Scheme, Stepwise};
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};
use rayon::prelude::*;
use realfft::num_complex::Complex;

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

/// What a control does to the fields.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Control {
    /// So many times it is f during the step.
    Force(f64),
    /// So many times it is added to the first fields after the step.
    Correction(f64),
}

/// u' = Λu + N(u) + f for fields u of one sample, with real rates Λ of modes and a quadratic N.
///
/// Every map of it is one between real fields, written by their modes; the transposed one of a map takes the
/// modes of cotangents.
pub(super) trait FieldEquation: Send + Sync {
    /// Memory for transforms.
    type Memory;

    /// What messages call it.
    fn name(&self) -> &'static str;

    /// Length of the state: the values of all fields.
    fn state_len(&self) -> usize;

    /// Length of the control: the values of the first fields, which it acts on.
    fn control_len(&self) -> usize;

    /// The rates of the modes of all fields.
    fn rates(&self) -> Vec<f64>;

    fn memory(&self) -> Self::Memory;

    /// The modes of the first fields, as many as there are values of, projected on what the equation keeps.
    fn modes_of(&self, values: &[f64], modes: &mut [Complex<f64>], memory: &mut Self::Memory);

    /// The values of the first fields.
    fn values_of(&self, modes: &[Complex<f64>], values: &mut [f64], memory: &mut Self::Memory);

    /// The modes of N, and in `values` those of the point at which it was.
    fn rate(
        &self,
        point: &[Complex<f64>],
        values: &mut [f64],
        rate: &mut [Complex<f64>],
        memory: &mut Self::Memory,
    );

    /// The change of N with a change of the point, at the values that [`rate`](Self::rate) told.
    fn rate_along(
        &self,
        change: &[Complex<f64>],
        values: &[f64],
        rate: &mut [Complex<f64>],
        memory: &mut Self::Memory,
    );

    /// The same transposed.
    fn rate_back(
        &self,
        rate: &[Complex<f64>],
        values: &[f64],
        point: &mut [Complex<f64>],
        memory: &mut Self::Memory,
    );
}

/// The steps of an equation.
#[derive(Debug, Clone)]
pub(super) struct FieldSteps<E> {
    pub equation: E,
    pub control: Control,
    pub time: TimeSteps,
    combinations: Vec<Combination>,
    modes: usize,
}

/// Memory for the steps of one sample.
struct Work<M> {
    memory: M,
    /// Modes of the fields, of the point of the stage at hand, of the force and of the slopes.
    fields: Vec<Complex<f64>>,
    point: Vec<Complex<f64>>,
    force: Vec<Complex<f64>>,
    slopes: Vec<Vec<Complex<f64>>>,
}

impl<M> Work<M> {
    /// The point of the next stage: carry·fields + Σ weights·slopes.
    fn combine(&mut self, combination: &Combination) {
        self.point.fill(ZERO);
        add_times(&mut self.point, &combination.carry, &self.fields);
        for (weights, slope) in combination.weights.iter().zip(&self.slopes) {
            add_times(&mut self.point, weights, slope);
        }
    }
}

impl<E: FieldEquation> FieldSteps<E> {
    pub fn new(equation: E, time: TimeSteps) -> Self {
        let (rates, h) = (equation.rates(), time.dt / time.substeps as f64);
        Self {
            combinations: time.scheme.combinations(&rates, h),
            modes: rates.len(),
            control: Control::Force(1.0),
            equation,
            time,
        }
    }

    /// Takes fields over a step; `rate` answers N at a point.
    fn step(
        &self,
        state: &mut [f64],
        control: &[f64],
        work: &mut Work<E::Memory>,
        mut rate: impl FnMut(&[Complex<f64>], &mut [Complex<f64>], &mut E::Memory),
    ) {
        work.force.fill(ZERO);
        if let Control::Force(gain) = self.control {
            let (modes, memory) = (&mut work.force, &mut work.memory);
            self.equation.modes_of(control, modes, memory);
            modes.iter_mut().for_each(|mode| *mode *= gain);
        }
        (self.equation).modes_of(state, &mut work.fields, &mut work.memory);
        for _ in 0..self.time.substeps {
            work.point.copy_from_slice(&work.fields);
            for (s, combination) in self.combinations.iter().enumerate() {
                rate(&work.point, &mut work.slopes[s], &mut work.memory);
                let slope = work.slopes[s].iter_mut().zip(&work.force);
                slope.for_each(|(slope, force)| *slope += force);
                work.combine(combination);
            }
            std::mem::swap(&mut work.fields, &mut work.point);
        }
        (self.equation).values_of(&work.fields, state, &mut work.memory);
        if let Control::Correction(gain) = self.control {
            for (value, correction) in state.iter_mut().zip(control) {
                *value += gain * correction;
            }
        }
    }

    /// Takes a cotangent of the fields after a step to that before it, and to that of the control.
    /// `values` are those of the points of all stages.
    fn step_back(
        &self,
        state: &mut [f64],
        control: &mut [f64],
        values: &[f64],
        work: &mut Work<E::Memory>,
    ) {
        let (len, stages) = (self.equation.state_len(), self.combinations.len());
        if let Control::Correction(gain) = self.control {
            for (control, w) in control.iter_mut().zip(state.iter()) {
                *control = gain * w;
            }
        }
        (self.equation).modes_of(state, &mut work.point, &mut work.memory);
        work.force.fill(ZERO);
        for values in values.chunks_exact(len * stages).rev() {
            work.slopes.iter_mut().for_each(|slope| slope.fill(ZERO));
            work.fields.fill(ZERO);
            // What comes back to the point behind each stage, the last of which is the end.
            for s in (0..stages).rev() {
                let Combination { carry, weights } = &self.combinations[s];
                add_times(&mut work.fields, carry, &work.point);
                for (slope, weights) in work.slopes.iter_mut().zip(weights) {
                    add_times(slope, weights, &work.point);
                }
                let slope = &work.slopes[s];
                let forced = work.force.iter_mut().zip(slope);
                forced.for_each(|(force, slope)| *force += slope);
                let of_stage = &values[s * len..(s + 1) * len];
                (self.equation).rate_back(slope, of_stage, &mut work.point, &mut work.memory);
            }
            for (point, mode) in work.point.iter_mut().zip(&work.fields) {
                *point += mode;
            }
        }
        (self.equation).values_of(&work.point, state, &mut work.memory);
        if let Control::Force(gain) = self.control {
            (self.equation).values_of(&work.force, control, &mut work.memory);
            control.iter_mut().for_each(|w| *w *= gain);
        }
    }

    /// The values at the points of all stages of a step of one sample.
    fn values(&self, state: &[f64], control: &[f64], work: &mut Work<E::Memory>) -> Vec<f64> {
        let (len, mut place) = (self.equation.state_len(), 0);
        let mut values = vec![0.0; self.time.substeps * self.combinations.len() * len];
        let mut fields = state.to_vec();
        self.step(&mut fields, control, work, |point, slope, memory| {
            let of_stage = &mut values[place..place + len];
            self.equation.rate(point, of_stage, slope, memory);
            place += len;
        });
        values
    }

    fn work(&self) -> Work<E::Memory> {
        let zero = vec![ZERO; self.modes];
        Work {
            memory: self.equation.memory(),
            fields: zero.clone(),
            point: zero.clone(),
            force: zero.clone(),
            slopes: vec![zero; self.combinations.len()],
        }
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
        let stages = self.time.substeps * self.combinations.len();
        match samples * rows * stages * self.equation.state_len() < WORTH_THREADS {
            true => (0..samples).map(work).collect(),
            false => (0..samples).into_par_iter().map(work).collect(),
        }
    }
}

impl<E: FieldEquation> Stepwise for FieldSteps<E> {
    fn steps(&self) -> usize {
        self.time.steps
    }

    fn state_len(&self) -> usize {
        self.equation.state_len()
    }

    fn control_len(&self) -> usize {
        self.equation.control_len()
    }

    fn name(&self) -> String {
        self.equation.name().into()
    }

    fn time(&self, step: usize) -> f64 {
        step as f64 * self.time.dt
    }

    fn advance(&self, _: usize, x: MatRef<'_, f64>, u: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let samples = x.nrows();
        let (x, u) = (x.transpose().to_owned(), u.transpose().to_owned());
        let states = self.over_samples(samples, 1, |s| {
            let mut state = x.col_as_slice(s).to_vec();
            let mut values = vec![0.0; state.len()];
            let control = u.col_as_slice(s);
            self.step(
                &mut state,
                control,
                &mut self.work(),
                |point, slope, memory| {
                    self.equation.rate(point, &mut values, slope, memory);
                },
            );
            state
        });
        Ok(batch_of(&states, self.state_len()))
    }

    fn pull_back(
        &self,
        _: usize,
        (x, u): (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        let (samples, d, c) = (x.nrows(), self.state_len(), self.control_len());
        let count = rows.nrows() / samples.max(1);
        let (x, u) = (x.transpose().to_owned(), u.transpose().to_owned());
        let rows = rows.transpose().to_owned();
        let pulled = self.over_samples(samples, count, |s| {
            let work = &mut self.work();
            let values = self.values(x.col_as_slice(s), u.col_as_slice(s), work);
            let mut pulled = vec![0.0; (d + c) * count];
            for (i, pulled) in pulled.chunks_exact_mut(d + c).enumerate() {
                let (state, control) = pulled.split_at_mut(d);
                state.copy_from_slice(rows.col_as_slice(i * samples + s));
                self.step_back(state, control, &values, work);
            }
            pulled
        });
        let part = |first: usize, width: usize| {
            Mat::from_fn(rows.ncols(), width, |row, j| {
                pulled[row % samples][(d + c) * (row / samples) + first + j]
            })
        };
        Ok((part(0, d), part(d, c)))
    }

    fn push_forward(
        &self,
        _: usize,
        (x, u): (MatRef<'_, f64>, MatRef<'_, f64>),
        (dx, du): (MatRef<'_, f64>, MatRef<'_, f64>),
    ) -> Result<Mat<f64>> {
        let (samples, d) = (x.nrows(), self.state_len());
        let [x, u, dx, du] = [x, u, dx, du].map(|batch| batch.transpose().to_owned());
        let changes = self.over_samples(samples, 1, |s| {
            let work = &mut self.work();
            let values = self.values(x.col_as_slice(s), u.col_as_slice(s), work);
            let mut values = values.chunks_exact(d.max(1));
            let mut change = dx.col_as_slice(s).to_vec();
            self.step(
                &mut change,
                du.col_as_slice(s),
                work,
                |point, slope, memory| {
                    let of_stage = values.next().expect("every stage has its values");
                    self.equation.rate_along(point, of_stage, slope, memory);
                },
            );
            change
        });
        Ok(batch_of(&changes, d))
    }
}

/// Steps like those of a field of [`FieldSteps`].
macro_rules! by_field_steps {
    ($fields:ty) => {
        impl Stepwise for $fields {
            fn steps(&self) -> usize {
                self.0.steps()
            }

            fn state_len(&self) -> usize {
                self.0.state_len()
            }

            fn control_len(&self) -> usize {
                self.0.control_len()
            }

            fn name(&self) -> String {
                self.0.name()
            }

            fn time(&self, step: usize) -> f64 {
                self.0.time(step)
            }

            fn advance(
                &self,
                step: usize,
                x: MatRef<'_, f64>,
                u: MatRef<'_, f64>,
            ) -> Result<Mat<f64>> {
                self.0.advance(step, x, u)
            }

            fn pull_back(
                &self,
                step: usize,
                at: (MatRef<'_, f64>, MatRef<'_, f64>),
                rows: MatRef<'_, f64>,
            ) -> Result<(Mat<f64>, Mat<f64>)> {
                self.0.pull_back(step, at, rows)
            }

            fn push_forward(
                &self,
                step: usize,
                at: (MatRef<'_, f64>, MatRef<'_, f64>),
                along: (MatRef<'_, f64>, MatRef<'_, f64>),
            ) -> Result<Mat<f64>> {
                self.0.push_forward(step, at, along)
            }
        }
    };
}
pub(super) use by_field_steps;

/// One row for each sample.
fn batch_of(samples: &[Vec<f64>], width: usize) -> Mat<f64> {
    Mat::from_fn(samples.len(), width, |s, i| samples[s][i])
}

/// Adds modes times real factors.
fn add_times(target: &mut [Complex<f64>], factors: &[f64], modes: &[Complex<f64>]) {
    for ((target, factor), mode) in target.iter_mut().zip(factors).zip(modes) {
        *target += mode * *factor;
    }
}
