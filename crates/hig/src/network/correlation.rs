//! Correlations of images, with some samples side by side in vector registers.
//!
//! A point of an image holds the numbers of as many samples as its V registers have lanes, V = 2 where there are so many
//! samples and 1 elsewhere: number `(channel · plane + point) · lanes + lane`. Images are padded, so that all points of a line are read alike
//! whatever the boundary, and packed from a batch matrix once for all that is read of them.

use super::conv2d::Conv2d;
use super::grid::Boundary;
use crate::linalg::Scratch;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
use crate::linalg::simd::{self, Simd, WithSimd, with_lanes};
use faer::reborrow::ReborrowMut;
use rayon::prelude::*;
use std::ops::Range;

/// Rows that one thread works on, a multiple of what a point holds on every machine.
const ROWS: usize = 64;
/// Products of two numbers below which a second thread is not worth waking up.
const WORTH_THREADS: usize = 1 << 20;
/// Numbers of cotangents that are summed over before the sums are left for others: what the nearest cache holds
/// beside them.
const NEAR: usize = 1 << 11;

/// Lanes of the widest vectors.
const MOST_LANES: usize = 16;

/// The numbers of a point.
type Point<S, const V: usize> = [<S as Simd>::f64s; V];

/// A batch of images, of which a padded plane holds some points.
struct Source {
    channels: usize,
    /// Points of a channel of the batch, and of a plane of the padded image.
    points: usize,
    plane: usize,
    /// Pairs of a point of the plane and the one of the batch that it holds; the others hold 0.
    pairs: Vec<usize>,
}

impl Source {
    fn pairs(&self) -> &[[usize; 2]] {
        self.pairs.as_chunks().0
    }

    fn len(&self) -> usize {
        self.channels * self.plane
    }

    /// Writes the numbers of some rows, those of the samples that they belong to; vectors beyond them keep what they
    /// hold.
    #[inline(always)]
    fn pack<S: Simd, const V: usize>(
        &self,
        simd: S,
        batch: MatRef<'_, f64>,
        rows: Range<usize>,
        image: &mut [Point<S, V>],
    ) {
        let first = rows.start % batch.nrows();
        let in_one_piece = first + rows.len() <= batch.nrows();
        for channel in 0..self.channels {
            let target = &mut image[channel * self.plane..][..self.plane];
            for [to, from] in self.pairs() {
                let column = matrix::column(batch, channel * self.points + from);
                if in_one_piece {
                    let numbers = column[first..][..rows.len()].chunks(S::F64_LANES);
                    for (vector, numbers) in target[*to].iter_mut().zip(numbers) {
                        *vector = simd::load(simd, numbers);
                    }
                    continue;
                }
                let cycle = column[first..].iter().chain(column.iter().cycle());
                let mut values = cycle.take(rows.len());
                for vector in &mut target[*to] {
                    let mut numbers = [0.0; MOST_LANES];
                    let lanes = &mut numbers[..S::F64_LANES];
                    lanes.iter_mut().zip(&mut values).for_each(|(t, v)| *t = *v);
                    *vector = simd::load(simd, lanes);
                }
            }
        }
    }
}

/// Lines of points at which the same taps are read.
struct Lines {
    /// Where the taps of a point are, counted from it.
    taps: Vec<usize>,
    /// The first point of each line in the plane, from one point of a line to the next, and how many there are.
    starts: Vec<usize>,
    step: usize,
    count: usize,
    /// The point of the result that each point of each line belongs to.
    targets: Vec<usize>,
    /// Number `(channel · taps + tap) · outputs + output`.
    weights: Vec<f64>,
}

/// Sums over the taps and channels of an image.
pub(super) struct Correlation<'a> {
    source: Source,
    outputs: usize,
    /// Points of a channel of the result.
    points: usize,
    lines: Lines,
    /// What the sums of an output begin with.
    bias: Option<&'a [f64]>,
}

impl Conv2d {
    /// The extent of the padded grid along a side (0 down, 1 across).
    fn padded(&self, side: usize) -> usize {
        let output = self.output();
        ([output.height, output.width][side] - 1) * self.stride + self.kernel[side]
    }

    /// The coordinate along a side that a padded one stands for.
    fn inside(&self, place: usize, side: usize) -> Option<usize> {
        self.source(place / self.stride, place % self.stride, side)
    }

