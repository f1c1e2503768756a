//! Eigenvalues of a tridiagonal matrix by divide and conquer, with its eigenvectors in factors.
//!
//! A tridiagonal matrix is two smaller ones and a matrix of rank one at the corner where they meet
//! (Cuppen, Numer. Math. 36, 1981): once both are diagonal, what is left is a diagonal matrix with a
//! rank-one update ([`RankOne`]). A step asks only for Zᵀ·v and Z·c, and the eigenvectors Z are the
//! product of the updates' Q, each of which is O(n) numbers: time is O(n²), memory O(n·log n).
//! Errors are absolute, of the rounding of the largest eigenvalue.

use super::ql::{Ql, diagonalise};
use super::rank_one::RankOne;
use super::reflection::dot;
use crate::linalg::matrix::{self, Mat, MatMut, MatRef, power_of_two};
use crate::linalg::simd::vectorised;
use std::ops::Range;

/// Size from which a part is not divided further.
const LEAF: usize = 32;
/// What deflation may leave out, in units of ε times the largest entry of T: the rounding of a leaf
/// is larger.
const NEGLIGIBLE: f64 = 2.0;
/// From this size on both halves may run on threads of their own.
const PARALLEL: usize = 256;

/// T = Z·Λ·Zᵀ with Z in factors.
#[derive(Debug)]
pub(crate) struct Divided {
    tree: Node,
    /// Largest first.
    values: Vec<f64>,
}

impl Divided {
    /// Decomposes T, given by its diagonal (n) and the entries beside it (n - 1); none where an
    /// iteration does not converge or T is not finite.
    pub(crate) fn new(diagonal: &[f64], beside: &[f64]) -> Option<Self> {
        let all = || diagonal.iter().chain(beside);
        if !all().all(|t| t.is_finite()) {
            return None;
        }
        let largest = all().fold(0.0_f64, |m, t| m.max(t.abs()));
        // The QL method neglects 1e-2·ε; it may neglect what deflation does.
        let scale = 128.0 * power_of_two(largest);
        let mut d: Vec<f64> = diagonal.iter().map(|t| t / scale).collect();
        let e: Vec<f64> = beside.iter().map(|t| t / scale).collect();
        let negligible = NEGLIGIBLE * f64::EPSILON * (largest / scale);
        let Part { values, node, .. } = Node::divide(&mut d, &e, [false; 2], negligible)?;
        let values = values.iter().rev().map(|l| l * scale).collect();
        Some(Self { tree: node, values })
    }

    /// Eigenvalues, largest first.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Zᵀ·v, in the order of the values.
    pub(crate) fn project(&self, v: &[f64]) -> Vec<f64> {
        let mut v = v.to_vec();
        self.tree.project(&mut v);
        v.reverse();
        v
    }

    /// Z·c.
    pub(crate) fn combine(&self, c: &[f64]) -> Vec<f64> {
        let mut v: Vec<f64> = c.iter().rev().copied().collect();
        self.tree.combine(&mut v);
        v
    }

    /// The eigenvectors of a range of places (n × range), all at once.
    pub(crate) fn eigenvectors(&self, range: Range<usize>) -> Mat<f64> {
        let n = self.values.len();
        let mut vectors = Mat::zeros(n, range.len());
        for (k, place) in range.enumerate() {
            vectors[(n - 1 - place, k)] = 1.0;
        }
        self.tree.combine_columns(vectors.as_mut());
        vectors
    }
}

/// The factors of a part's Z, for its eigenvalues in ascending order; all products are in place.
#[derive(Debug)]
enum Node {
    Leaf(Leaf),
    Merge {
        middle: usize,
        halves: Box<[Node; 2]>,
        update: RankOne,
    },
}

/// What the next larger part needs of a part.
struct Part {
    /// Ascending.
    values: Vec<f64>,
    /// The first and the last row of Z, where asked for.
    ends: [Vec<f64>; 2],
    node: Node,
}

