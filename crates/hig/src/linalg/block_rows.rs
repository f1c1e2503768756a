//! Products with block-diagonal matrices, one block a sample, that are told by their stacked rows: row
//! `component · b + sample` is row `component` of the block of that sample.
//!
//! Where each sample stands several times (C passes of b samples, in the order `pass · b + sample`), a row
//! of the product is a sum over its passes: rows are then `component · (C·b) + pass · b + sample`.

use super::matrix::{MatMut, MatRef, column, column_mut};
use super::simd::vectorised;

/// Transposed rows (k·C·b × width) times a stacked batch (length k·b), which all passes share: C·b ×
/// width.
pub(crate) fn rows_transposed_times(
    rows: MatRef<'_, f64>,
    (batch, samples): (&[f64], usize),
    mut target: MatMut<'_, f64>,
) {
    target.fill(0.0);
    let all = target.nrows();
    if all == 0 {
        return;
    }
    for j in 0..rows.ncols() {
        let (rows, target) = (column(rows, j), column_mut(target.as_mut(), j));
        vectorised(
            #[inline(always)]
            || {
                let components = batch.chunks_exact(samples);
                for (block, factors) in rows.chunks_exact(all).zip(components) {
                    let passes = target.chunks_exact_mut(samples);
                    for (target, block) in passes.zip(block.chunks_exact(samples)) {
                        add_products(target, block, factors);
                    }
                }
            },
        );
    }
}

/// Rows (k·C·b × width) times a batch of all passes (C·b × width), summed over the passes and stacked
/// (length k·b).
pub(crate) fn rows_times(
    rows: MatRef<'_, f64>,
    batch: MatRef<'_, f64>,
    (target, samples): (&mut [f64], usize),
) {
    target.fill(0.0);
    let all = batch.nrows();
    if all == 0 {
        return;
    }
    for j in 0..rows.ncols() {
        let (rows, factors) = (column(rows, j), column(batch, j));
        vectorised(
            #[inline(always)]
            || {
                let components = target.chunks_exact_mut(samples);
                for (block, target) in rows.chunks_exact(all).zip(components) {
                    let passes = block.chunks_exact(samples);
                    for (block, factors) in passes.zip(factors.chunks_exact(samples)) {
                        add_products(target, block, factors);
                    }
                }
            },
        );
    }
}

/// target += a ∘ b
#[inline(always)]
fn add_products(target: &mut [f64], a: &[f64], b: &[f64]) {
    for (t, (a, b)) in target.iter_mut().zip(a.iter().zip(b)) {
        *t += a * b;
    }
}
