//! Sums of outer products over the passes of a sample: a layer's part of Jᵀ as one matrix product a row.
//!
//! Of few passes, such as the derivatives of a field, a column of J is a sum over them for all samples side by side
//! instead: products of matrices so small cost more than their numbers.
//!
//! Row r of sample s is Σ_c Δ_c[r] ⊗ (A_c[s], [the pass uses the bias]): read as inputs × outputs, in
//! which order the weight lies in memory, it is A[s]ᵀ·Δ[r] with the passes side by side.

use super::layer;
use super::layer_rows::LayerRows;
use super::passes::Passes;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
use crate::linalg::simd::vectorised;
use crate::linalg::{Buffer, Scratch};
use faer::reborrow::ReborrowMut;
use rayon::prelude::*;
use std::ops::Range;

// Numbers of Jᵀ held at a time (32 MiB), unless one unit has more.
const HELD: usize = 1 << 22;
// Multiplications below which the work is done before a second thread has woken up.
const WORTH_THREADS: usize = 1 << 20;

// Passes up to which columns are summed one by one.
const FEW: usize = 8;

/// Whether there are so few passes that columns are summed one by one.
pub(super) fn are_few(passes: Passes<'_>) -> bool {
    passes.count() <= FEW
}

/// Writes some columns of an outer product's part of J (k·b rows), each for all samples at once.
pub(super) fn write_columns(
    part: &LayerRows<'_>,
    passes: Passes<'_>,
    columns: Range<usize>,
    mut target: MatMut<'_, f64>,
) {
    let (samples, count) = (passes.samples(part.input.nrows()), passes.count());
    let (inputs, weights) = (part.input.ncols(), part.input.ncols() * part.rows.ncols());
    if samples == 0 {
        return;
    }
    vectorised(
        #[inline(always)]
        || {
            for (j, place) in columns.enumerate() {
                let column = matrix::column_mut(target.rb_mut(), j);
                let (values, unit) = match place < weights {
                    true => (
                        Some(matrix::column(part.input, place % inputs)),
                        place / inputs,
                    ),
                    false => (None, place - weights),
                };
                let deltas = matrix::column(part.rows, unit).chunks_exact(samples * count);
                for (sums, deltas) in column.chunks_exact_mut(samples).zip(deltas) {
                    sums.fill(0.0);
                    for (pass, delta) in deltas.chunks_exact(samples).enumerate() {
                        match values {
                            Some(values) => {
                                let values = &values[pass * samples..][..samples];
                                for (t, (d, a)) in sums.iter_mut().zip(delta.iter().zip(values)) {
                                    *t += d * a;
                                }
                            }
                            None if passes.biased()[pass] => {
                                sums.iter_mut().zip(delta).for_each(|(t, d)| *t += d);
                            }
                            None => {}
                        }
                    }
                }
            }
        },
    );
}

/// Calls `visit(range, columns)` until every column of an outer product's part of J (k·b rows) was there
/// once, a bounded number of them at a time; a range counts from the layer's first parameter.
pub(super) fn each_chunk(
    part: &LayerRows<'_>,
    passes: Passes<'_>,
    scratch: &mut Scratch,
    mut visit: impl FnMut(Range<usize>, MatRef<'_, f64>),
) {
    let (samples, count) = (passes.samples(part.input.nrows()), passes.count());
    let (inputs, outputs) = (part.input.ncols(), part.rows.ncols());
    let rows = part.rows.nrows() / count;
    if rows == 0 {
        return;
    }
    if are_few(passes) {
        layer::each_chunk(
            part.range.len(),
            rows,
            scratch,
            |columns, target, _| write_columns(part, passes, columns, target),
            |range, columns, _| visit(range, columns),
        );
        return;
    }
    let input = by_sample(part.input, samples, count, scratch);
    let deltas = by_sample(part.rows, samples, count, scratch);
    let most = (HELD / (inputs * rows).max(1)).clamp(1, outputs);
    let mut held = scratch.take(most * inputs, rows);
    for first in (0..outputs).step_by(most) {
        let units = most.min(outputs - first);
        let write = |(row, column): (usize, MatMut<'_, f64>)| {
            let column = matrix::column_mut(column, 0);
            matrix::multiply(
                MatMut::from_column_major_slice_mut(column, inputs, units),
                Accum::Replace,
                (input.as_ref().subrows(row % samples * count, count)).transpose(),
                (deltas.as_ref().subrows(row * count, count)).subcols(first, units),
            );
        };
        let mut target = held.as_mut().subrows_mut(0, units * inputs);
        let columns = target.as_mut().par_col_chunks_mut(1).enumerate();
        match rows * count * units * inputs >= WORTH_THREADS {
            true => columns.for_each(write),
            false => columns.with_min_len(rows).for_each(write),
        }
        let range = first * inputs..(first + units) * inputs;
        visit(range, target.as_ref().transpose());
    }
    scratch.give(held);
    let mut biases = scratch.take(outputs, rows);
    for row in 0..rows {
        for j in 0..outputs {
            let passes = passes.biased().iter().zip(&deltas.column(j)[row * count..]);
            let biased = passes.filter_map(|(biased, delta)| biased.then_some(delta));
            biases.column_mut(row)[j] = biased.sum();
        }
    }
    let range = outputs * inputs..outputs * (inputs + 1);
    visit(range, biases.as_ref().transpose());
    for buffer in [biases, input, deltas] {
        scratch.give(buffer);
    }
}

/// Rows `component · (C·b) + pass · b + sample` reordered to `(component · b + sample) · C + pass`.
fn by_sample(
    rows: MatRef<'_, f64>,
    samples: usize,
    passes: usize,
    scratch: &mut Scratch,
) -> Buffer {
    let mut sorted = scratch.take(rows.nrows(), rows.ncols());
    for j in 0..rows.ncols() {
        let from = matrix::column(rows, j).chunks_exact(samples * passes);
        let to = sorted.column_mut(j).chunks_exact_mut(samples * passes);
        for (from, to) in from.zip(to) {
            for (pass, from) in from.chunks_exact(samples).enumerate() {
                let places = to[pass..].iter_mut().step_by(passes);
                for (t, v) in places.zip(from) {
                    *t = *v;
                }
            }
        }
    }
    sorted
}
