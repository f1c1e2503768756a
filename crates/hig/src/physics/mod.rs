//! Differentiable simulators, y = P(state, control).
//!
//! The network's output of a sample is the *control* that its simulation reads: forces over time,
//! parameters, or a field. A simulator is one trait, [`Simulator`], of which only
//! [`record`](Simulator::record) must be written. Most users need less:
//!
//! - an ordinary differential equation: its right-hand side as [`Equations`], wrapped in
//!   [`RungeKutta4`], or in [`Sdirk3`] where it is stiff;
//! - any differentiable function of one sample: [`SampleFunction`], wrapped in [`Differentiated`].
//!
//! A simulation that a network steers at every time step is [`Stepwise`], as [`RungeKutta4`] is;
//! [`OpenLoop`] makes a simulator of any.
//!
//! Beside them stand the physics of the registered [`systems`](crate::systems): [`OscillatorChain`],
//! [`Laplacian`], [`Diffusion`], [`PlaneDiffusion`], [`Schroedinger`], [`Scaling`], [`CartPole`], [`Pendulum`], [`DampedChain`],
//! [`PeriodicField`], [`PeriodicFlow`] and [`ChannelFlow`].

mod banded;
mod cart_pole;
mod channel_flow;
pub mod check;
mod damped_chain;
mod diffusion;
mod dual;
mod effort;
mod equations;
mod exponential;
mod field_steps;
mod fourier;
mod function;
mod lanes;
mod laplacian;
mod linear_record;
mod open_loop;
mod oscillator_chain;
mod pendulum;
mod periodic_field;
mod periodic_flow;
mod picked;
mod plane_diffusion;
mod real;
mod recorded;
mod runge_kutta;
mod scaling;
mod schroedinger;
mod sdirk;
mod stepwise;

pub use cart_pole::{CartPole, Pole, Upright};
pub use channel_flow::ChannelFlow;
pub use damped_chain::{Chosen, DampedChain};
pub use diffusion::Diffusion;
pub use dual::Dual;
pub use effort::CountedEffort;
pub use equations::{Cotangent, Cotangents, Equations};
pub use exponential::{ANY_SCHEME, Scheme};
pub use field_steps::TimeSteps;
pub use function::{Differentiated, SampleFunction};
pub use lanes::Lanes;
pub use laplacian::Laplacian;
use linear_record::LinearRecord;
pub use open_loop::OpenLoop;
pub(crate) use open_loop::check_observed;
pub use oscillator_chain::{CubicSpring, LinearSpring, OscillatorChain, Spring};
pub use pendulum::{Direction, Pendulum};
pub use periodic_field::PeriodicField;
pub use periodic_flow::PeriodicFlow;
pub use picked::{Picked, Source};
pub use plane_diffusion::PlaneDiffusion;
pub use real::Real;
pub use runge_kutta::RungeKutta4;
pub use scaling::Scaling;
pub use schroedinger::{InfiniteWell, Schroedinger};
pub use sdirk::Sdirk3;
pub use stepwise::Stepwise;

use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};
use crate::linalg::{block_rows, stack, unstack};

/// Widths of what a simulator reads and returns, for one sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Widths {
    /// Length of the initial state (0 where the physics has none).
    pub state: usize,
    /// Length of the control, which is the network's output.
    pub control: usize,
    /// Length of y.
    pub output: usize,
}

/// A batch of independent simulations, differentiable in the control.
///
/// A simulation that cannot be done is an [`Error::External`](crate::Error::External), never a matrix
/// of NaN: it ends the training with its own words, and nothing that was trained is lost.
pub trait Simulator: Send + Sync {
    /// Widths of state, control and y.
    fn widths(&self) -> Widths;

    /// What messages call it.
    fn name(&self) -> String {
        "the physics".into()
    }

    /// Simulates a batch (samples × state, samples × control) and keeps what the derivatives at
    /// this point need.
    ///
    /// # Errors
    /// A simulation that fails.
    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>>;

    /// Simulates a batch without derivatives: y (samples × output).
    ///
    /// # Errors
    /// A simulation that fails.
    fn simulate(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(self.record(state, control)?.y().clone())
    }

