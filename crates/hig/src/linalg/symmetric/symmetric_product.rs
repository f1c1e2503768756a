//! Products with a symmetric matrix of which only the lower half exists.
//!
//! A library's product of matrices knows no triangles, so that blocks on the diagonal would be
//! multiplied whole, and it packs narrow factors at a cost of their own. These two kernels are what
//! the reduction to a band is made of, with sums that stay in vector registers. What stands above the
//! diagonal is neither read nor kept.

use super::WIDTH;
use crate::linalg::matrix::{Mat, WORTH_THREADS};
use crate::linalg::simd::{Simd, WithSimd, with_lanes};
use faer::MatMut;
use rayon::prelude::*;
use std::ops::Range;

/// One lot of work for a thread: fixed, so that the bits do not depend on the number of threads. A
/// square of so many rows and columns fits into the first cache.
const BLOCK: usize = 64;
/// Numbers in a row of both factors of an update.
const BOTH: usize = 2 * WIDTH;

/// Work on rows of WIDTH numbers.
trait Kernel {
    /// With so many vectors for a row, and sums of so many rows at once.
    fn run<S: Simd, const VECTORS: usize, const ROWS: usize>(self, simd: S);
}

/// Such work with as many rows as fill the registers of a machine.
struct ByRows<K>(K);

impl<K: Kernel> WithSimd for ByRows<K> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match S::F64_LANES {
            8 => self.0.run::<S, 2, 8>(simd),
            4 => self.0.run::<S, 4, 2>(simd),
            2 => self.0.run::<S, 8, 1>(simd),
            _ => self.0.run::<S, 16, 1>(simd),
        }
    }
}

/// A·V for the trailing square A of a matrix from row and column `first` on; V and the result have
/// WIDTH numbers a row, row after row.
pub(super) fn times(matrix: &Mat<f64>, first: usize, v: &[f64]) -> Vec<f64> {
    let columns: Vec<&[f64]> = (first..matrix.nrows())
        .map(|j| &matrix.col_as_slice(j)[first..])
        .collect();
    let mut products = vec![0.0; v.len()];
    let fill = |(block, target): (usize, &mut [f64])| {
        with_lanes(ByRows(Times {
            columns: &columns,
            v,
            start: block * BLOCK,
            target,
        }));
    };
    if columns.len() >= WORTH_THREADS {
        let blocks = products.par_chunks_mut(BLOCK * WIDTH);
        blocks.enumerate().for_each(fill);
    } else {
        let blocks = products.chunks_mut(BLOCK * WIDTH);
        blocks.enumerate().for_each(fill);
    }
    products
}

/// Some rows of A·V.
struct Times<'a> {
    columns: &'a [&'a [f64]],
    v: &'a [f64],
    start: usize,
    target: &'a mut [f64],
}

impl Kernel for Times<'_> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize, const ROWS: usize>(mut self, simd: S) {
        let (size, start) = (self.columns.len(), self.start);
        let end = start + self.target.len() / WIDTH;
        let whole = end - (end - start) % ROWS;
        for left in (0..start).step_by(BLOCK) {
            let some = left..left + BLOCK;
            for i in (start..whole).step_by(ROWS) {
                self.left_of::<S, VECTORS, ROWS>(simd, i, some.clone());
            }
            for i in whole..end {
                self.left_of::<S, VECTORS, 1>(simd, i, some.clone());
            }
        }
        for i in (start..whole).step_by(ROWS) {
            self.left_of::<S, VECTORS, ROWS>(simd, i, start..i);
            self.corner::<S, VECTORS, ROWS>(simd, i);
            self.below::<S, VECTORS, ROWS>(simd, i, i + ROWS..end);
        }
        for i in whole..end {
            self.left_of::<S, VECTORS, 1>(simd, i, start..i);
            self.corner::<S, VECTORS, 1>(simd, i);
            self.below::<S, VECTORS, 1>(simd, i, i + 1..end);
        }
        for top in (end..size).step_by(BLOCK) {
            let some = top..(top + BLOCK).min(size);
            for i in (start..whole).step_by(ROWS) {
                self.below::<S, VECTORS, ROWS>(simd, i, some.clone());
            }
            for i in whole..end {
                self.below::<S, VECTORS, 1>(simd, i, some.clone());
            }
        }
    }
}

