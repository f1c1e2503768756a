//! What a layer must be able to do.
//!
//! *Rows* are cotangents of the layer's output: k for each of the b samples, stacked as k·b rows,
//! row `component · b + sample`. One backward pass has k = 1; the rows of a physics Jacobian have
//! k = dim(y).

use super::Activation;
use crate::matrix::{Mat, MatMut, MatRef};

/// One layer of a [`Network`](super::Network): a map of batches (samples × width), with parameters.
pub trait Layer: std::fmt::Debug + Send + Sync {
    /// Width of the output for a given width of the input.
    fn outputs(&self, inputs: usize) -> usize;

    /// Names and shapes of the parameter arrays, in their order in the flat vector; row-major.
    fn parameters(&self) -> Vec<(&'static str, Vec<usize>)> {
        Vec::new()
    }

    /// Output of a batch.
    fn forward(&self, parameters: &[f64], input: MatRef<'_, f64>) -> Mat<f64>;

    /// Takes rows of output cotangents to rows of input cotangents.
    fn backward(
        &self,
        parameters: &[f64],
        input: &Mat<f64>,
        output: &Mat<f64>,
        rows: &Mat<f64>,
    ) -> Mat<f64>;

    /// Takes tangents of parameters and input (none: zero) to the tangent of the output.
    fn jvp(
        &self,
        parameters: &[f64],
        direction: &[f64],
        input: &Mat<f64>,
        output: &Mat<f64>,
        tangent: Option<Mat<f64>>,
    ) -> Option<Mat<f64>>;

    /// Writes the parameter gradients of k·b rows, summed over the samples: this layer's parameters
    /// × k, one contiguous column for each component.
    fn write_gradients(&self, input: &Mat<f64>, rows: &Mat<f64>, target: MatMut<'_, f64>);

    /// This layer's part of K = J·Jᵀ; none for a layer without parameters.
    fn gram_factor(&self, input: &Mat<f64>, rows: &Mat<f64>) -> Option<GramFactor>;

    /// Writes this layer's part of Jᵀ (its parameters × rows), one contiguous column for each row.
    fn write_jacobian(&self, input: &Mat<f64>, rows: &Mat<f64>, target: MatMut<'_, f64>);

    /// The nonlinearity, where the layer is one (for diagnostics of saturation).
    fn activation(&self) -> Option<Activation> {
        None
    }
}

/// A layer's part of the Gram matrix, (Δ·Δᵀ) ∘ (mask of the samples), never multiplied out.
#[derive(Debug, Clone)]
pub struct GramFactor {
    /// Δ: rows of output cotangents (k·b × width).
    pub rows: Mat<f64>,
    /// b × b: A·Aᵀ + 1 for a dense layer with inputs A.
    pub mask: Mat<f64>,
}
