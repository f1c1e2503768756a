//! A symmetric matrix of which the lower half is held, and sums of F·Fᵀ that make one.

use super::matrix::{self, Mat, WORTH_THREADS};
use super::simd::vectorised;
use crate::error::{Error, Result};
use faer::reborrow::{Reborrow, ReborrowMut};
use faer::{Accum, MatMut, MatRef};
use rayon::prelude::*;
use std::ops::Range;

// Fixed, so that the bits of K do not depend on the number of threads.
const COLUMNS: usize = 64;
// Rows of a block whose product is masked while it is in the cache.
const ROWS: usize = 512;

/// A symmetric matrix of which the lower half is held; what stands above the diagonal does not count.
#[derive(Debug, Clone)]
pub struct Symmetric(Mat<f64>);

impl Symmetric {
    /// The zero matrix.
    pub fn zeros(size: usize) -> Self {
        Self(Mat::zeros(size, size))
    }

    /// F·Fᵀ.
    pub fn square(f: MatRef<'_, f64>) -> Self {
        let mut sum = Self::zeros(f.nrows());
        sum.add(f);
        sum
    }

    /// A matrix whose lower half is read.
    ///
    /// # Errors
    /// It is not square.
    pub fn from_lower(matrix: Mat<f64>) -> Result<Self> {
        if matrix.nrows() == matrix.ncols() {
            return Ok(Self(matrix));
        }
        Err(Error::Shape {
            what: "symmetric matrix".into(),
            found: format!("{} x {}", matrix.nrows(), matrix.ncols()),
            expected: "as many rows as columns".into(),
        })
    }

    /// Rows, and columns.
    pub fn size(&self) -> usize {
        self.0.nrows()
    }

    /// The matrix with its lower half only.
    pub fn into_lower(self) -> Mat<f64> {
        self.0
    }

    /// The whole matrix.
    pub fn complete(mut self) -> Mat<f64> {
        // Tiles, so that neither side jumps through memory.
        const TILE: usize = 16;
        let n = self.0.nrows();
        for left in (0..n).step_by(TILE) {
            for top in (left..n).step_by(TILE) {
                for j in left..(left + TILE).min(n) {
                    for i in top.max(j + 1)..(top + TILE).min(n) {
                        self.0[(j, i)] = self.0[(i, j)];
                    }
                }
            }
        }
        self.0
    }

    /// Multiplies by a number.
    pub fn scale(&mut self, factor: f64) {
        for column in self.0.col_iter_mut() {
            column.iter_mut().for_each(|v| *v *= factor);
        }
    }

    /// Adds F·Fᵀ.
    pub fn add(&mut self, f: MatRef<'_, f64>) {
        self.each_block(|first, mut block| {
            let right = f.subrows(first, block.ncols()).transpose();
            let left = f.subrows(first, block.nrows());
            matrix::multiply(block.rb_mut(), Accum::Add, left, right);
        });
    }

    /// Adds the lower half of (L·Rᵀ) ∘ mask, where an entry of the mask (b × b) serves all rows of its
    /// two samples: row r of L or R belongs to sample r mod b. What is added in all must be symmetric.
    pub fn add_masked(
        &mut self,
        left: MatRef<'_, f64>,
        right: MatRef<'_, f64>,
        mask: MatRef<'_, f64>,
    ) {
        self.each_block(|first, mut block| {
            let right = right.subrows(first, block.ncols()).transpose();
            let mut product = Mat::zeros(ROWS.min(block.nrows()), block.ncols());
            for start in (0..block.nrows()).step_by(ROWS) {
                let (count, row) = (ROWS.min(block.nrows() - start), first + start);
                let mut part = block.rb_mut().subrows_mut(start, count);
                let mut product = product.as_mut().subrows_mut(0, count);
                let left = left.subrows(row, count);
                matrix::multiply(product.rb_mut(), Accum::Replace, left, right);
                for j in 0..part.ncols() {
                    let samples = mask.nrows();
                    let weights = matrix::column(mask, (first + j) % samples);
                    let values = matrix::column(product.rb(), j);
                    let target = matrix::column_mut(part.rb_mut(), j);
                    add_cyclic(target, values, weights, row % samples);
                }
            }
        });
    }

