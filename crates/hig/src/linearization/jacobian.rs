//! J as a spectral step sees it, wherever it comes from.

use super::Linearization;
use crate::matrix::{self, Mat, MatRef};

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
}

impl Jacobian for Linearization<'_> {
    fn rows(&self) -> usize {
        Linearization::rows(self)
    }
    fn columns(&self) -> usize {
        Linearization::columns(self)
    }
    fn vjp(&self, w: &[f64]) -> Vec<f64> {
        Linearization::vjp(self, w)
    }
    fn jvp(&self, v: &[f64]) -> Vec<f64> {
        Linearization::jvp(self, v)
    }
    fn gram_times(&self, w: &[f64]) -> Vec<f64> {
        // Whoever asks will ask again: then rows are cheaper than simulations.
        self.physics_rows();
        self.jvp(&self.vjp(w))
    }
    fn gram(&self) -> Mat<f64> {
        self.gram_sum().lower()
    }
    fn image_gram(&self, w: MatRef<'_, f64>) -> Mat<f64> {
        Linearization::image_gram(self, w)
    }
    fn normal(&self) -> Mat<f64> {
        Linearization::normal(self)
    }
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Mat<f64> {
        Linearization::normal_image_gram(self, v)
    }
    fn transposed(&self) -> Mat<f64> {
        self.transposed_jacobian()
    }
}

/// A Jacobian that is already there as a matrix, stored transposed (p × n).
#[derive(Debug, Clone)]
pub struct ExplicitJacobian {
    transposed: Mat<f64>,
}

impl ExplicitJacobian {
    /// From J (n × p).
    pub fn new(jacobian: &Mat<f64>) -> Self {
        Self {
            transposed: jacobian.transpose().to_owned(),
        }
    }
}

impl Jacobian for ExplicitJacobian {
    fn rows(&self) -> usize {
        self.transposed.ncols()
    }
    fn columns(&self) -> usize {
        self.transposed.nrows()
    }
    fn vjp(&self, w: &[f64]) -> Vec<f64> {
        matrix::apply(self.transposed.as_ref(), w)
    }
    fn jvp(&self, v: &[f64]) -> Vec<f64> {
        matrix::apply_transposed(self.transposed.as_ref(), v)
    }
    fn gram(&self) -> Mat<f64> {
        matrix::product(self.transposed.transpose(), self.transposed.as_ref())
    }
    fn image_gram(&self, w: MatRef<'_, f64>) -> Mat<f64> {
        let images = matrix::product(self.transposed.as_ref(), w);
        matrix::product(images.transpose(), images.as_ref())
    }
    fn normal(&self) -> Mat<f64> {
        matrix::product(self.transposed.as_ref(), self.transposed.transpose())
    }
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Mat<f64> {
        let images = matrix::product(self.transposed.transpose(), v);
        matrix::product(images.transpose(), images.as_ref())
    }
    fn transposed(&self) -> Mat<f64> {
        self.transposed.clone()
    }
}
