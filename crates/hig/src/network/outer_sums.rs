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
use crate::linalg::simd::{self, Simd, WithSimd, vectorised, with_lanes};
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
    // Passes in which an input is 0 for all samples, such as the derivative of a coordinate in another one, add nothing.
    let some = |i: usize| {
        let values = matrix::column(part.input, i).chunks_exact(samples);
        let some = values
            .enumerate()
            .filter(|(_, values)| values.iter().any(|v| *v != 0.0));
        some.map(|(pass, _)| pass).collect()
    };
    let adding: Vec<Vec<usize>> = (0..inputs).map(some).collect();
    let biased = passes.biased().iter().enumerate();
    let biased: Vec<usize> = biased.filter(|(_, b)| **b).map(|(pass, _)| pass).collect();
    for (j, place) in columns.enumerate() {
        let (unit, values, adding) = match place < weights {
            true => {
                let (input, unit) = (place % inputs, place / inputs);
                let values = matrix::column(part.input, input);
                (unit, Some(values), &adding[input])
            }
            false => (place - weights, None, &biased),
        };
        with_lanes(Column {
            target: matrix::column_mut(target.rb_mut(), j),
            samples,
            count,
            adding,
            values,
            deltas: matrix::column(part.rows, unit),
        });
    }
}

/// A column of J (k·b): the sum over some passes of what came back to a unit, times what went into it.
struct Column<'a> {
    target: &'a mut [f64],
    samples: usize,
    /// Passes of a sample, and those of them that add.
    count: usize,
    adding: &'a [usize],
    /// None for a bias.
    values: Option<&'a [f64]>,
    deltas: &'a [f64],
}

impl WithSimd for Column<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let samples = self.samples;
        let deltas = self.deltas.chunks_exact(samples * self.count);
        for (sums, deltas) in self.target.chunks_exact_mut(samples).zip(deltas) {
            for first in (0..samples).step_by(S::F64_LANES) {
                let last = samples.min(first + S::F64_LANES);
                let mut sum = simd.splat_f64s(0.0);
                for pass in self.adding {
                    let place = pass * samples + first..pass * samples + last;
                    let delta = simd::load(simd, &deltas[place.clone()]);
                    sum = match self.values {
                        Some(values) => {
                            let value = simd::load(simd, &values[place]);
                            simd.mul_add_e_f64s(delta, value, sum)
                        }
                        None => simd.add_f64s(sum, delta),
                    };
                }
                simd::store(simd, &mut sums[first..last], sum);
            }
        }
    }
}

/// Calls `visit(range, columns)` until every column of an outer product's part of J (k·b rows) was there
/// once, a bounded number of them at a time; a range counts from the layer's first parameter.
pub(super) fn each_chunk(
    part: &LayerRows<'_>,
    passes: Passes<'_>,
    scratch: &mut Scratch,
    mut visit: impl FnMut(Range<usize>, MatRef<'_, f64>),
) {
    let rows = part.rows.nrows() / passes.count();
    if rows > 0 && are_few(passes) {
        layer::each_chunk(
            (part.range.len(), 1),
            rows,
            scratch,
            |columns, target, _| write_columns(part, passes, columns, target),
            |range, columns, _| visit(range, columns),
        );
        return;
    }
    let Some(sums) = Sums::new(part, passes, scratch) else {
        return;
    };
    let (inputs, outputs) = (sums.inputs(), sums.outputs());
    let most = (HELD / (inputs * rows).max(1)).clamp(1, outputs);
    let mut held = scratch.take(most * inputs, rows);
    for first in (0..outputs).step_by(most) {
        let units = most.min(outputs - first);
        let mut target = held.as_mut().subrows_mut(0, units * inputs);
        sums.write_weights(first..first + units, target.as_mut());
        let range = first * inputs..(first + units) * inputs;
        visit(range, target.as_ref().transpose());
    }
    scratch.give(held);
    let mut biases = scratch.take(outputs, rows);
    sums.write_biases(biases.as_mut());
    let range = outputs * inputs..outputs * (inputs + 1);
    visit(range, biases.as_ref().transpose());
    scratch.give(biases);
    sums.give_to(scratch);
}

/// Writes an outer product's part of Jᵀ (parameters × k·b).
pub(super) fn write_transposed(
    part: &LayerRows<'_>,
    passes: Passes<'_>,
    target: MatMut<'_, f64>,
    scratch: &mut Scratch,
) {
    let Some(sums) = Sums::new(part, passes, scratch) else {
        return;
    };
    let (weights, biases) = target.split_at_row_mut(sums.inputs() * sums.outputs());
    sums.write_weights(0..sums.outputs(), weights);
    sums.write_biases(biases);
    sums.give_to(scratch);
}

/// What went into a layer and what came back to it, the passes of a sample one behind the other.
struct Sums<'a> {
    passes: Passes<'a>,
    samples: usize,
    input: Buffer,
    deltas: Buffer,
}