impl Times<'_> {
    /// Adds Σ_k A[i, k]·V[k] to rows i of the result, for columns k to the left of them.
    #[inline(always)]
    fn left_of<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        i: usize,
        some: Range<usize>,
    ) {
        let (columns, (v, _)) = (self.columns, S::as_simd_f64s(self.v));
        let mut sums = read::<S, VECTORS, ROWS>(self.rows::<S, VECTORS, ROWS>(i));
        for k in some {
            let entries = &columns[k][i..i + ROWS];
            let entries = std::array::from_fn(
                #[inline(always)]
                |t| entries[t],
            );
            add::<S, VECTORS, ROWS>(simd, &mut sums, entries, &v[k * VECTORS..]);
        }
        write::<S, VECTORS, ROWS>(self.rows::<S, VECTORS, ROWS>(i), &sums);
    }

    /// Adds Σ_r A[r, i]·V[r] to rows i of the result, for rows r below them.
    #[inline(always)]
    fn below<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &mut self,
        simd: S,
        i: usize,
        some: Range<usize>,
    ) {
        let (columns, (v, _)) = (self.columns, S::as_simd_f64s(self.v));
        let mut sums = read::<S, VECTORS, ROWS>(self.rows::<S, VECTORS, ROWS>(i));
        let own: [&[f64]; ROWS] = std::array::from_fn(
            #[inline(always)]
            |t| &columns[i + t][some.clone()],
        );
        for (r, v) in v[some.start * VECTORS..some.end * VECTORS]
            .chunks_exact(VECTORS)
            .enumerate()
        {
            let entries = std::array::from_fn(
                #[inline(always)]
                |t| own[t][r],
            );
            add::<S, VECTORS, ROWS>(simd, &mut sums, entries, v);
        }
        write::<S, VECTORS, ROWS>(self.rows::<S, VECTORS, ROWS>(i), &sums);
    }

    /// The small square on the diagonal.
    #[inline(always)]
    fn corner<S: Simd, const VECTORS: usize, const ROWS: usize>(&mut self, simd: S, i: usize) {
        let (columns, (v, _)) = (self.columns, S::as_simd_f64s(self.v));
        let mut sums = read::<S, VECTORS, ROWS>(self.rows::<S, VECTORS, ROWS>(i));
        for k in 0..ROWS {
            let entries = std::array::from_fn(
                #[inline(always)]
                |t| columns[i + k.min(t)][i + k.max(t)],
            );
            add::<S, VECTORS, ROWS>(simd, &mut sums, entries, &v[(i + k) * VECTORS..]);
        }
        write::<S, VECTORS, ROWS>(self.rows::<S, VECTORS, ROWS>(i), &sums);
    }

    /// Rows i of the result.
    #[inline(always)]
    fn rows<S: Simd, const VECTORS: usize, const ROWS: usize>(
        &mut self,
        i: usize,
    ) -> &mut [S::f64s] {
        let (target, _) = S::as_mut_simd_f64s(self.target);
        &mut target[(i - self.start) * VECTORS..][..ROWS * VECTORS]
    }
}

#[inline(always)]
fn read<S: Simd, const VECTORS: usize, const ROWS: usize>(
    rows: &[S::f64s],
) -> [[S::f64s; VECTORS]; ROWS] {
    std::array::from_fn(
        #[inline(always)]
        |t| {
            std::array::from_fn(
                #[inline(always)]
                |p| rows[t * VECTORS + p],
            )
        },
    )
}

#[inline(always)]
fn write<S: Simd, const VECTORS: usize, const ROWS: usize>(
    rows: &mut [S::f64s],
    sums: &[[S::f64s; VECTORS]; ROWS],
) {
    for t in 0..ROWS {
        for p in 0..VECTORS {
            rows[t * VECTORS + p] = sums[t][p];
        }
    }
}

/// sums[t] += entries[t] · row.
#[inline(always)]
fn add<S: Simd, const VECTORS: usize, const ROWS: usize>(
    simd: S,
    sums: &mut [[S::f64s; VECTORS]; ROWS],
    entries: [f64; ROWS],
    row: &[S::f64s],
) {
    let row = &row[..VECTORS];
    for t in 0..ROWS {
        let entry = simd.splat_f64s(entries[t]);
        for p in 0..VECTORS {
            sums[t][p] = simd.mul_add_e_f64s(entry, row[p], sums[t][p]);
        }
    }
}

