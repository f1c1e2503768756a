//! Convolution on a grid.

use super::grid::{Boundary, Grid};
use super::layer::{Layer, Values};
use super::moments::SharedWeight;
use super::parameter::Parameter;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef, WORTH_THREADS};
use crate::linalg::simd::vectorised;
use crate::linalg::{Scratch, Symmetric};
use faer::reborrow::ReborrowMut;
use rayon::prelude::*;
use std::ops::Range;

/// A convolution (cross-correlation, as everywhere in deep learning); parameters are `weight`
/// (outputs × channels × kernel height × kernel width, row-major) and `bias` (outputs).
///
/// Its output has `outputs` channels on a grid of (extent + 2·padding - kernel) / stride + 1 points
/// a side, rounded down. On a line, a grid of height 1, [`along`](Self::along) is a convolution in one dimension.
#[derive(Debug, Clone, Copy)]
pub struct Conv2d {
    /// The grid of the input.
    pub grid: Grid,
    /// Channels of the output.
    pub outputs: usize,
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Grid points from one output to the next, along both sides.
    pub stride: usize,
    /// Points added at the upper and at the lower edge, and those added at the left and at the right.
    pub padding: [usize; 2],
    /// What the added points hold.
    pub boundary: Boundary,
}

/// For each entry of the kernel, row by row, its *tap*: pairs of an output point and the input point
/// that it reads there.
struct Taps {
    pairs: Vec<usize>,
    ends: Vec<usize>,
}

impl Taps {
    fn count(&self) -> usize {
        self.ends.len()
    }

    fn tap(&self, k: usize) -> &[[usize; 2]] {
        let first = if k == 0 { 0 } else { self.ends[k - 1] };
        self.pairs[first..self.ends[k]].as_chunks().0
    }

    fn give_to(self, scratch: &mut Scratch) {
        scratch.give_indices(self.pairs);
        scratch.give_indices(self.ends);
    }
}

// Numbers of gathered patches held at a time (1 MiB), unless one point has more.
const HELD: usize = 1 << 17;
// Rows that are carried backwards together.
const ROWS: usize = 128;
// Rows whose sums fit into the registers.
const LANES: usize = 16;

impl Conv2d {
    /// A square kernel of odd width whose output has the extents of its input.
    pub fn same(grid: Grid, outputs: usize, kernel: usize, boundary: Boundary) -> Self {
        Self {
            grid,
            outputs,
            kernel: [kernel, kernel],
            stride: 1,
            padding: [kernel / 2; 2],
            boundary,
        }
    }

    /// A kernel of one row and odd width whose output has the extents of its input.
    pub fn along(grid: Grid, outputs: usize, kernel: usize, boundary: Boundary) -> Self {
        Self {
            kernel: [1, kernel],
            padding: [0, kernel / 2],
            ..Self::same(grid, outputs, kernel, boundary)
        }
    }

    /// The grid of the output.
    pub fn output(&self) -> Grid {
        let extent = |points: usize, side: usize| {
            let padded = points.saturating_add(2 * self.padding[side]);
            let room = padded.checked_sub(self.kernel[side]);
            room.map_or(0, |room| room / self.stride.max(1) + 1)
        };
        Grid {
            channels: self.outputs,
            height: extent(self.grid.height, 0),
            width: extent(self.grid.width, 1),
        }
    }

    /// Numbers that make one output.
    fn patch(&self) -> usize {
        let [rows, columns] = self.kernel;
        self.grid.channels.saturating_mul(rows * columns)
    }

    fn weights(&self) -> usize {
        self.outputs * self.patch()
    }

