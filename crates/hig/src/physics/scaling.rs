//! Two outputs of different sensitivity, the physics of the toy problem.

use super::{Real, SampleFunction, Widths};

/// y = (o₁, λ·o₂).
#[derive(Debug, Clone, Copy)]
pub struct Scaling {
    /// λ.
    pub lambda: f64,
}

impl SampleFunction for Scaling {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: 2,
            output: 2,
        }
    }

    fn evaluate<T: Real>(&self, _: &[f64], control: &[T], y: &mut [T]) {
        y[0] = control[0];
        y[1] = control[1] * self.lambda;
    }

    fn inverse(&self, _: &[f64], y: &[f64]) -> Option<Vec<f64>> {
        Some(vec![y[0], y[1] / self.lambda])
    }
}
