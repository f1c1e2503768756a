//! A symmetric band reduced to a tridiagonal matrix by chasing bulges.
//!
//! B = Q·T·Qᵀ (Schwarz 1968, Numerische Mathematik 12; in blocks of reflections: Lang 1993, SIAM
//! Journal on Scientific Computing 14). A reflection empties one column below its subdiagonal entry;
//! what it fills in further down the band is chased to the end by further reflections. Every
//! operation is on blocks of the band's width, which stay in the registers and the first cache.

use super::WIDTH;
use super::reflection::NEGLIGIBLE;
use crate::linalg::matrix::MatRef;
use crate::linalg::simd::{Simd, WithSimd, vectorised, with_lanes};

// A block's column, and the way from one column of a block to the next in the band's storage.
const ABOVE: usize = WIDTH - 1;
const STORED: usize = 3 * WIDTH;
const STEP: usize = STORED - 1;

/// Q as the reflections in the order of the chase.
#[derive(Debug)]
pub(super) struct Chase {
    size: usize,
    /// v (WIDTH numbers each, the first one 1).
    vectors: Vec<Rows>,
    /// τ.
    scales: Vec<f64>,
}

/// The rows of a block's column.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Rows([f64; WIDTH]);

/// A tridiagonal matrix.
#[derive(Debug)]
pub(super) struct Diagonals {
    pub(super) diagonal: Vec<f64>,
    /// One entry less.
    pub(super) beside: Vec<f64>,
}

/// The entries of a band in room for the bulge, with zero rows behind the last one so that every
/// block is whole.
struct Band(Vec<f64>);

impl Band {
    fn new(matrix: MatRef<'_, f64>) -> Self {
        let n = matrix.nrows();
        let mut band = Self(vec![0.0; (n + 2 * WIDTH) * STORED]);
        for j in 0..n {
            for i in j..(j + WIDTH + 1).min(n) {
                band.0[Self::place(i, j)] = matrix[(i, j)];
                if i - j < WIDTH {
                    band.0[Self::place(j, i)] = matrix[(i, j)];
                }
            }
        }
        band
    }

    /// Where entry (i, j) is kept: those of WIDTH - 1 diagonals above and 2·WIDTH - 1 below.
    #[inline(always)]
    fn place(i: usize, j: usize) -> usize {
        j * STORED + ABOVE + i - j
    }
}

/// Reduces a band (of a symmetric matrix of which the lower half is read).
pub(super) fn tridiagonalise(matrix: MatRef<'_, f64>) -> (Diagonals, Chase) {
    let n = matrix.nrows();
    let mut band = Band::new(matrix);
    let steps: usize = (0..n.saturating_sub(2)).map(|i| steps(n, i)).sum();
    let mut chase = Chase {
        size: n,
        vectors: Vec::with_capacity(steps),
        scales: Vec::with_capacity(steps),
    };
    with_lanes(Sweeps {
        band: &mut band.0,
        chase: &mut chase,
    });
    let entry = |i: usize, j: usize| band.0[Band::place(i, j)];
    let diagonals = Diagonals {
        diagonal: (0..n).map(|i| entry(i, i)).collect(),
        beside: (1..n).map(|i| entry(i, i - 1)).collect(),
    };
    (diagonals, chase)
}

/// Number of reflections that it takes to empty column i.
fn steps(n: usize, i: usize) -> usize {
    (n - 1 - i).div_ceil(WIDTH)
}

struct Sweeps<'a> {
    band: &'a mut [f64],
    chase: &'a mut Chase,
}

impl WithSimd for Sweeps<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for i in 0..self.chase.size.saturating_sub(2) {
            sweep(simd, self.band, i, self.chase);
        }
    }
}

/// Empties column i and chases what that fills in.
#[inline(always)]
fn sweep<S: Simd>(simd: S, band: &mut [f64], i: usize, chase: &mut Chase) {
    let n = chase.size;
    let mut start = i + 1;
    let from = Band::place(start, i);
    let mut v = Rows::default();
    v.0.copy_from_slice(&band[from..from + WIDTH]);
    let (mut tau, beta) = reflection(simd, &mut v);
    band[from..from + WIDTH].fill(0.0);
    band[from] = beta;
    while start < n {
        chase.vectors.push(v);
        chase.scales.push(tau);
        let columns = &mut band[Band::place(start, start)..];
        // The next reflection takes longest: what does not wait for it comes in between.
        complete(columns);
        let (u, g, scale) = next(simd, &mut columns[WIDTH..], &v, tau);
        both_sides(simd, columns, &v, tau);
        carry(simd, &mut columns[WIDTH..], (&v, tau), &u, (&g, scale));
        (v, tau) = (g, scale);
        start += WIDTH;
    }
}