    fn padded_input(&self, scratch: &mut Scratch) -> Source {
        let [height, width] = [0, 1].map(|side| self.padded(side));
        let mut pairs = scratch.take_indices(2 * height * width);
        for y in 0..height {
            for x in 0..width {
                if let (Some(down), Some(across)) = (self.inside(y, 0), self.inside(x, 1)) {
                    pairs.extend([y * width + x, down * self.grid.width + across]);
                }
            }
        }
        Source {
            channels: self.grid.channels,
            points: self.grid.points(),
            plane: height * width,
            pairs,
        }
    }

    /// Cotangents of the output, with room of so many points around.
    fn padded_output(&self, [down, across]: [usize; 2], scratch: &mut Scratch) -> Source {
        let output = self.output();
        let width = output.width + 2 * across;
        let mut pairs = scratch.take_indices(2 * output.points());
        for y in 0..output.height {
            for x in 0..output.width {
                pairs.extend([(y + down) * width + x + across, y * output.width + x]);
            }
        }
        Source {
            channels: output.channels,
            points: output.points(),
            plane: (output.height + 2 * down) * width,
            pairs,
        }
    }

    /// The output of a batch.
    pub(super) fn forwards<'a>(
        &self,
        weights: &[f64],
        bias: Option<&'a [f64]>,
        scratch: &mut Scratch,
    ) -> Correlation<'a> {
        let (output, width) = (self.output(), self.padded(1));
        let [rows, columns] = self.kernel;
        let mut taps = scratch.take_indices(rows * columns);
        taps.extend((0..rows).flat_map(|y| (0..columns).map(move |x| y * width + x)));
        let mut starts = scratch.take_indices(output.height);
        starts.extend((0..output.height).map(|y| y * self.stride * width));
        let mut targets = scratch.take_indices(output.points());
        targets.extend(0..output.points());
        let patch = self.patch();
        let mut turned = scratch.take_numbers(patch * self.outputs);
        for (o, weights) in weights.chunks_exact(patch).enumerate() {
            for (place, weight) in weights.iter().enumerate() {
                turned[place * self.outputs + o] = *weight;
            }
        }
        Correlation {
            source: self.padded_input(scratch),
            outputs: self.outputs,
            points: output.points(),
            lines: Lines {
                taps,
                starts,
                step: self.stride,
                count: output.width,
                targets,
                weights: turned,
            },
            bias,
        }
    }

    /// Writes cotangents of the input from those of the output: the padded coordinate y = s·t + φ is read by the
    /// entries φ + s·j of the kernel, at the outputs t - j, so that each φ along both sides has lines of its own.
    pub(super) fn write_backwards(
        &self,
        weights: &[f64],
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        // Otherwise every point is one of one padded point.
        let accumulate = match self.stride > 1 || self.boundary == Boundary::Periodic {
            true => Accum::Add,
            false => Accum::Replace,
        };
        if accumulate == Accum::Add {
            target.fill(0.0);
        }
        let phases = (0..self.stride * self.stride).map(|i| [i / self.stride, i % self.stride]);
        for phase in phases {
            if let Some(sums) = self.backwards(weights, phase, scratch) {
                sums.write(rows, target.rb_mut(), accumulate, scratch);
                sums.give_to(scratch);
            }
        }
    }

    /// The part of a phase, where it has one.
    fn backwards(
        &self,
        weights: &[f64],
        phase: [usize; 2],
        scratch: &mut Scratch,
    ) -> Option<Correlation<'static>> {
        let (stride, kernel, channels) = (self.stride, self.kernel, self.grid.channels);
        let entries = |side: usize| kernel[side].saturating_sub(phase[side]).div_ceil(stride);
        let reached = |side: usize| {
            let extent = self.padded(side).saturating_sub(phase[side]);
            let places = (0..extent.div_ceil(stride)).map(move |t| (t, t * stride + phase[side]));
            places.filter_map(move |(t, place)| Some((t, self.inside(place, side)?)))
        };
        let (first, _) = reached(1).next()?;
        if entries(0) * entries(1) == 0 {
            return None;
        }
        let around = kernel.map(|k| (k - 1) / stride);
        let width = self.output().width + 2 * around[1];
        let each_entry = || (0..entries(0)).flat_map(|j| (0..entries(1)).map(move |i| [j, i]));
        let mut taps = scratch.take_indices(entries(0) * entries(1));
        taps.extend(each_entry().map(|[j, i]| (around[0] - j) * width + around[1] - i));
        let mut turned = scratch.take_numbers(self.outputs * taps.len() * channels);
        let mut next = turned.chunks_exact_mut(channels);
        for o in 0..self.outputs {
            for ([j, i], turned) in each_entry().zip(&mut next) {
                let entry = (phase[0] + stride * j) * kernel[1] + phase[1] + stride * i;
                for (c, turned) in turned.iter_mut().enumerate() {
                    *turned = weights[(o * channels + c) * kernel[0] * kernel[1] + entry];
                }
            }
        }
        let mut starts = scratch.take_indices(reached(0).count());
        let mut targets = scratch.take_indices(reached(0).count() * reached(1).count());
        for (t, down) in reached(0) {
            starts.push(t * width + first);
            targets.extend(reached(1).map(|(_, across)| down * self.grid.width + across));
        }
        Some(Correlation {
            source: self.padded_output(around, scratch),
            outputs: channels,
            points: self.grid.points(),
            lines: Lines {
                taps,
                starts,
                step: 1,
                count: reached(1).count(),
                targets,
                weights: turned,
            },
            bias: None,
        })
    }

    /// Columns of weights of J: sums over the output points of a cotangent times the input that it reads.
    pub(super) fn write_weights(
        &self,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        columns: Range<usize>,
        target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        if columns.is_empty() || rows.nrows() == 0 {
            return;
        }
        let (points, patch) = (self.output().points(), self.patch());
        let outputs = columns.start / patch..columns.end.div_ceil(patch);
        let rows = rows.subcols(outputs.start * points, outputs.len() * points);
        let operations = rows.nrows() * points * columns.len();
        let products = OfWeights {
            conv: self,
            input: self.padded_input(scratch),
            output: Source {
                channels: outputs.len(),
                ..self.padded_output([0; 2], scratch)
            },
            columns: columns.start - outputs.start * patch..columns.end - outputs.start * patch,
        };
        each_block(target, operations, |first, block| {
            scratch.with_another(|scratch| {
                with_lanes(WeightsOfBlock {
                    products: &products,
                    batches: (input, rows),
                    first,
                    target: block,
                    scratch,
                });
            });
        });
        scratch.give_indices(products.input.pairs);
        scratch.give_indices(products.output.pairs);
    }
}

