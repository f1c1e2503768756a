//! A small symmetric matrix reduced to a tridiagonal one at once.
//!
//! K = Q·T·Qᵀ with one reflection a column (Golub and Van Loan, "Matrix Computations", section 8.3.1).
//! The update A - v·wᵀ - w·vᵀ of one reflection and the product with the vector of the next are made in
//! the same pass over A, of which only the lower half exists: eight operations a number that is read and
//! written, fast enough as long as A stays in the second cache.

use super::chase::Diagonals;
use super::reflection::{dot, reflection};
use crate::linalg::matrix::MatRef;
use crate::linalg::simd::{Simd, WithSimd, with_lanes};

/// Rows and columns of a block on the diagonal, which is kept whole.
const BLOCK: usize = 8;

/// Q as the reflections of all columns.
#[derive(Debug)]
pub(super) struct Direct {
    size: usize,
    /// v of each column, one behind the other: that of column k has the rows from k + 1 on.
    vectors: Vec<f64>,
    /// τ.
    scales: Vec<f64>,
}

/// Reduces a symmetric matrix, of which the lower half is read.
pub(super) fn tridiagonalise(matrix: MatRef<'_, f64>) -> (Diagonals, Direct) {
    let n = matrix.nrows();
    let mut diagonals = Diagonals {
        diagonal: Vec::with_capacity(n),
        beside: Vec::with_capacity(n),
    };
    let mut direct = Direct {
        size: n,
        vectors: Vec::with_capacity(n * n / 2),
        scales: Vec::with_capacity(n),
    };
    with_lanes(Columns {
        work: &mut Work::new(matrix),
        diagonals: &mut diagonals,
        direct: &mut direct,
    });
    (diagonals, direct)
}

/// Numbers from a cache line's start on.
struct Aligned {
    numbers: Vec<f64>,
    start: usize,
}

impl Aligned {
    const LINE: usize = 8;

    fn zeros(count: usize) -> Self {
        let numbers = vec![0.0; count + Self::LINE];
        let start = numbers.as_ptr().align_offset(Self::LINE * size_of::<f64>());
        // No place at all is allowed as an answer.
        let start = start.min(Self::LINE);
        Self { numbers, start }
    }

    fn all(&mut self) -> &mut [f64] {
        &mut self.numbers[self.start..]
    }
}

/// What the passes work on; all vectors have as many rows as a column is long.
struct Work {
    size: usize,
    /// Rows, filled up to whole blocks.
    rows: usize,
    /// From one column to the next: so that those of large powers of two do not meet in the cache.
    stride: usize,
    matrix: Aligned,
    /// v and w of the update that is due, u of the reflection that follows, and A·u.
    vectors: Aligned,
}

impl Work {
    fn new(matrix: MatRef<'_, f64>) -> Self {
        let n = matrix.nrows();
        let rows = n.next_multiple_of(BLOCK);
        let stride = rows + BLOCK;
        let mut own = Aligned::zeros(rows * stride);
        let numbers = own.all();
        for j in 0..n {
            let column = matrix.col(j).try_as_col_major();
            let column = column.expect("columns are contiguous").as_slice();
            numbers[j * stride + j..j * stride + n].copy_from_slice(&column[j..]);
            let first = j - j % BLOCK;
            for i in j + 1..n.min(first + BLOCK) {
                numbers[i * stride + j] = column[i];
            }
        }
        Self {
            size: n,
            rows,
            stride,
            matrix: own,
            vectors: Aligned::zeros(4 * rows),
        }
    }
}

struct Columns<'a> {
    work: &'a mut Work,
    diagonals: &'a mut Diagonals,
    direct: &'a mut Direct,
}

impl WithSimd for Columns<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F64_LANES {
            8 => self.run::<S, 1>(simd),
            4 => self.run::<S, 2>(simd),
            2 => self.run::<S, 4>(simd),
            _ => self.run::<S, 8>(simd),
        }
    }
}

