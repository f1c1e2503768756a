//! A symmetric matrix reduced to a band by block reflections.
//!
//! K = Q·B·Qᵀ, where B has [`WIDTH`] diagonals below the main one (successive band reduction: Bischof,
//! Lang and Sun 2000, ACM Transactions on Mathematical Software 26; Golub and Van Loan, "Matrix
//! Computations", section 8.3). The direct way to a tridiagonal matrix spends half of its operations
//! on products of the whole matrix with one vector, at the speed of memory; here everything of order
//! n³ is a product of matrices. What is left, from the band to a tridiagonal matrix, is of order n².

use super::reflection::reflection;
use crate::matrix::{self, Mat, MatMut, MatRef};
use crate::simd::vectorised;
use faer::Accum;
use faer::reborrow::{Reborrow, ReborrowMut};
use rayon::prelude::*;

/// Number of diagonals of the band below the main one.
pub(super) const WIDTH: usize = 16;
// Fixed, so that the bits do not depend on the number of threads.
const BLOCK: usize = 96;
// Below this size the work is done before a second thread has woken up.
const WORTH_THREADS: usize = 384;

/// Q as a product of block reflections 1 - V·T·Vᵀ.
#[derive(Debug)]
pub(super) struct Reflections {
    panels: Vec<Panel>,
}

#[derive(Debug)]
struct Panel {
    /// First row that is reflected.
    first: usize,
    /// V, unit lower trapezoidal.
    v: Mat<f64>,
    /// T, upper triangular.
    t: Mat<f64>,
}

/// Reduces a symmetric matrix, of which the lower half is read: afterwards that half holds the band,
/// and zeros below.
pub(super) fn reduce(matrix: &mut Mat<f64>) -> Reflections {
    let n = matrix.nrows();
    let mut panels = Vec::with_capacity(n / WIDTH);
    // Diagonal blocks are kept whole, so that a product needs no triangle.
    for start in (0..n).step_by(BLOCK) {
        mirror(matrix.as_mut(), start, BLOCK.min(n - start));
    }
    for column in (0..n.saturating_sub(WIDTH + 1)).step_by(WIDTH) {
        let first = column + WIDTH;
        let panel = factor(
            matrix
                .as_mut()
                .submatrix_mut(first, column, n - first, WIDTH),
            first,
        );
        reflect(matrix.as_mut(), &panel);
        panels.push(panel);
    }
    Reflections { panels }
}

fn mirror(mut matrix: MatMut<'_, f64>, start: usize, size: usize) {
    for j in start..start + size {
        for i in start..j {
            matrix[(i, j)] = matrix[(j, i)];
        }
    }
}

/// V and T of the QR decomposition of a panel, which is left with R.
fn factor(mut panel: MatMut<'_, f64>, first: usize) -> Panel {
    let (rows, columns) = (panel.nrows(), panel.ncols());
    let mut v = panel.rb().to_owned();
    let mut tau = [0.0; WIDTH];
    let mut diagonal = [0.0; WIDTH];
    vectorised(
        #[inline(always)]
        || {
            for k in 0..columns.min(rows) {
                let (done, mut rest) = v.as_mut().split_at_col_mut(k + 1);
                let reflector = column(done, k);
                let (t, beta) = reflection(&mut reflector[k..]);
                (tau[k], diagonal[k]) = (t, beta);
                let reflector = &reflector[k..];
                for j in 0..columns - k - 1 {
                    let target = &mut column(rest.rb_mut(), j)[k..];
                    let scale = -t * dot(reflector, target);
                    for (x, v) in target.iter_mut().zip(reflector) {
                        *x += scale * v;
                    }
                }
            }
        },
    );
    // R goes back, V keeps what is below it.
    for j in 0..columns {
        let source = v.col_as_slice_mut(j);
        let target = column(panel.rb_mut(), j);
        target[j.min(rows)..].fill(0.0);
        for i in 0..j.min(rows) {
            target[i] = std::mem::take(&mut source[i]);
        }
        if j < rows {
            target[j] = diagonal[j];
        }
    }
    let products = matrix::product(v.transpose(), v.as_ref());
    let mut t = Mat::zeros(columns, columns);
    for k in 0..columns {
        for i in 0..k {
            let sum: f64 = (i..k).map(|j| t[(i, j)] * products[(j, k)]).sum();
            t[(i, k)] = -tau[k] * sum;
        }
        t[(k, k)] = tau[k];
    }
    Panel { first, v, t }
}

fn column(matrix: MatMut<'_, f64>, j: usize) -> &mut [f64] {
    matrix
        .col_mut(j)
        .try_as_col_major_mut()
        .expect("columns are contiguous")
        .as_slice_mut()
}

/// Inner product with partial sums in vector registers.
#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (a_parts, b_parts) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let tail: f64 = a_parts
        .remainder()
        .iter()
        .zip(b_parts.remainder())
        .map(|(a, b)| a * b)
        .sum();
    for (a, b) in a_parts.zip(b_parts) {
        for i in 0..LANES {
            sums[i] += a[i] * b[i];
        }
    }
    tail + sums.iter().sum::<f64>()
}

