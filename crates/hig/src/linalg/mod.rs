//! Linear algebra that the house shares: matrices, vectorised loops, sums of F·Fᵀ, and the symmetric
//! eigensolver that keeps its eigenvectors in factors.

pub(crate) mod matrix;
pub(crate) mod simd;
pub(crate) mod symmetric;
mod symmetric_matrix;

pub use matrix::*;
pub use symmetric_matrix::Symmetric;
