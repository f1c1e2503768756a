//! One factor of a layer's block: its running average and its eigenbasis.

use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::symmetric::eigen;
use crate::linalg::{Accum, Mat, MatRef, Symmetric, multiply, stack};

/// A symmetric factor, averaged over batches, with the basis in which it was last diagonal.
#[derive(Debug, Clone)]
pub struct Factor {
    /// The average.
    mean: Mat<f64>,
    /// U.
    basis: Mat<f64>,
    /// The diagonal of Uᵀ·(average)·U.
    values: Vec<f64>,
}

impl Default for Factor {
    fn default() -> Self {
        Self {
            mean: Mat::new(),
            basis: Mat::new(),
            values: Vec::new(),
        }
    }
}

impl Factor {
    /// U.
    pub fn basis(&self) -> MatRef<'_, f64> {
        self.basis.as_ref()
    }

    /// What stands for the eigenvalues, none below 0.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// The largest of them.
    pub fn largest(&self) -> f64 {
        self.values.iter().fold(0.0, |most, value| value.max(most))
    }

    /// Takes a new moment into the average, with a weight; the first one with all.
    pub fn learn(&mut self, moment: Symmetric, weight: f64) {
        let moment = moment.complete();
        if self.mean.nrows() != moment.nrows() {
            let n = moment.nrows();
            (self.mean, self.basis, self.values) = (moment, Mat::new(), vec![0.0; n]);
            return;
        }
        for j in 0..moment.ncols() {
            let pairs = self.mean.col_as_slice_mut(j).iter_mut();
            for (mean, new) in pairs.zip(moment.col_as_slice(j)) {
                *mean += weight * (new - *mean);
            }
        }
    }

    /// Brings the values to the average, and where it changed too much the basis, for a damping as a part of
    /// the largest value: whether the basis was found anew.
    ///
    /// The change is the part of Uᵀ·(average)·U that stands beside the diagonal once rows and columns are
    /// divided by √(value + damping), so that directions below the damping hardly count.
    pub fn renew(&mut self, damping: f64, most: f64, name: &'static str) -> Result<bool> {
        let n = self.mean.nrows();
        let anew = self.basis.nrows() != n || self.change(damping) > most;
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
        state.vector("values", &mut self.values);
        let n = self.values.len();
        for (name, matrix) in [("mean", &mut self.mean), ("basis", &mut self.basis)] {
            let mut numbers = stack(matrix.as_ref());
            state.vector(name, &mut numbers);
            if numbers.len() == n * n {
                *matrix = MatRef::from_column_major_slice(&numbers, n, n).to_owned();
            }
        }
    }
}
