//! All eigenvectors of a symmetric matrix, formed, and a step of the iteration towards them.

use super::scaled::bring_to_one;
use crate::error::{Error, Result};
use crate::linalg::matrix::Mat;
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::qr::no_pivoting;
use faer::linalg::{evd, householder};
use faer::{Conj, Par};

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

/// An orthonormal basis of the columns of a square matrix, the Q of its QR decomposition.
pub(crate) fn orthonormal(mut matrix: Mat<f64>) -> Mat<f64> {
    let n = matrix.nrows();
    let block = no_pivoting::factor::recommended_block_size::<f64>(n, n);
    let mut factor = Mat::zeros(block, n);
    let mut memory = MemBuffer::new(no_pivoting::factor::qr_in_place_scratch::<f64>(
        n,
        n,
        block,
        Par::Seq,
        Default::default(),
    ));
    no_pivoting::factor::qr_in_place(
        matrix.as_mut(),
        factor.as_mut(),
        Par::Seq,
        MemStack::new(&mut memory),
        Default::default(),
    );
    let mut basis = Mat::identity(n, n);
    let mut memory = MemBuffer::new(
        householder::apply_block_householder_sequence_on_the_left_in_place_scratch::<f64>(
            n, block, n,
        ),
    );
    householder::apply_block_householder_sequence_on_the_left_in_place_with_conj(
        matrix.as_ref(),
        factor.as_ref(),
        Conj::No,
        basis.as_mut(),
        Par::Seq,
        MemStack::new(&mut memory),
    );
    basis
}
