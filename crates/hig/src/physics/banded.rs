//! Decompositions of matrices within a band: Cholesky's of one that is symmetric and positive definite, and
//! L·U of eight others at once.

use super::{Lanes, Real};
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

/// L·U of eight matrices with nothing beyond `band` places from the diagonal, without exchanging rows.
#[derive(Debug, Clone)]
pub(super) struct BandedLu {
    band: usize,
    /// Row by row from `band` places before the diagonal to as many behind it: L without its diagonal, that of U
    /// inverted, U.
    rows: Vec<Lanes>,
}

impl BandedLu {
    /// Of matrices by their rows within the band, 0 where these would leave the matrix; with whether that of each
    /// lane is as good as with exchanges: no multiplier is above 8, and all numbers are finite.
    pub fn new(band: usize, mut rows: Vec<Lanes>) -> (Self, [bool; Lanes::COUNT]) {
        const MOST: f64 = 8.0;
        let width = 2 * band + 1;
        let mut sound = [true; Lanes::COUNT];
        for k in 0..rows.len() / width {
            let (before, behind) = rows.split_at_mut((k + 1) * width);
            let row = &mut before[k * width..];
            let inverse = Lanes::constant(1.0) / row[band];
            row[band] = inverse;
            for (sound, inverse) in sound.iter_mut().zip(inverse.0) {
                *sound &= inverse.is_finite();
            }
            for (below, other) in behind.chunks_exact_mut(width).take(band).enumerate() {
                // The place of column k in that row.
                let place = band - 1 - below;
                let factor = other[place] * inverse;
                other[place] = factor;
                for (sound, factor) in sound.iter_mut().zip(factor.0) {
                    // NaN is no number up to the limit.
                    *sound &= factor.abs() <= MOST;
                }
                for (entry, above) in other[place + 1..].iter_mut().zip(&row[band + 1..]) {
                    *entry = *entry - factor * *above;
                }
            }
        }
        (Self { band, rows }, sound)
    }

    /// Takes over the matrices of some lanes.
    pub fn take(&mut self, other: &Self, lanes: [bool; Lanes::COUNT]) {
        for (own, new) in self.rows.iter_mut().zip(&other.rows) {
            for lane in (0..Lanes::COUNT).filter(|lane| lanes[*lane]) {
                own.0[lane] = new.0[lane];
            }
        }
    }

    /// Solves A·x = b in the place of b, each lane by its own matrix.
    #[inline(always)]
    pub fn solve(&self, x: &mut [Lanes]) {
        let (band, width) = (self.band, 2 * self.band + 1);
        for i in 0..x.len() {
            let row = &self.rows[i * width..(i + 1) * width];
            let first = i.saturating_sub(band);
            let mut value = x[i];
            for (factor, known) in row[first + band - i..band].iter().zip(&x[first..i]) {
                value = value - *factor * *known;
            }
            x[i] = value;
        }
        for i in (0..x.len()).rev() {
            let row = &self.rows[i * width..(i + 1) * width];
            let mut value = x[i];
            for (factor, known) in row[band + 1..].iter().zip(&x[i + 1..]) {
                value = value - *factor * *known;
            }
            x[i] = value * row[band];
        }
    }

    /// The same for Aᵀ·x = b.
    #[inline(always)]
    pub fn solve_transposed(&self, x: &mut [Lanes]) {
        let (band, width) = (self.band, 2 * self.band + 1);
        for i in 0..x.len() {
            let row = &self.rows[i * width..(i + 1) * width];
            let value = x[i] * row[band];
            x[i] = value;
            for (later, factor) in x[i + 1..].iter_mut().zip(&row[band + 1..]) {
                *later = *later - value * *factor;
            }
        }
        for i in (0..x.len()).rev() {
            let row = &self.rows[i * width..(i + 1) * width];
            let (first, value) = (i.saturating_sub(band), x[i]);
            for (earlier, factor) in x[first..i].iter_mut().zip(&row[first + band - i..band]) {
                *earlier = *earlier - value * *factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn eight_systems_within_a_band_are_solved_both_ways() {
        for (count, band) in [(1, 0), (6, 0), (9, 2), (7, 6), (5, 8)] {
            let at = |i: usize, j: usize, lane: usize| match i.abs_diff(j) <= band {
                true => {
                    entry(i, j, band.max(1)) * if i < j { -1.3 - 0.1 * lane as f64 } else { 1.0 }
                }
                false => 0.0,
            };
            let row = |i: usize| {
                let places = (i..=i + 2 * band).map(move |place| place.checked_sub(band));
                places.map(move |j| match j.filter(|j| *j < count) {
                    Some(j) => Lanes(std::array::from_fn(|lane| at(i, j, lane))),
                    None => Lanes::ZERO,
                })
            };
            let (solver, sound) = BandedLu::new(band, (0..count).flat_map(row).collect());
            assert_eq!(sound, [true; Lanes::COUNT]);
            let right =
                |i: usize| Lanes(std::array::from_fn(|l| (1.0 + i as f64 * l as f64).sin()));
            for transposed in [false, true] {
                let mut x: Vec<Lanes> = (0..count).map(right).collect();
                match transposed {
                    true => solver.solve_transposed(&mut x),
                    false => solver.solve(&mut x),
                }
                for i in 0..count {
                    for lane in 0..Lanes::COUNT {
                        let product: f64 = (0..count)
                            .map(|j| match transposed {
                                true => at(j, i, lane) * x[j].0[lane],
                                false => at(i, j, lane) * x[j].0[lane],
                            })
                            .sum();
                        let error = (product - right(i).0[lane]).abs();
                        assert!(error < 1e-12, "{count} {band} {transposed}: {error:e}");
                    }
                }
            }
        }
    }

    #[test]
    fn systems_that_want_exchanges_are_told() {
        let small = |lane: usize| if lane == 3 { 1e-3 } else { 1.0 };
        let first = Lanes(std::array::from_fn(small));
        let one = Lanes::constant(1.0);
        let rows = vec![Lanes::ZERO, first, one, one, -one, Lanes::ZERO];
        let (_, sound) = BandedLu::new(1, rows);
        let expected: [bool; Lanes::COUNT] = std::array::from_fn(|lane| lane != 3);
        assert_eq!(sound, expected);
    }

    #[test]
    fn indefinite_matrices_are_refused() {
        assert!(BandedCholesky::new(1, vec![1.0, 2.0, 1.0, 0.0]).is_err());
    }
}
