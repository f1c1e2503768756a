//! What the physics output is judged by.

mod infidelity;
mod squared_error;

pub use infidelity::Infidelity;
pub use squared_error::SquaredError;

use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};

/// A loss of a batch: the mean over samples of a function of y and the target ŷ.
///
/// The gradient in y is all that a step needs.
pub trait Loss: Send + Sync {
    /// Mean loss of the batch.
    fn value(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> f64;

    /// Checks that the loss fits a y of the given width.
    ///
    /// # Errors
    /// Weights or the like for another width.
    fn check(&self, _outputs: usize) -> Result<()> {
        Ok(())
    }

    /// ∂(mean loss)/∂y (samples × dim(y)).
    fn cotangent(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64>;

    /// How far to move each sample's y for the best it can have by this loss's own curvature: the
    /// Newton step in y. The default is the negative gradient of each sample's loss, for losses of
    /// unit curvature.
    fn newton(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        let samples = y.nrows() as f64;
        let mut step = self.cotangent(y, target);
        for j in 0..step.ncols() {
            for v in step.col_as_slice_mut(j) {
                *v *= -samples;
            }
        }
        step
    }

    /// What stands for the diagonal of ∂²(mean loss)/∂y² in a Gauss-Newton model (samples × dim(y)),
    /// all above 0. The default is that of losses of unit curvature.
    fn curvature(&self, y: MatRef<'_, f64>, _target: MatRef<'_, f64>) -> Mat<f64> {
        Mat::full(y.nrows(), y.ncols(), 1.0 / y.nrows() as f64)
    }
}
