//! Convolution on a grid.

use super::grid::{Boundary, Grid};
use super::layer::{Layer, Parameter};
use crate::linalg::matrix::{self, Mat, MatMut, MatRef, WORTH_THREADS};
use crate::linalg::simd::vectorised;
use faer::reborrow::ReborrowMut;
use rayon::prelude::*;
use std::ops::Range;

/// A convolution (cross-correlation, as everywhere in deep learning); parameters are `weight`
/// (outputs × channels × kernel height × kernel width, row-major) and `bias` (outputs).
///
/// Its output has `outputs` channels on a grid of (extent + 2·padding - kernel) / stride + 1 points
/// a side, rounded down.
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
    /// Points added at each of the four edges.
    pub padding: usize,
    /// What the added points hold.
    pub boundary: Boundary,
}

/// For one entry of the kernel: pairs of an output point and the input point that it reads.
type Tap = Vec<(usize, usize)>;

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
            padding: kernel / 2,
            boundary,
        }
    }

    /// The grid of the output.
    pub fn output(&self) -> Grid {
        let extent = |points: usize, kernel: usize| {
            let room = (points + 2 * self.padding).checked_sub(kernel);
            room.map_or(0, |room| room / self.stride.max(1) + 1)
        };
        Grid {
            channels: self.outputs,
            height: extent(self.grid.height, self.kernel[0]),
            width: extent(self.grid.width, self.kernel[1]),
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

    /// The input coordinate that output coordinate `out` reads through entry `k` of the kernel.
    fn source(&self, out: usize, k: usize, extent: usize) -> Option<usize> {
        let place = out * self.stride + k;
        match self.boundary {
            Boundary::Zero => place.checked_sub(self.padding).filter(|i| *i < extent),
            Boundary::Periodic => Some((place + extent * self.padding - self.padding) % extent),
        }
    }

    /// All taps, row by row of the kernel.
    fn taps(&self) -> Vec<Tap> {
        let (output, [rows, columns]) = (self.output(), self.kernel);
        let tap = |ky: usize, kx: usize| {
            let mut pairs = Tap::new();
            for y in 0..output.height {
                for x in 0..output.width {
                    let from = self.source(y, ky, self.grid.height);
                    let along = self.source(x, kx, self.grid.width);
                    if let (Some(from), Some(along)) = (from, along) {
                        pairs.push((y * output.width + x, from * self.grid.width + along));
                    }
                }
            }
            pairs
        };
        (0..rows * columns)
            .map(|k| tap(k / columns, k % columns))
            .collect()
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
        taps: &[Tap],
        points: &Range<usize>,
        mut visit: impl FnMut(usize, usize, usize),
    ) {
        for channel in 0..self.grid.channels {
            for (k, tap) in taps.iter().enumerate() {
                let first = tap.partition_point(|(to, _)| *to < points.start);
                let reads = tap[first..].iter().take_while(|(to, _)| *to < points.end);
                for (to, from) in reads {
                    let feature = channel * self.grid.points() + from;
                    visit(channel * taps.len() + k, to - points.start, feature);
                }
            }
        }
    }

    /// The convolution without bias.
    fn linear(&self, weight: MatRef<'_, f64>, input: &Mat<f64>) -> Mat<f64> {
        let (rows, output, taps) = (input.nrows(), self.output(), self.taps());
        let mut result = Mat::zeros(rows, output.features());
        for points in self.pieces(rows) {
            let mut patches = Mat::zeros(points.len() * rows, self.patch());
            self.each_read(&taps, &points, |column, place, feature| {
                let target = &mut patches.col_as_slice_mut(column)[place * rows..][..rows];
                target.copy_from_slice(input.col_as_slice(feature));
            });
            let values = matrix::product(patches.as_ref(), weight);
            for o in 0..self.outputs {
                let column = values.col_as_slice(o).chunks_exact(rows);
                for (point, values) in points.clone().zip(column) {
                    let feature = o * output.points() + point;
                    result.col_as_slice_mut(feature).copy_from_slice(values);
                }
            }
        }
        result
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
            let (height, width, padding) = (self.grid.height, self.grid.width, self.padding);
            return Err(format!(
                "its kernel {rows} x {columns} must fit into {height} x {width} with padding {padding}"
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

    fn forward(&self, parameters: &[f64], input: &Mat<f64>) -> Mat<f64> {
        let mut output = self.linear(self.weight(parameters), input);
        let points = self.output().points();
        for (o, bias) in parameters[self.weights()..].iter().enumerate() {
            for point in 0..points {
                for v in output.col_as_slice_mut(o * points + point) {
                    *v += bias;
                }
            }
        }
        output
    }

    fn backward(
        &self,
        parameters: &[f64],
        _: &Mat<f64>,
        _: &Mat<f64>,
        rows: &Mat<f64>,
    ) -> Mat<f64> {
        let (weight, taps) = (self.weight(parameters), self.taps());
        let mut result = Mat::zeros(rows.nrows(), self.grid.features());
        let blocks = result.as_mut().par_row_chunks_mut(ROWS).enumerate();
        let fill = |(i, block): (usize, MatMut<'_, f64>)| {
            let first = i * ROWS;
            self.backward_rows(weight, &taps, rows, first..first + block.nrows(), block);
        };
        if rows.nrows() >= WORTH_THREADS {
            blocks.for_each(fill);
        } else {
            blocks.with_min_len(WORTH_THREADS).for_each(fill);
        }
        result
    }

    fn jvp(
        &self,
        parameters: &[f64],
        direction: &[f64],
        input: &Mat<f64>,
        _: &Mat<f64>,
        tangent: Option<Mat<f64>>,
    ) -> Option<Mat<f64>> {
        let output = self.forward(direction, input);
        Some(match tangent {
            Some(tangent) => output + self.linear(self.weight(parameters), &tangent),
            None => output,
        })
    }

    fn write_columns(
        &self,
        input: &Mat<f64>,
        rows: &Mat<f64>,
        columns: Range<usize>,
        mut target: MatMut<'_, f64>,
    ) {
        let (points, weights) = (self.output().points(), self.weights());
        for place in columns.start.max(weights)..columns.end {
            let column = matrix::column_mut(target.rb_mut(), place - columns.start);
            column.fill(0.0);
            for point in 0..points {
                let delta = rows.col_as_slice((place - weights) * points + point);
                for (t, d) in column.iter_mut().zip(delta) {
                    *t += d;
                }
            }
        }
        let weights = columns.start.min(weights)..columns.end.min(weights);
        let target = target.subcols_mut(0, weights.len());
        self.write_weights(input, rows, weights, target);
    }
}

impl Conv2d {
    /// Adds a range of rows, carried backwards, to the target.
    fn backward_rows(
        &self,
        weight: MatRef<'_, f64>,
        taps: &[Tap],
        rows: &Mat<f64>,
        range: Range<usize>,
        mut target: MatMut<'_, f64>,
    ) {
        let (count, output) = (range.len(), self.output());
        for points in self.pieces(count) {
            let mut deltas = Mat::zeros(points.len() * count, self.outputs);
            for o in 0..self.outputs {
                let column = deltas.col_as_slice_mut(o).chunks_exact_mut(count);
                for (point, delta) in points.clone().zip(column) {
                    let feature = rows.col_as_slice(o * output.points() + point);
                    delta.copy_from_slice(&feature[range.clone()]);
                }
            }
            let patches = matrix::product(deltas.as_ref(), weight.transpose());
            self.each_read(taps, &points, |column, place, feature| {
                let source = &patches.col_as_slice(column)[place * count..][..count];
                let column = matrix::column_mut(target.rb_mut(), feature);
                for (t, v) in column.iter_mut().zip(source) {
                    *t += v;
                }
            });
        }
    }

    /// Columns of weights: sums over output points of a cotangent times the input it reads. They
    /// are summed in registers, for `LANES` rows at a time whose numbers are gathered first.
    fn write_weights(
        &self,
        input: &Mat<f64>,
        rows: &Mat<f64>,
        columns: Range<usize>,
        mut target: MatMut<'_, f64>,
    ) {
        let (samples, patch, taps) = (input.nrows(), self.patch(), self.taps());
        let points = self.output().points();
        let mut values = vec![[0.0; LANES]; self.grid.features()];
        let mut deltas = vec![[0.0; LANES]; points];
        // Blocks that start at one sample read the same values.
        let mut blocks: Vec<usize> = (0..rows.nrows()).step_by(LANES).collect();
        blocks.sort_by_key(|row| row % samples);
        let mut gathered = None;
        for row in blocks {
            let lanes = LANES.min(rows.nrows() - row);
            let first = row % samples;
            if gathered.replace(first) != Some(first) {
                for (j, block) in values.iter_mut().enumerate() {
                    let column = input.col_as_slice(j);
                    let cycle = column[first..].iter().chain(column.iter().cycle());
                    for (v, value) in block.iter_mut().zip(cycle) {
                        *v = *value;
                    }
                }
            }
            for o in columns.start / patch..columns.end.div_ceil(patch) {
                for (point, block) in deltas.iter_mut().enumerate() {
                    let column = rows.col_as_slice(o * points + point);
                    block[..lanes].copy_from_slice(&column[row..row + lanes]);
                }
                for place in columns.start.max(o * patch)..columns.end.min((o + 1) * patch) {
                    let (channel, k) = (place % patch / taps.len(), place % taps.len());
                    let values = &values[channel * self.grid.points()..];
                    let sums = sum_of_products(&taps[k], &deltas, values);
                    let column = matrix::column_mut(target.rb_mut(), place - columns.start);
                    column[row..row + lanes].copy_from_slice(&sums[..lanes]);
                }
            }
        }
    }
}

/// Σ over a tap's pairs of the cotangent times the value, lane by lane.
fn sum_of_products(tap: &Tap, deltas: &[[f64; LANES]], values: &[[f64; LANES]]) -> [f64; LANES] {
    vectorised(
        #[inline(always)]
        || {
            let mut sums = [0.0; LANES];
            for &(to, from) in tap {
                let (delta, value) = (&deltas[to], &values[from]);
                for lane in 0..LANES {
                    sums[lane] += delta[lane] * value[lane];
                }
            }
            sums
        },
    )
}