    /// The weight as patch × outputs.
    fn weight<'a>(&self, parameters: &'a [f64]) -> MatRef<'a, f64> {
        let weights = &parameters[..self.weights()];
        MatRef::from_column_major_slice(weights, self.patch(), self.outputs)
    }

    /// The input coordinate along a side (0 down, 1 across) that output coordinate `out` reads through
    /// entry `k` of the kernel.
    fn source(&self, out: usize, k: usize, side: usize) -> Option<usize> {
        let (place, padding) = (out * self.stride + k, self.padding[side]);
        let extent = [self.grid.height, self.grid.width][side];
        match self.boundary {
            Boundary::Zero => place.checked_sub(padding).filter(|i| *i < extent),
            Boundary::Periodic => Some((place + extent * padding - padding) % extent),
        }
    }

    fn taps(&self, scratch: &mut Scratch) -> Taps {
        let (output, [rows, columns]) = (self.output(), self.kernel);
        let mut pairs = scratch.take_indices(2 * rows * columns * output.points());
        let mut ends = scratch.take_indices(rows * columns);
        for k in 0..rows * columns {
            for y in 0..output.height {
                for x in 0..output.width {
                    let from = self.source(y, k / columns, 0);
                    let along = self.source(x, k % columns, 1);
                    if let (Some(from), Some(along)) = (from, along) {
                        pairs.push(y * output.width + x);
                        pairs.push(from * self.grid.width + along);
                    }
                }
            }
            ends.push(pairs.len());
        }
        Taps { pairs, ends }
    }

    /// Ranges of output points whose patches are held together, for that many rows.
    fn pieces(&self, rows: usize) -> impl Iterator<Item = Range<usize>> {
        let points = self.output().points();
        let most = (HELD / (rows * self.patch()).max(1)).max(1);
        (0..points)
            .step_by(most)
            .map(move |first| first..points.min(first + most))
    }

    /// Calls `visit(column, place in the range, input feature)` for what a range of output points
    /// reads: `column` of the patch, at that place.
    fn each_read(
        &self,
        taps: &Taps,
        points: &Range<usize>,
        mut visit: impl FnMut(usize, usize, usize),
    ) {
        for channel in 0..self.grid.channels {
            for k in 0..taps.count() {
                let tap = taps.tap(k);
                let first = tap.partition_point(|[to, _]| *to < points.start);
                let reads = tap[first..].iter().take_while(|[to, _]| *to < points.end);
                for [to, from] in reads {
                    let feature = channel * self.grid.points() + from;
                    visit(channel * taps.count() + k, to - points.start, feature);
                }
            }
        }
    }

    /// Writes or adds the convolution without bias.
    fn linear(
        &self,
        weight: MatRef<'_, f64>,
        input: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        accumulate: Accum,
        scratch: &mut Scratch,
    ) {
        let (rows, output, taps) = (input.nrows(), self.output(), self.taps(scratch));
        for points in self.pieces(rows) {
            let mut patches = scratch.take(points.len() * rows, self.patch());
            let mut values = scratch.take(points.len() * rows, self.outputs);
            // What lies beyond the edge is read by no tap.
            patches.as_mut().fill(0.0);
            self.each_read(&taps, &points, |column, place, feature| {
                let target = &mut patches.column_mut(column)[place * rows..][..rows];
                target.copy_from_slice(matrix::column(input, feature));
            });
            matrix::multiply(values.as_mut(), Accum::Replace, patches.as_ref(), weight);
            for o in 0..self.outputs {
                let column = values.column(o).chunks_exact(rows);
                for (point, values) in points.clone().zip(column) {
                    let feature = o * output.points() + point;
                    let target = matrix::column_mut(target.rb_mut(), feature);
                    matrix::write(target, accumulate, values.iter().copied());
                }
            }
            scratch.give(patches);
            scratch.give(values);
        }
        taps.give_to(scratch);
    }
}

