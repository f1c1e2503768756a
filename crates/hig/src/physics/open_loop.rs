//! Simulations all of whose controls are there before they begin.

use super::{Record, Simulator, Stepwise, Widths};
use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, MatRef};
use std::sync::Arc;

/// All time steps of a [`Stepwise`] simulation as one function of its controls.
///
/// The control of a sample holds u of the first step, then u of the second, and so on; y is the final
/// state, or what [`after`](Self::after) says. For the final state [`RungeKutta4`](super::RungeKutta4) is such a
/// function by itself, and a faster one.
#[derive(Debug)]
pub struct OpenLoop<S> {
    physics: Arc<S>,
    /// The numbers of steps after which the state is observed, in rising order.
    observed: Arc<Vec<usize>>,
}

impl<S: Stepwise> OpenLoop<S> {
    /// All steps of the given physics.
    pub fn new(physics: S) -> Self {
        Self {
            observed: Arc::new(vec![physics.steps()]),
            physics: Arc::new(physics),
        }
    }

    /// The same with y of the states after each of the given numbers of steps, side by side.
    ///
    /// ```
    /// use hig::linalg::Mat;
    /// use hig::physics::{Equations, OpenLoop, Real, RungeKutta4, Simulator};
    ///
    /// /// It fades.
    /// struct Decay;
    ///
    /// impl Equations for Decay {
    ///     fn state_len(&self) -> usize { 1 }
    ///     fn rate<T: Real>(&self, _: f64, x: &[T], u: &[T], rate: &mut [T]) {
    ///         rate[0] = u[0] - x[0];
    ///     }
    /// }
    ///
    /// let physics = OpenLoop::new(RungeKutta4::new(Decay, 20, 0.1)).after(vec![10, 20])?;
    /// let y = physics.simulate(Mat::full(1, 1, 1.0).as_ref(), Mat::zeros(1, 20).as_ref())?;
    /// assert!((y[(0, 0)] - (-1.0_f64).exp()).abs() < 1e-6);
    /// assert!((y[(0, 1)] - (-2.0_f64).exp()).abs() < 1e-6);
    /// # Ok::<(), hig::Error>(())
    /// ```
    ///
    /// # Errors
    /// Numbers that do not rise, or that are 0 or more than the steps of the physics.
    pub fn after(mut self, steps: Vec<usize>) -> Result<Self> {
        check_observed(&steps, self.physics.steps())?;
        self.observed = Arc::new(steps);
        Ok(self)
    }

    /// The observed ones of all states, side by side.
    fn observe(&self, states: &[Mat<f64>]) -> Mat<f64> {
        let d = self.physics.state_len();
        let mut y = Mat::zeros(states[0].nrows(), d * self.observed.len());
        for (place, step) in self.observed.iter().enumerate() {
            let target = y.as_mut().subcols_mut(place * d, d);
            { target }.copy_from(&states[*step]);
        }
        y
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

/// Refuses numbers of steps that do not rise from at least 1 to at most `last`.
pub(crate) fn check_observed(steps: &[usize], last: usize) -> Result<()> {
    let rise = steps.windows(2).all(|pair| pair[0] < pair[1]);
    let inside = steps.iter().all(|step| (1..=last).contains(step));
    if steps.is_empty() || !rise || !inside {
        let expected = format!("rising numbers from 1 to {last}, at least one");
        let found = format!("{steps:?}");
        return Err(Error::setting("observed steps", found, expected));
    }
    Ok(())
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
            output: self.physics.state_len() * self.observed.len(),
        }
    }

    fn name(&self) -> String {
        self.physics.name()
    }

    fn has_products(&self) -> bool {
        true
    }

    fn simulate(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let d = self.physics.state_len();
        let mut y = Mat::zeros(state.nrows(), d * self.observed.len());
        let mut state = state.to_owned();
        for k in 0..self.physics.steps() {
            let u = of_step(&*self.physics, k, control);
            state = self.physics.advance(k, state.as_ref(), u)?;
            if let Some(place) = self.observed.iter().position(|step| *step == k + 1) {
                let target = y.as_mut().subcols_mut(place * d, d);
                { target }.copy_from(&state);
            }
        }
        if self.physics.steps() == 0 {
            y = state;
        }
        Ok(y)
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        let states = self.states(state, control)?;
        Ok(Box::new(Trajectory {
            physics: Arc::clone(&self.physics),
            observed: Arc::clone(&self.observed),
            y: self.observe(&states),
            states,
            control: control.to_owned(),
        }))
    }
}

/// A simulated batch with the states at all times.
struct Trajectory<S> {
    physics: Arc<S>,
    observed: Arc<Vec<usize>>,
    y: Mat<f64>,
    states: Vec<Mat<f64>>,
    control: Mat<f64>,
}

impl<S: Stepwise> Record for Trajectory<S> {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        self.vjps(cotangent)
    }

    fn vjps(&self, cotangents: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let c = self.physics.control_len();
        let mut rows = Mat::zeros(cotangents.nrows(), self.control.ncols());
        let d = self.physics.state_len();
        let mut carried = Mat::<f64>::zeros(cotangents.nrows(), d);
        for k in (0..self.physics.steps()).rev() {
            if let Some(place) = self.observed.iter().position(|step| *step == k + 1) {
                carried += cotangents.subcols(place * d, d);
            }
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
        let (samples, d) = (self.y.nrows(), self.physics.state_len());
        let mut changes = vec![Mat::zeros(samples, d)];
        for k in 0..self.physics.steps() {
            let of = |batch| of_step(&*self.physics, k, batch);
            let at = (self.states[k].as_ref(), of(self.control.as_ref()));
            let along = (changes[k].as_ref(), of(tangent));
            let next = self.physics.push_forward(k, at, along)?;
            changes.push(next);
        }
        let mut change = Mat::zeros(samples, self.y.ncols());
        for (place, step) in self.observed.iter().enumerate() {
            let target = change.as_mut().subcols_mut(place * d, d);
            { target }.copy_from(&changes[*step]);
        }
        Ok(change)
    }
}
