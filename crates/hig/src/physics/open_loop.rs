//! Simulations all of whose controls are there before they begin.

use super::{Record, Simulator, Stepwise, Widths};
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};
use std::sync::Arc;

/// All time steps of a [`Stepwise`] simulation as one function of its controls.
///
/// The control of a sample holds u of the first step, then u of the second, and so on; y is the final
/// state. [`RungeKutta4`](super::RungeKutta4) is such a function by itself, and a faster one.
#[derive(Debug)]
pub struct OpenLoop<S> {
    physics: Arc<S>,
}

impl<S: Stepwise> OpenLoop<S> {
    /// All steps of the given physics.
    pub fn new(physics: S) -> Self {
        Self {
            physics: Arc::new(physics),
        }
    }

    /// The states at the start and after each step (steps + 1, samples × state each).
    ///
    /// # Errors
    /// A step that cannot be done.
    pub fn states(
        &self,
        start: MatRef<'_, f64>,
        control: MatRef<'_, f64>,
    ) -> Result<Vec<Mat<f64>>> {
        let mut states = vec![start.to_owned()];
        for k in 0..self.physics.steps() {
            let u = of_step(&*self.physics, k, control);
            states.push(self.physics.advance(k, states[k].as_ref(), u)?);
        }
        Ok(states)
    }
}

/// The control during a step.
fn of_step<'a>(physics: &impl Stepwise, step: usize, control: MatRef<'a, f64>) -> MatRef<'a, f64> {
    let c = physics.control_len();
    control.subcols(step * c, c)
}

impl<S: Stepwise + 'static> Simulator for OpenLoop<S> {
    fn widths(&self) -> Widths {
        Widths {
            state: self.physics.state_len(),
            control: self.physics.control_len() * self.physics.steps(),
            output: self.physics.state_len(),
        }
    }

    fn name(&self) -> String {
        self.physics.name()
    }

    fn has_products(&self) -> bool {
        true
    }

    fn simulate(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let mut state = state.to_owned();
        for k in 0..self.physics.steps() {
            let u = of_step(&*self.physics, k, control);
            state = self.physics.advance(k, state.as_ref(), u)?;
        }
        Ok(state)
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        Ok(Box::new(Trajectory {
            physics: Arc::clone(&self.physics),
            states: self.states(state, control)?,
            control: control.to_owned(),
        }))
    }
}

/// A simulated batch with the states at all times.
struct Trajectory<S> {
    physics: Arc<S>,
    states: Vec<Mat<f64>>,
    control: Mat<f64>,
}

impl<S: Stepwise> Record for Trajectory<S> {
    fn y(&self) -> &Mat<f64> {
        &self.states[self.physics.steps()]
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        self.vjps(cotangent)
    }

    fn vjps(&self, cotangents: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let c = self.physics.control_len();
        let mut rows = Mat::zeros(cotangents.nrows(), self.control.ncols());
        let mut carried = cotangents.to_owned();
        for k in (0..self.physics.steps()).rev() {
            let u = of_step(&*self.physics, k, self.control.as_ref());
            let at = (self.states[k].as_ref(), u);
            let (before, during) = self.physics.pull_back(k, at, carried.as_ref())?;
            let target = rows.as_mut().subcols_mut(k * c, c);
            { target }.copy_from(&during);
            carried = before;
        }
        Ok(rows)
    }

    fn rows(&self) -> Result<Mat<f64>> {
        let (samples, d) = (self.y().nrows(), self.y().ncols());
        let units = Mat::from_fn(d * samples, d, |row, j| f64::from(row / samples == j));
        self.vjps(units.as_ref())
    }

    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let (samples, d) = (self.y().nrows(), self.y().ncols());
        let mut change = Mat::zeros(samples, d);
        for k in 0..self.physics.steps() {
            let of = |batch| of_step(&*self.physics, k, batch);
            let at = (self.states[k].as_ref(), of(self.control.as_ref()));
            let along = (change.as_ref(), of(tangent));
            change = self.physics.push_forward(k, at, along)?;
        }
        Ok(change)
    }
}
