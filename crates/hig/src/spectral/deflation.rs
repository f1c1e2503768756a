//! The spectrum of J from Gram matrices, as deep as it is asked for.

use super::{Filter, Treatment};
use crate::error::Result;
use crate::linalg::Symmetric;
use crate::linalg::matrix::{self, Mat, MatRef};
use crate::linalg::symmetric::{Factored, eigen};
use std::ops::Range;

/// How far down, and how well, a spectrum must be known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Floor {
    /// σ/σ_max below which nothing is asked.
    cutoff: f64,
    /// σ² below which only the sum σ² + damping is asked.
    damping: f64,
    /// Relative accuracy of a step.
    accuracy: f64,
}

// Error of an eigenvalue in units of ε·λ_max, with room for what deflation adds at each level;
// `tests/spectral.rs` holds the accuracy that follows against an independent SVD.
const EIGENVALUE_ERROR: f64 = 16.0;

/// Asking for more would ask for less than rounding.
const LEAST_ACCURACY: f64 = 1e-13;

impl Floor {
    /// For a filter of a J that is measured in a unit.
    pub(super) fn new(filter: &Filter, unit: f64, accuracy: f64) -> Self {
        let damping = match filter.treatment {
            Treatment::Damp { damping } => damping / unit / unit,
            Treatment::Truncate { .. } | Treatment::Clamp { .. } => 0.0,
        };
        Self {
            cutoff: filter.floor(),
            damping,
            accuracy: accuracy.max(LEAST_ACCURACY),
        }
    }

    /// Below this a singular value of a Gram matrix alone is rounding.
    pub(super) fn lost(largest: f64) -> f64 {
        Self::error(largest * largest).sqrt()
    }

    /// The least damping with which a Gram matrix of this largest eigenvalue gives steps of an accuracy.
    pub(super) fn least_damping(top: f64, accuracy: f64) -> f64 {
        Self::error(top) / accuracy.max(LEAST_ACCURACY)
    }

    /// The absolute error of the eigenvalues of a Gram matrix.
    fn error(largest: f64) -> f64 {
        EIGENVALUE_ERROR * f64::EPSILON * largest
    }

    /// The range of places whose eigenvalues (descending) must be resolved again.
    fn unresolved(&self, lambda: &[f64], top: f64) -> Range<usize> {
        let error = Self::error(lambda[0]);
        let needed = self.cutoff * self.cutoff * top;
        // A kept direction k leaks ε·λ_0/(σ_k·σ_t) of itself into a smaller kept one t.
        let smallest = lambda.iter().rfind(|l| **l + error > needed);
        let smallest = smallest.map_or(needed, |l| if *l > 2.0 * error { *l } else { needed });
        let leak = if smallest > 0.0 && self.damping == 0.0 {
            // Not its square first, which may overflow.
            (error / self.accuracy) * (error / self.accuracy / smallest)
        } else {
            0.0
        };
        // The largest eigenvalue always counts as resolved, so that every level has fewer.
        let resolved = (error / self.accuracy).max(leak.min(0.25 * lambda[0]));
        let first = lambda.partition_point(|l| l + self.damping >= resolved);
        // What is needed is mixed with everything below it, needed or not.
        match lambda.get(first) {
            Some(l) if l + error > needed => first..lambda.len(),
            _ => first..first,
        }
    }
}

/// The eigenvectors of a Gram matrix.
#[derive(Debug)]
enum Eigenvectors {
    /// In factors.
    Factored(Box<Factored>),
    /// Columns, largest eigenvalue first.
    Formed(Mat<f64>),
}

impl Eigenvectors {
    fn project(&self, g: &[f64]) -> Vec<f64> {
        match self {
            Self::Factored(factors) => factors.project(g),
            Self::Formed(columns) => matrix::apply_transposed(columns.as_ref(), g),
        }
    }

    fn combine(&self, c: &[f64]) -> Vec<f64> {
        match self {
            Self::Factored(factors) => factors.combine(c),
            Self::Formed(columns) => matrix::apply(columns.as_ref(), c),
        }
    }

    fn columns(&self, range: Range<usize>) -> Mat<f64> {
        match self {
            Self::Factored(factors) => factors.eigenvectors(range),
            Self::Formed(columns) => columns.get(.., range).to_owned(),
        }
    }
}

/// The eigenvectors of a Gram matrix, a range of them replaced by what deflation found.
#[derive(Debug)]
pub(super) struct Eigenbasis {
    vectors: Eigenvectors,
    range: Range<usize>,
    columns: Mat<f64>,
}

