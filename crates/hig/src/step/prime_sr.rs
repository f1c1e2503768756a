//! PRIME-SR: SPRING whose momentum follows from the spectrum (Wang and Liu 2026, "Momentum stability and adaptive
//! control in stochastic reconfiguration", arXiv 2604.18357, algorithm 2).
//!
//! The update is that of [`Spring`]. With σ and the left singular vectors of the A of a batch, whose AAᵀ is the
//! source's sampled Gram matrix, and of the batch before (primed),
//!
//! ```text
//! α = (Σ σ²)² / Σ σ⁴,     m = min(⌈α⌉, ⌈α'⌉),     β = |U_⌈α⌉ᵀ·U'_⌈α'⌉|_F / √m,
//! μ = 1 - (1 - √β)·(1 - (α/r)^¼),
//! ```
//!
//! where r is the rank to rounding (σ² above n·ε·σ_max²) and U_k are the first k vectors: much of the last step
//! is kept where few directions carry the spectrum of neither batch alone. The first batch, and one of another
//! number of rows than the one before, have μ = 0; so has the route `lanczos`, which knows neither the whole
//! spectrum nor its vectors. The damping and the limit on the length are relative as those of [`Spring`] are.

use super::spring::{Adaptation, Running};
use super::{Method, Spring, Step};
use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::Mat;
use crate::linalg::matrix;
use crate::objective::Consumes;
use crate::settings::{GROUP, POSITIVE, Settings};
use crate::spectral::{Combinations, Decomposition, DecompositionSettings};

crate::settings! {
    /// PRIME-SR: SPRING with a momentum that follows from the spectra of two batches.
    pub struct PrimeSr {
        /// Fraction η of the step that is taken; 1 is the full step whatever the batch size.
        pub learning_rate: f64 = 0.5, POSITIVE;
        /// λ as a fraction of the largest σ².
        pub damping: f64 = 1e-8, POSITIVE;
        /// The longest Δθ, as a fraction of |θ|, or of 1 where |θ| is smaller.
        pub norm_limit: f64 = 0.03, POSITIVE;
        /// How its Jacobian is decomposed.
        pub decomposition: DecompositionSettings = DecompositionSettings::default(), GROUP;
    }
}

impl PrimeSr {
    /// The same with a momentum that is set.
    fn spring(&self) -> Spring {
        Spring {
            learning_rate: self.learning_rate,
            damping: self.damping,
            momentum: 0.0,
            norm_limit: self.norm_limit,
            geodesic: false,
            decomposition: self.decomposition.clone(),
        }
    }
}

impl Method for PrimeSr {
    fn name(&self) -> &'static str {
        "prime-sr"
    }

    fn about(&self) -> &'static str {
        "PRIME-SR: SPRING with a momentum from the spectrum (Wang and Liu 2026, arXiv 2604.18357)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, rows: usize, columns: usize, memory: usize) -> Consumes {
        self.spring().consumes(rows, columns, memory)
    }

    fn sketch(&self) -> Combinations {
        self.decomposition.sketch
    }

    fn start_within(&self, memory: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        let running = Running::new(self.spring(), memory);
        Ok(Box::new(running.adapting(Box::new(Overlap::default()))))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// What is remembered of the batch before.
#[derive(Debug, Default)]
struct Overlap {
    /// Number of its rows; 0 before the first.
    rows: usize,
    /// Its first ⌈α⌉ left singular vectors, one behind the other.
    vectors: Vec<f64>,
}

impl Adaptation for Overlap {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.count("subspace_rows", &mut self.rows);
        state.vector("subspace", &mut self.vectors);
    }

    fn momentum(&mut self, rows: usize, parts: &Decomposition<'_>) -> Result<f64> {
        let (effective, rank) = dimensions(parts.singular_values(), rows);
        let count = (effective.ceil() as usize).min(rank);
        let Some(vectors) = parts.left_vectors(count)? else {
            return Ok(0.0);
        };
        let momentum = match self.rows == rows {
            true => momentum(self.overlap(&vectors), effective / rank as f64),
            false => 0.0,
        };
        self.rows = rows;
        self.vectors.clear();
        for k in 0..count {
            self.vectors.extend_from_slice(vectors.col_as_slice(k));
        }
        Ok(momentum)
    }
}

impl Overlap {
    /// β.
    fn overlap(&self, vectors: &Mat<f64>) -> f64 {
        let earlier = self.vectors.chunks_exact(self.rows);
        let least = earlier.len().min(vectors.ncols());
        let squares = earlier.map(|earlier| {
            let products = matrix::apply_transposed(vectors.as_ref(), earlier);
            matrix::dot(&products, &products)
        });
        (squares.sum::<f64>() / least as f64).sqrt()
    }
}

/// α and r of a spectrum (largest first, not all 0) of so many rows.
fn dimensions(sigma: &[f64], rows: usize) -> (f64, usize) {
    let largest = sigma[0];
    // Relative to the largest one, whose fourth power may be out of range.
    let shares = sigma.iter().map(|s| (s / largest).powi(2));
    let kept = shares.take_while(|share| *share > rows as f64 * f64::EPSILON);
    let (sum, squares, rank) = kept.fold((0.0, 0.0, 0), |(sum, squares, rank), share| {
        (sum + share, squares + share * share, rank + 1)
    });
    (sum * sum / squares, rank)
}

/// μ of β and α/r.
fn momentum(overlap: f64, share: f64) -> f64 {
    let (overlap, share) = (overlap.clamp(0.0, 1.0), share.clamp(0.0, 1.0));
    1.0 - (1.0 - overlap.sqrt()) * (1.0 - share.powf(0.25))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dimensions_are_those_of_the_formula() {
        let (alpha, rank) = dimensions(&[2.0, 1.0, 1e-9], 3);
        assert!((alpha - 25.0 / 17.0).abs() < 1e-15);
        assert_eq!(rank, 2);
        let (alpha, rank) = dimensions(&[1e200; 5], 7);
        assert!((alpha - 5.0).abs() < 1e-14 && rank == 5);
    }

    #[test]
    fn momentum_is_1_where_subspaces_agree_and_0_where_nothing_is_shared() {
        assert_eq!(momentum(1.0, 0.3), 1.0);
        assert_eq!(momentum(0.2, 1.0), 1.0);
        assert_eq!(momentum(0.0, 0.0), 0.0);
        // 1 - (1 - 1/2)·(1 - 1/2).
        assert!((momentum(0.25, 0.0625) - 0.75).abs() < 1e-15);
        assert_eq!(momentum(1.0 + 1e-12, 0.5), 1.0);
    }
}
