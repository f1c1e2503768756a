//! Decompositions for those who have K but no J, and the filtered inverse of a whole J.

use super::Filter;
use super::Route;
use super::decomposition::{Basis, Spectrum};
use super::deflation::{Floor, resolve};
use super::svd::ThinSvd;
use crate::error::{Error, Result};
use crate::linalg::Symmetric;
use crate::linalg::matrix::{self, Mat, MatRef};
use crate::objective::Jacobian;
use crate::threads::in_pool;

impl Spectrum {
    /// Decomposes K = J·Jᵀ (n × n, symmetric) for a given g (length n), without J.
    ///
    /// Then [`sample_weights`](Self::sample_weights) gives the c of a step Jᵀ·c. Nothing can be won
    /// back from K alone: a singular value below 6e-8 of the largest is lost in rounding and counts
    /// as 0, and the relative error of a step at the cut-off τ is about 2e-16/τ².
    ///
    /// ```
    /// use hig::linalg::Mat;
    /// use hig::spectral::{Filter, Spectrum};
    /// // K of J = diag(4, 1), g = (1, 1).
    /// let k = Mat::from_fn(2, 2, |i, j| [[16., 0.], [0., 1.]][i][j]);
    /// let half = Filter::truncated(0.5, 1e-6);
    /// let parts = Spectrum::of_gram(&k, &[1.0, 1.0], &half)?;
    /// let c = parts.sample_weights(&half).unwrap();
    /// assert!((c[0] - 0.125).abs() < 1e-12 && (c[1] - 1.0).abs() < 1e-12);
    /// # Ok::<(), hig::Error>(())
    /// ```
    ///
    /// # Errors
    /// K is not square, not finite, or not symmetric by more than single precision rounds; g has another
    /// length; the iteration did not converge.
    pub fn of_gram(gram: &Mat<f64>, g: &[f64], filter: &Filter) -> Result<Self> {
        let n = gram.nrows();
        let check = |what: &str, found: String, right: bool, expected: String| match right {
            true => Ok(()),
            false => Err(Error::Shape {
                what: what.into(),
                found,
                expected,
            }),
        };
        let shape = format!("{n} x {}", gram.ncols());
        check("Gram matrix", shape, gram.ncols() == n, "n x n".into())?;
        let length = format!("length {}", g.len());
        check("gradient", length, g.len() == n, format!("length {n}"))?;
        check_symmetric(gram)?;
        // An infinite relative error is allowed, so that no image is ever asked for.
        let floor = Floor::new(filter, 1.0, f64::INFINITY);
        let images = |u: MatRef<'_, f64>| {
            Symmetric::from_lower(matrix::product(u.transpose(), (gram * u).as_ref()))
        };
        let given = || Symmetric::from_lower(gram.clone());
        let (mut sigma, u) = in_pool(|| resolve(&given, "Gram matrix", floor, &images))?;
        let lost = sigma.first().map_or(0.0, |top| Floor::lost(*top));
        for sigma in sigma.iter_mut().filter(|sigma| **sigma <= lost) {
            *sigma = 0.0;
        }
        Ok(Self {
            route: Route::Gram,
            unit: 1.0,
            sigma,
            coefficients: u.project(g),
            basis: Basis::Left(u),
        })
    }
}

/// Refuses a K of which the two halves differ by more than rounding, which may be that of single precision;
/// only one of them would be read.
fn check_symmetric(gram: &Mat<f64>) -> Result<()> {
    const ROUNDING: f64 = 1e-4;
    let n = gram.nrows();
    let refused = |reason: String| {
        Err(Error::Decomposition {
            matrix: "Gram matrix",
            size: n,
            reason,
        })
    };
    if let Err(error) = matrix::check_finite("Gram matrix", gram) {
        return refused(error.to_string());
    }
    let (mut largest, mut difference, mut place) = (0.0_f64, 0.0, (0, 0));
    for j in 0..n {
        for i in j..n {
            let (lower, upper) = (gram[(i, j)], gram[(j, i)]);
            largest = largest.max(lower.abs()).max(upper.abs());
            if (lower - upper).abs() > difference {
                (difference, place) = ((lower - upper).abs(), (i, j));
            }
        }
    }
    if difference <= ROUNDING * largest {
        return Ok(());
    }
    let (i, j) = place;
    let (lower, upper) = (gram[(i, j)], gram[(j, i)]);
    refused(format!(
        "it is not symmetric: it is {lower} at row {i}, column {j}, and {upper} at row {j}, column {i}; \
         expected K = J·Jᵀ"
    ))
}

/// V·f(Σ)·Uᵀ (p × n): J⁺ for the exponent 1, the half-inverse of J for 1/2 (arXiv 2203.10131,
/// equation 5); by the SVD of J.
///
/// # Errors
/// J is not finite, or the iteration did not converge.
pub fn filtered_inverse(jacobian: &dyn Jacobian, filter: &Filter) -> Result<Mat<f64>> {
    let ThinSvd { sigma, u, mut v } = ThinSvd::new(&jacobian.transposed()?)?;
    let largest = sigma.first().copied().unwrap_or(0.0);
    for (j, sigma) in sigma.iter().enumerate() {
        let weight = filter.weight(*sigma, largest);
        v.col_as_slice_mut(j).iter_mut().for_each(|v| *v *= weight);
    }
    Ok(in_pool(|| {
        matrix::product_in_blocks(v.as_ref(), u.transpose())
    }))
}