/// Calls `work` for blocks of rows, side by side where so many operations are worth it.
fn each_block(
    target: MatMut<'_, f64>,
    operations: usize,
    work: impl Fn(usize, MatMut<'_, f64>) + Sync,
) {
    let together = if operations >= WORTH_THREADS {
        1
    } else {
        usize::MAX
    };
    let blocks = target.par_row_chunks_mut(ROWS).enumerate();
    let blocks = blocks.with_min_len(together);
    blocks.for_each(|(i, block)| work(i * ROWS, block));
}

impl Correlation<'_> {
    /// Writes the sums of a batch, or adds them to what is there.
    pub(super) fn write(
        &self,
        batch: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        accumulate: Accum,
        scratch: &Scratch,
    ) {
        let operations = self.lines.weights.len() * self.lines.targets.len();
        each_block(
            target,
            operations.saturating_mul(batch.nrows()),
            |first, block| {
                scratch.with_another(|scratch| {
                    with_lanes(SumsOfBlock {
                        sums: self,
                        batch,
                        first,
                        target: block,
                        accumulate,
                        scratch,
                    });
                });
            },
        );
    }

    pub(super) fn give_to(self, scratch: &mut Scratch) {
        scratch.give_indices(self.source.pairs);
        scratch.give_indices(self.lines.taps);
        scratch.give_indices(self.lines.starts);
        scratch.give_indices(self.lines.targets);
        scratch.give_numbers(self.lines.weights);
    }
}

/// The rows of a block, as many at a time as a point holds.
fn groups(
    first: usize,
    block: &MatMut<'_, f64>,
    lanes: usize,
) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = first + block.nrows();
    (first..end)
        .step_by(lanes)
        .map(move |row| row..end.min(row + lanes))
}

/// Numbers of an image as points.
#[inline(always)]
fn points<S: Simd, const V: usize>(numbers: &mut [f64]) -> &mut [Point<S, V>] {
    S::as_mut_simd_f64s(numbers).0.as_chunks_mut().0
}