/// A ← A - V·Yᵀ - Y·Vᵀ for the trailing square A of a matrix from row and column `first` on.
pub(super) struct Update {
    first: usize,
    size: usize,
    /// V and Y, column by column, with room above.
    left: Vec<f64>,
    /// -Y and -V, row by row.
    right: Vec<f64>,
}

// Room for the rows above the first one that the vectors of the last rows reach.
const ABOVE: usize = 8;

impl Update {
    /// V and Y have WIDTH numbers a row.
    pub(super) fn new(first: usize, v: &[f64], y: &[f64]) -> Self {
        let size = v.len() / WIDTH;
        let stride = ABOVE + size;
        let mut left = vec![0.0; BOTH * stride];
        let mut right = vec![0.0; BOTH * size];
        for r in 0..size {
            let (v, y) = (&v[r * WIDTH..][..WIDTH], &y[r * WIDTH..][..WIDTH]);
            for k in 0..WIDTH {
                left[k * stride + ABOVE + r] = v[k];
                left[(WIDTH + k) * stride + ABOVE + r] = y[k];
                right[r * BOTH + k] = -y[k];
                right[r * BOTH + WIDTH + k] = -v[k];
            }
        }
        Self {
            first,
            size,
            left,
            right,
        }
    }

    /// Updates some columns of the matrix, of which the first is the `from`-th of A.
    pub(super) fn apply(&self, columns: MatMut<'_, f64>, from: usize) {
        let rows: Vec<&[f64]> = self.left.chunks_exact(ABOVE + self.size).collect();
        let fill = |(block, columns): (usize, MatMut<'_, f64>)| {
            let columns = columns.col_iter_mut().map(|column| {
                let column = column.try_as_col_major_mut();
                let column = column.expect("columns are contiguous").as_slice_mut();
                &mut column[self.first - ABOVE..]
            });
            with_lanes(Columns {
                columns: columns.collect(),
                start: from + block * BLOCK,
                left: &rows,
                right: &self.right,
            });
        };
        let blocks = columns.par_col_chunks_mut(BLOCK).enumerate();
        if self.size >= WORTH_THREADS {
            blocks.for_each(fill);
        } else {
            blocks.with_min_len(usize::MAX).for_each(fill);
        }
    }
}

/// Some columns of an update; all rows are counted from `ABOVE` rows before the first one.
struct Columns<'a> {
    columns: Vec<&'a mut [f64]>,
    start: usize,
    left: &'a [&'a [f64]],
    right: &'a [f64],
}

impl WithSimd for Columns<'_> {
    type Output = ();
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Three vectors of rows by so many columns fill the registers.
        match S::F64_LANES {
            8 => self.run::<S, 8>(simd),
            _ => self.run::<S, 4>(simd),
        }
    }
}

impl Columns<'_> {
    #[inline(always)]
    fn run<S: Simd, const COLUMNS: usize>(mut self, simd: S) {
        let count = self.columns.len();
        let mut j = 0;
        while j + COLUMNS <= count {
            self.strip::<S, COLUMNS>(simd, j);
            j += COLUMNS;
        }
        for j in j..count {
            self.strip::<S, 1>(simd, j);
        }
    }

    /// Columns side by side, from the last row up to their diagonal and a little beyond.
    #[inline(always)]
    fn strip<S: Simd, const COLUMNS: usize>(&mut self, simd: S, j: usize) {
        let lanes = S::F64_LANES;
        let diagonal = ABOVE + self.start + j;
        let mut end = self.left[0].len();
        while end >= diagonal + 3 * lanes {
            end -= 3 * lanes;
            self.tile::<S, COLUMNS, 3>(simd, j, end);
        }
        while end > diagonal {
            end -= lanes;
            self.tile::<S, COLUMNS, 1>(simd, j, end);
        }
    }

    #[inline(always)]
    fn tile<S: Simd, const COLUMNS: usize, const VECTORS: usize>(
        &mut self,
        simd: S,
        j: usize,
        row: usize,
    ) {
        let rows = row..row + VECTORS * S::F64_LANES;
        let mut sums: [[S::f64s; VECTORS]; COLUMNS] = std::array::from_fn(
            #[inline(always)]
            |c| {
                let (entries, _) = S::as_simd_f64s(&self.columns[j + c][rows.clone()]);
                std::array::from_fn(
                    #[inline(always)]
                    |p| entries[p],
                )
            },
        );
        let right = &self.right[(self.start + j) * BOTH..][..COLUMNS * BOTH];
        for k in 0..BOTH {
            let (left, _) = S::as_simd_f64s(&self.left[k][rows.clone()]);
            let left = &left[..VECTORS];
            for c in 0..COLUMNS {
                let factor = simd.splat_f64s(right[c * BOTH + k]);
                for p in 0..VECTORS {
                    sums[c][p] = simd.mul_add_e_f64s(factor, left[p], sums[c][p]);
                }
            }
        }
        for (c, sums) in sums.iter().enumerate() {
            let (entries, _) = S::as_mut_simd_f64s(&mut self.columns[j + c][rows.clone()]);
            entries.copy_from_slice(sums);
        }
    }
}

