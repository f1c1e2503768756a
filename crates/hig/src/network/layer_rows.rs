//! A layer's part of J, summed over the passes of each sample.

use super::layer::{self, Layer};
use super::outer_sums;
use super::passes::Passes;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
use crate::linalg::{Buffer, Scratch};
use faer::reborrow::ReborrowMut;
use std::ops::Range;

/// A layer with parameters, and the rows of cotangents that have come back to its output: what
/// [`Network::backward`](super::Network::backward) passes by.
#[derive(Debug, Clone)]
pub struct LayerRows<'a> {
    /// The layer.
    pub layer: &'a dyn Layer,
    /// The place of its parameters in the flat vector.
    pub range: Range<usize>,
    /// Its input (C·b × inputs, see [`Passes`]).
    pub input: MatRef<'a, f64>,
    /// The rows (k·C·b × outputs).
    pub rows: MatRef<'a, f64>,
}

impl<'a> LayerRows<'a> {
    /// Calls `visit(range, columns)` until every column of this part of J (k·b rows) was there once, a
    /// bounded number of them at a time; a range counts from the layer's first parameter.
    pub fn each_chunk(
        &self,
        passes: Passes<'_>,
        scratch: &mut Scratch,
        mut visit: impl FnMut(Range<usize>, MatRef<'_, f64>),
    ) {
        if passes.count() > 1 && self.layer.is_outer_product() {
            outer_sums::each_chunk(self, passes, scratch, visit);
            return;
        }
        let by_pass = self.by_pass(passes, scratch);
        layer::each_chunk(
            (self.range.len(), self.layer.columns_together()),
            by_pass.count(),
            scratch,
            |columns, target, scratch| by_pass.write_columns(columns, target, scratch),
            |range, columns, _| visit(range, columns),
        );
        by_pass.give_to(scratch);
    }

    /// Writes this part of Jᵀ (parameters × k·b).
    pub(crate) fn write_transposed(
        &self,
        passes: Passes<'_>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let summed = passes.count() > 1 && self.layer.is_outer_product();
        if summed && !outer_sums::are_few(passes) {
            outer_sums::write_transposed(self, passes, target, scratch);
            return;
        }
        self.each_chunk(passes, scratch, |range, columns| {
            let target = target.rb_mut().subrows_mut(range.start, range.len());
            { target }.copy_from(columns.transpose());
        });
    }

    /// Writes this part of Jᵀ of a single pass, or adds it to what is there.
    pub(crate) fn put_transposed(
        &self,
        mut target: MatMut<'_, f64>,
        accumulate: Accum,
        scratch: &mut Scratch,
    ) {
        self.each_chunk(Passes::ONE, scratch, |range, columns| {
            let mut target = target.rb_mut().subrows_mut(range.start, range.len());
            match accumulate {
                Accum::Replace => target.copy_from(columns.transpose()),
                Accum::Add => target += columns.transpose(),
            }
        });
    }

    /// Adds the gradient of one cotangent for each sample of a single pass.
    pub(crate) fn add_gradient(&self, target: &mut [f64], scratch: &mut Scratch) {
        let mut own = scratch.take_numbers(target.len());
        let gradient = MatMut::from_column_major_slice_mut(&mut own, target.len(), 1);
        self.write_gradients(Passes::ONE, gradient, scratch);
        matrix::add(target, &own);
        scratch.give_numbers(own);
    }

    /// Writes this part of J (k·b × parameters).
    pub fn write_columns(
        &self,
        passes: Passes<'_>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let summed = passes.count() > 1 && self.layer.is_outer_product();
        if summed && outer_sums::are_few(passes) {
            layer::write_in_blocks(
                (0..self.range.len(), 1),
                target,
                scratch,
                |columns, target, _| outer_sums::write_columns(self, passes, columns, target),
            );
            return;
        }
        if summed {
            outer_sums::each_chunk(self, passes, scratch, |range, columns| {
                let target = target.rb_mut().subcols_mut(range.start, range.len());
                { target }.copy_from(columns);
            });
            return;
        }
        let by_pass = self.by_pass(passes, scratch);
        layer::write_in_blocks(
            (0..self.range.len(), self.layer.columns_together()),
            target,
            scratch,
            |columns, target, scratch| by_pass.write_columns(columns, target, scratch),
        );
        by_pass.give_to(scratch);
    }

    /// Writes the gradients of the rows, summed over passes and samples: this layer's parameters × k.
    pub fn write_gradients(
        &self,
        passes: Passes<'_>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (layer, input, rows) = (self.layer, self.input, self.rows);
        layer.write_gradients(input, rows, target.rb_mut(), scratch);
        if passes.biased().iter().all(|biased| *biased) {
            return;
        }
        // The bias again, from the passes that have it.
        let (bias, samples) = (self.layer.biases(), passes.samples(input.nrows()));
        let mut columns = scratch.take(samples, bias.len());
        for k in 0..target.ncols() {
            let column = matrix::column_mut(target.rb_mut(), k);
            column[bias.clone()].fill(0.0);
            for pass in biased_passes(passes) {
                let Range { start, .. } = passes.range(pass, samples);
                let input = input.subrows(start, samples);
                let rows = rows.subrows(k * self.input.nrows() + start, samples);
                layer.write_columns(input, rows, bias.clone(), columns.as_mut(), scratch);
                for (j, sum) in column[bias.clone()].iter_mut().enumerate() {
                    *sum += columns.column(j).iter().sum::<f64>();
                }
            }
        }
        scratch.give(columns);
    }

    /// The rows of each pass beside each other.
    pub(super) fn by_pass<'b>(&'b self, passes: Passes<'b>, scratch: &mut Scratch) -> ByPass<'b> {
        let samples = passes.samples(self.input.nrows());
        let copies = (passes.count() > 1).then(|| {
            let count = self.rows.nrows() / passes.count();
            let mut sorted = scratch.take(self.rows.nrows(), self.rows.ncols());
            for pass in 0..passes.count() {
                let target = sorted.as_mut().subrows_mut(pass * count, count);
                passes.copy_rows(pass, samples, self.rows, target);
            }
            sorted
        });
        ByPass {
            part: self,
            passes,
            samples,
            bias: match passes.biased().contains(&false) {
                true => self.layer.biases(),
                false => 0..0,
            },
            copies,
        }
    }
}

fn biased_passes(passes: Passes<'_>) -> impl Iterator<Item = usize> {
    let flags = passes.biased().iter().enumerate();
    flags.filter_map(|(pass, biased)| biased.then_some(pass))
}

/// Rows of a layer, those of each pass one behind the other.
pub(super) struct ByPass<'a> {
    part: &'a LayerRows<'a>,
    passes: Passes<'a>,
    samples: usize,
    /// The bias, if a pass is without it.
    bias: Range<usize>,
    /// Of a single pass the rows are as they came.
    copies: Option<Buffer>,
}