impl Layer for Conv2d {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        self.grid.expect(inputs)?;
        let [rows, columns] = self.kernel;
        if self.stride == 0 || rows * columns == 0 || self.outputs == 0 {
            return Err("its outputs, kernel and stride must be at least 1".into());
        }
        let output = self.output();
        if output.features() == 0 {
            let (height, width, [down, across]) = (self.grid.height, self.grid.width, self.padding);
            return Err(format!(
                "its kernel {rows} x {columns} must fit into {height} x {width} with padding {down} x {across}"
            ));
        }
        Ok(output.features())
    }

    fn parameters(&self) -> Vec<Parameter> {
        let [rows, columns] = self.kernel;
        let shape = vec![self.outputs, self.grid.channels, rows, columns];
        vec![
            Parameter::weight(
                shape,
                self.patch(),
                self.outputs.saturating_mul(rows * columns),
            ),
            Parameter::constant("bias", self.outputs, 0.0),
        ]
    }

    fn forward(
        &self,
        parameters: &[f64],
        input: MatRef<'_, f64>,
        mut output: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let weight = self.weight(parameters);
        self.linear(weight, input, output.rb_mut(), Accum::Replace, scratch);
        let points = self.output().points();
        for (o, bias) in parameters[self.weights()..].iter().enumerate() {
            for point in 0..points {
                for v in matrix::column_mut(output.rb_mut(), o * points + point) {
                    *v += bias;
                }
            }
        }
    }

    fn backward(
        &self,
        parameters: &[f64],
        _: Values<'_>,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (weight, taps) = (self.weight(parameters), self.taps(scratch));
        target.fill(0.0);
        let blocks = target.par_row_chunks_mut(ROWS).enumerate();
        let fill = |(i, block): (usize, MatMut<'_, f64>)| {
            let rows = rows.subrows(i * ROWS, block.nrows());
            scratch.with_another(|own| self.backward_rows(weight, &taps, rows, block, own));
        };
        if rows.nrows() >= WORTH_THREADS {
            blocks.for_each(fill);
        } else {
            blocks.with_min_len(WORTH_THREADS).for_each(fill);
        }
        taps.give_to(scratch);
    }

    fn jvp_input(
        &self,
        parameters: &[f64],
        _: Values<'_>,
        tangent: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        accumulate: Accum,
        scratch: &mut Scratch,
    ) {
        let weight = self.weight(parameters);
        self.linear(weight, tangent, target, accumulate, scratch);
    }

    fn write_columns(
        &self,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        columns: Range<usize>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (points, weights) = (self.output().points(), self.weights());
        for place in columns.start.max(weights)..columns.end {
            let column = matrix::column_mut(target.rb_mut(), place - columns.start);
            column.fill(0.0);
            for point in 0..points {
                let delta = matrix::column(rows, (place - weights) * points + point);
                matrix::add(column, delta);
            }
        }
        let weights = columns.start.min(weights)..columns.end.min(weights);
        let target = target.subcols_mut(0, weights.len());
        self.write_weights(input, rows, weights, target, scratch);
    }

    fn is_affine(&self) -> bool {
        true
    }

    fn shared_weight(&self) -> Option<SharedWeight> {
        Some(SharedWeight {
            inputs: self.patch(),
            outputs: self.outputs,
            positions: self.output().points(),
        })
    }

    fn add_input_moment(
        &self,
        input: MatRef<'_, f64>,
        ones: &[f64],
        sum: &mut Symmetric,
        scratch: &mut Scratch,
    ) {
        let (rows, patch, taps) = (input.nrows(), self.patch(), self.taps(scratch));
        for points in self.pieces(rows) {
            let mut read = scratch.take(points.len() * rows, patch + 1);
            read.as_mut().fill(0.0);
            self.each_read(&taps, &points, |column, place, feature| {
                let target = &mut read.column_mut(column)[place * rows..][..rows];
                target.copy_from_slice(matrix::column(input, feature));
            });
            for target in read.column_mut(patch).chunks_exact_mut(rows) {
                target.copy_from_slice(ones);
            }
            sum.add(read.as_ref().transpose());
            scratch.give(read);
        }
        taps.give_to(scratch);
    }

    fn add_output_moment(&self, rows: MatRef<'_, f64>, sum: &mut Symmetric, scratch: &mut Scratch) {
        let (count, all) = (rows.nrows(), self.output().points());
        for points in self.pieces(count) {
            let mut written = scratch.take(points.len() * count, self.outputs);
            for o in 0..self.outputs {
                let column = written.column_mut(o).chunks_exact_mut(count);
                for (point, target) in points.clone().zip(column) {
                    target.copy_from_slice(matrix::column(rows, o * all + point));
                }
            }
            sum.add(written.as_ref().transpose());
            scratch.give(written);
        }
    }
}

