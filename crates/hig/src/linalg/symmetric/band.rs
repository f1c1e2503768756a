//! A symmetric matrix reduced to a band by block reflections.
//!
//! K = Q·B·Qᵀ, where B has [`WIDTH`] diagonals below the main one (successive band reduction: Bischof,
//! Lang and Sun 2000, ACM Transactions on Mathematical Software 26; Golub and Van Loan, "Matrix
//! Computations", section 8.3). The direct way to a tridiagonal matrix spends half of its operations
//! on products of the whole matrix with one vector, at the speed of memory; here everything of order
//! n³ is a product of matrices. What is left, from the band to a tridiagonal matrix, is of order n².

use super::reflection::{dot, reflection};
use super::{WIDTH, symmetric_product};
use crate::linalg::matrix::{self, Mat, MatMut, MatRef};
use crate::linalg::simd::vectorised;
use faer::Accum;
use faer::reborrow::{Reborrow, ReborrowMut};

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
    for column in (0..n.saturating_sub(WIDTH + 1)).step_by(WIDTH) {
        let first = column + WIDTH;
        let panel = factor(
            matrix
                .as_mut()
                .submatrix_mut(first, column, n - first, WIDTH),
            first,
        );
        reflect(matrix, &panel);
        panels.push(panel);
    }
    Reflections { panels }
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

/// A ← Hᵀ·A·H for the block reflection H of a panel.
fn reflect(matrix: &mut Mat<f64>, panel: &Panel) {
    let v = by_rows(panel.v.as_ref());
    let products = symmetric_product::times(matrix, panel.first, &v);
    let products = MatRef::from_row_major_slice(&products, panel.v.nrows(), WIDTH);
    // With S = A·V·T: Hᵀ·A·H = A - V·Yᵀ - Y·Vᵀ for Y = S - ½·V·(Tᵀ·Vᵀ·S).
    let mut y = matrix::product(products, panel.t.as_ref());
    let inner = matrix::product(panel.v.transpose(), y.as_ref());
    let half_of = faer::Scale(-0.5) * matrix::product(panel.t.transpose(), inner.as_ref());
    matrix::multiply(y.as_mut(), Accum::Add, panel.v.as_ref(), half_of.as_ref());
    symmetric_product::update(matrix, panel.first, &v, &by_rows(y.as_ref()));
}

/// The entries row after row.
fn by_rows(matrix: MatRef<'_, f64>) -> Vec<f64> {
    let mut rows = vec![0.0; matrix.nrows() * matrix.ncols()];
    MatMut::from_row_major_slice_mut(&mut rows, matrix.nrows(), matrix.ncols()).copy_from(matrix);
    rows
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
