//! J as a spectral step sees it, wherever it comes from.

use crate::linalg::matrix::{Mat, MatRef};

/// A Jacobian J (n × p) that can be multiplied, and condensed or formed on request.
pub trait Jacobian: Sync {
    /// n.
    fn rows(&self) -> usize;
    /// p.
    fn columns(&self) -> usize;
    /// Jᵀ·w (length n → p).
    fn vjp(&self, w: &[f64]) -> Vec<f64>;
    /// J·v (length p → n).
    fn jvp(&self, v: &[f64]) -> Vec<f64>;
    /// K·w = J·Jᵀ·w (length n → n).
    fn gram_times(&self, w: &[f64]) -> Vec<f64> {
        self.jvp(&self.vjp(w))
    }
    /// The lower half of K = J·Jᵀ (n × n); what stands above it does not count.
    fn gram(&self) -> Mat<f64>;
    /// (JᵀW)ᵀ·(JᵀW) for k vectors side by side (n × k → k × k). The images JᵀW are formed before
    /// they are multiplied with each other, so that what cancels in them cancels before it is squared.
    fn image_gram(&self, w: MatRef<'_, f64>) -> Mat<f64>;
    /// The lower half of JᵀJ (p × p).
    fn normal(&self) -> Mat<f64>;
    /// (JV)ᵀ·(JV) for k directions side by side (p × k → k × k), the images JV formed first.
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Mat<f64>;
    /// Jᵀ (p × n): what the SVD needs, and nothing else.
    fn transposed(&self) -> Mat<f64>;
    /// J divided by a power of two, so that squares of its numbers neither overflow nor vanish; none
    /// where that is not offered, which is the default.
    fn divided_by(&self, _unit: f64) -> Option<Box<dyn Jacobian + '_>> {
        None
    }
}