impl Node {
    /// Diagonalises a part; `ends` tells whether its first and its last row of Z are asked for.
    /// Deflation may leave out what is `negligible`. None where an iteration does not converge.
    fn divide(d: &mut [f64], e: &[f64], ends: [bool; 2], negligible: f64) -> Option<Part> {
        let n = d.len();
        if n <= LEAF {
            let [found] = Leaf::all([(d, e)])?;
            return Some(Self::leaf(found, ends));
        }
        let middle = n / 2;
        let corner = e[middle - 1];
        d[middle - 1] -= corner.abs();
        d[middle] -= corner.abs();
        let (d_first, d_second) = d.split_at_mut(middle);
        let (e_first, e_second) = (&e[..middle - 1], &e[middle..]);
        let of_both = [[ends[0], true], [true, ends[1]]];
        let (first, second) = if n - middle <= LEAF {
            let [first, second] = Leaf::all([(d_first, e_first), (d_second, e_second)])?;
            let [of_first, of_second] = of_both;
            (Self::leaf(first, of_first), Self::leaf(second, of_second))
        } else {
            let (first, second) = join(
                n,
                || Self::divide(d_first, e_first, of_both[0], negligible),
                || Self::divide(d_second, e_second, of_both[1], negligible),
            );
            (first?, second?)
        };
        let weights = first.ends[1].iter().map(|z| z * corner.abs().sqrt());
        let others = second.ends[0].iter();
        let others = others.map(|z| z * corner.abs().sqrt().copysign(corner));
        let (values, update) = RankOne::new(
            [first.values, second.values].concat(),
            weights.chain(others).collect(),
            negligible,
        )?;
        let row = |end: usize| {
            let mut row = vec![0.0; n];
            if ends[end] {
                match end {
                    0 => row[..middle].copy_from_slice(&first.ends[0]),
                    _ => row[middle..].copy_from_slice(&second.ends[1]),
                }
                update.project(&mut row);
            }
            row
        };
        let ends = [row(0), row(1)];
        let node = Self::Merge {
            middle,
            halves: Box::new([first.node, second.node]),
            update,
        };
        Some(Part { values, ends, node })
    }

    /// A part that is not divided.
    fn leaf((values, leaf): (Vec<f64>, Leaf), ends: [bool; 2]) -> Part {
        let n = values.len();
        let row = |end: usize| match ends[end] {
            true => leaf.row(end * (n - 1)),
            false => Vec::new(),
        };
        let ends = [row(0), row(1)];
        let node = Self::Leaf(leaf);
        Part { values, ends, node }
    }

    /// Zᵀ·v.
    fn project(&self, v: &mut [f64]) {
        match self {
            Self::Leaf(leaf) => leaf.project(v),
            Self::Merge {
                middle,
                halves,
                update,
            } => {
                let (first, second) = v.split_at_mut(*middle);
                halves[0].project(first);
                halves[1].project(second);
                update.project(v);
            }
        }
    }

    /// Z·v.
    fn combine(&self, v: &mut [f64]) {
        match self {
            Self::Leaf(leaf) => leaf.combine(v),
            Self::Merge {
                middle,
                halves,
                update,
            } => {
                update.combine(v);
                let (first, second) = v.split_at_mut(*middle);
                halves[0].combine(first);
                halves[1].combine(second);
            }
        }
    }

    /// Z·V.
    fn combine_columns(&self, mut v: MatMut<'_, f64>) {
        match self {
            Self::Leaf(leaf) => leaf.combine_columns(v),
            Self::Merge {
                middle,
                halves,
                update,
            } => {
                update.combine_columns(v.as_mut());
                let (first, second) = v.split_at_row_mut(*middle);
                halves[0].combine_columns(first);
                halves[1].combine_columns(second);
            }
        }
    }
}

fn join<A: Send, B: Send>(
    n: usize,
    a: impl FnOnce() -> A + Send,
    b: impl FnOnce() -> B + Send,
) -> (A, B) {
    if n < PARALLEL {
        (a(), b())
    } else {
        rayon::join(a, b)
    }
}

/// A small part, diagonalised by the QL method.
#[derive(Debug)]
struct Leaf {
    /// The eigenvectors, in the order of the eigenvalues, one behind the other.
    vectors: Vec<f64>,
}

impl Leaf {
    /// Diagonalises parts, given by their diagonals and the entries beside them; the eigenvalues ascend.
    fn all<const COUNT: usize>(
        parts: [(&mut [f64], &[f64]); COUNT],
    ) -> Option<[(Vec<f64>, Self); COUNT]> {
        let mut starts = parts.map(|(d, e)| Start::new(d, e));
        vectorised(
            #[inline(always)]
            || diagonalise(starts.each_mut().map(Start::ql)),
        )?;
        Some(starts.map(Start::sorted))
    }

    /// A row of Z: its entry in every eigenvector.
    fn row(&self, i: usize) -> Vec<f64> {
        let n = self.vectors.len().isqrt();
        self.vectors.iter().skip(i).step_by(n).copied().collect()
    }