    /// The most samples that an evaluation simulates at once; the default is a number whose values
    /// stay in the cache. A simulator with a price for each call asks for more.
    fn chunk(&self) -> usize {
        256
    }

    /// Whether its records' [`vjp`](Record::vjp) and [`jvp`](Record::jvp) cost about as much as a simulation
    /// each: a step that needs few products then asks for these in place of the rows.
    fn has_products(&self) -> bool {
        false
    }

    /// Controls that produce the given outputs (samples × output), where the system has an exact
    /// inverse; near the given controls where there are several.
    ///
    /// # Errors
    /// An inverse that fails.
    fn inverse(
        &self,
        _state: MatRef<'_, f64>,
        _control: MatRef<'_, f64>,
        _y: MatRef<'_, f64>,
    ) -> Result<Option<Mat<f64>>> {
        Ok(None)
    }
}

/// A simulated batch: y and products with the block-diagonal Jacobian ∂y/∂control at that point.
pub trait Record: Send + Sync {
    /// Output of the simulation (samples × output).
    fn y(&self) -> &Mat<f64>;

    /// (∂y/∂control)ᵀ · cotangent: samples × output → samples × control.
    ///
    /// # Errors
    /// A derivative that cannot be told; so do those of the other products.
    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>>;

    /// The same for several cotangents of each sample, stacked: row `k · samples + sample` is the k-th of
    /// that sample (k·samples × output → k·samples × control).
    ///
    /// The default asks for one [`vjp`](Self::vjp) after another.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn vjps(&self, cotangents: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let samples = self.y().nrows().max(1);
        let mut products: Option<Mat<f64>> = None;
        for first in (0..cotangents.nrows()).step_by(samples) {
            let block = self.vjp(cotangents.subrows(first, samples))?;
            products
                .get_or_insert_with(|| Mat::zeros(cotangents.nrows(), block.ncols()))
                .as_mut()
                .subrows_mut(first, samples)
                .copy_from(&block);
        }
        Ok(products.unwrap_or_else(|| Mat::zeros(0, 0)))
    }

    /// The rows ∂y_i/∂control, stacked: row `i · samples + sample` (samples·output × control).
    ///
    /// The default asks for one [`vjp`](Self::vjp) a component.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn rows(&self) -> Result<Mat<f64>> {
        let (samples, outputs) = (self.y().nrows(), self.y().ncols());
        let mut rows: Option<Mat<f64>> = None;
        for i in 0..outputs {
            let unit = Mat::from_fn(samples, outputs, |_, j| f64::from(i == j));
            let block = self.vjp(unit.as_ref())?;
            rows.get_or_insert_with(|| Mat::zeros(samples * outputs, block.ncols()))
                .as_mut()
                .subrows_mut(i * samples, samples)
                .copy_from(&block);
        }
        Ok(rows.unwrap_or_else(|| Mat::zeros(0, 0)))
    }

    /// (∂y/∂control) · tangent: samples × control → samples × output.
    ///
    /// The default multiplies by [`rows`](Self::rows).
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(rows_times(&self.rows()?, tangent))
    }
}

/// Transposed rows of a block-diagonal Jacobian (k·samples × width) times a batch (samples × k):
/// samples × width.
pub fn rows_transposed_times(rows: &Mat<f64>, batch: MatRef<'_, f64>) -> Mat<f64> {
    let (stacked, samples) = (stack(batch), batch.nrows());
    let mut result = Mat::zeros(samples, rows.ncols());
    block_rows::rows_transposed_times(rows.as_ref(), (&stacked, samples), result.as_mut());
    result
}

/// Rows of a block-diagonal Jacobian (k·samples × width) times a batch (samples × width):
/// samples × k.
pub fn rows_times(rows: &Mat<f64>, batch: MatRef<'_, f64>) -> Mat<f64> {
    let (samples, batch) = (batch.nrows(), batch.to_owned());
    let mut result = vec![0.0; rows.nrows()];
    block_rows::rows_times(rows.as_ref(), batch.as_ref(), (&mut result, samples));
    unstack(&result, samples)
}
