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
        // A block's column is so many vectors.
        match S::F64_LANES {
            8 => self.run(&Blocks::<S, 2>::new(simd)),
            4 => self.run(&Blocks::<S, 4>::new(simd)),
            2 => self.run(&Blocks::<S, 8>::new(simd)),
            _ => self.run(&Blocks::<S, 16>::new(simd)),
        }
    }
}

impl Sweeps<'_> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize>(self, blocks: &Blocks<S, VECTORS>) {
        for i in 0..self.chase.size.saturating_sub(2) {
            blocks.sweep(self.band, i, self.chase);
        }
    }
}

/// A column's rows in vector registers.
type Column<S, const VECTORS: usize> = [<S as Simd>::f64s; VECTORS];

/// A reflection: v in registers and in memory, where single entries are read, and τ.
struct Reflection<S: Simd, const VECTORS: usize> {
    v: Column<S, VECTORS>,
    rows: Rows,
    tau: f64,
}

/// Operations on blocks of the band. What is on the way to the next reflection stays in registers:
/// memory that was written in other pieces than it is read would have to be waited for.
struct Blocks<S: Simd, const VECTORS: usize> {
    simd: S,
    /// (1, 0, 0, …) and (0, 1, 1, …).
    first: Column<S, VECTORS>,
    others: Column<S, VECTORS>,
}

