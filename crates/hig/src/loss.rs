//! What the physics output is judged by.

use crate::error::{Error, Result};
use crate::matrix::{Mat, MatRef};

/// A loss of a batch: the mean over samples of a function of y and the target ŷ.
///
/// The gradient in y is all that a step needs.
pub trait Loss: Send + Sync {
    /// Mean loss of the batch.
    fn value(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> f64;

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
}

/// factor · Σ_i weight_i·(y_i - ŷ_i)², averaged over the batch.
#[derive(Debug, Clone, PartialEq)]
pub struct SquaredError {
    factor: f64,
    weights: Vec<f64>,
}

impl SquaredError {
    /// Σ (y - ŷ)².
    pub fn sum() -> Self {
        Self {
            factor: 1.0,
            weights: Vec::new(),
        }
    }

    /// ½ Σ (y - ŷ)².
    pub fn half() -> Self {
        Self {
            factor: 0.5,
            weights: Vec::new(),
        }
    }

    /// The same with a weight for each component of y.
    ///
    /// # Errors
    /// A weight that is not a positive number.
    pub fn weighted(mut self, weights: Vec<f64>) -> Result<Self> {
        if let Some(w) = weights.iter().find(|w| !(w.is_finite() && **w > 0.0)) {
            return Err(Error::setting("weights", w, "finite numbers above 0"));
        }
        self.weights = weights;
        Ok(self)
    }

    fn weight(&self, component: usize) -> f64 {
        self.weights.get(component).copied().unwrap_or(1.0)
    }
}

impl Loss for SquaredError {
    fn value(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> f64 {
        let mut sum = 0.0;
        for j in 0..y.ncols() {
            let squares = y.col(j).iter().zip(target.col(j).iter());
            sum += self.weight(j) * squares.map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        }
        self.factor * sum / y.nrows() as f64
    }

    fn cotangent(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        let scale = 2.0 * self.factor / y.nrows() as f64;
        Mat::from_fn(y.nrows(), y.ncols(), |i, j| {
            scale * self.weight(j) * (y[(i, j)] - target[(i, j)])
        })
    }

    fn newton(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        Mat::from_fn(y.nrows(), y.ncols(), |i, j| target[(i, j)] - y[(i, j)])
    }
}