    /// Adds Σ (L_c·L_c'ᵀ) ∘ (A_c·A_c'ᵀ + [both have a one]) over all pairs of factors: F·Fᵀ, where a row of F is
    /// Σ_c `L_c[row]` ⊗ (`A_c[row]`, 1 or 0). The products are made tile by tile, so that neither is ever held whole.
    pub fn add_outer_products(&mut self, factors: &[OuterFactor<'_>]) {
        let ranges: Vec<Range<usize>> = factors.iter().map(|f| some_rows(f.left)).collect();
        self.each_block(|first, mut block| {
            let last = first + block.ncols();
            let (height, width) = (ROWS.min(block.nrows()), block.ncols());
            let (mut products, mut masks) = (Mat::zeros(height, width), Mat::zeros(height, width));
            for (right, columns) in factors.iter().zip(&ranges) {
                let columns = columns.start.max(first)..columns.end.min(last);
                if columns.is_empty() {
                    continue;
                }
                for (left, rows) in factors.iter().zip(&ranges) {
                    let one = f64::from(left.one && right.one);
                    for start in (rows.start.max(first)..rows.end).step_by(ROWS) {
                        let rows = start..rows.end.min(start + ROWS);
                        let (count, width) = (rows.len(), columns.len());
                        let mut product = products.as_mut().submatrix_mut(0, 0, count, width);
                        let mut mask = masks.as_mut().submatrix_mut(0, 0, count, width);
                        let pair = [(left.left, right.left), (left.right, right.right)];
                        for (target, (a, b)) in [&mut product, &mut mask].into_iter().zip(pair) {
                            let a = a.subrows(rows.start, count);
                            let b = b.subrows(columns.start, width).transpose();
                            matrix::multiply(target.rb_mut(), Accum::Replace, a, b);
                        }
                        let mut part = block.rb_mut().submatrix_mut(
                            rows.start - first,
                            columns.start - first,
                            count,
                            width,
                        );
                        for j in 0..width {
                            let values = matrix::column(product.rb(), j);
                            let weights = matrix::column(mask.rb(), j);
                            let target = matrix::column_mut(part.rb_mut(), j);
                            add_weighted(target, values, weights, one);
                        }
                    }
                }
            }
        });
    }

    /// Calls `fill(first, block)` for blocks of columns side by side, each from its diagonal down.
    fn each_block(&mut self, fill: impl Fn(usize, MatMut<'_, f64>) + Sync) {
        each_block(self.0.as_mut(), fill);
    }
}

/// Calls `fill(first, block)` for blocks of columns of a square matrix side by side, each from its diagonal down.
pub(super) fn each_block(matrix: MatMut<'_, f64>, fill: impl Fn(usize, MatMut<'_, f64>) + Sync) {
    let n = matrix.nrows();
    let blocks = matrix.par_col_chunks_mut(COLUMNS).enumerate();
    let from_diagonal = |(i, block): (usize, MatMut<'_, f64>)| {
        let first = i * COLUMNS;
        fill(first, block.subrows_mut(first, n - first));
    };
    if n >= WORTH_THREADS {
        blocks.for_each(from_diagonal);
    } else {
        blocks.with_min_len(n.max(1)).for_each(from_diagonal);
    }
}

/// What is beside each other in a row of F, as the outer product of two rows (see
/// [`Symmetric::add_outer_products`]).
#[derive(Debug, Clone, Copy)]
pub struct OuterFactor<'a> {
    /// L (n × outputs).
    pub left: MatRef<'a, f64>,
    /// A (n × inputs).
    pub right: MatRef<'a, f64>,
    /// Whether A has a 1 behind it.
    pub one: bool,
}

/// From the first to the last row that is not 0.
fn some_rows(matrix: MatRef<'_, f64>) -> Range<usize> {
    let (mut first, mut end) = (matrix.nrows(), 0);
    for j in 0..matrix.ncols() {
        let column = matrix::column(matrix, j);
        // 0 is all that is left out: not what is no number.
        let some = |v: &f64| *v != 0.0;
        first = column.iter().position(some).map_or(first, |i| i.min(first));
        end = column
            .iter()
            .rposition(some)
            .map_or(end, |i| end.max(i + 1));
    }
    first..end
}

/// target[i] += values[i] · (weights[i] + one).
fn add_weighted(target: &mut [f64], values: &[f64], weights: &[f64], one: f64) {
    vectorised(
        #[inline(always)]
        || {
            for (t, (p, w)) in target.iter_mut().zip(values.iter().zip(weights)) {
                *t += p * (w + one);
            }
        },
    );
}

/// target[i] += values[i] · weights[(at + i) mod length].
fn add_cyclic(target: &mut [f64], values: &[f64], weights: &[f64], at: usize) {
    vectorised(
        #[inline(always)]
        || {
            let (mut at, mut done) = (at, 0);
            while done < values.len() {
                let count = (weights.len() - at).min(values.len() - done);
                let targets = target[done..done + count].iter_mut();
                let factors = values[done..done + count].iter().zip(&weights[at..]);
                for (t, (p, w)) in targets.zip(factors) {
                    *t += p * w;
                }
                done += count;
                at = 0;
            }
        },
    );
}
