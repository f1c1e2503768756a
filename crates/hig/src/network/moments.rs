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
//!
//! A wide side of a dense layer is told by its rows: R (a row for each sample) in place of RᵀR, which would be
//! as many numbers as the layer has parameters.

use super::layer_rows::LayerRows;
use super::passes::Passes;
use crate::linalg::matrix;
use crate::linalg::{Mat, MatRef, Scratch, Symmetric};
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
        inputs: Moment,
        /// B (outputs a side).
        outputs: Moment,
    },
    /// Its diagonal alone, a number for each parameter.
    Diagonal(Vec<f64>),
}

/// A second moment.
#[derive(Debug, Clone)]
pub enum Moment {
    /// Itself.
    Whole(Symmetric),
    /// R, where it is RᵀR.
    Rows(Mat<f64>),
}

/// Coordinates of a side of a dense layer from which it is told by rows.
pub const WIDE: usize = 192;

impl Moment {
    /// The moment itself.
    pub fn complete(self) -> Mat<f64> {
        match self {
            Self::Whole(moment) => moment.complete(),
            Self::Rows(rows) => Symmetric::square(rows.transpose()).complete(),
        }
    }

    /// Rows times the root of a factor.
    fn of_rows(rows: MatRef<'_, f64>, factor: f64) -> Self {
        let root = factor.sqrt();
        let mut scaled = rows.to_owned();
        for column in scaled.col_iter_mut() {
            column.iter_mut().for_each(|v| *v *= root);
        }
        Self::Rows(scaled)
    }
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
        let is_wide = |width: usize| shape.positions == 1 && width >= WIDE;
        let of_inputs = 1.0 / (virtual_samples * shape.positions) as f64;
        let inputs = match is_wide(shape.inputs + 1) {
            true => {
                let mut read = Mat::zeros(virtual_samples, shape.inputs + 1);
                let (values, one) = read.as_mut().split_at_col_mut(shape.inputs);
                { values }.copy_from(self.input);
                matrix::column_mut(one, 0).copy_from_slice(&ones);
                Moment::of_rows(read.as_ref(), of_inputs)
            }
            false => {
                let mut moment = Symmetric::zeros(shape.inputs + 1);
                let layer = self.layer;
                layer.add_input_moment(self.input, &ones, &mut moment, scratch);
                moment.scale(of_inputs);
                Moment::Whole(moment)
            }
        };
        let of_outputs = virtual_samples as f64 / self.rows.nrows() as f64;
        let outputs = match is_wide(shape.outputs) {
            true => Moment::of_rows(self.rows, of_outputs),
            false => {
                let mut moment = Symmetric::zeros(shape.outputs);
                let layer = self.layer;
                layer.add_output_moment(self.rows, &mut moment, scratch);
                moment.scale(of_outputs);
                Moment::Whole(moment)
            }
        };
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
