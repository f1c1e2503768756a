//! Convolution on a grid.

use super::grid::{Boundary, Grid};
use super::layer::{Layer, Values};
use super::moments::SharedWeight;
use super::parameter::Parameter;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
use crate::linalg::{Scratch, Symmetric};
use faer::reborrow::ReborrowMut;
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
    pub(super) fn patch(&self) -> usize {
        let [rows, columns] = self.kernel;
        self.grid.channels.saturating_mul(rows * columns)
    }

    pub(super) fn weights(&self) -> usize {
        self.outputs * self.patch()
    }

    /// The input coordinate along a side (0 down, 1 across) that output coordinate `out` reads through
    /// entry `k` of the kernel.
    pub(super) fn source(&self, out: usize, k: usize, side: usize) -> Option<usize> {
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
        output: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (weights, bias) = parameters.split_at(self.weights());
        let sums = self.forwards(weights, Some(bias), scratch);
        sums.write(input, output, Accum::Replace, scratch);
        sums.give_to(scratch);
    }

    fn backward(
        &self,
        parameters: &[f64],
        _: Values<'_>,
        rows: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        self.write_backwards(&parameters[..self.weights()], rows, target, scratch);
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
        let sums = self.forwards(&parameters[..self.weights()], None, scratch);
        sums.write(tangent, target, accumulate, scratch);
        sums.give_to(scratch);
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

    /// Those of some outputs, four of which are summed in registers side by side; fewer where kernels are large.
    fn columns_together(&self) -> usize {
        const MOST: usize = 1 << 12;
        let outputs = [16, 8, 4].into_iter().find(|o| o * self.patch() <= MOST);
        outputs.unwrap_or(1) * self.patch()
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
