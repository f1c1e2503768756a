//! The few matrix helpers that the house shares. Matrices are column-major `faer` matrices of f64.
//!
//! A *batch matrix* has one row per sample; its columns are contiguous, so that a loop over samples
//! is a loop over memory. A *stacked vector* is a batch matrix read column by column:
//! entry `component · batch + sample`.

pub use faer::{Accum, Mat, MatMut, MatRef};

use crate::error::{Error, Result};
use faer::Par;
use rayon::prelude::*;

/// Rows of a matrix below which the work is done before a second thread has woken up.
pub(crate) const WORTH_THREADS: usize = 256;

/// The middle one of some numbers, the upper of two; none of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// The stacked vector of a batch matrix.
pub fn stack(batch: MatRef<'_, f64>) -> Vec<f64> {
    let mut stacked = Vec::with_capacity(batch.nrows() * batch.ncols());
    for column in batch.col_iter() {
        stacked.extend(column.iter());
    }
    stacked
}

/// The batch matrix (`samples` rows) of a stacked vector.
pub fn unstack(stacked: &[f64], samples: usize) -> Mat<f64> {
    let columns = stacked.len() / samples.max(1);
    MatRef::from_column_major_slice(stacked, samples, columns).to_owned()
}

/// `left · right`, on one thread: its bits do not depend on the number of threads.
pub fn product(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut result = Mat::zeros(left.nrows(), right.ncols());
    multiply(result.as_mut(), Accum::Replace, left, right);
    result
}

/// `target = left · right` or `target += left · right`, on one thread.
pub fn multiply(
    target: MatMut<'_, f64>,
    accumulate: Accum,
    left: MatRef<'_, f64>,
    right: MatRef<'_, f64>,
) {
    faer::linalg::matmul::matmul(target, accumulate, left, right, 1.0, Par::Seq);
}

/// `left · right` in blocks of columns side by side; the blocks are fixed, and so are the bits.
pub fn product_in_blocks(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut result = Mat::zeros(left.nrows(), right.ncols());
    multiply_in_blocks(result.as_mut(), left, right);
    result
}

/// `target = left · right` in blocks of columns side by side.
pub fn multiply_in_blocks(target: MatMut<'_, f64>, left: MatRef<'_, f64>, right: MatRef<'_, f64>) {
    const COLUMNS: usize = 64;
    let count = right.ncols();
    let fill = |(i, block): (usize, MatMut<'_, f64>)| {
        let right = right.subcols(i * COLUMNS, block.ncols());
        multiply(block, Accum::Replace, left, right);
    };
    let blocks = target.par_col_chunks_mut(COLUMNS).enumerate();
    if count >= WORTH_THREADS {
        blocks.for_each(fill);
    } else {
        blocks.with_min_len(count.max(1)).for_each(fill);
    }
}

/// A column of a matrix whose columns are contiguous.
pub fn column(matrix: MatRef<'_, f64>, j: usize) -> &[f64] {
    let column = matrix.col(j).try_as_col_major();
    column.expect("columns are contiguous").as_slice()
}

/// A column of a matrix whose columns are contiguous, to be written.
pub fn column_mut(matrix: MatMut<'_, f64>, j: usize) -> &mut [f64] {
    let column = matrix.col_mut(j).try_as_col_major_mut();
    column.expect("columns are contiguous").as_slice_mut()
}

/// Copies a matrix to one of the same shape, column by column; the columns of both are contiguous.
pub(crate) fn copy(mut target: MatMut<'_, f64>, source: MatRef<'_, f64>) {
    for j in 0..source.ncols() {
        column_mut(target.as_mut(), j).copy_from_slice(column(source, j));
    }
}

/// A copy of a matrix whose columns are contiguous.
pub(crate) fn owned(source: MatRef<'_, f64>) -> Mat<f64> {
    let mut target = Mat::zeros(source.nrows(), source.ncols());
    copy(target.as_mut(), source);
    target
}

/// `target = values` or `target += values`.
#[inline(always)]
pub fn write(target: &mut [f64], accumulate: Accum, values: impl Iterator<Item = f64>) {
    let pairs = target.iter_mut().zip(values);
    match accumulate {
        Accum::Replace => pairs.for_each(|(t, v)| *t = v),
        Accum::Add => pairs.for_each(|(t, v)| *t += v),
    }
}

/// `target += values`.
pub fn add(target: &mut [f64], values: &[f64]) {
    write(target, Accum::Add, values.iter().copied());
}