impl Eigenbasis {
    /// Uᵀ·g.
    pub(super) fn project(&self, g: &[f64]) -> Vec<f64> {
        let mut coefficients = self.vectors.project(g);
        let replaced = matrix::apply_transposed(self.columns.as_ref(), g);
        coefficients[self.range.clone()].copy_from_slice(&replaced);
        coefficients
    }

    /// The first columns of U.
    pub(super) fn first(&self, count: usize) -> Mat<f64> {
        let mut found = self.vectors.columns(0..count);
        for k in self.range.start..self.range.end.min(count) {
            let replaced = self.columns.col_as_slice(k - self.range.start);
            found.col_as_slice_mut(k).copy_from_slice(replaced);
        }
        found
    }

    /// U·c.
    pub(super) fn combine(&self, c: &[f64]) -> Vec<f64> {
        let mut rest = c.to_vec();
        rest[self.range.clone()].fill(0.0);
        let mut result = self.vectors.combine(&rest);
        let replaced = matrix::apply(self.columns.as_ref(), &c[self.range.clone()]);
        for (r, v) in result.iter_mut().zip(replaced) {
            *r += v;
        }
        result
    }
}

/// Singular values (descending) and vectors of J from its Gram matrix, with deflation.
///
/// `gram` builds the matrix; `images` multiplies vectors W of its space by J (or Jᵀ) and gives the
/// inner products of these images, (JW)ᵀ·(JW), whose eigenvalues are squared singular values too.
pub(super) fn resolve(
    gram: &dyn Fn() -> Result<Symmetric>,
    name: &'static str,
    floor: Floor,
    images: Images<'_>,
) -> Result<(Vec<f64>, Eigenbasis)> {
    // A vector in factors costs O(n²); beyond this share of them, forming all is cheaper.
    const FORM_ALL: usize = 8;
    let formed = || {
        let (values, u) = eigen(gram()?.into_lower(), name)?;
        Ok((values, Eigenvectors::Formed(u)))
    };
    let (mut lambda, mut vectors) = match Factored::new(gram()?.into_lower(), name)? {
        Some(factors) => (
            factors.values().to_vec(),
            Eigenvectors::Factored(Box::new(factors)),
        ),
        None => formed()?,
    };
    let n = lambda.len();
    let top = lambda.first().copied().unwrap_or(0.0).max(0.0);
    let range = match top > 0.0 {
        true => floor.unresolved(&lambda, top),
        false => 0..0,
    };
    if range.len() * FORM_ALL > n {
        (lambda, vectors) = formed()?;
    }
    let mut columns = vectors.columns(range.clone());
    if !range.is_empty() {
        let level = Level {
            floor,
            top,
            noise: f64::EPSILON * (n as f64).sqrt() * top.sqrt(),
            images,
        };
        let (values, rotated) = level.rotate(columns.as_ref())?;
        lambda[range.clone()].copy_from_slice(&values);
        columns = rotated;
    }
    let sigma = lambda.iter().map(|l| l.max(0.0).sqrt()).collect();
    let basis = Eigenbasis {
        vectors,
        range,
        columns,
    };
    Ok((sigma, basis))
}

/// The inner products (JW)ᵀ·(JW) of the images of vectors W.
pub(super) type Images<'a> = &'a dyn Fn(MatRef<'_, f64>) -> Result<Symmetric>;

/// What every level of deflation goes by.
struct Level<'a> {
    floor: Floor,
    /// Largest eigenvalue of the whole matrix.
    top: f64,
    /// Length of an image that is nothing but rounding.
    noise: f64,
    images: Images<'a>,
}

impl Level<'_> {
    /// Eigenvalues (descending) and vectors within the space of some orthonormal columns, resolved
    /// as deep as the images themselves are.
    fn rotate(&self, columns: MatRef<'_, f64>) -> Result<(Vec<f64>, Mat<f64>)> {
        let (mut lambda, rotation) =
            eigen((self.images)(columns)?.into_lower(), "deflated Gram matrix")?;
        let mut rotated = matrix::product(columns, rotation.as_ref());
        if lambda[0] <= self.noise * self.noise {
            return Ok((vec![0.0; lambda.len()], rotated));
        }
        let range = self.floor.unresolved(&lambda, self.top);
        if !range.is_empty() {
            let (values, tail) = self.rotate(rotated.as_ref().get(.., range.clone()))?;
            let mut target = rotated.as_mut().subcols_mut(range.start, range.len());
            target.copy_from(&tail);
            lambda[range].copy_from_slice(&values);
        }
        Ok((lambda, rotated))
    }
}