/// Turns x into the vector of the reflection that empties it but for its first row, as
/// [`reflection`](super::reflection::reflection) does; returns τ and what becomes of the first row.
#[inline(always)]
fn reflection<S: Simd>(simd: S, x: &mut Rows) -> (f64, f64) {
    let first = x.0[0];
    x.0[0] = 0.0;
    let rest = dot(simd, lanes::<S>(&x.0), lanes::<S>(&x.0));
    x.0[0] = 1.0;
    if rest < NEGLIGIBLE {
        x.0[1..].fill(0.0);
        return (0.0, first);
    }
    let beta = -(first * first + rest).sqrt().copysign(first);
    let scale = 1.0 / (first - beta);
    for v in &mut x.0[1..] {
        *v *= scale;
    }
    ((beta - first) / beta, beta)
}

/// A column's rows in vector registers.
#[inline(always)]
fn lanes<S: Simd>(rows: &[f64]) -> &[S::f64s] {
    S::as_simd_f64s(rows).0
}

/// One column of a block in vector registers.
#[inline(always)]
fn column<S: Simd>(block: &mut [f64], j: usize) -> &mut [S::f64s] {
    S::as_mut_simd_f64s(&mut block[j * STEP..j * STEP + WIDTH]).0
}

#[inline(always)]
fn dot<S: Simd>(simd: S, a: &[S::f64s], b: &[S::f64s]) -> f64 {
    let mut sum = simd.splat_f64s(0.0);
    for (a, b) in a.iter().zip(b) {
        sum = simd.mul_add_e_f64s(*a, *b, sum);
    }
    simd.reduce_sum_f64s(sum)
}

/// block · v.
#[inline(always)]
fn times<S: Simd>(simd: S, block: &[f64], v: &Rows) -> Rows {
    // So many sums that one need not wait for the one before it.
    const SUMS: usize = 4;
    let mut product = Rows::default();
    for (k, target) in S::as_mut_simd_f64s(&mut product.0).0.iter_mut().enumerate() {
        let mut sums = [simd.splat_f64s(0.0); SUMS];
        for j in (0..WIDTH).step_by(SUMS) {
            for (s, sum) in sums.iter_mut().enumerate() {
                let column = lanes::<S>(&block[(j + s) * STEP..(j + s) * STEP + WIDTH]);
                *sum = simd.mul_add_e_f64s(column[k], simd.splat_f64s(v.0[j + s]), *sum);
            }
        }
        let [a, b, c, d] = sums;
        *target = simd.add_f64s(simd.add_f64s(a, b), simd.add_f64s(c, d));
    }
    product
}

/// Makes the block on the diagonal whole: its last row has come in from the block below, of which
/// there is only the lower half.
#[inline(always)]
fn complete(block: &mut [f64]) {
    for j in 0..WIDTH - 1 {
        block[(WIDTH - 1) * STEP + j] = block[j * STEP + WIDTH - 1];
    }
}

/// D ← H·D·H for the block on the diagonal, kept whole.
#[inline(always)]
fn both_sides<S: Simd>(simd: S, block: &mut [f64], v: &Rows, tau: f64) {
    let mut w = times(simd, block, v);
    let half = 0.5 * tau * dot(simd, lanes::<S>(&w.0), lanes::<S>(&v.0));
    for (w, v) in w.0.iter_mut().zip(&v.0) {
        *w = -tau * (*w - half * v);
    }
    subtract(simd, block, 0, [(v, &w), (&w, v)]);
}

/// Adds two products column · rowᵀ to the columns of a block from `first` on.
#[inline(always)]
fn subtract<S: Simd>(simd: S, block: &mut [f64], first: usize, products: [(&Rows, &Rows); 2]) {
    let [(a, x), (b, y)] = products;
    let (a, b) = (lanes::<S>(&a.0), lanes::<S>(&b.0));
    for j in first..WIDTH {
        let (x, y) = (simd.splat_f64s(x.0[j]), simd.splat_f64s(y.0[j]));
        for ((target, a), b) in column::<S>(block, j).iter_mut().zip(a).zip(b) {
            *target = simd.mul_add_e_f64s(*b, y, simd.mul_add_f64s(*a, x, *target));
        }
    }
}

