//! Cholesky's decomposition of a symmetric positive definite matrix within a band.

use super::Lanes;
use crate::error::{Error, Result};

/// L of A = L·Lᵀ, where A has nothing beyond `band` places below the diagonal.
#[derive(Debug, Clone)]
pub(super) struct BandedCholesky {
    band: usize,
    /// Column by column the entry on the diagonal, inverted, and the `band` ones below it.
    columns: Vec<f64>,
}

impl BandedCholesky {
    /// Of a matrix of which the columns hold the diagonal and `band` entries below it, as the result does.
    ///
    /// # Errors
    /// A matrix that is not positive definite.
    pub fn new(band: usize, mut columns: Vec<f64>) -> Result<Self> {
        let height = band + 1;
        for j in 0..columns.len() / height {
            let (before, from) = columns.split_at_mut(j * height);
            let column = &mut from[..height];
            for k in j.saturating_sub(band)..j {
                let other = &before[k * height..(k + 1) * height];
                let factor = other[j - k];
                let below = column.iter_mut().zip(&other[j - k..]);
                below.for_each(|(target, entry)| *target -= factor * entry);
            }
            if column[0] <= f64::EPSILON {
                return Err(Error::external("the matrix is not positive definite"));
            }
            let root = column[0].sqrt();
            column[0] = 1.0 / root;
            column[1..].iter_mut().for_each(|entry| *entry /= root);
        }
        Ok(Self { band, columns })
    }

    /// Solves A·x = b for eight b at once, in their place.
    #[inline(always)]
    pub fn solve(&self, x: &mut [Lanes]) {
        let height = self.band + 1;
        let columns = self.columns.chunks_exact(height);
        for (j, column) in columns.clone().enumerate() {
            let value = x[j] * column[0];
            x[j] = value;
            for (below, entry) in x[j + 1..].iter_mut().zip(&column[1..]) {
                *below = *below - value * *entry;
            }
        }
        for (j, column) in columns.enumerate().rev() {
            let mut value = x[j];
            for (below, entry) in x[j + 1..].iter().zip(&column[1..]) {
                value = value - *below * *entry;
            }
            x[j] = value * column[0];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::physics::Real;

    /// aᵢⱼ = (i + j + 1) modulo 5, over 7, within the band, and enough on the diagonal.
    fn entry(i: usize, j: usize, band: usize) -> f64 {
        match i.abs_diff(j) {
            0 => 2.0 + i as f64 * 0.1,
            distance if distance <= band => ((i + j + 1) % 5) as f64 / 7.0 / band as f64,
            _ => 0.0,
        }
    }

    #[test]
    fn solutions_solve() {
        for (count, band) in [(1, 0), (6, 0), (9, 2), (7, 6), (5, 8)] {
            let below = |j| (0..=band).map(move |k| entry(j + k, j, band));
            let solver = BandedCholesky::new(band, (0..count).flat_map(below).collect()).unwrap();
            let right =
                |i: usize| Lanes(std::array::from_fn(|l| (1.0 + i as f64 * l as f64).sin()));
            let mut x: Vec<Lanes> = (0..count).map(right).collect();
            solver.solve(&mut x);
            for i in 0..count {
                let product = (0..count).fold(Lanes::constant(0.0), |sum, j| {
                    sum + x[j] * entry(i, j, band)
                });
                for (found, expected) in product.0.iter().zip(right(i).0) {
                    assert!((found - expected).abs() < 1e-13, "{count} {band}");
                }
            }
        }
    }

    #[test]
    fn indefinite_matrices_are_refused() {
        assert!(BandedCholesky::new(1, vec![1.0, 2.0, 1.0, 0.0]).is_err());
    }
}
