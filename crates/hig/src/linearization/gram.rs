//! K = J·Jᵀ from layer factors.
//!
//! For a dense layer l the rows of J are outer products Δ_l[r] ⊗ (A_(l-1)[s], 1), so that its part
//! of K is (Δ_l·Δ_lᵀ) ∘ (A_(l-1)·A_(l-1)ᵀ + 1), where every sample's entry of the mask serves all
//! of its dim(y) rows (the neural tangent kernel in factored form, arXiv 2206.08720, section 3).

use crate::matrix::{self, Mat};
use crate::network::GramFactor;
use faer::reborrow::ReborrowMut;
use faer::{Accum, MatMut};
use rayon::prelude::*;

// Fixed, so that the bits of K do not depend on the number of threads.
const COLUMNS: usize = 64;
// Below this size the work is done before a second thread has woken up.
const WORTH_THREADS: usize = 256;

/// Sums the factors to K (symmetric, n × n).
pub fn gram_matrix(factors: &[GramFactor]) -> Mat<f64> {
    let n = factors.first().map_or(0, |factor| factor.rows.nrows());
    let mut gram = Mat::zeros(n, n);
    let fill = |(i, mut block): (usize, MatMut<'_, f64>)| {
        let first = i * COLUMNS;
        let mut lower = block.rb_mut().subrows_mut(first, n - first);
        let mut part = Mat::zeros(lower.nrows(), lower.ncols());
        for factor in factors {
            let rows = factor.rows.as_ref();
            matrix::multiply(
                part.as_mut(),
                Accum::Replace,
                rows.subrows(first, n - first),
                rows.subrows(first, lower.ncols()).transpose(),
            );
            add_masked(lower.rb_mut(), &part, &factor.mask, first);
        }
    };
    let blocks = gram.as_mut().par_col_chunks_mut(COLUMNS).enumerate();
    if n >= WORTH_THREADS {
        blocks.for_each(fill);
    } else {
        blocks.with_min_len(n).for_each(fill);
    }
    mirror(&mut gram);
    gram
}

/// target += part ∘ mask, where row i of the target is row `first + i` of K.
fn add_masked(mut target: MatMut<'_, f64>, part: &Mat<f64>, mask: &Mat<f64>, first: usize) {
    let samples = mask.nrows();
    for j in 0..part.ncols() {
        let weights = mask.col_as_slice((first + j) % samples);
        let column = target
            .rb_mut()
            .col_mut(j)
            .try_as_col_major_mut()
            .expect("columns of K are contiguous")
            .as_slice_mut();
        let (mut at, source) = (first % samples, part.col_as_slice(j));
        let mut done = 0;
        while done < source.len() {
            let count = (samples - at).min(source.len() - done);
            let values = column[done..done + count].iter_mut();
            let factors = source[done..done + count].iter().zip(&weights[at..]);
            for (t, (p, w)) in values.zip(factors) {
                *t += p * w;
            }
            done += count;
            at = 0;
        }
    }
}

/// Copies the lower triangle to the upper one.
fn mirror(matrix: &mut Mat<f64>) {
    for j in 0..matrix.ncols() {
        for i in 0..j {
            matrix[(i, j)] = matrix[(j, i)];
        }
    }
}