/// What is to be known for C ← G·C·H with the block below, where G empties its first column: C·v, and G.
/// The first column becomes what it will be.
#[inline(always)]
fn next<S: Simd>(simd: S, block: &mut [f64], v: &Rows, tau: f64) -> (Rows, Rows, f64) {
    let u = times(simd, block, v);
    let mut g = Rows::default();
    for (g, (c, u)) in g.0.iter_mut().zip(block.iter().zip(&u.0)) {
        *g = c - tau * u;
    }
    let (scale, beta) = reflection(simd, &mut g);
    block[..WIDTH].fill(0.0);
    block[0] = beta;
    (u, g, scale)
}

/// C ← G·C·H for the other columns.
#[inline(always)]
fn carry<S: Simd>(
    simd: S,
    block: &mut [f64],
    (v, tau): (&Rows, f64),
    u: &Rows,
    (g, scale): (&Rows, f64),
) {
    // gᵀ·C·H from C as it was, so that every column is changed once.
    let across = dot(simd, lanes::<S>(&g.0), lanes::<S>(&u.0));
    let (mut x, mut y) = (Rows::default(), Rows::default());
    for j in 1..WIDTH {
        x.0[j] = -tau * v.0[j];
        let length = dot(simd, lanes::<S>(&g.0), column::<S>(block, j));
        y.0[j] = -scale * (length + x.0[j] * across);
    }
    subtract(simd, block, 1, [(u, &x), (g, &y)]);
}

impl Chase {
    /// Calls `visit(first row, v, τ)` for every reflection in order, or in reverse.
    #[inline(always)]
    fn each(&self, reverse: bool, mut visit: impl FnMut(usize, &Rows, f64)) {
        let sweeps = self.size.saturating_sub(2);
        let mut done = if reverse { self.vectors.len() } else { 0 };
        for k in 0..sweeps {
            let i = if reverse { sweeps - 1 - k } else { k };
            let count = steps(self.size, i);
            if reverse {
                done -= count;
            }
            for s in 0..count {
                let s = if reverse { count - 1 - s } else { s };
                visit(
                    i + 1 + s * WIDTH,
                    &self.vectors[done + s],
                    self.scales[done + s],
                );
            }
            if !reverse {
                done += count;
            }
        }
    }

    /// Qᵀ·x in place.
    pub(super) fn apply_transposed(&self, x: &mut [f64]) {
        let mut padded = self.padded(x, 1);
        with_lanes(Reflect {
            chase: self,
            x: &mut padded,
            reverse: false,
        });
        x.copy_from_slice(&padded[..x.len()]);
    }

    /// Q·X in place, for `count` vectors side by side (row-major).
    pub(super) fn apply(&self, x: &mut [f64], count: usize) {
        let mut padded = self.padded(x, count);
        match count {
            1 => with_lanes(Reflect {
                chase: self,
                x: &mut padded,
                reverse: true,
            }),
            _ => self.reflect_rows(&mut padded, count),
        }
        x.copy_from_slice(&padded[..x.len()]);
    }

    fn padded(&self, x: &[f64], count: usize) -> Vec<f64> {
        let mut padded = Vec::with_capacity(x.len() + WIDTH * count);
        padded.extend_from_slice(x);
        padded.resize(x.len() + WIDTH * count, 0.0);
        padded
    }

    fn reflect_rows(&self, x: &mut [f64], count: usize) {
        let mut lengths = vec![0.0; count];
        vectorised(
            #[inline(always)]
            || {
                self.each(
                    true,
                    #[inline(always)]
                    |row, v, tau| {
                        let block = &mut x[row * count..(row + WIDTH) * count];
                        lengths.fill(0.0);
                        for (x, v) in block.chunks_exact(count).zip(&v.0) {
                            for (length, x) in lengths.iter_mut().zip(x) {
                                *length -= tau * v * x;
                            }
                        }
                        for (x, v) in block.chunks_exact_mut(count).zip(&v.0) {
                            for (x, length) in x.iter_mut().zip(&lengths) {
                                *x += length * v;
                            }
                        }
                    },
                );
            },
        );
    }
}

struct Reflect<'a> {
    chase: &'a Chase,
    x: &'a mut [f64],
    reverse: bool,
}

impl WithSimd for Reflect<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.chase.each(
            self.reverse,
            #[inline(always)]
            |row, v, tau| {
                let part = S::as_mut_simd_f64s(&mut self.x[row..row + WIDTH]).0;
                let v = lanes::<S>(&v.0);
                let length = simd.splat_f64s(-tau * dot(simd, part, v));
                for (x, v) in part.iter_mut().zip(v) {
                    *x = simd.mul_add_e_f64s(length, *v, *x);
                }
            },
        );
    }
}
