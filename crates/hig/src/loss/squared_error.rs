//! Weighted squared differences.

use super::Loss;
use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, MatRef};

/// factor · Σ_i weight_i·(y_i - ŷ_i)² of a sample.
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
    fn check(&self, outputs: usize) -> Result<()> {
        if self.weights.is_empty() || self.weights.len() == outputs {
            return Ok(());
        }
        Err(Error::Shape {
            what: "loss weights".into(),
            found: format!("length {}", self.weights.len()),
            expected: format!("length {outputs} (one for each component of y)"),
        })
    }

    fn values(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Vec<f64> {
        let mut losses = vec![0.0; y.nrows()];
        for j in 0..y.ncols() {
            let scale = self.factor * self.weight(j);
            let pairs = y.col(j).iter().zip(target.col(j).iter());
            for (loss, (a, b)) in losses.iter_mut().zip(pairs) {
                *loss += scale * ((a - b) * (a - b));
            }
        }
        losses
    }

    fn cotangents(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        Mat::from_fn(y.nrows(), y.ncols(), |i, j| {
            2.0 * self.factor * self.weight(j) * (y[(i, j)] - target[(i, j)])
        })
    }

    fn newton(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        Mat::from_fn(y.nrows(), y.ncols(), |i, j| target[(i, j)] - y[(i, j)])
    }

    fn curvature(&self, y: MatRef<'_, f64>, _: MatRef<'_, f64>) -> Mat<f64> {
        Mat::from_fn(y.nrows(), y.ncols(), |_, j| {
            2.0 * self.factor * self.weight(j)
        })
    }
}
