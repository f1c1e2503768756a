//! The record of a map that is linear and symmetric, and so its own derivative everywhere.

use super::Record;
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};

/// A batch of y = A·control with A = Aᵀ.
pub struct LinearRecord<F> {
    y: Mat<f64>,
    apply: F,
}

impl<F: Fn(MatRef<'_, f64>) -> Mat<f64> + Send + Sync> LinearRecord<F> {
    /// Of controls (samples × width), by the map that takes a batch of rows to A times each.
    pub fn symmetric(control: MatRef<'_, f64>, apply: F) -> Self {
        let y = apply(control);
        Self { y, apply }
    }
}

impl<F: Fn(MatRef<'_, f64>) -> Mat<f64> + Send + Sync> Record for LinearRecord<F> {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok((self.apply)(cotangent))
    }

    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok((self.apply)(tangent))
    }

    fn rows(&self) -> Result<Mat<f64>> {
        let (samples, width) = (self.y.nrows(), self.y.ncols());
        let one_sample = (self.apply)(Mat::<f64>::identity(width, width).as_ref());
        Ok(Mat::from_fn(samples * width, width, |r, j| {
            one_sample[(r / samples, j)]
        }))
    }
}