impl<S: Simd, const VECTORS: usize> Blocks<S, VECTORS> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        let mut first = [0.0; WIDTH];
        first[0] = 1.0;
        Self {
            simd,
            first: read::<S, VECTORS>(&first),
            others: read::<S, VECTORS>(&first.map(|one| 1.0 - one)),
        }
    }

    /// Empties column i and chases what that fills in.
    #[inline(always)]
    fn sweep(&self, band: &mut [f64], i: usize, chase: &mut Chase) {
        let n = chase.size;
        let mut start = i + 1;
        let from = Band::place(start, i);
        let (mut h, beta) = self.reflection(read::<S, VECTORS>(&band[from..from + WIDTH]));
        band[from..from + WIDTH].fill(0.0);
        band[from] = beta;
        while start < n {
            chase.vectors.push(h.rows);
            chase.scales.push(h.tau);
            let columns = &mut band[Band::place(start, start)..];
            // The next reflection takes longest: what does not wait for it comes in between.
            complete(columns);
            let (u, g) = self.next(&mut columns[WIDTH..], &h);
            self.both_sides(columns, &h);
            self.carry(&mut columns[WIDTH..], &h, &u, &g);
            h = g;
            start += WIDTH;
        }
    }

    /// The reflection that empties x but for its first row, as
    /// [`reflection`](super::reflection::reflection) finds it, and what becomes of the first row.
    #[inline(always)]
    fn reflection(&self, x: Column<S, VECTORS>) -> (Reflection<S, VECTORS>, f64) {
        let simd = self.simd;
        let first = self.rows(&x).0[0];
        let others: Column<S, VECTORS> = std::array::from_fn(
            #[inline(always)]
            |k| simd.mul_f64s(x[k], self.others[k]),
        );
        let rest = self.dot(&others, &others);
        let (mut scale, mut tau, mut beta) = (0.0, 0.0, first);
        if rest >= NEGLIGIBLE {
            beta = -(first * first + rest).sqrt().copysign(first);
            scale = 1.0 / (first - beta);
            tau = (beta - first) / beta;
        }
        let scale = simd.splat_f64s(scale);
        let v: Column<S, VECTORS> = std::array::from_fn(
            #[inline(always)]
            |k| simd.mul_add_e_f64s(others[k], scale, self.first[k]),
        );
        let rows = self.rows(&v);
        (Reflection { v, rows, tau }, beta)
    }

    #[inline(always)]
    fn rows(&self, column: &Column<S, VECTORS>) -> Rows {
        let mut rows = Rows::default();
        S::as_mut_simd_f64s(&mut rows.0).0.copy_from_slice(column);
        rows
    }

    #[inline(always)]
    fn dot(&self, a: &Column<S, VECTORS>, b: &Column<S, VECTORS>) -> f64 {
        let mut sum = self.simd.splat_f64s(0.0);
        for k in 0..VECTORS {
            sum = self.simd.mul_add_e_f64s(a[k], b[k], sum);
        }
        self.simd.reduce_sum_f64s(sum)
    }

    /// x + y·factor.
    #[inline(always)]
    fn add(
        &self,
        x: &Column<S, VECTORS>,
        y: &Column<S, VECTORS>,
        factor: f64,
    ) -> Column<S, VECTORS> {
        let factor = self.simd.splat_f64s(factor);
        std::array::from_fn(
            #[inline(always)]
            |k| self.simd.mul_add_e_f64s(y[k], factor, x[k]),
        )
    }

    /// block · v.
    #[inline(always)]
    fn times(&self, block: &[f64], v: &Rows) -> Column<S, VECTORS> {
        // So many sums that one need not wait for the one before it.
        const SUMS: usize = 4;
        let simd = self.simd;
        let mut sums = [[simd.splat_f64s(0.0); VECTORS]; SUMS];
        for j in (0..WIDTH).step_by(SUMS) {
            for (s, sum) in sums.iter_mut().enumerate() {
                let column = read::<S, VECTORS>(&block[(j + s) * STEP..]);
                *sum = self.add(sum, &column, v.0[j + s]);
            }
        }
        std::array::from_fn(
            #[inline(always)]
            |k| {
                let [a, b, c, d] = [sums[0][k], sums[1][k], sums[2][k], sums[3][k]];
                simd.add_f64s(simd.add_f64s(a, b), simd.add_f64s(c, d))
            },
        )
    }

    /// D ← H·D·H for the block on the diagonal, kept whole.
    #[inline(always)]
    fn both_sides(&self, block: &mut [f64], h: &Reflection<S, VECTORS>) {
        let simd = self.simd;
        let w = self.times(block, &h.rows);
        let half = 0.5 * h.tau * self.dot(&w, &h.v);
        let w = self.add(&w, &h.v, -half);
        let scale = simd.splat_f64s(-h.tau);
        let w: Column<S, VECTORS> = std::array::from_fn(
            #[inline(always)]
            |k| simd.mul_f64s(w[k], scale),
        );
        self.add_products(block, 0, [(&h.v, &self.rows(&w)), (&w, &h.rows)]);
    }

    /// Adds two products column · rowᵀ to the columns of a block from `first` on.
    #[inline(always)]
    fn add_products(
        &self,
        block: &mut [f64],
        first: usize,
        products: [(&Column<S, VECTORS>, &Rows); 2],
    ) {
        let [(a, x), (b, y)] = products;
        for j in first..WIDTH {
            let entries = &mut block[j * STEP..j * STEP + WIDTH];
            let column = self.add(&read::<S, VECTORS>(entries), a, x.0[j]);
            let column = self.add(&column, b, y.0[j]);
            S::as_mut_simd_f64s(entries).0.copy_from_slice(&column);
        }
    }

    /// What is to be known for C ← G·C·H with the block below, where G empties its first column: C·v,
    /// and G. The first column becomes what it will be.
    #[inline(always)]
    fn next(
        &self,
        block: &mut [f64],
        h: &Reflection<S, VECTORS>,
    ) -> (Column<S, VECTORS>, Reflection<S, VECTORS>) {
        let u = self.times(block, &h.rows);
        let column = self.add(&read::<S, VECTORS>(block), &u, -h.tau);
        let (g, beta) = self.reflection(column);
        block[..WIDTH].fill(0.0);
        block[0] = beta;
        (u, g)
    }

    /// C ← G·C·H for the other columns.
    #[inline(always)]
    fn carry(
        &self,
        block: &mut [f64],
        h: &Reflection<S, VECTORS>,
        u: &Column<S, VECTORS>,
        g: &Reflection<S, VECTORS>,
    ) {
        // gᵀ·C·H from C as it was, so that every column is changed once.
        let across = self.dot(&g.v, u);
        let (mut x, mut y) = (Rows::default(), Rows::default());
        for j in 1..WIDTH {
            x.0[j] = -h.tau * h.rows.0[j];
            let length = self.dot(&g.v, &read::<S, VECTORS>(&block[j * STEP..]));
            y.0[j] = -g.tau * (length + x.0[j] * across);
        }
        self.add_products(block, 1, [(u, &x), (&g.v, &y)]);
    }
}

/// The first rows of a column.
#[inline(always)]
fn read<S: Simd, const VECTORS: usize>(rows: &[f64]) -> Column<S, VECTORS> {
    let (vectors, _) = S::as_simd_f64s(&rows[..WIDTH]);
    std::array::from_fn(
        #[inline(always)]
        |k| vectors[k],
    )
}

/// Makes the block on the diagonal whole: its last row has come in from the block below, of which
/// there is only the lower half.
#[inline(always)]
fn complete(block: &mut [f64]) {
    for j in 0..WIDTH - 1 {
        block[(WIDTH - 1) * STEP + j] = block[j * STEP + WIDTH - 1];
    }
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
                let (part, _) = S::as_mut_simd_f64s(&mut self.x[row..row + WIDTH]);
                let (v, _) = S::as_simd_f64s(&v.0);
                let mut sum = simd.splat_f64s(0.0);
                for (x, v) in part.iter().zip(v) {
                    sum = simd.mul_add_e_f64s(*x, *v, sum);
                }
                let length = simd.splat_f64s(-tau * simd.reduce_sum_f64s(sum));
                for (x, v) in part.iter_mut().zip(v) {
                    *x = simd.mul_add_e_f64s(length, *v, *x);
                }
            },
        );
    }
}
