//! Eigendecomposition of a symmetric matrix, safe at every scale.

use crate::error::{Error, Result};
use crate::matrix::Mat;
use faer::Par;
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd;

/// A symmetric matrix divided by a power of two that brings its entries to about 1: far from there
/// the squares inside an iteration would overflow or vanish.
pub(super) struct Scaled {
    /// The scaled matrix; only the lower half is meant.
    pub(super) matrix: Mat<f64>,
    /// What to multiply eigenvalues by.
    pub(super) scale: f64,
}

/// Scales a symmetric matrix, of which the lower half is read; refuses what is not finite.
pub(super) fn scaled(gram: &Mat<f64>, name: &'static str) -> Result<Scaled> {
    let n = gram.nrows();
    let finite = (0..n).all(|j| gram.col_as_slice(j)[j..].iter().all(|v| v.is_finite()));
    if !finite {
        return Err(Error::Decomposition {
            matrix: name,
            size: n,
            reason: "it is not finite; try a smaller learning rate".into(),
        });
    }
    let largest = (0..n).fold(0.0_f64, |m, i| m.max(gram[(i, i)].abs()));
    let scale = power_of_two(largest);
    Ok(Scaled {
        matrix: faer::Scale(1.0 / scale) * gram,
        scale,
    })
}

/// Eigenvalues (descending) and vectors of a symmetric matrix, of which the lower half is read.
pub(super) fn eigen(gram: &Mat<f64>, name: &'static str) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = gram.nrows();
    let Scaled { matrix, scale } = scaled(gram, name)?;
    let mut lambda = Diag::zeros(n);
    let mut vectors = Mat::zeros(n, n);
    let mut memory = MemBuffer::new(evd::self_adjoint_evd_scratch::<f64>(
        n,
        evd::ComputeEigenvectors::Yes,
        Par::Seq,
        Default::default(),
    ));
    evd::self_adjoint_evd(
        matrix.as_ref(),
        lambda.as_mut(),
        Some(vectors.as_mut()),
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    )
    .map_err(|_| Error::Decomposition {
        matrix: name,
        size: n,
        reason: "the eigenvalue iteration did not converge".into(),
    })?;
    let descending = lambda.column_vector().iter().rev().map(|l| l * scale);
    let vectors = vectors.as_ref().reverse_cols().to_owned();
    Ok((descending.collect(), vectors))
}

/// The power of two nearest to a number, by which scaling is exact; 1 where there is none.
pub(super) fn power_of_two(value: f64) -> f64 {
    if value > 0.0 && value.is_finite() {
        value.log2().round().clamp(-1000.0, 1000.0).exp2()
    } else {
        1.0
    }
}
