//! A Jacobian that is already there as a matrix.

use super::Jacobian;
use crate::error::Result;
use crate::linalg::{Mat, MatRef, Scratch, Symmetric, apply_into, product_in_blocks};
use faer::mat::AsMatRef;
use std::sync::OnceLock;

/// A Jacobian that is already there as a matrix, stored transposed (p × n): its own or a borrowed one.
#[derive(Debug, Clone)]
pub struct ExplicitJacobian<M = Mat<f64>> {
    transposed: M,
    /// K: a decomposition may ask for it twice.
    gram: OnceLock<Symmetric>,
}

impl ExplicitJacobian {
    /// From J (n × p).
    pub fn new(jacobian: &Mat<f64>) -> Self {
        Self::from_transposed(jacobian.transpose().to_owned())
    }
}

impl<'a> ExplicitJacobian<MatRef<'a, f64>> {
    /// From Jᵀ (p × n) where it lies.
    pub fn borrowed(transposed: MatRef<'a, f64>) -> Self {
        Self::from_transposed(transposed)
    }
}

impl<M> ExplicitJacobian<M> {
    /// From Jᵀ (p × n).
    pub fn from_transposed(transposed: M) -> Self {
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

    /// diag(factors)·J (factors: length n), a matrix of its own.
    #[must_use]
    pub fn with_scaled_rows(&self, factors: &[f64]) -> ExplicitJacobian {
        let mut scaled = self.view().to_owned();
        for (column, factor) in factors.iter().enumerate() {
            let column = scaled.col_as_slice_mut(column);
            column.iter_mut().for_each(|v| *v *= factor);
        }
        ExplicitJacobian::from_transposed(scaled)
    }
}

impl<M: AsMatRef<T = f64, Rows = usize, Cols = usize> + Send + Sync> Jacobian
    for ExplicitJacobian<M>
{
    fn rows(&self) -> usize {
        self.view().ncols()
    }
    fn columns(&self) -> usize {
        self.view().nrows()
    }
    fn vjp_into(&self, w: &[f64], target: &mut [f64], _: &mut Scratch) -> Result<()> {
        apply_into(self.view(), w, target);
        Ok(())
    }
    fn jvp_into(&self, v: &[f64], target: &mut [f64], _: &mut Scratch) -> Result<()> {
        apply_into(self.view().transpose(), v, target);
        Ok(())
    }
    fn gram(&self) -> Result<Symmetric> {
        let form = || Symmetric::square(self.view().transpose());
        Ok(self.gram.get_or_init(form).clone())
    }
    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        let images = product_in_blocks(self.view(), w);
        Ok(Symmetric::square(images.transpose()))
    }
    fn normal(&self) -> Result<Symmetric> {
        Ok(Symmetric::square(self.view()))
    }
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        let images = product_in_blocks(self.view().transpose(), v);
        Ok(Symmetric::square(images.transpose()))
    }
    fn transposed(&self) -> Result<Mat<f64>> {
        Ok(self.view().to_owned())
    }
    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        Ok(Box::new(self.with_scaled_rows(factors)))
    }
}
