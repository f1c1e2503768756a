//! One factor of a layer's block: its running average and its eigenbasis.
//!
//! A wide factor is kept by its leading eigenvectors, which are brought up to date with the rows of every new
//! moment: the decomposition of (1 - w)·U·Λ·Uᵀ + w·RᵀR is that of a small matrix in the basis (U·√Λ, Rᵀ)
//! (Brand 2002, doi 10.1007/3-540-47969-4_47). All other directions have the mean of the eigenvalues that remain, which the trace tells.

use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::symmetric::eigen;
use crate::linalg::{Accum, Mat, MatRef, Symmetric, dot, multiply, product, stack};
use crate::objective::Moment;

/// Eigenvectors that are kept of a wide factor, and rows that are taken in at a time.
const LEADING: usize = 64;

/// The least eigenvalue of them as a part of the largest: below it a square of numbers (f64) tells nothing.
const LEAST: f64 = 1e-11;

/// A symmetric factor, averaged over batches, with the basis in which it was last diagonal.
#[derive(Debug, Clone)]
pub struct Factor {
    width: usize,
    /// The average; of a wide factor nothing.
    mean: Mat<f64>,
    /// U.
    basis: Mat<f64>,
    /// The diagonal of Uᵀ·(average)·U.
    values: Vec<f64>,
    /// The trace of the average of a wide factor.
    trace: f64,
}

impl Default for Factor {
    fn default() -> Self {
        Self {
            width: 0,
            mean: Mat::new(),
            basis: Mat::new(),
            values: Vec::new(),
            trace: 0.0,
        }
    }
}

impl Factor {
    /// Coordinates.
    pub fn width(&self) -> usize {
        self.width
    }