impl Columns<'_> {
    /// With so many vectors for the rows of a block.
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(self, simd: S) {
        let Self {
            work,
            diagonals,
            direct,
        } = self;
        let (n, rows, stride) = (work.size, work.rows, work.stride);
        let matrix = work.matrix.all();
        let (v, rest) = work.vectors.all().split_at_mut(rows);
        let (w, rest) = rest.split_at_mut(rows);
        let (u, p) = rest.split_at_mut(rows);
        let p = &mut p[..rows];
        for k in 0..n {
            let column = &mut matrix[k * stride..k * stride + n];
            let (of_w, of_v) = (w[k], v[k]);
            for (a, (v, w)) in column[k..].iter_mut().zip(v[k..].iter().zip(&w[k..])) {
                *a -= v * of_w + w * of_v;
            }
            diagonals.diagonal.push(column[k]);
            let below = &mut column[k + 1..];
            if below.len() < 2 {
                diagonals.beside.extend(below.first());
                continue;
            }
            let (tau, beta) = reflection(below);
            diagonals.beside.push(beta);
            direct.vectors.extend_from_slice(below);
            direct.scales.push(tau);
            u[k] = 0.0;
            u[k + 1..n].copy_from_slice(below);
            p.fill(0.0);
            let first = (k + 1) / BLOCK * BLOCK;
            let mut pass = Pass { v, w, u, p };
            for left in (first..rows).step_by(BLOCK) {
                let columns = &mut matrix[left * stride..(left + BLOCK) * stride];
                pass.corner::<S, VECTORS>(simd, columns, stride, left);
                // So many columns as the registers have room for.
                match S::F64_LANES {
                    8 => pass.below::<S, VECTORS, 4>(simd, columns, stride, left),
                    _ => pass.below::<S, VECTORS, 2>(simd, columns, stride, left),
                }
            }
            p[..=k].fill(0.0);
            let half = 0.5 * tau * dot(&p[k + 1..n], &u[k + 1..n]);
            for (w, (p, u)) in w[k..].iter_mut().zip(p[k..].iter().zip(&u[k..])) {
                *w = tau * (p - half * u);
            }
            v[k..].copy_from_slice(&u[k..]);
        }
    }
}

/// One pass over A: A ← A - v·wᵀ - w·vᵀ and p += A·u.
struct Pass<'a> {
    v: &'a [f64],
    w: &'a [f64],
    u: &'a [f64],
    p: &'a mut [f64],
}

