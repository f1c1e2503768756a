//! Eigenvalues of a symmetric matrix with its eigenvectors left in factors.
//!
//! K = Q·T·Qᵀ with reflections Q, [directly](direct) where K stays in the second cache, and by way of a
//! [`band`], from which a [`chase`] of bulges leads to the tridiagonal T, where it is larger; T = Z·Λ·Zᵀ
//! by [divide and conquer](divide). A step asks only for Zᵀ·Qᵀ·g and for Q·Z·c: the factors are kept and
//! applied to one vector, which costs O(n²) where forming the eigenvectors costs O(n³).

mod band;
mod cauchy;
mod chase;
mod direct;
mod divide;
mod formed;
mod ql;
mod rank_one;
mod reflection;
mod scaled;
mod secular;
mod symmetric_product;

pub(crate) use divide::Divided;
pub(crate) use formed::{eigen, orthonormal};

use crate::error::Result;
use crate::linalg::matrix::{Mat, MatMut};
use crate::timing::inside;
use band::Reflections;
use chase::{Chase, Diagonals};
use direct::Direct;
use scaled::bring_to_one;
use std::ops::Range;

/// Diagonals of the band below the main one: wide enough for fast products of matrices, narrow enough
/// for the chase.
const WIDTH: usize = 16;

/// Up to this size one pass over K for each column is faster than products of blocks.
const DIRECT: usize = 256;

/// Up to so many eigenvectors of a larger matrix are sooner formed one by one than all at once.
const FEW: usize = 8;

/// A factored eigendecomposition.
#[derive(Debug)]
pub(crate) struct Factored {
    /// From K to T.
    reduction: Reduction,
    tridiagonal: Divided,
    /// Eigenvalues, largest first.
    values: Vec<f64>,
}

impl Factored {
    /// Decomposes a symmetric matrix, of which the lower half is read; none where an iteration does
    /// not converge.
    ///
    /// # Errors
    /// The matrix is not finite.
    pub(crate) fn new(gram: Mat<f64>, name: &'static str) -> Result<Option<Self>> {
        let reduce = match gram.nrows() <= DIRECT {
            true => Reduction::direct,
            false => Reduction::banded,
        };
        Self::by(reduce, gram, name)
    }

    fn by(
        reduce: fn(Mat<f64>) -> (Diagonals, Reduction),
        mut gram: Mat<f64>,
        name: &'static str,
    ) -> Result<Option<Self>> {
        let scale = bring_to_one(&mut gram, name)?;
        let (diagonals, reduction) = reduce(gram);
        let _divide = inside!(DIVIDE);
        let found = Divided::new(&diagonals.diagonal, &diagonals.beside);
        Ok(found.map(|tridiagonal| Self {
            reduction,
            values: tridiagonal.values().iter().map(|l| l * scale).collect(),
            tridiagonal,
        }))
    }

    /// Eigenvalues, largest first.
    pub(crate) fn values(&self) -> &[f64] {
        &self.values
    }

    /// Uᵀ·g: the coefficients of g in the eigenvectors.
    pub(crate) fn project(&self, g: &[f64]) -> Vec<f64> {
        let mut v = g.to_vec();
        self.reduction.apply_transposed(&mut v);
        self.tridiagonal.project(&v)
    }

    /// U·c: the combination of the eigenvectors with given coefficients.
    pub(crate) fn combine(&self, c: &[f64]) -> Vec<f64> {
        let mut v = self.tridiagonal.combine(c);
        self.reduction.apply(&mut v);
        v
    }

    /// The eigenvectors of a range of places (n × range), all at once.
    pub(crate) fn eigenvectors(&self, range: Range<usize>) -> Mat<f64> {
        let n = self.values.len();
        if n > DIRECT && range.len() <= FEW {
            let mut vectors = Mat::zeros(n, range.len());
            for (k, place) in range.enumerate() {
                let mut c = vec![0.0; n];
                c[place] = 1.0;
                vectors
                    .col_as_slice_mut(k)
                    .copy_from_slice(&self.combine(&c));
            }
            return vectors;
        }
        let mut vectors = self.tridiagonal.eigenvectors(range);
        self.reduction.apply_to_columns(&mut vectors);
        vectors
    }
}

