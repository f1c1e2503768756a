//! What the physics output is judged by.

mod infidelity;
mod squared_error;

pub use infidelity::Infidelity;
pub use squared_error::SquaredError;

use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};

/// A loss of single samples: a function of a sample's y and its target ŷ. How the samples of a batch
/// count is the [`Reduction`](crate::objective::Reduction)'s.
///
/// All matrices are samples × dim(y).
pub trait Loss: Send + Sync {
    /// The loss of each sample.
    fn values(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Vec<f64>;

    /// Checks that the loss fits a y of the given width.
    ///
    /// # Errors
    /// Weights or the like for another width.
    fn check(&self, _outputs: usize) -> Result<()> {
        Ok(())
    }

    /// ∂(loss of a sample)/∂y of that sample.
    fn cotangents(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64>;

    /// How far to move each sample's y for the best it can have by this loss's own curvature: the
    /// Newton step in y. The default is the negative gradient, for losses of unit curvature.
    fn newton(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        -self.cotangents(y, target)
    }

    /// What stands for the diagonal of ∂²(loss of a sample)/∂y² in a Gauss-Newton model, all above 0.
    /// The default is that of losses of unit curvature.
    fn curvature(&self, y: MatRef<'_, f64>, _target: MatRef<'_, f64>) -> Mat<f64> {
        Mat::full(y.nrows(), y.ncols(), 1.0)
    }
}
