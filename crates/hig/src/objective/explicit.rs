//! A Jacobian that is already there as a matrix.

use super::Jacobian;
use crate::linalg::Symmetric;
use crate::linalg::matrix::{self, Mat, MatRef};
use faer::mat::AsMatRef;
use std::sync::OnceLock;

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
            let mut sum = Symmetric::zeros(self.rows());
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
    let mut sum = Symmetric::zeros(f.nrows());
    sum.add(f);
    sum.complete()
}