/// Writes a point's numbers of some rows to a column, or adds them.
#[inline(always)]
fn put<S: Simd, const V: usize>(
    simd: S,
    point: &Point<S, V>,
    column: &mut [f64],
    accumulate: Accum,
) {
    for (vector, target) in point.iter().zip(column.chunks_mut(S::F64_LANES)) {
        let value = match accumulate {
            Accum::Replace => *vector,
            Accum::Add => simd.add_f64s(simd::load(simd, target), *vector),
        };
        simd::store(simd, target, value);
    }
}

/// Products with the lanes of a point, added to those of another.
#[inline(always)]
fn add_products<S: Simd, const V: usize>(
    simd: S,
    sum: &mut Point<S, V>,
    left: &Point<S, V>,
    right: &Point<S, V>,
) {
    for v in 0..V {
        sum[v] = simd.mul_add_e_f64s(left[v], right[v], sum[v]);
    }
}

/// Whether there are registers for the sums of four outputs at two points.
const fn wide<S: Simd>() -> bool {
    S::REGISTER_COUNT >= 32
}

struct SumsOfBlock<'a, 'b> {
    sums: &'a Correlation<'b>,
    batch: MatRef<'a, f64>,
    first: usize,
    target: MatMut<'a, f64>,
    accumulate: Accum,
    scratch: &'a mut Scratch,
}

impl WithSimd for SumsOfBlock<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.target.nrows() <= S::F64_LANES {
            true => self.run::<S, 1>(simd),
            false => self.run::<S, 2>(simd),
        }
    }
}

impl SumsOfBlock<'_, '_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let Self {
            sums,
            batch,
            first,
            mut target,
            accumulate,
            scratch,
        } = self;
        let lanes = V * S::F64_LANES;
        let lines = &sums.lines;
        let mut image = scratch.take_numbers(sums.source.len() * lanes);
        image.fill(0.0);
        let mut line = scratch.take_numbers(sums.outputs * lines.count * lanes);
        for rows in groups(first, &target, lanes) {
            sums.source
                .pack(simd, batch, rows.clone(), points::<S, V>(&mut image));
            let rows = rows.start - first..rows.end - first;
            let targets = lines.targets.chunks_exact(lines.count);
            for (start, targets) in lines.starts.iter().zip(targets) {
                let of_line = &mut points::<S, V>(&mut line)[..sums.outputs * lines.count];
                sums.write_line(simd, points::<S, V>(&mut image), *start, of_line);
                for (o, of_output) in of_line.chunks_exact(lines.count).enumerate() {
                    for (point, to) in of_output.iter().zip(targets) {
                        let column = matrix::column_mut(target.rb_mut(), o * sums.points + to);
                        put(simd, point, &mut column[rows.clone()], accumulate);
                    }
                }
            }
        }
        scratch.give_numbers(image);
        scratch.give_numbers(line);
    }
}

impl Correlation<'_> {
    /// The sums at the points of a line, output by output.
    #[inline(always)]
    fn write_line<S: Simd, const V: usize>(
        &self,
        simd: S,
        image: &[Point<S, V>],
        start: usize,
        target: &mut [Point<S, V>],
    ) {
        let mut output = 0;
        while output < self.outputs {
            match self.outputs - output {
                4.. if wide::<S>() => {
                    self.write_outputs::<S, V, 4>(simd, image, start, output, target);
                    output += 4;
                }
                2.. => {
                    self.write_outputs::<S, V, 2>(simd, image, start, output, target);
                    output += 2;
                }
                _ => {
                    self.write_outputs::<S, V, 1>(simd, image, start, output, target);
                    output += 1;
                }
            }
        }
    }

    /// The same for some outputs, two points at a time.
    #[inline(always)]
    fn write_outputs<S: Simd, const V: usize, const O: usize>(
        &self,
        simd: S,
        image: &[Point<S, V>],
        start: usize,
        output: usize,
        target: &mut [Point<S, V>],
    ) {
        let lines = &self.lines;
        let mut place = 0;
        while place < lines.count {
            let from = start + place * lines.step;
            match lines.count - place {
                2.. => {
                    let sums = self.at_points::<S, V, O, 2>(simd, image, from, output);
                    for (o, sums) in sums.iter().enumerate() {
                        target[(output + o) * lines.count + place..][..2].copy_from_slice(sums);
                    }
                    place += 2;
                }
                _ => {
                    let sums = self.at_points::<S, V, O, 1>(simd, image, from, output);
                    for (o, sums) in sums.iter().enumerate() {
                        target[(output + o) * lines.count + place] = sums[0];
                    }
                    place += 1;
                }
            }
        }
    }

    /// The sums of some outputs at some points, in registers.
    #[inline(always)]
    fn at_points<S: Simd, const V: usize, const O: usize, const X: usize>(
        &self,
        simd: S,
        image: &[Point<S, V>],
        from: usize,
        output: usize,
    ) -> [[Point<S, V>; X]; O] {
        let lines = &self.lines;
        let mut sums = [[[simd.splat_f64s(0.0); V]; X]; O];
        if let Some(bias) = self.bias {
            for (sums, bias) in sums.iter_mut().zip(&bias[output..]) {
                *sums = [[simd.splat_f64s(*bias); V]; X];
            }
        }
        let mut weights = lines.weights.chunks_exact(self.outputs);
        for plane in image.chunks_exact(self.source.plane) {
            for (tap, weights) in lines.taps.iter().zip(&mut weights) {
                let read = &plane[from + tap..][..(X - 1) * lines.step + 1];
                let weights = &weights[output..][..O];
                for x in 0..X {
                    let value = &read[x * lines.step];
                    for o in 0..O {
                        let weight = [simd.splat_f64s(weights[o]); V];
                        add_products(simd, &mut sums[o][x], value, &weight);
                    }
                }
            }
        }
        sums
    }
}