    /// U.
    pub fn basis(&self) -> MatRef<'_, f64> {
        self.basis.as_ref()
    }

    /// What stands for the eigenvalues of U's columns, none below 0.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The eigenvalue of all directions that U has not.
    pub fn rest(&self) -> f64 {
        let others = self.width.saturating_sub(self.values.len());
        let known: f64 = self.values.iter().sum();
        (self.trace - known).max(0.0) / others.max(1) as f64
    }

    /// Whether U has all directions.
    pub fn is_whole(&self) -> bool {
        self.values.len() == self.width
    }

    /// The largest of the values.
    pub fn largest(&self) -> f64 {
        self.values.iter().fold(0.0, |most, value| value.max(most))
    }

    /// Takes a new moment into the average, with a weight; the first one with all.
    pub fn learn(&mut self, moment: Moment, weight: f64, name: &'static str) -> Result<()> {
        match moment {
            Moment::Whole(moment) => {
                self.learn_whole(moment, weight);
                Ok(())
            }
            Moment::Rows(rows) => self.learn_rows(&rows, weight, name),
        }
    }

    fn learn_whole(&mut self, moment: Symmetric, weight: f64) {
        let moment = moment.complete();
        if self.mean.nrows() != moment.nrows() {
            self.width = moment.nrows();
            (self.mean, self.basis) = (moment, Mat::new());
            self.values = vec![0.0; self.width];
            return;
        }
        for j in 0..moment.ncols() {
            let pairs = self.mean.col_as_slice_mut(j).iter_mut();
            for (mean, new) in pairs.zip(moment.col_as_slice(j)) {
                *mean += weight * (new - *mean);
            }
        }
    }

    fn learn_rows(&mut self, rows: &Mat<f64>, weight: f64, name: &'static str) -> Result<()> {
        let mut weight = weight;
        if self.width != rows.ncols() {
            *self = Self {
                width: rows.ncols(),
                basis: Mat::zeros(rows.ncols(), 0),
                ..Self::default()
            };
            weight = 1.0;
        }
        self.trace *= 1.0 - weight;
        let kept = self.values.iter_mut();
        kept.for_each(|value| *value *= 1.0 - weight);
        for first in (0..rows.nrows()).step_by(LEADING) {
            let count = LEADING.min(rows.nrows() - first);
            self.add_rows(rows.as_ref().subrows(first, count), weight, name)?;
        }
        Ok(())
    }

    /// Adds weight·RᵀR, and keeps the leading eigenvectors of the sum.
    fn add_rows(&mut self, rows: MatRef<'_, f64>, weight: f64, name: &'static str) -> Result<()> {
        let (old, root) = (self.values.len(), weight.sqrt());
        let mut side = Mat::zeros(self.width, old + rows.nrows());
        for (j, value) in self.values.iter().enumerate() {
            let pairs = side.col_as_slice_mut(j).iter_mut();
            let (from, size) = (self.basis.col_as_slice(j), value.sqrt());
            pairs.zip(from).for_each(|(s, u)| *s = size * u);
        }
        for i in 0..rows.nrows() {
            let column = side.col_as_slice_mut(old + i);
            let pairs = column.iter_mut().zip(rows.row(i).iter());
            pairs.for_each(|(s, v)| *s = root * v);
            self.trace += dot(column, column);
        }
        let square = Symmetric::square(side.transpose());
        let (values, vectors) = eigen(square.into_lower(), name)?;
        let least = LEAST * values[0];
        let kept = values.iter().take(LEADING).take_while(|v| **v > least);
        self.values = kept.copied().collect();
        let vectors = vectors.as_ref().subcols(0, self.values.len());
        self.basis = product(side.as_ref(), vectors);
        for (j, value) in self.values.iter().enumerate() {
            let scale = 1.0 / value.sqrt();
            let column = self.basis.col_as_slice_mut(j).iter_mut();
            column.for_each(|u| *u *= scale);
        }
        Ok(())
    }

    /// Brings the values to the average, and where it changed too much the basis, for a damping as a part of
    /// the largest value: whether the basis was found anew. That of a wide factor was, with its moment.
    ///
    /// The change is the part of Uᵀ·(average)·U that stands beside the diagonal once rows and columns are
    /// divided by √(value + damping), so that directions below the damping hardly count.
    pub fn renew(&mut self, damping: f64, most: f64, name: &'static str) -> Result<bool> {
        let n = self.mean.nrows();
        let anew = n > 0 && (self.basis.nrows() != n || self.change(damping) > most);
        if anew {
            self.decompose(name)?;
        }
        Ok(anew)
    }

    fn change(&mut self, damping: f64) -> f64 {
        let n = self.mean.nrows();
        let (mut half, mut turned) = (Mat::zeros(n, n), Mat::zeros(n, n));
        let (mean, basis) = (self.mean.as_ref(), self.basis.as_ref());
        multiply(half.as_mut(), Accum::Replace, mean, basis);
        let transposed = basis.transpose();
        multiply(turned.as_mut(), Accum::Replace, transposed, half.as_ref());
        for (i, value) in self.values.iter_mut().enumerate() {
            *value = turned[(i, i)].max(0.0);
        }
        let damping = (damping * self.largest()).max(f64::MIN_POSITIVE);
        let scales: Vec<f64> = self.values.iter().map(|v| 1.0 / (v + damping)).collect();
        let (mut all, mut on) = (0.0, 0.0);
        for (j, value) in self.values.iter().enumerate() {
            let column = turned.col_as_slice(j).iter().zip(&scales);
            let sum: f64 = column.map(|(v, scale)| v * v * scale).sum();
            all += sum * scales[j];
            on += (value * scales[j]).powi(2);
        }
        ((all - on).max(0.0) / on.max(f64::MIN_POSITIVE)).sqrt()
    }

    fn decompose(&mut self, name: &'static str) -> Result<()> {
        let (values, basis) = eigen(self.mean.clone(), name)?;
        self.values = values.into_iter().map(|value| value.max(0.0)).collect();
        self.basis = basis;
        Ok(())
    }

    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.count("width", &mut self.width);
        state.number("trace", &mut self.trace);
        state.vector("values", &mut self.values);
        let n = self.width;
        for (name, matrix) in [("mean", &mut self.mean), ("basis", &mut self.basis)] {
            let mut numbers = stack(matrix.as_ref());
            state.vector(name, &mut numbers);
            if n > 0 {
                *matrix =
                    MatRef::from_column_major_slice(&numbers, n, numbers.len() / n).to_owned();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::SavedState;

    /// Numbers between -1 and 1 without much order.
    fn numbers(rows: usize, columns: usize, seed: usize) -> Mat<f64> {
        Mat::from_fn(rows, columns, |i, j| {
            (((i * 37 + j * 101 + seed * 53) as f64).powi(2) * 0.618_033).fract() * 2.0 - 1.0
        })
    }

    /// U·Λ·Uᵀ.
    fn restored(factor: &Factor) -> Mat<f64> {
        let basis = factor.basis();
        Mat::from_fn(factor.width(), factor.width(), |i, j| {
            let values = factor.values().iter().enumerate();
            values.map(|(k, v)| v * basis[(i, k)] * basis[(j, k)]).sum()
        })
    }

    #[test]
    fn leading_vectors_are_the_average_where_its_rank_allows_it() {
        let (n, weight) = (200, 0.25);
        // Of rank 20 in all, in more rows than are taken in at a time.
        let mixed = |seed: usize| {
            product(
                numbers(150, 10, seed).as_ref(),
                numbers(10, n, seed).as_ref(),
            )
        };
        let mut factor = Factor::default();
        let mut mean = Mat::<f64>::zeros(n, n);
        for (k, seed) in [1, 2, 1].into_iter().enumerate() {
            let rows = mixed(seed);
            let weight = if k == 0 { 1.0 } else { weight };
            let square = product(rows.transpose(), rows.as_ref());
            mean = Mat::from_fn(n, n, |i, j| {
                (1.0 - weight) * mean[(i, j)] + weight * square[(i, j)]
            });
            factor.learn(Moment::Rows(rows), weight, "rows").unwrap();
        }
        assert_eq!(factor.values().len(), 20);
        let error = (&restored(&factor) - &mean).norm_l2() / mean.norm_l2();
        assert!(error < 1e-10, "{error:e}");
        assert!(factor.rest() < 1e-12 * factor.largest());
    }

    #[test]
    fn what_is_not_kept_has_the_mean_of_its_eigenvalues() {
        let n = 200;
        let rows = numbers(n + 50, n, 3);
        let square = product(rows.transpose(), rows.as_ref());
        let mut factor = Factor::default();
        factor.learn(Moment::Rows(rows), 1.0, "rows").unwrap();
        assert_eq!(factor.values().len(), LEADING);
        let basis = product(factor.basis().transpose(), factor.basis());
        let distance = (&basis - &Mat::<f64>::identity(LEADING, LEADING)).norm_l2();
        assert!(distance < 1e-9, "{distance:e}");
        let trace: f64 = (0..n).map(|i| square[(i, i)]).sum();
        let known: f64 = factor.values().iter().sum();
        let rest = (trace - known) / (n - LEADING) as f64;
        assert!((factor.rest() / rest - 1.0).abs() < 1e-12);
    }

    #[test]
    fn a_wide_factor_goes_on_from_where_it_was() {
        let learn = |factor: &mut Factor, seed: usize| {
            let rows = Moment::Rows(numbers(80, 200, seed));
            factor.learn(rows, 0.3, "rows").unwrap();
        };
        let mut factor = Factor::default();
        learn(&mut factor, 1);
        let mut other = Factor::default();
        let state = SavedState::of(|state| factor.exchange(state));
        state.restore(|state| other.exchange(state)).unwrap();
        for factor in [&mut factor, &mut other] {
            learn(factor, 2);
        }
        assert_eq!(factor.values(), other.values());
        assert_eq!(factor.basis(), other.basis());
        assert_eq!(factor.rest().to_bits(), other.rest().to_bits());
    }

    #[test]
    fn rows_of_zeros_are_a_factor_of_zeros() {
        let mut factor = Factor::default();
        factor
            .learn(Moment::Rows(Mat::zeros(70, 200)), 1.0, "rows")
            .unwrap();
        assert!(factor.values().is_empty());
        assert_eq!((factor.largest(), factor.rest()), (0.0, 0.0));
        factor
            .learn(Moment::Rows(numbers(3, 200, 1)), 0.5, "rows")
            .unwrap();
        assert_eq!(factor.values().len(), 3);
    }
}