/// Vᵀ·P (WIDTH × WIDTH, row by row), where both have WIDTH numbers a row.
pub(super) fn cross(v: &[f64], p: &[f64]) -> Small {
    let mut sums = [0.0; WIDTH * WIDTH];
    with_lanes(ByRows(Cross {
        v,
        p,
        sums: &mut sums,
    }));
    sums
}

/// P·T - V·W, row by row.
pub(super) fn combine(p: &[f64], t: &Small, v: &[f64], w: &Small) -> Vec<f64> {
    let mut rows = vec![0.0; p.len()];
    with_lanes(ByRows(Combine {
        products: [(p, *t), (v, w.map(|w| -w))],
        rows: &mut rows,
    }));
    rows
}

/// A matrix of WIDTH × WIDTH numbers, row by row.
pub(super) type Small = [f64; WIDTH * WIDTH];

struct Cross<'a> {
    v: &'a [f64],
    p: &'a [f64],
    sums: &'a mut Small,
}

impl Kernel for Cross<'_> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize, const ROWS: usize>(self, simd: S) {
        let (p, _) = S::as_simd_f64s(self.p);
        let (target, _) = S::as_mut_simd_f64s(&mut self.sums[..]);
        let targets = target.chunks_exact_mut(ROWS * VECTORS);
        for (first, target) in targets.enumerate() {
            let mut sums = read::<S, VECTORS, ROWS>(target);
            for (v, p) in self.v.chunks_exact(WIDTH).zip(p.chunks_exact(VECTORS)) {
                let entries = &v[first * ROWS..][..ROWS];
                let entries = std::array::from_fn(
                    #[inline(always)]
                    |t| entries[t],
                );
                add::<S, VECTORS, ROWS>(simd, &mut sums, entries, p);
            }
            write::<S, VECTORS, ROWS>(target, &sums);
        }
    }
}

struct Combine<'a> {
    products: [(&'a [f64], Small); 2],
    rows: &'a mut [f64],
}

impl Kernel for Combine<'_> {
    #[inline(always)]
    fn run<S: Simd, const VECTORS: usize, const ROWS: usize>(mut self, simd: S) {
        let count = self.rows.len() / WIDTH;
        let whole = count - count % ROWS;
        for r in (0..whole).step_by(ROWS) {
            self.some::<S, VECTORS, ROWS>(simd, r);
        }
        for r in whole..count {
            self.some::<S, VECTORS, 1>(simd, r);
        }
    }
}

impl Combine<'_> {
    #[inline(always)]
    fn some<S: Simd, const VECTORS: usize, const ROWS: usize>(&mut self, simd: S, r: usize) {
        let mut sums = [[simd.splat_f64s(0.0); VECTORS]; ROWS];
        for (factors, small) in &self.products {
            let (small, _) = S::as_simd_f64s(&small[..]);
            let factors = &factors[r * WIDTH..][..ROWS * WIDTH];
            for (k, row) in small.chunks_exact(VECTORS).enumerate() {
                let entries = std::array::from_fn(
                    #[inline(always)]
                    |t| factors[t * WIDTH + k],
                );
                add::<S, VECTORS, ROWS>(simd, &mut sums, entries, row);
            }
        }
        let (rows, _) = S::as_mut_simd_f64s(self.rows);
        let rows = &mut rows[r * VECTORS..][..ROWS * VECTORS];
        write::<S, VECTORS, ROWS>(rows, &sums);
    }
}