/// Products that make columns of weights.
struct OfWeights<'a> {
    conv: &'a Conv2d,
    input: Source,
    /// Of the outputs that the columns belong to.
    output: Source,
    /// Counted from the first of these.
    columns: Range<usize>,
}

struct WeightsOfBlock<'a> {
    products: &'a OfWeights<'a>,
    batches: (MatRef<'a, f64>, MatRef<'a, f64>),
    first: usize,
    target: MatMut<'a, f64>,
    scratch: &'a mut Scratch,
}

impl WithSimd for WeightsOfBlock<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.target.nrows() <= S::F64_LANES {
            true => self.run::<S, 1>(simd),
            false => self.run::<S, 2>(simd),
        }
    }
}

impl WeightsOfBlock<'_> {
    #[inline(always)]
    fn run<S: Simd, const V: usize>(self, simd: S) {
        let Self {
            products,
            batches: (input, rows),
            first,
            mut target,
            scratch,
        } = self;
        let lanes = V * S::F64_LANES;
        let entries = products.output.channels * products.conv.patch();
        let mut values = scratch.take_numbers(products.input.len() * lanes);
        let mut deltas = scratch.take_numbers(products.output.len() * lanes);
        let mut sums = scratch.take_numbers(entries * lanes);
        values.fill(0.0);
        deltas.fill(0.0);
        // Groups that start at one sample read the same input.
        let mut starts = scratch.take_indices(target.nrows().div_ceil(lanes));
        starts.extend((0..target.nrows()).step_by(lanes));
        starts.sort_unstable_by_key(|row| ((first + row) % input.nrows(), *row));
        let mut packed = None;
        for &row in &starts {
            let group = row..target.nrows().min(row + lanes);
            let of_all = first + group.start..first + group.end;
            let sample = of_all.start % input.nrows();
            if packed.replace((sample, group.len())) != Some((sample, group.len())) {
                products
                    .input
                    .pack(simd, input, of_all.clone(), points::<S, V>(&mut values));
            }
            products
                .output
                .pack(simd, rows, of_all, points::<S, V>(&mut deltas));
            sums.fill(0.0);
            let images = (
                points::<S, V>(&mut values) as &[_],
                points::<S, V>(&mut deltas) as &[_],
            );
            products.add_to(simd, images, points::<S, V>(&mut sums));
            let sums = points::<S, V>(&mut sums)[products.columns.clone()].iter();
            for (j, sum) in sums.enumerate() {
                let column = matrix::column_mut(target.rb_mut(), j);
                put(simd, sum, &mut column[group.clone()], Accum::Replace);
            }
        }
        scratch.give_numbers(values);
        scratch.give_numbers(deltas);
        scratch.give_numbers(sums);
        scratch.give_indices(starts);
    }
}