impl<'a> Sums<'a> {
    /// None where there are no rows.
    fn new(part: &LayerRows<'_>, passes: Passes<'a>, scratch: &mut Scratch) -> Option<Self> {
        let (samples, count) = (passes.samples(part.input.nrows()), passes.count());
        (part.rows.nrows() >= count).then(|| Self {
            passes,
            samples,
            input: by_sample(part.input, samples, count, scratch),
            deltas: by_sample(part.rows, samples, count, scratch),
        })
    }

    fn inputs(&self) -> usize {
        self.input.as_ref().ncols()
    }

    fn outputs(&self) -> usize {
        self.deltas.as_ref().ncols()
    }

    fn rows(&self) -> usize {
        self.deltas.as_ref().nrows() / self.passes.count()
    }

    /// Writes the part of the weights of some units (units·inputs × k·b).
    fn write_weights(&self, units: Range<usize>, target: MatMut<'_, f64>) {
        let (inputs, rows, count) = (self.inputs(), self.rows(), self.passes.count());
        let (input, deltas) = (self.input.as_ref(), self.deltas.as_ref());
        let write = |(row, column): (usize, MatMut<'_, f64>)| {
            let column = matrix::column_mut(column, 0);
            let passes = input.subrows(row % self.samples * count, count);
            matrix::multiply(
                MatMut::from_column_major_slice_mut(column, inputs, units.len()),
                Accum::Replace,
                passes.transpose(),
                (deltas.subrows(row * count, count)).subcols(units.start, units.len()),
            );
        };
        let columns = target.par_col_chunks_mut(1).enumerate();
        match rows * count * units.len() * inputs >= WORTH_THREADS {
            true => columns.for_each(write),
            false => columns.with_min_len(rows).for_each(write),
        }
    }

    /// Writes the part of the biases (outputs × k·b).
    fn write_biases(&self, mut target: MatMut<'_, f64>) {
        let (biased, count) = (self.passes.biased(), self.passes.count());
        let all = biased.iter().all(|biased| *biased);
        vectorised(
            #[inline(always)]
            || {
                for j in 0..self.outputs() {
                    let rows = self.deltas.column(j).chunks_exact(count);
                    for (row, passes) in rows.enumerate() {
                        let of_biased = || {
                            let passes = biased.iter().zip(passes);
                            let some = passes.filter_map(|(biased, delta)| biased.then_some(delta));
                            some.sum()
                        };
                        target[(j, row)] = if all {
                            matrix::sum(passes)
                        } else {
                            of_biased()
                        };
                    }
                }
            },
        );
    }

    fn give_to(self, scratch: &mut Scratch) {
        scratch.give(self.input);
        scratch.give(self.deltas);
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
            transpose(from, to, samples);
        }
    }
    sorted
}

/// Columns of so many rows, one behind the other, to rows one behind the other.
fn transpose(from: &[f64], to: &mut [f64], rows: usize) {
    // Numbers that are read beside each other and written beside each other.
    const TILE: usize = 8;
    let columns = from.len() / rows;
    let tiled = (rows - rows % TILE, columns - columns % TILE);
    vectorised(
        #[inline(always)]
        || {
            for top in (0..tiled.0).step_by(TILE) {
                for left in (0..tiled.1).step_by(TILE) {
                    let mut tile = [[0.0; TILE]; TILE];
                    for (k, tile) in tile.iter_mut().enumerate() {
                        let start = (left + k) * rows + top;
                        tile.copy_from_slice(&from[start..start + TILE]);
                    }
                    let starts = (top..top + TILE).map(|row| row * columns + left);
                    for (i, start) in starts.enumerate() {
                        let line: [f64; TILE] = std::array::from_fn(|k| tile[k][i]);
                        to[start..start + TILE].copy_from_slice(&line);
                    }
                }
            }
        },
    );
    for i in 0..rows {
        let first = if i < tiled.0 { tiled.1 } else { 0 };
        for j in first..columns {
            to[i * columns + j] = from[j * rows + i];
        }
    }
}