impl Conv2d {
    /// Adds rows, carried backwards, to the target.
    fn backward_rows(
        &self,
        weight: MatRef<'_, f64>,
        taps: &Taps,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (count, output) = (rows.nrows(), self.output());
        for points in self.pieces(count) {
            let mut deltas = scratch.take(points.len() * count, self.outputs);
            let mut patches = scratch.take(points.len() * count, self.patch());
            for o in 0..self.outputs {
                let column = deltas.column_mut(o).chunks_exact_mut(count);
                for (point, delta) in points.clone().zip(column) {
                    delta.copy_from_slice(matrix::column(rows, o * output.points() + point));
                }
            }
            let weight = weight.transpose();
            matrix::multiply(patches.as_mut(), Accum::Replace, deltas.as_ref(), weight);
            self.each_read(taps, &points, |column, place, feature| {
                let source = &patches.column(column)[place * count..][..count];
                matrix::add(matrix::column_mut(target.rb_mut(), feature), source);
            });
            scratch.give(deltas);
            scratch.give(patches);
        }
    }

    /// Columns of weights: sums over output points of a cotangent times the input it reads. They
    /// are summed in registers, for `LANES` rows at a time whose numbers are gathered first.
    fn write_weights(
        &self,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        columns: Range<usize>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (samples, patch, taps) = (input.nrows(), self.patch(), self.taps(scratch));
        let points = self.output().points();
        let mut values_of_lanes = scratch.take_numbers(self.grid.features() * LANES);
        let values = values_of_lanes.as_chunks_mut::<LANES>().0;
        let mut deltas_of_lanes = scratch.take_numbers(points * LANES);
        let deltas = deltas_of_lanes.as_chunks_mut::<LANES>().0;
        // Lanes that no row fills are summed too; what they hold must be harmless.
        deltas.fill([0.0; LANES]);
        // Blocks that start at one sample read the same values.
        let mut blocks = scratch.take_indices(rows.nrows().div_ceil(LANES));
        blocks.extend((0..rows.nrows()).step_by(LANES));
        blocks.sort_unstable_by_key(|row| (row % samples, *row));
        let mut gathered = None;
        for &row in &blocks {
            let lanes = LANES.min(rows.nrows() - row);
            let first = row % samples;
            if gathered.replace(first) != Some(first) {
                for (j, block) in values.iter_mut().enumerate() {
                    let column = matrix::column(input, j);
                    let cycle = column[first..].iter().chain(column.iter().cycle());
                    for (v, value) in block.iter_mut().zip(cycle) {
                        *v = *value;
                    }
                }
            }
            for o in columns.start / patch..columns.end.div_ceil(patch) {
                for (point, block) in deltas.iter_mut().enumerate() {
                    let column = matrix::column(rows, o * points + point);
                    block[..lanes].copy_from_slice(&column[row..row + lanes]);
                }
                for place in columns.start.max(o * patch)..columns.end.min((o + 1) * patch) {
                    let (channel, k) = (place % patch / taps.count(), place % taps.count());
                    let values = &values[channel * self.grid.points()..];
                    let sums = sum_of_products(taps.tap(k), deltas, values);
                    let column = matrix::column_mut(target.rb_mut(), place - columns.start);
                    column[row..row + lanes].copy_from_slice(&sums[..lanes]);
                }
            }
        }
        taps.give_to(scratch);
        scratch.give_numbers(values_of_lanes);
        scratch.give_numbers(deltas_of_lanes);
        scratch.give_indices(blocks);
    }
}

/// Σ over a tap's pairs of the cotangent times the value, lane by lane.
fn sum_of_products(
    tap: &[[usize; 2]],
    deltas: &[[f64; LANES]],
    values: &[[f64; LANES]],
) -> [f64; LANES] {
    vectorised(
        #[inline(always)]
        || {
            let mut sums = [0.0; LANES];
            for &[to, from] in tap {
                let (delta, value) = (&deltas[to], &values[from]);
                for lane in 0..LANES {
                    sums[lane] += delta[lane] * value[lane];
                }
            }
            sums
        },
    )
}
