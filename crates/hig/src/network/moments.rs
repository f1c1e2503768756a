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
//!
//! Where the passes are not held at once the moments are sums over parts of them ([`MomentSums`]); a wide side is
//! then summed as RᵀR and told by the rows √Λ·Uᵀ of its eigenvectors, whose number does not grow with that of the
//! passes.

use super::layer_rows::LayerRows;
use super::passes::Passes;
use crate::error::Result;
use crate::linalg::matrix;
use crate::linalg::symmetric::eigen;
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

impl SharedWeight {
    /// Whether a side of so many coordinates is told by rows.
    fn is_wide(self, width: usize) -> bool {
        self.positions == 1 && width >= WIDE
    }
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

/// The moments of all layers as sums over parts of the passes of the same samples, with the same k rows of each.
#[derive(Debug, Default)]
pub struct MomentSums {
    /// From the last layer to the first.
    layers: Vec<LayerSums>,
}

#[derive(Debug)]
struct LayerSums {
    range: Range<usize>,
    /// The shape of the weight, where there is one.
    shape: Option<SharedWeight>,
    /// k.
    rows: usize,
    /// Samples of all passes so far.
    read: usize,
    block: BlockSums,
}

#[derive(Debug)]
enum BlockSums {
    Kronecker {
        inputs: Symmetric,
        outputs: Symmetric,
    },
    /// The layer's part of J (k·b × parameters): squares are taken of the sums over all passes.
    Columns(Mat<f64>),
}

impl MomentSums {
    /// Adds what some of the passes give for a layer, of which each part visits all in the same order.
    pub fn add(
        &mut self,
        layer: usize,
        part: &LayerRows<'_>,
        passes: Passes<'_>,
        scratch: &mut Scratch,
    ) {
        if layer == self.layers.len() {
            self.layers.push(LayerSums::of(part, passes));
        }
        part.add_moments(passes, &mut self.layers[layer], scratch);
    }

    /// The moments, in the order of the layers.
    ///
    /// # Errors
    /// A wide side whose square cannot be decomposed.
    pub fn finish(self) -> Result<Vec<LayerMoments>> {
        self.layers
            .into_iter()
            .rev()
            .map(LayerSums::finish)
            .collect()
    }
}

impl LayerSums {
    fn of(part: &LayerRows<'_>, passes: Passes<'_>) -> Self {
        let shape = part.layer.shared_weight();
        let block = match shape {
            Some(shape) => BlockSums::Kronecker {
                inputs: Symmetric::zeros(shape.inputs + 1),
                outputs: Symmetric::zeros(shape.outputs),
            },
            None => {
                let rows = part.rows.nrows() / passes.count();
                BlockSums::Columns(Mat::zeros(rows, part.range.len()))
            }
        };
        Self {
            range: part.range.clone(),
            shape,
            rows: part.rows.nrows() / part.input.nrows(),
            read: 0,
            block,
        }
    }

    fn finish(self) -> Result<LayerMoments> {
        let block = match (self.block, self.shape) {
            (BlockSums::Kronecker { inputs, outputs }, Some(shape)) => {
                let of_inputs = 1.0 / (self.read * shape.positions) as f64;
                let side = |mut sum: Symmetric, factor: f64| {
                    sum.scale(factor);
                    match shape.is_wide(sum.size()) {
                        true => Moment::of_square(sum),
                        false => Ok(Moment::Whole(sum)),
                    }
                };
                Moments::Kronecker {
                    inputs: side(inputs, of_inputs)?,
                    outputs: side(outputs, 1.0 / self.rows as f64)?,
                }
            }
            (BlockSums::Columns(columns), _) => {
                let squares = columns.col_iter().map(|column| column.squared_norm_l2());
                Moments::Diagonal(squares.map(|square| square / self.rows as f64).collect())
            }
            (BlockSums::Kronecker { .. }, None) => unreachable!("it comes of a shape"),
        };
        Ok(LayerMoments {
            range: self.range,
            block,
        })
    }
}

impl Moment {
    /// A moment by the rows √Λ·Uᵀ, largest first, without those that are rounding.
    fn of_square(square: Symmetric) -> Result<Self> {
        let width = square.size();
        let (values, vectors) = eigen(square.into_lower(), "moment of a wide layer")?;
        let least = values[0] * width as f64 * f64::EPSILON;
        let kept = values.iter().take_while(|value| **value > least).count();
        Ok(Self::Rows(Mat::from_fn(kept, width, |i, j| {
            values[i].sqrt() * vectors[(j, i)]
        })))
    }

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
        let ones = self.ones(passes, scratch);
        let is_wide = |width: usize| shape.is_wide(width);
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

    /// Whether each sample of each pass uses the bias.
    fn ones(&self, passes: Passes<'_>, scratch: &mut Scratch) -> Vec<f64> {
        let virtual_samples = self.input.nrows();
        let samples = passes.samples(virtual_samples);
        let mut ones = scratch.take_numbers(virtual_samples);
        for (pass, biased) in passes.biased().iter().enumerate() {
            ones[passes.range(pass, samples)].fill(f64::from(*biased));
        }
        ones
    }

    /// Adds what some of the passes give.
    fn add_moments(&self, passes: Passes<'_>, sums: &mut LayerSums, scratch: &mut Scratch) {
        sums.read += self.input.nrows();
        match &mut sums.block {
            BlockSums::Kronecker { inputs, outputs } => {
                let ones = self.ones(passes, scratch);
                let layer = self.layer;
                layer.add_input_moment(self.input, &ones, inputs, scratch);
                layer.add_output_moment(self.rows, outputs, scratch);
                scratch.give_numbers(ones);
            }
            BlockSums::Columns(sum) => self.each_chunk(passes, scratch, |range, columns| {
                let mut target = sum.as_mut().subcols_mut(range.start, range.len());
                target += columns;
            }),
        }
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
