//! Simulations that are advanced one time step at a time.

use super::rows_times;
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};

/// A time step x' = F(k, x, u) of a batch of independent samples, with the products of its derivative.
///
/// It is what a closed loop needs of the physics: between two steps the loop asks its network for the
/// next control. [`RungeKutta4`](super::RungeKutta4) is one for any equations of motion.
///
/// ```
/// use hig::physics::Stepwise;
/// use hig::linalg::{Mat, MatRef};
///
/// /// x' = x + u: an integrator.
/// struct Sum;
///
/// impl Stepwise for Sum {
///     fn steps(&self) -> usize { 10 }
///     fn state_len(&self) -> usize { 1 }
///     fn control_len(&self) -> usize { 1 }
///     fn advance(&self, _: usize, x: MatRef<'_, f64>, u: MatRef<'_, f64>) -> hig::Result<Mat<f64>> {
///         Ok(x + u)
///     }
///     fn pull_back(
///         &self,
///         _: usize,
///         _: (MatRef<'_, f64>, MatRef<'_, f64>),
///         rows: MatRef<'_, f64>,
///     ) -> hig::Result<(Mat<f64>, Mat<f64>)> {
///         Ok((rows.to_owned(), rows.to_owned()))
///     }
/// }
/// ```
pub trait Stepwise: Send + Sync {
    /// Number of steps of a simulation.
    fn steps(&self) -> usize;

    /// Length of the state x.
    fn state_len(&self) -> usize;

    /// Length of the control u that acts during one step.
    fn control_len(&self) -> usize;

    /// What messages call it.
    fn name(&self) -> String {
        "the physics".into()
    }

    /// The time at which a step begins; the default counts steps.
    fn time(&self, step: usize) -> f64 {
        step as f64
    }

    /// The most samples that an evaluation moves at once; the default is a number whose values stay in the
    /// cache. A step with a price for each call asks for more.
    fn chunk(&self) -> usize {
        64
    }

    /// The states after a step (samples × state) from those before it and the controls during it
    /// (samples × control).
    ///
    /// # Errors
    /// A step that cannot be done.
    fn advance(
        &self,
        step: usize,
        state: MatRef<'_, f64>,
        control: MatRef<'_, f64>,
    ) -> Result<Mat<f64>>;

    /// Takes rows of cotangents of x' to those of x and of u: (∂F/∂x)ᵀ·w (k·samples × state) and
    /// (∂F/∂u)ᵀ·w (k·samples × control) for k cotangents w of each sample, stacked as row
    /// `component · samples + sample`.
    ///
    /// # Errors
    /// A derivative that cannot be told.
    fn pull_back(
        &self,
        step: usize,
        at: (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)>;

    /// The change of x' (samples × state) with changes of x and of u.
    ///
    /// The default makes it of one [`pull_back`](Self::pull_back) of all components.
    ///
    /// # Errors
    /// A derivative that cannot be told.
    fn push_forward(
        &self,
        step: usize,
        at: (MatRef<'_, f64>, MatRef<'_, f64>),
        (state, control): (MatRef<'_, f64>, MatRef<'_, f64>),
    ) -> Result<Mat<f64>> {
        let (samples, d) = (state.nrows(), self.state_len());
        let units = Mat::from_fn(d * samples, d, |row, j| f64::from(row / samples == j));
        let (of_state, of_control) = self.pull_back(step, at, units.as_ref())?;
        Ok(rows_times(&of_state, state) + rows_times(&of_control, control))
    }
}
