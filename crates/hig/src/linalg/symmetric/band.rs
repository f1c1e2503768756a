//! A symmetric matrix reduced to a band by block reflections.
//!
//! K = Q·B·Qᵀ, where B has [`WIDTH`] diagonals below the main one (successive band reduction: Bischof,
//! Lang and Sun 2000, ACM Transactions on Mathematical Software 26; Golub and Van Loan, "Matrix
//! Computations", section 8.3). The direct way to a tridiagonal matrix spends half of its operations
//! on products of the whole matrix with one vector, at the speed of memory; here everything of order
//! n³ is a product of matrices. What is left, from the band to a tridiagonal matrix, is of order n².

use super::WIDTH;
use super::reflection::dot;
use super::symmetric_product::{self, Small, Update, combine, cross};
use crate::linalg::matrix::{self, Mat, MatMut, MatRef, WORTH_THREADS};
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
    t: Small,
}

/// Reduces a symmetric matrix, of which the lower half is read: afterwards that half holds the band,
/// and zeros below.
pub(super) fn reduce(matrix: &mut Mat<f64>) -> Reflections {
    let n = matrix.nrows();
    let mut panels = Vec::with_capacity(n / WIDTH);
    let mut due = (n > WIDTH + 1).then(|| factor(matrix.as_mut().subcols_mut(0, WIDTH), WIDTH));
    while let Some((panel, rows)) = due.take() {
        let first = panel.first;
        let update = reflection(matrix, &panel, &rows);
        panels.push(panel);
        let rest = matrix.as_mut().subcols_mut(first, n - first);
        if n - first <= WIDTH + 1 {
            update.apply(rest, 0);
            break;
        }
        // The next panel is all that its reflections need: they are found beside the rest of the update.
        let (mut next, rest) = rest.split_at_col_mut(WIDTH);
        update.apply(next.rb_mut(), 0);
        let find = || factor(next, first + WIDTH);
        let go_on = || update.apply(rest, WIDTH);
        due = Some(match n - first >= WORTH_THREADS {
            true => rayon::join(find, go_on).0,
            false => {
                go_on();
                find()
            }
        });
    }
    Reflections { panels }
}

/// A ← Hᵀ·A·H for the block reflection H of a panel, whose V comes row by row, too.
fn reflection(matrix: &Mat<f64>, panel: &Panel, v: &[f64]) -> Update {
    let t = &panel.t;
    let products = symmetric_product::times(matrix, panel.first, v);
    // With S = A·V·T: Hᵀ·A·H = A - V·Yᵀ - Y·Vᵀ for Y = S - ½·V·(Tᵀ·Vᵀ·S).
    let inner = small_product(|i, k| t[k * WIDTH + i], &cross(v, &products));
    let half = small_product(|i, k| 0.5 * inner[i * WIDTH + k], t);
    Update::new(panel.first, v, &combine(&products, t, v, &half))
}

/// The product of two small matrices, the first given by its entries.
fn small_product(left: impl Fn(usize, usize) -> f64, right: &Small) -> Small {
    let mut product = [0.0; WIDTH * WIDTH];
    for (i, row) in product.chunks_exact_mut(WIDTH).enumerate() {
        for (k, right) in right.chunks_exact(WIDTH).enumerate() {
            let factor = left(i, k);
            for (p, r) in row.iter_mut().zip(right) {
                *p += factor * r;
            }
        }
    }
    product
}

/// The QR decomposition of a panel, the rows of some columns from the first one that is reflected on:
/// they are left with R. The second result is V, row by row.
fn factor(columns: MatMut<'_, f64>, first: usize) -> (Panel, Vec<f64>) {
    let height = columns.nrows() - first;
    let mut panel = columns.subrows_mut(first, height);
    let mut v = panel.rb().to_owned();
    let mut tau = [0.0; WIDTH];
    let mut diagonal = [0.0; WIDTH];
    vectorised(
        #[inline(always)]
        || {
            for k in 0..WIDTH.min(height) {
                let (done, mut rest) = v.as_mut().split_at_col_mut(k + 1);
                let reflector = &mut column(done, k)[k..];
                (tau[k], diagonal[k]) = super::reflection::reflection(reflector);
                for j in 0..WIDTH - k - 1 {
                    let target = &mut column(rest.rb_mut(), j)[k..];
                    let scale = -tau[k] * dot(reflector, target);
                    for (x, v) in target.iter_mut().zip(&*reflector) {
                        *x += scale * v;
                    }
                }
            }
        },
    );
    // R goes back, V keeps what is below it.
    for j in 0..WIDTH {
        let source = v.col_as_slice_mut(j);
        let target = column(panel.rb_mut(), j);
        target[j.min(height)..].fill(0.0);
        for i in 0..j.min(height) {
            target[i] = std::mem::take(&mut source[i]);
        }
        if j < height {
            target[j] = diagonal[j];
        }
    }
    let mut rows = vec![0.0; height * WIDTH];
    for j in 0..WIDTH {
        let entries = rows.iter_mut().skip(j).step_by(WIDTH);
        for (entry, v) in entries.zip(v.col_as_slice(j)) {
            *entry = *v;
        }
    }
    let products = cross(&rows, &rows);
    let mut t = [0.0; WIDTH * WIDTH];
    for k in 0..WIDTH {
        for i in 0..k {
            let sum: f64 = (i..k)
                .map(|j| t[i * WIDTH + j] * products[j * WIDTH + k])
                .sum();
            t[i * WIDTH + k] = -tau[k] * sum;
        }
        t[k * WIDTH + k] = tau[k];
    }
    (Panel { first, v, t }, rows)
}

fn column(matrix: MatMut<'_, f64>, j: usize) -> &mut [f64] {
    matrix
        .col_mut(j)
        .try_as_col_major_mut()
        .expect("columns are contiguous")
        .as_slice_mut()
}

impl Reflections {
    /// Qᵀ·X in place.
    pub(super) fn apply_transposed(&self, mut x: MatMut<'_, f64>) {
        for panel in &self.panels {
            panel.apply(x.rb_mut(), panel.t().transpose());
        }
    }

    /// Q·X in place.
    pub(super) fn apply(&self, mut x: MatMut<'_, f64>) {
        for panel in self.panels.iter().rev() {
            panel.apply(x.rb_mut(), panel.t());
        }
    }
}

impl Panel {
    fn t(&self) -> MatRef<'_, f64> {
        MatRef::from_row_major_slice(&self.t, WIDTH, WIDTH)
    }

    fn apply(&self, x: MatMut<'_, f64>, t: MatRef<'_, f64>) {
        let mut x = x.subrows_mut(self.first, self.v.nrows());
        let inner = matrix::product(self.v.transpose(), x.rb());
        let scaled = faer::Scale(-1.0) * matrix::product(t, inner.as_ref());
        matrix::multiply(x.rb_mut(), Accum::Add, self.v.as_ref(), scaled.as_ref());
    }
}
