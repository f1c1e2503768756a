//! J as a spectral step sees it, wherever it comes from.

use super::{ExplicitJacobian, Sketch};
use crate::error::Result;
use crate::linalg::{Mat, MatRef, Scratch, Symmetric};

/// A Jacobian J (n × p) that can be multiplied, and condensed or formed on request.
pub trait Jacobian: Send + Sync {
    /// n.
    fn rows(&self) -> usize;
    /// p.
    fn columns(&self) -> usize;
    /// Writes Jᵀ·w (length n → p). Asked again with the same scratch it need not allocate.
    ///
    /// # Errors
    /// A simulator that fails; so do those of the other questions.
    fn vjp_into(&self, w: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()>;
    /// Writes J·v (length p → n). Asked again with the same scratch it need not allocate.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn jvp_into(&self, v: &[f64], target: &mut [f64], scratch: &mut Scratch) -> Result<()>;
    /// Jᵀ·w (length n → p).
    ///
    /// # Errors
    /// A simulator that fails.
    fn vjp(&self, w: &[f64]) -> Result<Vec<f64>> {
        let mut product = vec![0.0; self.columns()];
        self.vjp_into(w, &mut product, &mut Scratch::new())?;
        Ok(product)
    }
    /// J·v (length p → n).
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn jvp(&self, v: &[f64]) -> Result<Vec<f64>> {
        let mut product = vec![0.0; self.rows()];
        self.jvp_into(v, &mut product, &mut Scratch::new())?;
        Ok(product)
    }
    /// K = J·Jᵀ (n × n).
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn gram(&self) -> Result<Symmetric>;
    /// (JᵀW)ᵀ·(JᵀW) for k vectors side by side (n × k → k × k). The images JᵀW are formed before
    /// they are multiplied with each other, so that what cancels in them cancels before it is squared.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric>;
    /// JᵀJ (p × p).
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn normal(&self) -> Result<Symmetric>;
    /// (JV)ᵀ·(JV) for k directions side by side (p × k → k × k), the images JV formed first.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric>;
    /// Jᵀ (p × n): what the SVD needs, and nothing else.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn transposed(&self) -> Result<Mat<f64>>;
    /// diag(factors)·J (factors: length n), a Jacobian of its own.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>>;
    /// diag(factors)·J (factors: length n) for single products, which need not have the rows ∂y/∂u that other
    /// questions need.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn by_products<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        self.scaled_rows(factors)
    }
    /// S·J for combinations of the rows of each sample (n_s × p), a Jacobian of its own.
    ///
    /// The default forms Jᵀ (p × n numbers) and combines its columns. Where the rows can be combined
    /// before they are multiplied with a network or a simulator, nothing of that size need exist.
    ///
    /// # Errors
    /// As [`vjp`](Self::vjp).
    fn combined_rows<'s>(&'s self, sketch: &Sketch) -> Result<Box<dyn Jacobian + 's>> {
        let combined = sketch.combine_transposed(self.transposed()?.as_ref());
        Ok(Box::new(ExplicitJacobian::from_transposed(combined)))
    }
}

/// What a method consumes of a linearized batch, from cheap to costly. A method states it, so that a
/// trainer can tell the cost in memory before any work starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consumes {
    /// The gradient ∂L/∂θ: one backward pass.
    Gradient,
    /// The gradient, products of J with single vectors, and the second moments of each layer: passes
    /// alone, and numbers that grow with the widths of the network and not with n.
    LayerMoments,
    /// The physics rows ∂y/∂u of each sample, without the network's Jacobian.
    PhysicsRows,
    /// Products J·v and Jᵀ·w, of which a step keeps so many vectors of length n at most.
    Products {
        /// The vectors.
        vectors: usize,
    },
    /// The Gram matrix of the smaller side: min(n, p)² numbers.
    Gram,
    /// The Jacobian itself: n × p numbers.
    Jacobian,
}

impl Consumes {
    /// The most vectors of length n that a step which asks for products keeps where nothing is set.
    pub const VECTORS: usize = 2048;

    /// The numbers that an update holds at most for n rows and p columns, beside what the passes
    /// through the objective hold.
    pub fn numbers(self, rows: usize, columns: usize) -> usize {
        let side = rows.min(columns);
        let square = side.saturating_mul(side);
        match self {
            Self::Gradient | Self::LayerMoments | Self::PhysicsRows => 0,
            Self::Products { vectors } => rows.saturating_mul(rows.min(vectors)),
            // K and its reflections; or K, the eigenvectors and their workspace.
            Self::Gram => square.saturating_mul(4),
            Self::Jacobian => {
                let jacobian = rows.saturating_mul(columns).saturating_mul(3);
                jacobian.saturating_add(square.saturating_mul(2))
            }
        }
    }
}

impl std::fmt::Display for Consumes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Gradient => "gradient",
            Self::LayerMoments => "layer moments",
            Self::PhysicsRows => "physics rows",
            Self::Products { .. } => "products",
            Self::Gram => "Gram matrix",
            Self::Jacobian => "Jacobian",
        })
    }
}
