//! The Cholesky factor of a symmetric positive definite matrix.
//!
//! In blocks of fixed size, each of which is computed on one thread (Golub and Van Loan 2013, "Matrix
//! Computations", section 4.2.9): the bits do not depend on the number of threads.

use super::matrix::{Mat, MatRef, WORTH_THREADS};
use super::symmetric_matrix::each_block;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::cholesky::llt;
use faer::linalg::matmul::matmul;
use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::reborrow::ReborrowMut;
use faer::{Accum, MatMut, Par};
use rayon::prelude::*;

/// Columns that are factored before what is behind them is brought up to date.
const COLUMNS: usize = 128;
/// Rows of these columns that one thread solves for.
const ROWS: usize = 128;

/// L with L·Lᵀ = A.
#[derive(Debug)]
pub(crate) struct Cholesky(Mat<f64>);

impl Cholesky {
    /// Of A (n × n), of which the lower half is read; none where it is not positive definite to rounding, or
    /// not finite.
    pub(crate) fn new(mut a: Mat<f64>) -> Option<Self> {
        let n = a.nrows();
        let width = COLUMNS.min(n);
        let scratch = llt::factor::cholesky_in_place_scratch::<f64>;
        let mut memory = MemBuffer::new(scratch(width, Par::Seq, Default::default()));
        for first in (0..n).step_by(COLUMNS) {
            let width = COLUMNS.min(n - first);
            let rest = a.as_mut().submatrix_mut(first, first, n - first, n - first);
            let (mut corner, _, mut below, behind) = rest.split_at_mut(width, width);
            llt::factor::cholesky_in_place(
                corner.rb_mut(),
                Default::default(),
                Par::Seq,
                MemStack::new(&mut memory),
                Default::default(),
            )
            .ok()?;
            divide(below.rb_mut(), corner.as_ref());
            let below = below.as_ref();
            each_block(behind, |first, block| {
                let right = below.subrows(first, block.ncols()).transpose();
                let left = below.subrows(first, block.nrows());
                matmul(block, Accum::Add, left, right, -1.0, Par::Seq);
            });
        }
        // What is not finite runs through to the last pivot or to a row of it.
        let last = a.as_ref().get(n.saturating_sub(1).., ..);
        last.is_all_finite().then_some(Self(a))
    }

    /// A⁻¹·b.
    pub(crate) fn solve(&self, b: &[f64]) -> Vec<f64> {
        let mut x = b.to_vec();
        let mut column = MatMut::from_column_major_slice_mut(&mut x, b.len(), 1);
        let lower = self.0.as_ref();
        solve_lower_triangular_in_place(lower, column.rb_mut(), Par::Seq);
        solve_upper_triangular_in_place(lower.transpose(), column, Par::Seq);
        x
    }
}

/// B·L⁻ᵀ in place of B.
fn divide(below: MatMut<'_, f64>, lower: MatRef<'_, f64>) {
    let many = below.nrows() >= WORTH_THREADS;
    let columns = below.transpose_mut();
    let blocks = columns.par_col_chunks_mut(ROWS);
    let solve = |block: MatMut<'_, f64, usize, usize, isize, isize>| {
        solve_lower_triangular_in_place(lower, block, Par::Seq);
    };
    match many {
        true => blocks.for_each(solve),
        false => blocks.with_min_len(usize::MAX).for_each(solve),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::matrix;

    /// F·Fᵀ + 1 of a fixed F.
    fn positive(n: usize) -> Mat<f64> {
        let f = Mat::from_fn(n, n, |i, j| {
            ((i * 37 + j * 101) as f64 * 0.731).sin() / (n as f64).sqrt()
        });
        matrix::product(f.as_ref(), f.transpose()) + Mat::<f64>::identity(n, n)
    }

    #[test]
    fn its_square_is_the_matrix_and_it_solves() {
        // Within a block, at its edge, and over several of them.
        for n in [1, 2, 127, 128, 129, 300, 517] {
            let a = positive(n);
            // What stands above the diagonal is not read.
            let half = Mat::from_fn(n, n, |i, j| if i >= j { a[(i, j)] } else { f64::NAN });
            let factor = Cholesky::new(half).unwrap();
            let lower = Mat::from_fn(n, n, |i, j| if i >= j { factor.0[(i, j)] } else { 0.0 });
            let square = matrix::product(lower.as_ref(), lower.transpose());
            let error = (&square - &a).norm_max() / a.norm_max();
            assert!(error < 1e-14, "{n}: {error:e}");
            let b: Vec<f64> = (0..n).map(|i| (0.7 * i as f64).sin() + 0.1).collect();
            let image = matrix::apply(a.as_ref(), &factor.solve(&b));
            let error = image.iter().zip(&b).map(|(x, y)| (x - y).abs());
            assert!(error.fold(0.0, f64::max) < 1e-12, "{n}");
        }
    }

    #[test]
    fn what_is_not_positive_definite_has_none() {
        for n in [3, 200] {
            for place in [0, n / 2, n - 1] {
                let mut a = positive(n);
                a[(place, place)] = -1.0;
                assert!(Cholesky::new(a).is_none(), "{n}, {place}");
                for value in [f64::NAN, f64::INFINITY] {
                    let mut a = positive(n);
                    a[(n - 1, place)] = value;
                    assert!(Cholesky::new(a).is_none(), "{n}, {place}, {value}");
                }
            }
        }
    }
}
