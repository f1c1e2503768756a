//! What a layer must be able to do.
//!
//! *Rows* are cotangents of the layer's output: k for each of the b samples, stacked as k·b rows,
//! row `component · b + sample`. One backward pass has k = 1; the rows of a physics Jacobian have
//! k = dim(y). A layer's part of J has these rows, and its parameters as columns.

use super::Activation;
use super::columns::each_chunk;
use crate::linalg::matrix::{self, Mat, MatMut, MatRef};

/// One layer of a [`Network`](super::Network): a map of batches (samples × width), with parameters.
///
/// A sample's output must depend on that sample alone: J's rows belong to single samples.
pub trait Layer: std::fmt::Debug + Send + Sync {
    /// Width of the output for a given width of the input.
    ///
    /// # Errors
    /// What the layer would need, as the end of a sentence: "it needs width 64 (1 x 8 x 8)".
    fn outputs(&self, inputs: usize) -> Result<usize, String>;

    /// The parameter arrays, in their order in the flat vector.
    fn parameters(&self) -> Vec<Parameter> {
        Vec::new()
    }

    /// Output of a batch.
    fn forward(&self, parameters: &[f64], input: &Mat<f64>) -> Mat<f64>;

    /// Takes rows of output cotangents to rows of input cotangents.
    fn backward(
        &self,
        parameters: &[f64],
        input: &Mat<f64>,
        output: &Mat<f64>,
        rows: &Mat<f64>,
    ) -> Mat<f64>;

    /// Takes tangents of parameters and input (none: zero) to the tangent of the output.
    fn jvp(
        &self,
        parameters: &[f64],
        direction: &[f64],
        input: &Mat<f64>,
        output: &Mat<f64>,
        tangent: Option<Mat<f64>>,
    ) -> Option<Mat<f64>>;

    /// Writes columns of this layer's part of J (rows × the range's length); what the target held
    /// before does not count. Asked of layers with parameters only.
    fn write_columns(
        &self,
        input: &Mat<f64>,
        rows: &Mat<f64>,
        columns: std::ops::Range<usize>,
        target: MatMut<'_, f64>,
    ) {
        let _ = (input, rows, target);
        assert!(columns.is_empty(), "{self:?} does not write its columns");
    }

    /// Writes the parameter gradients of k·b rows, summed over the samples: this layer's parameters
    /// × k, one contiguous column for each component.
    ///
    /// The default sums over columns of J, a bounded number of them at a time.
    fn write_gradients(&self, input: &Mat<f64>, rows: &Mat<f64>, mut target: MatMut<'_, f64>) {
        let samples = input.nrows();
        each_chunk(self, input, rows, |range, columns| {
            for (j, place) in range.enumerate() {
                let column = matrix::column(columns, j).chunks_exact(samples);
                for (k, component) in column.enumerate() {
                    target[(place, k)] = component.iter().sum();
                }
            }
        });
    }

    /// The mask M (b × b) with which this layer's part of K = J·Jᵀ is (Δ·Δᵀ) ∘ M, where Δ are the
    /// rows and an entry of M serves all rows of its two samples. None where there is no such form:
    /// K is then built from columns of J.
    fn gram_mask(&self, _input: &Mat<f64>) -> Option<Mat<f64>> {
        None
    }

    /// Calls `visit` with this layer's rows of Jᵀ·W (W: rows × k), a bounded number of them at a
    /// time, in any order.
    ///
    /// The default multiplies columns of J by W.
    fn images(
        &self,
        input: &Mat<f64>,
        rows: &Mat<f64>,
        w: MatRef<'_, f64>,
        visit: &mut dyn FnMut(MatRef<'_, f64>),
    ) {
        each_chunk(self, input, rows, |_, columns| {
            visit(matrix::product_in_blocks(columns.transpose(), w).as_ref());
        });
    }

    /// The nonlinearity, where the layer is one (for diagnostics of saturation).
    fn activation(&self) -> Option<Activation> {
        None
    }
}

/// A parameter array of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name within the layer, `weight` or `bias`.
    pub name: &'static str,
    /// Extents; row-major.
    pub shape: Vec<usize>,
    /// What it holds at the start.
    pub initial: Initial,
}

/// Initial values of a parameter array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// Random weights by the network's [`Initializer`](super::Initializer).
    Weights {
        /// Numbers that make one output (fan-in).
        inputs: usize,
        /// Outputs that one number goes to (fan-out).
        outputs: usize,
    },
    /// One value everywhere.
    Constant(f64),
}

impl Parameter {
    /// Random weights of the given shape, fan-in and fan-out.
    pub fn weight(shape: Vec<usize>, inputs: usize, outputs: usize) -> Self {
        Self {
            name: "weight",
            shape,
            initial: Initial::Weights { inputs, outputs },
        }
    }

    /// A vector that starts with one value everywhere.
    pub fn constant(name: &'static str, length: usize, value: f64) -> Self {
        Self {
            name,
            shape: vec![length],
            initial: Initial::Constant(value),
        }
    }

    /// How many numbers it holds, or the largest number that there is.
    pub fn count(&self) -> usize {
        let extents = self.shape.iter();
        extents.fold(1, |count, extent| count.saturating_mul(*extent))
    }

    /// The same as a real number, for which no extent is too large.
    pub fn size(&self) -> f64 {
        self.shape.iter().map(|extent| *extent as f64).product()
    }
}

/// How many parameters a layer has.
pub(super) fn parameter_count<L: Layer + ?Sized>(layer: &L) -> usize {
    let arrays = layer.parameters();
    let counts = arrays.iter().map(Parameter::count);
    counts.fold(0, usize::saturating_add)
}

/// Refuses an input of the wrong width; `meaning` says what the right one is made of.
pub(super) fn expect_width(found: usize, needed: usize, meaning: &str) -> Result<(), String> {
    if found == needed {
        return Ok(());
    }
    Err(format!("it needs width {needed} ({meaning})"))
}