/// `matrix · vector`.
pub fn apply(matrix: MatRef<'_, f64>, vector: &[f64]) -> Vec<f64> {
    let mut result = vec![0.0; matrix.nrows()];
    apply_into(matrix, vector, &mut result);
    result
}

/// `target = matrix · vector`.
pub fn apply_into(matrix: MatRef<'_, f64>, vector: &[f64], target: &mut [f64]) {
    multiply(
        MatMut::from_column_major_slice_mut(target, matrix.nrows(), 1),
        Accum::Replace,
        matrix,
        MatRef::from_column_major_slice(vector, vector.len(), 1),
    );
}

/// `matrixᵀ · vector`.
pub fn apply_transposed(matrix: MatRef<'_, f64>, vector: &[f64]) -> Vec<f64> {
    apply(matrix.transpose(), vector)
}

/// The rows of `source` with the given indices.
pub fn gather_rows(source: &Mat<f64>, indices: &[usize]) -> Mat<f64> {
    let mut rows = Mat::zeros(indices.len(), source.ncols());
    for j in 0..source.ncols() {
        let from = source.col_as_slice(j);
        for (to, &i) in rows.col_as_slice_mut(j).iter_mut().zip(indices) {
            *to = from[i];
        }
    }
    rows
}

/// Refuses a matrix that holds NaN or an infinity.
///
/// # Errors
/// [`Error::NonFinite`] with the place of the first one.
pub fn check_finite(what: &str, matrix: &Mat<f64>) -> Result<()> {
    match first_not_finite(matrix.as_ref()) {
        None => Ok(()),
        Some((row, column, value)) => Err(Error::NonFinite {
            what: what.into(),
            value,
            row,
            column,
        }),
    }
}

/// Row, column and value of the first entry, by columns, that is NaN or an infinity.
pub(crate) fn first_not_finite(matrix: MatRef<'_, f64>) -> Option<(usize, usize, f64)> {
    matrix.col_iter().enumerate().find_map(|(column, values)| {
        let bad = |(_, value): &(usize, &f64)| !value.is_finite();
        let (row, value) = values.iter().enumerate().find(bad)?;
        Some((row, column, *value))
    })
}

/// The same for a batch (samples × width).
///
/// # Errors
/// [`Error::NonFiniteOfSample`] with the place of the first one.
pub fn check_finite_samples(what: &str, batch: MatRef<'_, f64>) -> Result<()> {
    match first_not_finite(batch) {
        None => Ok(()),
        Some((sample, component, value)) => Err(Error::of_sample(what, value, sample, component)),
    }
}

/// The same for a vector, whose numbers count as rows.
///
/// # Errors
/// [`Error::NonFinite`] with the place of the first one.
pub fn check_finite_vector(what: &str, vector: &[f64]) -> Result<()> {
    match vector.iter().position(|v| !v.is_finite()) {
        None => Ok(()),
        Some(row) => Err(Error::NonFinite {
            what: what.into(),
            value: vector[row],
            row,
            column: 0,
        }),
    }
}

/// The power of two nearest to a number, by which scaling is exact; 1 where there is none.
pub(crate) fn power_of_two(value: f64) -> f64 {
    if value > 0.0 && value.is_finite() {
        value.log2().round().clamp(-1000.0, 1000.0).exp2()
    } else {
        1.0
    }
}

/// The sum of some numbers, in eight parts side by side; for loops that are [vectorised](super::simd::vectorised).
#[inline(always)]
pub(crate) fn sum(numbers: &[f64]) -> f64 {
    let (parts, rest) = numbers.as_chunks::<8>();
    let mut sums = [0.0; 8];
    for part in parts {
        for (sum, number) in sums.iter_mut().zip(part) {
            *sum += number;
        }
    }
    sums.iter().chain(rest).sum()
}

/// Inner product of two vectors of one length.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Euclidean norm, safe from overflow; NaN or infinite where a number is.
pub fn norm(vector: &[f64]) -> f64 {
    let largest = vector.iter().fold(0.0_f64, |m, v| m.max(v.abs()));
    if largest == 0.0 || !largest.is_finite() {
        // 0, or of what is not finite: a maximum passes over NaN.
        return vector.iter().map(|v| v.abs()).sum();
    }
    largest
        * vector
            .iter()
            .map(|v| (v / largest).powi(2))
            .sum::<f64>()
            .sqrt()
}