    /// Z.
    fn columns(&self) -> MatRef<'_, f64> {
        let n = self.vectors.len().isqrt();
        MatRef::from_column_major_slice(&self.vectors, n, n)
    }

    fn project(&self, v: &mut [f64]) {
        let from = v.to_vec();
        vectorised(
            #[inline(always)]
            || {
                let vectors = self.vectors.chunks_exact(v.len().max(1));
                for (v, vector) in v.iter_mut().zip(vectors) {
                    *v = dot(vector, &from);
                }
            },
        );
    }

    fn combine(&self, v: &mut [f64]) {
        let coefficients = v.to_vec();
        v.fill(0.0);
        vectorised(
            #[inline(always)]
            || {
                let vectors = self.vectors.chunks_exact(v.len().max(1));
                for (c, vector) in coefficients.iter().zip(vectors) {
                    for (v, z) in v.iter_mut().zip(vector) {
                        *v += c * z;
                    }
                }
            },
        );
    }

    fn combine_columns(&self, mut v: MatMut<'_, f64>) {
        let product = matrix::product(self.columns(), v.as_ref());
        v.copy_from(product);
    }
}

/// A part on its way to a leaf.
struct Start {
    d: Vec<f64>,
    e: Vec<f64>,
    /// The identity that becomes the eigenvectors, row by row.
    rows: Vec<f64>,
}

impl Start {
    fn new(d: &[f64], e: &[f64]) -> Self {
        let n = d.len();
        let (mut d, mut e) = (d.to_vec(), e.to_vec());
        // The QL method is accurate and quick where the large entries stand at the end.
        let size = |part: &[f64]| part.iter().map(|d| d.abs()).sum::<f64>();
        let (start, end) = d.split_at(n / 2);
        let reversed = size(start) > size(end);
        if reversed {
            d.reverse();
            e.reverse();
        }
        e.push(0.0);
        let mut rows = vec![0.0; n * n];
        for i in 0..n {
            let place = if reversed { n - 1 - i } else { i };
            rows[i * n + place] = 1.0;
        }
        Self { d, e, rows }
    }

    fn ql(&mut self) -> Ql<'_> {
        Ql::new(&mut self.d, &mut self.e, &mut self.rows)
    }

    fn sorted(self) -> (Vec<f64>, Leaf) {
        let n = self.d.len();
        let mut order: Vec<usize> = (0..n).collect();
        order.sort_by(|a, b| self.d[*a].total_cmp(&self.d[*b]));
        let values = order.iter().map(|i| self.d[*i]).collect();
        let mut vectors = Vec::with_capacity(n * n);
        for i in order {
            vectors.extend_from_slice(&self.rows[i * n..(i + 1) * n]);
        }
        (values, Leaf { vectors })
    }
}

#[cfg(test)]
mod tests {
    use super::super::formed::eigen;
    use super::*;
    use crate::linalg::matrix;
    use proptest::prelude::*;

    fn tridiagonal(d: &[f64], e: &[f64]) -> Mat<f64> {
        Mat::from_fn(d.len(), d.len(), |i, j| match i.abs_diff(j) {
            0 => d[i],
            1 => e[i.min(j)],
            _ => 0.0,
        })
    }

    /// Residuals, orthogonality, order, eigenvalues of an independent solver, and the products with
    /// Z against its columns; errors in units of ε times the largest eigenvalue.
    fn check(name: &str, d: &[f64], e: &[f64]) {
        let n = d.len();
        let t = tridiagonal(d, e);
        let divided = Divided::new(d, e).unwrap();
        let values = divided.values();
        assert_eq!(values.len(), n);
        assert!(values.is_sorted_by(|a, b| a >= b), "{name}: {values:?}");
        let z = divided.eigenvectors(0..n);
        let size = values.iter().fold(0.0_f64, |m, l| m.max(l.abs()));
        let image = matrix::product(t.as_ref(), z.as_ref());
        for (k, value) in values.iter().enumerate() {
            let image = image.col_as_slice(k).iter().zip(z.col_as_slice(k));
            let residual: Vec<f64> = image.map(|(t, z)| t - value * z).collect();
            let residual = matrix::norm(&residual) / f64::EPSILON;
            assert!(
                residual <= 40.0 * size,
                "{name} {n}: {k} has residual {residual}"
            );
        }
        let overlaps = matrix::product(z.transpose(), z.as_ref());
        let skew = (overlaps - Mat::<f64>::identity(n, n)).norm_max() / f64::EPSILON;
        assert!(skew <= 60.0, "{name} {n}: not orthogonal by {skew}");
        let (others, _) = eigen(t.clone(), "test matrix").unwrap();
        for (own, other) in values.iter().zip(others) {
            let error = (own - other).abs() / f64::EPSILON;
            assert!(error <= 300.0 * size, "{name} {n}: {own}, not {other}");
        }
        let v: Vec<f64> = (0..n).map(|i| (1.0 + i as f64 * 0.7).sin()).collect();
        let near = |own: &[f64], other: &[f64]| {
            let mut pairs = own.iter().zip(other);
            assert!(
                pairs.all(|(a, b)| (a - b).abs() <= 1e-12),
                "{name} {n}: {own:?}, not {other:?}"
            );
        };
        near(
            &divided.project(&v),
            &matrix::apply_transposed(z.as_ref(), &v),
        );
        near(&divided.combine(&v), &matrix::apply(z.as_ref(), &v));
        let range = n / 3..n - n / 4;
        let some = divided.eigenvectors(range.clone());
        for (k, place) in range.enumerate() {
            near(some.col_as_slice(k), z.col_as_slice(place));
        }
    }

