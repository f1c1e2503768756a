//! What a layer must be able to do.
//!
//! *Rows* are cotangents of the layer's output: k for each of the b samples, stacked as k·b rows,
//! row `component · b + sample`. One backward pass has k = 1; the rows of a physics Jacobian have
//! k = dim(y). A layer's part of J has these rows, and its parameters as columns.
//!
//! Results are written into given targets, whose earlier content does not count; what a layer needs
//! on the way it takes from a [`Scratch`] and gives back. Columns of all matrices are contiguous.

use super::activation::Activation;
use super::jets::Jets;
use super::moments::SharedWeight;
use super::parameter::Parameter;
use super::unknowns::Unknown;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef, WORTH_THREADS};
use crate::linalg::{Scratch, Symmetric};
use rayon::prelude::*;
use std::ops::Range;

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

    /// Writes the output of a batch.
    fn forward(
        &self,
        parameters: &[f64],
        input: MatRef<'_, f64>,
        output: MatMut<'_, f64>,
        scratch: &mut Scratch,
    );

    /// Takes rows of output cotangents to rows of input cotangents.
    fn backward(
        &self,
        parameters: &[f64],
        at: Values<'_>,
        rows: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    );

    /// Takes the tangent of the input to that of the output, parameters at rest: written to the target,
    /// or added to it.
    fn jvp_input(
        &self,
        parameters: &[f64],
        at: Values<'_>,
        tangent: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        accumulate: Accum,
        scratch: &mut Scratch,
    );

    /// Writes the tangent of the output for a direction of the parameters, input at rest. Asked of
    /// layers with parameters only.
    ///
    /// The default is the output with the direction as parameters: right where the output is linear in
    /// the parameters, as that of every layer here is.
    fn jvp_parameters(
        &self,
        _parameters: &[f64],
        direction: &[f64],
        at: Values<'_>,
        target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        self.forward(direction, at.input, target, scratch);
    }

    /// Writes columns of this layer's part of J (rows × the range's length). Asked of layers with
    /// parameters only.
    fn write_columns(
        &self,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        columns: Range<usize>,
        target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let _ = (input, rows, target, scratch);
        assert!(columns.is_empty(), "{self:?} does not write its columns");
    }

    /// Columns that are written side by side: what asks for a part of them takes a multiple of so many. A layer
    /// that answers more than 1 shares its rows among threads by itself.
    fn columns_together(&self) -> usize {
        1
    }

    /// Writes the parameter gradients of k·b rows, summed over the samples: this layer's parameters
    /// × k, one contiguous column for each component.
    ///
    /// The default sums over columns of J, a bounded number of them at a time.
    fn write_gradients(
        &self,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (samples, count) = (input.nrows(), target.nrows());
        each_chunk(
            (count, self.columns_together()),
            rows.nrows(),
            scratch,
            |columns, target, scratch| self.write_columns(input, rows, columns, target, scratch),
            |range, columns, _| {
                for (j, place) in range.enumerate() {
                    let column = matrix::column(columns, j).chunks_exact(samples);
                    for (k, component) in column.enumerate() {
                        target[(place, k)] = component.iter().sum();
                    }
                }
            },
        );
    }

    /// Whether a row of this layer's part of J is the outer product of the row Δ at its output and
    /// (A, 1), where A is the input of its sample: parameters are a weight (outputs × inputs,
    /// row-major) and a bias (outputs). K and images JᵀW are then made without columns of J.
    fn is_outer_product(&self) -> bool {
        false
    }

    /// Whether the output is linear in the input and the bias together. The derivatives of such an
    /// output in what the network reads are the layer's [`jvp_input`](Self::jvp_input) of those of its
    /// input, whatever the values, so that they can be carried through (see [`Jets`](super::Jets)).
    fn is_affine(&self) -> bool {
        false
    }

    /// The parameters that are added to the output as they are, counted from the layer's first: a pass without
    /// bias does not touch them (see [`Passes`](super::Passes)). The array named `bias` unless it says
    /// otherwise.
    fn biases(&self) -> Range<usize> {
        let mut end = 0;
        for parameter in self.parameters() {
            let start = end;
            end += parameter.count();
            if parameter.name == "bias" {
                return start..end;
            }
        }
        end..end
    }

    /// The weight that is applied at each position, where a layer is no more than that and its parameters
    /// are the weight and the bias. It then answers the two moments below.
    fn shared_weight(&self) -> Option<SharedWeight> {
        None
    }

    /// Adds Σ (a, one)·(a, one)ᵀ over samples and positions, where a is what the weight reads and `ones` has
    /// a number for each sample (see `moments.rs`).
    fn add_input_moment(
        &self,
        input: MatRef<'_, f64>,
        ones: &[f64],
        sum: &mut Symmetric,
        scratch: &mut Scratch,
    ) {
        let _ = (input, ones, sum, scratch);
        assert!(self.shared_weight().is_none(), "{self:?} tells no moments");
    }

    /// Adds Σ δ·δᵀ over rows and positions.
    fn add_output_moment(&self, rows: MatRef<'_, f64>, sum: &mut Symmetric, scratch: &mut Scratch) {
        let _ = (rows, sum, scratch);
        assert!(self.shared_weight().is_none(), "{self:?} tells no moments");
    }

    /// The unknowns of the physics that it appends, where it is made for that; the free ones are its
    /// parameters, in the same order.
    fn unknowns(&self) -> &[Unknown] {
        &[]
    }

    /// The nonlinearity, where the layer is one.
    fn activation(&self) -> Option<Activation> {
        None
    }

    /// How derivatives in what the network reads go through the layer, where it is neither
    /// [affine](Self::is_affine) nor a nonlinearity but lets them.
    fn through_jets(&self) -> Option<&dyn ThroughJets> {
        None
    }
}