impl Pass<'_> {
    /// The block on the diagonal.
    #[inline(always)]
    fn corner<S: Simd, const VECTORS: usize>(
        &mut self,
        simd: S,
        columns: &mut [f64],
        stride: usize,
        left: usize,
    ) {
        let own = left..left + BLOCK;
        let (v, w, u) = (
            &self.v[own.clone()],
            &self.w[own.clone()],
            &self.u[own.clone()],
        );
        let (v_rows, w_rows) = (vectors::<S, VECTORS>(v), vectors::<S, VECTORS>(w));
        // Even and odd columns apart, so that a sum need not wait for the one before it.
        let mut sums = [[simd.splat_f64s(0.0); VECTORS]; 2];
        for (c, column) in columns.chunks_exact_mut(stride).enumerate() {
            let (of_v, of_w, of_u) = (
                simd.splat_f64s(v[c]),
                simd.splat_f64s(w[c]),
                simd.splat_f64s(u[c]),
            );
            let (block, _) = S::as_mut_simd_f64s(&mut column[own.clone()]);
            for (i, a) in block.iter_mut().enumerate() {
                *a = simd.negate_mul_add_e_f64s(v_rows[i], of_w, *a);
                *a = simd.negate_mul_add_e_f64s(w_rows[i], of_v, *a);
                sums[c % 2][i] = simd.mul_add_e_f64s(*a, of_u, sums[c % 2][i]);
            }
        }
        let (p, _) = S::as_mut_simd_f64s(&mut self.p[own]);
        for (i, p) in p.iter_mut().enumerate() {
            *p = simd.add_f64s(*p, simd.add_f64s(sums[0][i], sums[1][i]));
        }
    }

    /// The columns below it, so many at a time.
    #[inline(always)]
    fn below<S: Simd, const VECTORS: usize, const COLUMNS: usize>(
        &mut self,
        simd: S,
        columns: &mut [f64],
        stride: usize,
        left: usize,
    ) {
        let lower = left + BLOCK..self.p.len();
        for (some, columns) in columns.chunks_exact_mut(COLUMNS * stride).enumerate() {
            let first = left + some * COLUMNS;
            let splat = |values: &[f64]| -> [S::f64s; COLUMNS] {
                let values = &values[first..first + COLUMNS];
                std::array::from_fn(
                    #[inline(always)]
                    |t| simd.splat_f64s(values[t]),
                )
            };
            let (of_v, of_w, of_u) = (splat(self.v), splat(self.w), splat(self.u));
            let mut columns = columns.chunks_exact_mut(stride);
            let mut columns: [&mut [S::f64s]; COLUMNS] = std::array::from_fn(
                #[inline(always)]
                |_| {
                    let column = columns.next().expect("so many columns");
                    S::as_mut_simd_f64s(&mut column[lower.clone()]).0
                },
            );
            let (v, _) = S::as_simd_f64s(&self.v[lower.clone()]);
            let (w, _) = S::as_simd_f64s(&self.w[lower.clone()]);
            let (u, _) = S::as_simd_f64s(&self.u[lower.clone()]);
            let (p, _) = S::as_mut_simd_f64s(&mut self.p[lower.clone()]);
            let count = p.len();
            let (v, w, u) = (&v[..count], &w[..count], &u[..count]);
            for column in &mut columns {
                *column = &mut std::mem::take(column)[..count];
            }
            let mut lengths = [simd.splat_f64s(0.0); COLUMNS];
            for i in 0..count {
                let mut sum = p[i];
                for t in 0..COLUMNS {
                    let mut a = columns[t][i];
                    a = simd.negate_mul_add_e_f64s(v[i], of_w[t], a);
                    a = simd.negate_mul_add_e_f64s(w[i], of_v[t], a);
                    columns[t][i] = a;
                    sum = simd.mul_add_e_f64s(a, of_u[t], sum);
                    lengths[t] = simd.mul_add_e_f64s(a, u[i], lengths[t]);
                }
                p[i] = sum;
            }
            for (p, length) in self.p[first..].iter_mut().zip(lengths) {
                *p += simd.reduce_sum_f64s(length);
            }
        }
    }
}

/// The rows of a block in vector registers.
#[inline(always)]
fn vectors<S: Simd, const VECTORS: usize>(rows: &[f64]) -> [S::f64s; VECTORS] {
    let (vectors, _) = S::as_simd_f64s(rows);
    std::array::from_fn(
        #[inline(always)]
        |i| vectors[i],
    )
}

impl Direct {
    /// Qᵀ·x in place.
    pub(super) fn apply_transposed(&self, x: &mut [f64]) {
        with_lanes(Reflect {
            direct: self,
            x,
            reverse: false,
        });
    }

    /// Q·x in place.
    pub(super) fn apply(&self, x: &mut [f64]) {
        with_lanes(Reflect {
            direct: self,
            x,
            reverse: true,
        });
    }
}

struct Reflect<'a> {
    direct: &'a Direct,
    x: &'a mut [f64],
    reverse: bool,
}

impl WithSimd for Reflect<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Direct {
            size,
            vectors,
            scales,
        } = self.direct;
        let mut end = if self.reverse { vectors.len() } else { 0 };
        for k in 0..scales.len() {
            let k = if self.reverse {
                scales.len() - 1 - k
            } else {
                k
            };
            let count = size - 1 - k;
            let start = if self.reverse { end - count } else { end };
            let v = &vectors[start..start + count];
            let x = &mut self.x[k + 1..];
            let length = scales[k] * dot(v, x);
            for (x, v) in x.iter_mut().zip(v) {
                *x -= length * v;
            }
            end = if self.reverse { start } else { start + count };
        }
    }
}