/// K = Q·T·Qᵀ.
#[derive(Debug)]
enum Reduction {
    Direct(Direct),
    /// From K to a band, and from there to T.
    Banded(Reflections, Chase),
}

impl Reduction {
    fn direct(matrix: Mat<f64>) -> (Diagonals, Self) {
        let _direct = inside!(DIRECT);
        let (diagonals, direct) = direct::tridiagonalise(matrix.as_ref());
        (diagonals, Self::Direct(direct))
    }

    fn banded(mut matrix: Mat<f64>) -> (Diagonals, Self) {
        let reflections = {
            let _band = inside!(BAND);
            band::reduce(&mut matrix)
        };
        let _chase = inside!(CHASE);
        let (diagonals, chase) = chase::tridiagonalise(matrix.as_ref());
        (diagonals, Self::Banded(reflections, chase))
    }

    /// Qᵀ·v in place.
    fn apply_transposed(&self, v: &mut [f64]) {
        match self {
            Self::Direct(direct) => direct.apply_transposed(v),
            Self::Banded(reflections, chase) => {
                let n = v.len();
                reflections.apply_transposed(MatMut::from_column_major_slice_mut(v, n, 1));
                chase.apply_transposed(v);
            }
        }
    }

    /// Q·v in place.
    fn apply(&self, v: &mut [f64]) {
        match self {
            Self::Direct(direct) => direct.apply(v),
            Self::Banded(reflections, chase) => {
                chase.apply(v, 1);
                let n = v.len();
                reflections.apply(MatMut::from_column_major_slice_mut(v, n, 1));
            }
        }
    }

