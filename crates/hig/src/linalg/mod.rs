//! Linear algebra that the house shares: matrices, memory that loops use again, vectorised loops, sums
//! of F·Fᵀ, the symmetric eigensolver that keeps its eigenvectors in factors, and a Cholesky factor.

pub(crate) mod block_rows;
pub(crate) mod cholesky;
pub(crate) mod matrix;
mod scratch;
pub(crate) mod simd;
pub(crate) mod symmetric;
mod symmetric_matrix;

pub use matrix::*;
pub(crate) use scratch::Lent;
pub use scratch::{Buffer, Scratch};
pub use symmetric_matrix::{OuterFactor, Symmetric};