impl OfWeights<'_> {
    /// Adds the sums of all entries of all outputs' kernels, a few lines of points after the other.
    #[inline(always)]
    fn add_to<S: Simd, const V: usize>(
        &self,
        simd: S,
        images: (&[Point<S, V>], &[Point<S, V>]),
        sums: &mut [Point<S, V>],
    ) {
        let (output, outputs) = (self.conv.output(), self.output.channels);
        let together = (NEAR / (4 * V * S::F64_LANES * output.width)).max(1);
        for first in (0..output.height).step_by(together) {
            let lines = first..output.height.min(first + together);
            let mut place = 0;
            while place < outputs {
                let from = place * self.conv.patch();
                match outputs - place {
                    4.. if wide::<S>() => {
                        self.add_outputs::<S, V, 4>(simd, images, &lines, place, &mut sums[from..]);
                        place += 4;
                    }
                    2.. => {
                        self.add_outputs::<S, V, 2>(simd, images, &lines, place, &mut sums[from..]);
                        place += 2;
                    }
                    _ => {
                        self.add_outputs::<S, V, 1>(simd, images, &lines, place, &mut sums[from..]);
                        place += 1;
                    }
                }
            }
        }
    }

    /// The same for some outputs from one on and some lines, three entries of a line of the kernel at a time.
    #[inline(always)]
    fn add_outputs<S: Simd, const V: usize, const O: usize>(
        &self,
        simd: S,
        images: (&[Point<S, V>], &[Point<S, V>]),
        lines: &Range<usize>,
        output: usize,
        sums: &mut [Point<S, V>],
    ) {
        let [rows, columns] = self.conv.kernel;
        for channel in 0..self.conv.grid.channels {
            for y in 0..rows {
                let mut x = 0;
                while x < columns {
                    let at = (channel, [y, x], output);
                    match columns - x {
                        3.. => {
                            self.add_entries::<S, V, O, 3>(simd, images, lines, at, sums);
                            x += 3;
                        }
                        2 => {
                            self.add_entries::<S, V, O, 2>(simd, images, lines, at, sums);
                            x += 2;
                        }
                        _ => {
                            self.add_entries::<S, V, O, 1>(simd, images, lines, at, sums);
                            x += 1;
                        }
                    }
                }
            }
        }
    }

    /// The same for some entries, in registers.
    #[inline(always)]
    fn add_entries<S: Simd, const V: usize, const O: usize, const T: usize>(
        &self,
        simd: S,
        (values, deltas): (&[Point<S, V>], &[Point<S, V>]),
        lines: &Range<usize>,
        (channel, [y, x], output): (usize, [usize; 2], usize),
        sums: &mut [Point<S, V>],
    ) {
        let conv = self.conv;
        let (grid, stride, width) = (conv.output(), conv.stride, conv.padded(1));
        let [rows, columns] = conv.kernel;
        let place = |o: usize| o * conv.patch() + (channel * rows + y) * columns + x;
        let mut own = [[[simd.splat_f64s(0.0); V]; T]; O];
        for o in 0..O {
            own[o].copy_from_slice(&sums[place(o)..][..T]);
        }
        let values = &values[channel * self.input.plane..][..self.input.plane];
        for line in lines.clone() {
            let read = &values[(line * stride + y) * width + x..];
            let of_output = |o: usize| {
                &deltas[(output + o) * self.output.plane + line * grid.width..][..grid.width]
            };
            let deltas: [&[Point<S, V>]; O] = std::array::from_fn(of_output);
            for point in 0..grid.width {
                let read = &read[point * stride..][..T];
                for o in 0..O {
                    let delta = &deltas[o][point];
                    for t in 0..T {
                        add_products(simd, &mut own[o][t], delta, &read[t]);
                    }
                }
            }
        }
        for o in 0..O {
            sums[place(o)..][..T].copy_from_slice(&own[o]);
        }
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;
    use crate::linalg::Mat;
    use crate::linalg::simd::narrower;
    use crate::network::Grid;
    use crate::network::layer::{Layer, Values};

    /// Calls `visit(output feature, weight, input feature)` for all products that a convolution is made of.
    fn each_product(conv: &Conv2d, mut visit: impl FnMut(usize, usize, usize)) {
        let (output, [rows, columns]) = (conv.output(), conv.kernel);
        for o in 0..conv.outputs {
            for (y, x) in (0..output.height).flat_map(|y| (0..output.width).map(move |x| (y, x))) {
                for weight in 0..conv.patch() {
                    let (c, entry) = (weight / (rows * columns), weight % (rows * columns));
                    let down = conv.source(y, entry / columns, 0);
                    let across = conv.source(x, entry % columns, 1);
                    if let (Some(down), Some(across)) = (down, across) {
                        let to = o * output.points() + y * output.width + x;
                        let from = c * conv.grid.points() + down * conv.grid.width + across;
                        visit(to, o * conv.patch() + weight, from);
                    }
                }
            }
        }
    }

    fn some(rows: usize, columns: usize, phase: f64) -> Mat<f64> {
        Mat::from_fn(rows, columns, |i, j| {
            (phase + 1.3 * i as f64 + 0.7 * j as f64).sin()
        })
    }

    #[test]
    fn all_widths_of_vectors_sum_the_same_products() {
        let conv =
            |channels, [height, width]: [usize; 2], outputs, kernel, stride, padding, boundary| {
                Conv2d {
                    grid: Grid {
                        channels,
                        height,
                        width,
                    },
                    outputs,
                    kernel,
                    stride,
                    padding,
                    boundary,
                }
            };
        let convolutions = [
            conv(2, [5, 7], 5, [3, 3], 1, [1, 1], Boundary::Zero),
            conv(3, [4, 6], 4, [3, 5], 1, [1, 2], Boundary::Periodic),
            conv(1, [1, 9], 3, [1, 4], 2, [0, 1], Boundary::Zero),
            conv(2, [7, 5], 2, [2, 3], 3, [2, 2], Boundary::Periodic),
            conv(3, [3, 3], 7, [1, 1], 1, [0, 0], Boundary::Zero),
        ];
        // Below, at and above what a point holds and a block has, with rows of one and of several samples.
        let shapes = [(1, 1), (3, 1), (2, 4), (16, 1), (5, 7), (17, 5)];
        narrower::each(|| {
            for (conv, (samples, count)) in convolutions.iter().flat_map(|c| shapes.map(|s| (c, s)))
            {
                let input = some(samples, conv.grid.features(), 0.3);
                let rows = some(samples * count, conv.output().features(), 0.8);
                let parameters: Vec<f64> = (0..conv.weights() + conv.outputs)
                    .map(|i| (2.1 * i as f64).cos())
                    .collect();
                let mut forward = Mat::from_fn(samples, rows.ncols(), |_, feature| {
                    parameters[conv.weights() + feature / conv.output().points()]
                });
                let mut backward = Mat::<f64>::zeros(rows.nrows(), input.ncols());
                let mut columns = Mat::<f64>::zeros(rows.nrows(), parameters.len());
                each_product(conv, |to, weight, from| {
                    for s in 0..samples {
                        forward[(s, to)] += parameters[weight] * input[(s, from)];
                    }
                    for row in 0..rows.nrows() {
                        backward[(row, from)] += parameters[weight] * rows[(row, to)];
                        columns[(row, weight)] += rows[(row, to)] * input[(row % samples, from)];
                    }
                });
                for to in 0..rows.ncols() {
                    for row in 0..rows.nrows() {
                        let bias = conv.weights() + to / conv.output().points();
                        columns[(row, bias)] += rows[(row, to)];
                    }
                }
                let mut scratch = Scratch::new();
                let near = |found: &Mat<f64>, expected: &Mat<f64>| {
                    let error = (found - expected).norm_max();
                    assert!(
                        error < 1e-13 * (1.0 + expected.norm_max()),
                        "{conv:?}: {error}"
                    );
                };
                let mut found = forward.clone();
                conv.forward(&parameters, input.as_ref(), found.as_mut(), &mut scratch);
                near(&found, &forward);
                let values = Values {
                    input: input.as_ref(),
                    output: forward.as_ref(),
                };
                let mut found = backward.clone();
                conv.backward(
                    &parameters,
                    values,
                    rows.as_ref(),
                    found.as_mut(),
                    &mut scratch,
                );
                near(&found, &backward);
                // All of them, and those of a part that begins and ends within a kernel.
                let all = parameters.len();
                for range in [0..all, all / 3..all - 1] {
                    let part = columns
                        .as_ref()
                        .subcols(range.start, range.len())
                        .to_owned();
                    let mut found = part.clone();
                    let target = found.as_mut();
                    conv.write_columns(input.as_ref(), rows.as_ref(), range, target, &mut scratch);
                    near(&found, &part);
                }
            }
        });
    }
}
