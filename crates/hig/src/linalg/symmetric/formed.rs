//! All eigenvectors of a symmetric matrix, formed.

use super::scaled::bring_to_one;
use crate::error::{Error, Result};
use crate::linalg::matrix::Mat;
use faer::Par;
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd;

/// Eigenvalues (descending) and vectors of a symmetric matrix, of which the lower half is read.
pub(crate) fn eigen(mut gram: Mat<f64>, name: &'static str) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = gram.nrows();
    let scale = bring_to_one(&mut gram, name)?;
    let mut lambda = Diag::zeros(n);
    let mut vectors = Mat::zeros(n, n);
    let mut memory = MemBuffer::new(evd::self_adjoint_evd_scratch::<f64>(
        n,
        evd::ComputeEigenvectors::Yes,
        Par::Seq,
        Default::default(),
    ));
    evd::self_adjoint_evd(
        gram.as_ref(),
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
