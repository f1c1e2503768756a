//! The thin singular value decomposition of a whole J: the reference of every faster route.

use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, power_of_two};
use faer::Par;
use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::svd;

/// J = U·Σ·Vᵀ, of the smaller side's size.
pub(super) struct ThinSvd {
    pub(super) sigma: Vec<f64>,
    pub(super) u: Mat<f64>,
    pub(super) v: Mat<f64>,
}

impl ThinSvd {
    /// From Jᵀ.
    pub(super) fn new(transposed: &Mat<f64>) -> Result<Self> {
        let (p, n) = (transposed.nrows(), transposed.ncols());
        let size = n.min(p);
        let thin = svd::ComputeSvdVectors::Thin;
        let mut memory = MemBuffer::new(svd::svd_scratch::<f64>(
            p,
            n,
            thin,
            thin,
            Par::Seq,
            Default::default(),
        ));
        // Far from 1 the squares inside the iteration would overflow or vanish.
        let scale = power_of_two(transposed.norm_max());
        let scaled = faer::Scale(1.0 / scale) * transposed;
        let mut sigma = Diag::zeros(size);
        let (mut v, mut u) = (Mat::zeros(p, size), Mat::zeros(n, size));
        let failed = |reason: &str| Error::Decomposition {
            matrix: "Jacobian",
            size: n,
            reason: reason.into(),
        };
        if !transposed.is_all_finite() {
            return Err(failed("it is not finite; try a smaller learning rate"));
        }
        svd::svd(
            scaled.as_ref(),
            sigma.as_mut(),
            Some(v.as_mut()),
            Some(u.as_mut()),
            Par::Seq,
            MemStack::new(&mut memory),
            Default::default(),
        )
        .map_err(|_| failed("the singular value iteration did not converge"))?;
        let spectrum = sigma.column_vector().iter().map(|s| s * scale).collect();
        Ok(Self {
            sigma: spectrum,
            u,
            v,
        })
    }
}
