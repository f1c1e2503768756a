//! A layer's columns of J, a bounded number of them at a time.

use super::layer::{Layer, parameter_count};
use crate::linalg::matrix::{Mat, MatMut, MatRef, WORTH_THREADS};
use rayon::prelude::*;
use std::ops::Range;

// Whatever the number of parameters, n × CHUNK numbers are held.
const CHUNK: usize = 256;
// Columns written by one thread.
const BLOCK: usize = 32;

/// Calls `visit(range, columns)` until every column of the layer's part of J was there once.
pub(crate) fn each_chunk<L: Layer + ?Sized>(
    layer: &L,
    input: &Mat<f64>,
    rows: &Mat<f64>,
    mut visit: impl FnMut(Range<usize>, MatRef<'_, f64>),
) {
    let count = parameter_count(layer);
    let mut chunk = Mat::zeros(rows.nrows(), CHUNK.min(count));
    for first in (0..count).step_by(CHUNK) {
        let range = first..count.min(first + CHUNK);
        let mut columns = chunk.as_mut().subcols_mut(0, range.len());
        write_columns(layer, input, rows, range.clone(), columns.as_mut());
        visit(range, columns.as_ref());
    }
}

/// Writes a range of columns, blocks of them side by side where that is worth a second thread.
pub(super) fn write_columns<L: Layer + ?Sized>(
    layer: &L,
    input: &Mat<f64>,
    rows: &Mat<f64>,
    range: Range<usize>,
    target: MatMut<'_, f64>,
) {
    if rows.nrows() < WORTH_THREADS {
        layer.write_columns(input, rows, range, target);
        return;
    }
    let blocks = target.par_col_chunks_mut(BLOCK).enumerate();
    blocks.for_each(|(i, block)| {
        let first = range.start + i * BLOCK;
        layer.write_columns(input, rows, first..first + block.ncols(), block);
    });
}
