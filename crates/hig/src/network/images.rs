//! Images JᵀW of vectors, layer by layer, while the rows run backwards through the network.

use super::layer_rows::LayerRows;
use super::passes::Passes;
use crate::linalg::Scratch;
use crate::linalg::matrix::{self, Accum, Mat, MatMut, MatRef, WORTH_THREADS};
use rayon::prelude::*;
use std::ops::Range;

// Numbers of images and what makes them, held at a time (32 MiB), unless one unit has more.
const HELD: usize = 1 << 22;

impl LayerRows<'_> {
    /// Calls `visit` with this layer's rows of Jᵀ·W (W: k·b × m), a bounded number of them at a time, in
    /// any order.
    pub fn images(
        &self,
        w: MatRef<'_, f64>,
        passes: Passes<'_>,
        scratch: &mut Scratch,
        mut visit: impl FnMut(MatRef<'_, f64>),
    ) {
        if self.layer.is_outer_product() {
            self.images_of_outer_product(w, passes, visit);
            return;
        }
        self.each_chunk(passes, scratch, |_, columns| {
            visit(matrix::product_in_blocks(columns.transpose(), w).as_ref());
        });
    }

    /// Sums over the rows of each sample first: for one unit o, row s of X (b × m) is Σ W·Δ over the
    /// components of sample s, and the image of the unit's weight and bias is then (A, 1)ᵀ·X. With
    /// several passes these are those of all virtual samples, which share the W of their sample.
    fn images_of_outer_product(
        &self,
        w: MatRef<'_, f64>,
        passes: Passes<'_>,
        mut visit: impl FnMut(MatRef<'_, f64>),
    ) {
        let (input, outputs) = (self.input, self.rows.ncols());
        let (samples, inputs, count) = (input.nrows(), input.ncols(), w.ncols());
        if samples == 0 || count == 0 {
            return;
        }
        let b = passes.samples(samples);
        let extended = Mat::from_fn(inputs + 1, samples, |i, s| match i < inputs {
            true => input[(s, i)],
            false => f64::from(passes.biased()[s / b]),
        });
        let w = by_sample(w, b);
        let most = HELD / ((samples + inputs + 1) * count);
        for units in groups(outputs, most.max(1)) {
            let deltas = by_sample(self.rows.subcols(units.start, units.len()), samples);
            let sums = sums_of_samples(&deltas, &w, samples);
            // Its column (vector, unit) has the units of a vector one behind the other, so that the
            // same numbers are the images of all units, one column a vector.
            let mut image = vec![0.0; extended.nrows() * units.len() * count];
            matrix::multiply_in_blocks(
                MatMut::from_column_major_slice_mut(
                    &mut image,
                    extended.nrows(),
                    units.len() * count,
                ),
                extended.as_ref(),
                sums.transpose(),
            );
            let long = extended.nrows() * units.len();
            visit(MatRef::from_column_major_slice(&image, long, count));
        }
    }
}

/// Ranges of at most `most` that cover `0..count`.
fn groups(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..count).step_by(most);
    starts.map(move |first| first..count.min(first + most))
}

/// Rows `component · samples + sample` reordered to `sample · components + component`.
fn by_sample(rows: MatRef<'_, f64>, samples: usize) -> Mat<f64> {
    let mut sorted = Mat::zeros(rows.nrows(), rows.ncols());
    let components = rows.nrows() / samples;
    for j in 0..rows.ncols() {
        let from = matrix::column(rows, j).chunks_exact(samples);
        let to = sorted.col_as_slice_mut(j);
        for (c, component) in from.enumerate() {
            let places = to[c..].iter_mut().step_by(components);
            for (t, v) in places.zip(component) {
                *t = *v;
            }
        }
    }
    sorted
}

/// For each sample Δ_sᵀ·W_s (units × m), read column by column: (units·m) × samples. W has the rows of
/// the first samples, which serve the others in turn.
fn sums_of_samples(deltas: &Mat<f64>, w: &Mat<f64>, samples: usize) -> Mat<f64> {
    let (components, units) = (deltas.nrows() / samples, deltas.ncols());
    let mut sums = Mat::zeros(units * w.ncols(), samples);
    let fill = |(s, column): (usize, MatMut<'_, f64>)| {
        let first = s * components;
        let column = matrix::column_mut(column, 0);
        matrix::multiply(
            MatMut::from_column_major_slice_mut(column, units, w.ncols()),
            Accum::Replace,
            deltas.as_ref().subrows(first, components).transpose(),
            w.as_ref().subrows(first % w.nrows(), components),
        );
    };
    let columns = sums.as_mut().par_col_chunks_mut(1).enumerate();
    if deltas.nrows() >= WORTH_THREADS {
        columns.for_each(fill);
    } else {
        columns.with_min_len(samples).for_each(fill);
    }
    sums
}
