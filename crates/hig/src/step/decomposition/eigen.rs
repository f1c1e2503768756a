//! Eigendecomposition of a symmetric matrix, safe at every scale.

use crate::error::{Error, Result};
use crate::matrix::Mat;
use faer::Par;
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd;

/// Eigenvalues (descending) and vectors of a symmetric matrix, of which the lower half is read.
pub(super) fn eigen(mut gram: Mat<f64>, name: &'static str) -> Result<(Vec<f64>, Mat<f64>)> {
    let n = gram.nrows();
    let failed = |reason: &str| Error::Decomposition {
        matrix: name,
        size: n,
        reason: reason.into(),
    };
    let largest = (0..n).fold(0.0_f64, |m, i| match gram[(i, i)].abs() {
        value if value.is_nan() => f64::NAN,
        value => m.max(value),
    });
    let finite = (0..n).all(|j| gram.col_as_slice(j)[j..].iter().all(|v| v.is_finite()));
    if !finite {
        return Err(failed("it is not finite; try a smaller learning rate"));
    }
    if largest == 0.0 {
        return Ok((vec![0.0; n], Mat::identity(n, n)));
    }
    // Far from 1 the squares inside the iteration would overflow or vanish.
    let scale = power_of_two(largest);
    for j in 0..n {
        for v in &mut gram.col_as_slice_mut(j)[j..] {
            *v /= scale;
        }
    }
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
    .map_err(|_| failed("the eigenvalue iteration did not converge"))?;
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
