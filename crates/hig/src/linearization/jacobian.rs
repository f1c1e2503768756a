//! J as a spectral step sees it, wherever it comes from.

use super::Linearization;
use super::gram::Sum;
use crate::matrix::{self, Mat, MatRef};
use faer::mat::AsMatRef;
use std::sync::OnceLock;

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
    fn divided_by(&self, unit: f64) -> Option<Box<dyn Jacobian + '_>> {
        let factors = vec![1.0 / unit; self.rows()];
        Some(Box::new(self.with_scaled_rows(&factors)))
    }
}

/// A Jacobian that is already there as a matrix, stored transposed (p × n): its own or a borrowed one.
#[derive(Debug, Clone)]
pub struct ExplicitJacobian<M = Mat<f64>> {
    transposed: M,
    /// The lower half of K: a decomposition may ask for it twice.
    gram: OnceLock<Mat<f64>>,
}

impl ExplicitJacobian {
    /// From J (n × p).
    pub fn new(jacobian: &Mat<f64>) -> Self {
        Self {
            transposed: jacobian.transpose().to_owned(),
            gram: OnceLock::new(),
        }
    }
}

impl<'a> ExplicitJacobian<MatRef<'a, f64>> {
    /// From Jᵀ (p × n) where it lies.
    pub fn borrowed(transposed: MatRef<'a, f64>) -> Self {
        Self {
            transposed,
            gram: OnceLock::new(),
        }
    }
}

impl<M: AsMatRef<T = f64, Rows = usize, Cols = usize>> ExplicitJacobian<M> {
    fn view(&self) -> MatRef<'_, f64> {
        self.transposed.as_mat_ref().as_dyn_stride()
    }
}

impl<M: AsMatRef<T = f64, Rows = usize, Cols = usize> + Sync> Jacobian for ExplicitJacobian<M> {
    fn rows(&self) -> usize {
        self.view().ncols()
    }
    fn columns(&self) -> usize {
        self.view().nrows()
    }
    fn vjp(&self, w: &[f64]) -> Vec<f64> {
        matrix::apply(self.view(), w)
    }
    fn jvp(&self, v: &[f64]) -> Vec<f64> {
        matrix::apply_transposed(self.view(), v)
    }
    fn gram(&self) -> Mat<f64> {
        let form = || {
            let mut sum = Sum::zeros(self.rows());
            sum.add(self.view().transpose());
            sum.lower()
        };
        self.gram.get_or_init(form).clone()
    }
    fn image_gram(&self, w: MatRef<'_, f64>) -> Mat<f64> {
        let images = matrix::product_in_blocks(self.view(), w);
        square(images.transpose())
    }
    fn normal(&self) -> Mat<f64> {
        square(self.view())
    }
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Mat<f64> {
        let images = matrix::product_in_blocks(self.view().transpose(), v);
        square(images.transpose())
    }
    fn transposed(&self) -> Mat<f64> {
        self.view().to_owned()
    }
    fn divided_by(&self, unit: f64) -> Option<Box<dyn Jacobian + '_>> {
        Some(Box::new(ExplicitJacobian {
            transposed: faer::Scale(1.0 / unit) * self.view(),
            gram: OnceLock::new(),
        }))
    }
}

/// F·Fᵀ.
fn square(f: MatRef<'_, f64>) -> Mat<f64> {
    let mut sum = Sum::zeros(f.nrows());
    sum.add(f);
    sum.complete()
}