impl ByPass<'_> {
    /// Number of rows of J, k·b.
    pub(super) fn count(&self) -> usize {
        self.part.rows.nrows() / self.passes.count()
    }

    /// The rows of a pass (k·b × outputs).
    pub(super) fn rows(&self, pass: usize) -> MatRef<'_, f64> {
        let rows = self.copies.as_ref().map_or(self.part.rows, Buffer::as_ref);
        rows.subrows(pass * self.count(), self.count())
    }

    /// The layer's input in a pass (b × inputs).
    pub(super) fn input(&self, pass: usize) -> MatRef<'_, f64> {
        let range = self.passes.range(pass, self.samples);
        self.part.input.subrows(range.start, range.len())
    }

    /// Writes columns of J.
    fn write_columns(
        &self,
        columns: Range<usize>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        self.write_pass(0, columns.clone(), target.rb_mut(), scratch);
        if self.passes.count() == 1 {
            return;
        }
        let mut next = scratch.take(target.nrows(), target.ncols());
        for pass in 1..self.passes.count() {
            self.write_pass(pass, columns.clone(), next.as_mut(), scratch);
            for j in 0..target.ncols() {
                matrix::add(matrix::column_mut(target.rb_mut(), j), next.column(j));
            }
        }
        scratch.give(next);
    }

    /// Writes what a pass adds to columns of J.
    fn write_pass(
        &self,
        pass: usize,
        columns: Range<usize>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (input, rows) = (self.input(pass), self.rows(pass));
        let layer = self.part.layer;
        layer.write_columns(input, rows, columns.clone(), target.rb_mut(), scratch);
        if !self.passes.biased()[pass] {
            for place in self.bias.start.max(columns.start)..self.bias.end.min(columns.end) {
                matrix::column_mut(target.rb_mut(), place - columns.start).fill(0.0);
            }
        }
    }

    /// Sets to 1 what the bias adds to the mask of an outer product (C·b × C·b), 0 elsewhere, and adds
    /// the inner products of the inputs.
    pub(super) fn write_mask(&self, mut mask: MatMut<'_, f64>) {
        let (biased, b) = (self.passes.biased(), self.samples);
        for (left, first) in biased.iter().enumerate() {
            for (right, second) in biased.iter().enumerate() {
                let block = mask.rb_mut().submatrix_mut(left * b, right * b, b, b);
                { block }.fill(f64::from(*first && *second));
            }
        }
        let input = self.part.input;
        matrix::multiply(mask, Accum::Add, input, input.transpose());
    }

    pub(super) fn give_to(self, scratch: &mut Scratch) {
        if let Some(copies) = self.copies {
            scratch.give(copies);
        }
    }
}