/// A ← Hᵀ·A·H for the block reflection H of a panel; diagonal blocks whole, of the rest the lower half.
fn reflect(a: MatMut<'_, f64>, panel: &Panel) {
    let (v, first) = (panel.v.as_ref(), panel.first);
    let products = times(a.rb(), panel);
    // With S = A·V·T: Hᵀ·A·H = A - V·Yᵀ - Y·Vᵀ for Y = S - ½·V·(Tᵀ·Vᵀ·S).
    let products = products.as_ref().subrows(first, v.nrows());
    let mut y = matrix::product(products, panel.t.as_ref());
    let inner = matrix::product(v.transpose(), y.as_ref());
    let half = faer::Scale(-0.5) * matrix::product(panel.t.transpose(), inner.as_ref());
    matrix::multiply(y.as_mut(), Accum::Add, v, half.as_ref());
    let left = beside(v, y.as_ref());
    let right = faer::Scale(-1.0) * beside(y.as_ref(), v);
    let update = |(block, mut columns): (usize, MatMut<'_, f64>)| {
        let Some(part) = Part::new(block, columns.ncols(), first) else {
            return;
        };
        let count = v.nrows() - (part.start - first);
        matrix::multiply(
            columns
                .rb_mut()
                .submatrix_mut(part.start, part.skipped, count, part.count),
            Accum::Add,
            left.as_ref().subrows(part.start - first, count),
            right
                .as_ref()
                .subrows(part.start - first, part.count)
                .transpose(),
        );
    };
    let blocks = a.par_col_chunks_mut(BLOCK).enumerate();
    if v.nrows() >= WORTH_THREADS {
        blocks.for_each(update);
    } else {
        blocks.with_min_len(usize::MAX).for_each(update);
    }
}

/// What of a block of columns (or rows) lies at or behind the first one that is reflected.
struct Part {
    start: usize,
    skipped: usize,
    count: usize,
}

impl Part {
    fn new(block: usize, size: usize, first: usize) -> Option<Self> {
        let skipped = first.saturating_sub(block * BLOCK);
        (skipped < size).then(|| Self {
            start: block * BLOCK + skipped,
            skipped,
            count: size - skipped,
        })
    }
}

fn beside(left: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Mat<f64> {
    let mut both = Mat::zeros(left.nrows(), left.ncols() + right.ncols());
    both.as_mut().subcols_mut(0, left.ncols()).copy_from(left);
    both.as_mut()
        .subcols_mut(left.ncols(), right.ncols())
        .copy_from(right);
    both
}

/// A·V for a symmetric A, diagonal blocks whole, of the rest the lower half; rows that V does not
/// have are zero.
fn times(a: MatRef<'_, f64>, panel: &Panel) -> Mat<f64> {
    let (v, first, n) = (panel.v.as_ref(), panel.first, a.nrows());
    let mut products = Mat::zeros(n, v.ncols());
    let fill = |(block, target): (usize, MatMut<'_, f64>)| {
        let Some(part) = Part::new(block, target.nrows(), first) else {
            return;
        };
        let mut target = target.subrows_mut(part.skipped, part.count);
        let end = part.start + part.count;
        matrix::multiply(
            target.rb_mut(),
            Accum::Replace,
            a.submatrix(part.start, first, part.count, end - first),
            v.subrows(0, end - first),
        );
        matrix::multiply(
            target,
            Accum::Add,
            a.submatrix(end, part.start, n - end, part.count)
                .transpose(),
            v.subrows(end - first, n - end),
        );
    };
    let blocks = products.as_mut().par_row_chunks_mut(BLOCK).enumerate();
    if v.nrows() >= WORTH_THREADS {
        blocks.for_each(fill);
    } else {
        blocks.with_min_len(usize::MAX).for_each(fill);
    }
    products
}

impl Reflections {
    /// Qᵀ·X in place.
    pub(super) fn apply_transposed(&self, mut x: MatMut<'_, f64>) {
        for panel in &self.panels {
            panel.apply(x.rb_mut(), panel.t.transpose());
        }
    }

    /// Q·X in place.
    pub(super) fn apply(&self, mut x: MatMut<'_, f64>) {
        for panel in self.panels.iter().rev() {
            panel.apply(x.rb_mut(), panel.t.as_ref());
        }
    }
}

impl Panel {
    fn apply(&self, x: MatMut<'_, f64>, t: MatRef<'_, f64>) {
        let mut x = x.subrows_mut(self.first, self.v.nrows());
        let inner = matrix::product(self.v.transpose(), x.rb());
        let scaled = faer::Scale(-1.0) * matrix::product(t, inner.as_ref());
        matrix::multiply(x.rb_mut(), Accum::Add, self.v.as_ref(), scaled.as_ref());
    }
}
