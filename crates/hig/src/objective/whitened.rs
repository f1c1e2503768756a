//! A batch in the units of its loss: A = √C·J and r = g/√C, with C the loss's
//! [curvature](super::Linearized::curvature) in y.
//!
//! The squared singular values of A are the eigenvalues of the Gauss-Newton matrix Jᵀ·C·J, and Aᵀ·r
//! is the gradient: a Gauss-Newton step of A and r has the length 1 whatever the batch size and the
//! weights of a squared loss.

use super::linearized::check_finite_rows;
use super::{Jacobian, Linearized};
use crate::error::Result;
use crate::linalg::norm;

/// A, and r (length n).
///
/// # Errors
/// r is not finite: g is not, or the curvature of the loss is not above 0; a simulator that fails.
pub fn whitened<'a>(at: &'a dyn Linearized) -> Result<(Box<dyn Jacobian + 'a>, Vec<f64>)> {
    let (roots, residual) = residual(at)?;
    Ok((at.scaled_rows(&roots)?, residual))
}

/// √C, and r (both of length n).
///
/// # Errors
/// As [`whitened`].
pub fn residual(at: &dyn Linearized) -> Result<(Vec<f64>, Vec<f64>)> {
    let roots = curvature_roots(at)?;
    let pairs = at.cotangent().iter().zip(&roots);
    let residual: Vec<f64> = pairs.map(|(g, root)| g / root).collect();
    let what = "gradient in y over the root of the curvature";
    check_finite_rows(what, &residual, at.samples())?;
    Ok((roots, residual))
}

/// √C (length n).
///
/// # Errors
/// A loss that cannot tell its curvature.
pub(crate) fn curvature_roots(at: &dyn Linearized) -> Result<Vec<f64>> {
    Ok(at.curvature()?.into_iter().map(f64::sqrt).collect())
}

/// The scale of the largest σ², from below, before anything is decomposed: the Rayleigh quotient of r,
/// given Aᵀ·r.
pub fn rayleigh(gradient: &[f64], residual: &[f64]) -> f64 {
    (norm(gradient) / norm(residual)).powi(2)
}