/// A layer without parameters that takes the values of a network with their derivatives, component by
/// component of the jets (C·b × width; see [`Jets`](super::Jets)). Its output is affine in what has passed layers
/// with parameters.
pub trait ThroughJets {
    /// Writes the jets of the output.
    fn forward(&self, jets: &Jets, input: MatRef<'_, f64>, output: MatMut<'_, f64>);

    /// Takes rows of cotangents (k·C·b × outputs) to those of the input. What comes back to a point that
    /// is among the input does not count.
    fn backward(
        &self,
        jets: &Jets,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
    );

    /// Adds the tangent of the output for one of the input, in which points rest.
    fn add_tangent(
        &self,
        jets: &Jets,
        input: MatRef<'_, f64>,
        tangent: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
    );
}

/// The values of a batch on both sides of a layer (samples × width).
#[derive(Debug, Clone, Copy)]
pub struct Values<'a> {
    /// What the layer was given.
    pub input: MatRef<'a, f64>,
    /// What it made of it.
    pub output: MatRef<'a, f64>,
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

// Whatever the number of parameters, n × CHUNK numbers are held.
const CHUNK: usize = 256;
// Columns written by one thread.
const BLOCK: usize = 32;

/// Calls `visit(range, columns, scratch)` for chunks of `count` columns of J, as
/// `write(range, target, scratch)` writes them for a number of rows, until every column was there
/// once; chunks have a multiple of so many columns as are written `together`.
pub(super) fn each_chunk(
    (count, together): (usize, usize),
    rows: usize,
    scratch: &mut Scratch,
    write: impl Fn(Range<usize>, MatMut<'_, f64>, &mut Scratch) + Sync,
    mut visit: impl FnMut(Range<usize>, MatRef<'_, f64>, &mut Scratch),
) {
    let most = CHUNK.next_multiple_of(together);
    let mut chunk = scratch.take(rows, most.min(count));
    for first in (0..count).step_by(most) {
        let range = first..count.min(first + most);
        let columns = chunk.as_mut().subcols_mut(0, range.len());
        write_in_blocks((range.clone(), together), columns, scratch, &write);
        let columns = chunk.as_ref().subcols(0, range.len());
        visit(range, columns, scratch);
    }
    scratch.give(chunk);
}

/// Writes a range of columns, blocks of them side by side where that is worth a second thread and none are written
/// `together`.
pub(super) fn write_in_blocks(
    (range, together): (Range<usize>, usize),
    target: MatMut<'_, f64>,
    scratch: &mut Scratch,
    write: impl Fn(Range<usize>, MatMut<'_, f64>, &mut Scratch) + Sync,
) {
    if target.nrows() < WORTH_THREADS || together > 1 {
        write(range, target, scratch);
        return;
    }
    let blocks = target.par_col_chunks_mut(BLOCK).enumerate();
    blocks.for_each(|(i, block)| {
        let first = range.start + i * BLOCK;
        let columns = first..first + block.ncols();
        scratch.with_another(|own| write(columns, block, own));
    });
}
