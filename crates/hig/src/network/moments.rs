//! Second moments that stand for a layer's block of the Gauss-Newton matrix.
//!
//! A layer that applies one weight W (outputs × inputs) and a bias at each of some positions of a sample
//! has the gradient Σ_t δ_t ⊗ (a_t, 1), with the number a_t that the weight reads there and the cotangent δ_t of what
//! it writes. For rows δ whose square is unbiased for the curvature of all samples the block is replaced
//! by
//!
//! ```text
//! A ⊗ B,   A = mean of (a, 1)·(a, 1)ᵀ over samples and positions,   B = sum of δ·δᵀ over the same:
//! ```
//!
//! the factors of a dense layer by Martens and Grosse 2015 (arXiv 1503.05671, section 3), where there is
//! one position, and of a convolution by Grosse and Martens 2016 (arXiv 1602.01407, section 3: derivatives
//! at different positions uncorrelated, moments alike at all of them). The passes of a sample that passes several
//! times count as positions. Of any other layer only the diagonal is told.

use super::layer_rows::LayerRows;
use super::passes::Passes;
use crate::linalg::matrix;
use crate::linalg::{Scratch, Symmetric};
use std::ops::Range;

/// A layer whose output is one weight (outputs × inputs, row-major) times what it reads, plus a bias
/// (outputs), at each of some positions of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SharedWeight {
    /// Numbers that the weight reads at a position.
    pub inputs: usize,
    /// Numbers that it writes there.
    pub outputs: usize,
    /// Positions of a sample.
    pub positions: usize,
}

/// What stands for a layer's block of a Gauss-Newton matrix.
#[derive(Debug, Clone)]
pub struct LayerMoments {
    /// The place of its parameters in the flat vector.
    pub range: Range<usize>,
    /// The block.
    pub block: Moments,
}

/// A block by its moments.
#[derive(Debug, Clone)]
pub enum Moments {
    /// A ⊗ B for the weight (outputs × inputs, row-major) and the bias behind it, which is the last of A's
    /// coordinates.
    Kronecker {
        /// A (inputs + 1 a side).
        inputs: Symmetric,
        /// B (outputs a side).
        outputs: Symmetric,
    },
    /// Its diagonal alone, a number for each parameter.
    Diagonal(Vec<f64>),
}

impl LayerRows<'_> {
    /// The moments of this layer for k rows a sample, of which each alone would do: the mean over them.
    pub fn moments(&self, passes: Passes<'_>, scratch: &mut Scratch) -> LayerMoments {
        let block = match self.layer.shared_weight() {
            Some(shape) => self.factors(shape, passes, scratch),
            None => self.diagonal(passes, scratch),
        };
        LayerMoments {
            range: self.range.clone(),
            block,
        }
    }

    fn factors(&self, shape: SharedWeight, passes: Passes<'_>, scratch: &mut Scratch) -> Moments {
        let virtual_samples = self.input.nrows();
        let samples = passes.samples(virtual_samples);
        let mut ones = scratch.take_numbers(virtual_samples);
        for (pass, biased) in passes.biased().iter().enumerate() {
            ones[passes.range(pass, samples)].fill(f64::from(*biased));
        }
        let mut inputs = Symmetric::zeros(shape.inputs + 1);
        self.layer
            .add_input_moment(self.input, &ones, &mut inputs, scratch);
        inputs.scale(1.0 / (virtual_samples * shape.positions) as f64);
        let mut outputs = Symmetric::zeros(shape.outputs);
        self.layer
            .add_output_moment(self.rows, &mut outputs, scratch);
        outputs.scale(virtual_samples as f64 / self.rows.nrows() as f64);
        scratch.give_numbers(ones);
        Moments::Kronecker { inputs, outputs }
    }

    fn diagonal(&self, passes: Passes<'_>, scratch: &mut Scratch) -> Moments {
        let mut squares = vec![0.0; self.range.len()];
        let count = self.rows.nrows() as f64 / self.input.nrows() as f64;
        self.each_chunk(passes, scratch, |range, columns| {
            for (j, place) in range.enumerate() {
                let column = matrix::column(columns, j);
                squares[place] = matrix::dot(column, column) / count;
            }
        });
        Moments::Diagonal(squares)
    }
}
