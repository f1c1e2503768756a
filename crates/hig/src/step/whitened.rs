//! A batch in the units of its loss: A = √C·J and r = g/√C, with C the loss's
//! [`curvature`](crate::loss::Loss::curvature) in y.
//!
//! The squared singular values of A are the eigenvalues of the Gauss-Newton matrix Jᵀ·C·J, and Aᵀ·r
//! is the gradient: a Gauss-Newton step of A and r has the length 1 whatever the batch size and the
//! weights of a squared loss.

use crate::error::Result;
use crate::linalg::matrix::{self, norm};
use crate::objective::Linearization;

/// A, as a linearization, and r.
///
/// # Errors
/// r is not finite: g is not, or the curvature of the loss is not above 0.
pub fn whitened<'a>(at: &Linearization<'a>) -> Result<(Linearization<'a>, Vec<f64>)> {
    let target = at.batch().target.as_ref();
    let curvature = at.model().loss.curvature(at.y().as_ref(), target);
    let reduction = at.model().reduction.scale(at.batch().len());
    let curvature = matrix::stack(curvature.as_ref()).into_iter();
    let roots: Vec<f64> = curvature.map(|c| (reduction * c).sqrt()).collect();
    let pairs = at.cotangent().into_iter().zip(&roots);
    let cotangent: Vec<f64> = pairs.map(|(g, root)| g / root).collect();
    matrix::check_finite_vector("gradient in y over the root of the curvature", &cotangent)?;
    Ok((at.with_scaled_rows(&roots), cotangent))
}

/// The scale of the largest σ², from below, before anything is decomposed: the Rayleigh quotient of r,
/// given Aᵀ·r.
pub fn rayleigh(gradient: &[f64], residual: &[f64]) -> f64 {
    (norm(gradient) / norm(residual)).powi(2)
}