    /// Q·V in place.
    fn apply_to_columns(&self, vectors: &mut Mat<f64>) {
        let (n, count) = (vectors.nrows(), vectors.ncols());
        match self {
            Self::Direct(direct) => {
                for k in 0..count {
                    direct.apply(vectors.col_as_slice_mut(k));
                }
            }
            Self::Banded(reflections, chase) => {
                let mut rows = Vec::with_capacity(n * count);
                for i in 0..n {
                    rows.extend(vectors.row(i).iter());
                }
                chase.apply(&mut rows, count);
                *vectors = Mat::from_fn(n, count, |i, k| rows[i * count + k]);
                reflections.apply(vectors.as_mut());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linalg::matrix;
    use proptest::prelude::*;

    /// Largest entries of U·Λ·Uᵀ - K and of Uᵀ·U - 1, and of what one vector says of U.
    fn errors(parts: &Factored, gram: &Mat<f64>) -> [f64; 4] {
        let n = gram.nrows();
        let u = parts.eigenvectors(0..n);
        let scaled = Mat::from_fn(n, n, |i, j| u[(i, j)] * parts.values()[j]);
        let residual = matrix::product(scaled.as_ref(), u.transpose()) - gram;
        let overlap = matrix::product(u.transpose(), u.as_ref()) - Mat::<f64>::identity(n, n);
        let g: Vec<f64> = (0..n).map(|i| (0.7 * i as f64).sin() + 0.1).collect();
        let largest = |a: &[f64], b: &[f64]| {
            let differences = a.iter().zip(b).map(|(a, b)| (a - b).abs());
            differences.fold(0.0, f64::max)
        };
        let formed = matrix::apply_transposed(u.as_ref(), &g);
        [
            residual.norm_max(),
            overlap.norm_max(),
            largest(&parts.project(&g), &formed),
            largest(&parts.combine(&formed), &g),
        ]
    }

    /// Either way, whatever the size.
    fn assert_small(gram: &Mat<f64>) {
        let tolerance = 1e-13 * (gram.nrows() as f64).sqrt().max(1.0);
        for reduce in [Reduction::direct, Reduction::banded] {
            let parts = Factored::by(reduce, gram.clone(), "test matrix");
            let [residual, rest @ ..] = errors(&parts.unwrap().unwrap(), gram);
            let scale = gram.norm_max().max(f64::MIN_POSITIVE);
            assert!(
                residual <= tolerance * scale,
                "residual {residual:e} of {scale:e}"
            );
            assert!(rest.iter().all(|e| *e <= tolerance), "{rest:?}");
        }
    }

    fn from_spectrum(n: usize, spectrum: &[f64], seed: f64) -> Mat<f64> {
        let basis = Mat::from_fn(n, n, |i, j| ((i * n + j) as f64 * seed).sin());
        let q = basis.qr().compute_Q();
        let scaled = Mat::from_fn(n, n, |i, j| q[(i, j)] * spectrum[j]);
        let gram = matrix::product(scaled.as_ref(), q.transpose());
        Mat::from_fn(n, n, |i, j| 0.5 * (gram[(i, j)] + gram[(j, i)]))
    }

    #[test]
    fn every_size_around_the_widths_of_blocks() {
        for n in (1..=20).chain([31, 32, 33, 34, 47, 48, 49, 95, 96, 97, 130, 400]) {
            let spectrum: Vec<f64> = (0..n).map(|i| 0.9_f64.powi(i as i32)).collect();
            assert_small(&from_spectrum(n, &spectrum, 1.234_567));
        }
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn machines_with_narrower_vectors() {
        crate::linalg::simd::narrower::each(|| {
            for n in [2, 17, 18, 33, 65, 100, 300] {
                let spectrum: Vec<f64> = (0..n).map(|i| 0.9_f64.powi(i as i32)).collect();
                assert_small(&from_spectrum(n, &spectrum, 1.234_567));
            }
        });
    }

    #[test]
    fn matrices_with_nothing_to_reflect() {
        for n in [1, 5, 40, 100] {
            assert_small(&Mat::zeros(n, n));
            assert_small(&Mat::identity(n, n));
            assert_small(&Mat::from_fn(
                n,
                n,
                |i, j| if i == j { i as f64 } else { 0.0 },
            ));
            assert_small(&Mat::from_fn(n, n, |_, _| 1.0));
            let second = Mat::from_fn(n, n, |i, j| [2.0, -1.0, 0.0][i.abs_diff(j).min(2)]);
            assert_small(&second);
            // Two blocks that know nothing of each other.
            assert_small(&Mat::from_fn(n, n, |i, j| {
                f64::from((i < n / 2) == (j < n / 2))
            }));
        }
    }

    #[test]
    fn entries_that_cannot_be_squared() {
        for scale in [1e-300, 1e-160, 1e-12, 1e150, 1e300] {
            let spectrum: Vec<f64> = (0..60).map(|i| scale * 0.5_f64.powi(i)).collect();
            assert_small(&from_spectrum(60, &spectrum, 0.377));
        }
        let tiny = |i: usize, j: usize| 1e-170 * ((i * 31 + j * 31 + i * j) as f64).sin();
        let mut gram = Mat::from_fn(60, 60, |i, j| if i == j { 0.0 } else { tiny(i, j) });
        gram[(0, 0)] = 1.0;
        assert_small(&gram);
    }

    #[test]
    fn bits_do_not_depend_on_the_number_of_threads() {
        let spectrum: Vec<f64> = (0..600).map(|i| 0.97_f64.powi(i)).collect();
        let gram = from_spectrum(600, &spectrum, 1.234_567);
        let g: Vec<f64> = (0..600).map(|i| (0.7 * i as f64).sin()).collect();
        let on = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let parts = Factored::new(gram.clone(), "test matrix").unwrap().unwrap();
                let both = [parts.project(&g), parts.combine(&g)];
                (parts.values().to_vec(), both)
            })
        };
        assert_eq!(on(1), on(4));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn any_symmetric_matrix(n in 1_usize..120, rank in 1_usize..120, decay in 0.3_f64..1.0, seed in 0.1_f64..3.0) {
            let spectrum: Vec<f64> = (0..n)
                .map(|i| if i < rank { decay.powi(i as i32) } else { 0.0 })
                .collect();
            assert_small(&from_spectrum(n, &spectrum, seed));
        }
    }
}