    fn noise(count: usize, seed: u64) -> Vec<f64> {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn decomposes_the_matrices_known_to_be_hard() {
        for n in [0, 1, 2, 3, 31, 64, 65, 66, 100, 257, 400] {
            let beside = n.max(1) - 1;
            let (d, e) = (noise(n, 1), noise(beside, 2));
            let wilkinson = |i: usize| (i as f64 - 0.5 * beside as f64).abs();
            let glued = |i: usize| if i % 21 == 20 { 1e-8 } else { 1.0 };
            let graded = |i: usize| 10.0_f64.powf(-16.0 * i as f64 / n as f64);
            let each = |f: &dyn Fn(usize) -> f64| (0..n).map(f).collect::<Vec<f64>>();
            let between = |f: &dyn Fn(usize) -> f64| (0..beside).map(f).collect::<Vec<f64>>();
            let one_apart = between(&|i| if i % 7 == 0 { 0.0 } else { e[i] });
            check("random", &d, &e);
            check("Toeplitz", &vec![2.0; n], &vec![-1.0; beside]);
            check("constant", &vec![0.3; n], &vec![0.0; beside]);
            check("nothing", &vec![0.0; n], &vec![0.0; beside]);
            check("no diagonal", &vec![0.0; n], &e);
            check("diagonal", &d, &vec![0.0; beside]);
            check("Wilkinson", &each(&wilkinson), &vec![1.0; beside]);
            check(
                "glued",
                &each(&|i| wilkinson(i % 21 + n / 2 - 10.min(n / 2))),
                &between(&glued),
            );
            check("split", &d, &one_apart);
            check("graded", &each(&graded), &between(&|i| 0.4 * graded(i + 1)));
            check(
                "graded upwards",
                &each(&|i| graded(n - i)),
                &between(&|i| 0.4 * graded(n - i)),
            );
            check(
                "clustered",
                &each(&|i| 1.0 + 1e-15 * d[i]),
                &between(&|i| 1e-14 * e[i]),
            );
            check(
                "one large",
                &each(&|i| if i == n / 2 { 1.0 } else { 1e-9 * d[i] }),
                &between(&|i| 1e-5 * e[i]),
            );
            for scale in [1e-300, 1e-160, 1e150, 1e300] {
                check(
                    "scaled",
                    &each(&|i| scale * d[i]),
                    &between(&|i| scale * e[i]),
                );
            }
            check("beside tiny", &d, &vec![1e-300; beside]);
        }
    }

    #[test]
    fn eigenvalues_of_the_second_difference_are_cosines() {
        let n = 500;
        let divided = Divided::new(&vec![2.0; n], &vec![-1.0; n - 1]).unwrap();
        for (k, value) in divided.values().iter().rev().enumerate() {
            let angle = std::f64::consts::PI * (k + 1) as f64 / (n + 1) as f64;
            let exact = 2.0 - 2.0 * angle.cos();
            assert!((value - exact).abs() <= 1e-14, "{value}, not {exact}");
        }
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let (d, e, v) = (noise(700, 3), noise(699, 4), noise(700, 5));
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let divided = Divided::new(&d, &e).unwrap();
                let both = [divided.project(&v), divided.combine(&v)];
                (divided.values().to_vec(), both)
            })
        };
        assert_eq!(on(1), on(4));
    }

    #[test]
    fn refuses_what_is_not_finite() {
        assert!(Divided::new(&[1.0, f64::NAN], &[0.0]).is_none());
        assert!(Divided::new(&[1.0, 1.0], &[f64::INFINITY]).is_none());
    }

    /// Entries of any sign over twenty orders of magnitude, some zero and some alike.
    fn entries() -> impl Strategy<Value = Vec<f64>> {
        let entry = prop_oneof![
            4 => -1.0..1.0,
            4 => (-20.0..0.0, prop::bool::ANY)
                .prop_map(|(x, sign)| if sign { 1.0 } else { -1.0 } * 10.0_f64.powf(x)),
            1 => Just(0.0),
            1 => Just(0.5),
        ];
        prop::collection::vec(entry, 0..400)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn decomposes_any_matrix(d in entries(), e in entries()) {
            let n = d.len().min(e.len() + 1);
            check("any", &d[..n], &e[..n.max(1) - 1]);
        }
    }
}
