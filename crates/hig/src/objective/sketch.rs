//! Random combinations of the rows of each sample.
//!
//! A sample of a field has hundreds or thousands of rows, and a step needs only a few combinations of
//! them. S is block diagonal with a block S_i (m × dim(y)) for each sample, E[S_iᵀ·S_i] = 1, so that
//! the sketched J_s = S·J has n_s = b·m rows and E[J_sᵀ·J_s] = JᵀJ. The entries of S_i are random signs over
//! √m: of all independent entries with mean 0 and variance 1/m they have the least fourth moment, and with
//! it the least variance of S_iᵀ·S_i (Hutchinson 1990, doi 10.1080/03610919008812866, for the trace).

use crate::error::{Error, Result};
use crate::linalg::block_rows::{rows_times, rows_transposed_times};
use crate::linalg::{Mat, MatMut, MatRef};
use rand::RngExt;
use rand_pcg::Pcg64;

/// A block-diagonal S (b·m × n) that combines the rows of each sample into m, stacked as all rows are: row
/// `combination · b + sample` of S has weights for the components of that sample.
#[derive(Debug, Clone)]
pub struct Sketch {
    /// b·m × dim(y).
    weights: Mat<f64>,
    samples: usize,
}

impl Sketch {
    /// From the blocks' rows, row `combination · b + sample` (b·m × dim(y)).
    ///
    /// # Panics
    /// If the rows are not those of so many samples.
    pub fn new(weights: Mat<f64>, samples: usize) -> Self {
        let whole = samples > 0 && weights.nrows().is_multiple_of(samples);
        assert!(whole, "{} rows, {samples} samples", weights.nrows());
        Self { weights, samples }
    }

    /// Random signs over √m.
    pub fn signs(samples: usize, components: usize, rows: usize, random: &mut Pcg64) -> Self {
        let size = 1.0 / (rows as f64).sqrt();
        let mut weights = Mat::zeros(rows * samples, components);
        for j in 0..components {
            for block in weights.col_as_slice_mut(j).chunks_mut(64) {
                let bits: u64 = random.random();
                for (place, weight) in block.iter_mut().enumerate() {
                    *weight = if bits >> place & 1 == 0 { size } else { -size };
                }
            }
        }
        Self::new(weights, samples)
    }

    /// S for the n rows of a batch, of which each sample has m.
    ///
    /// # Errors
    /// The rows are not those of so many samples, or a sample has fewer than m.
    pub(crate) fn of_batch(
        rows: usize,
        samples: Option<usize>,
        kept: usize,
        random: &mut Pcg64,
    ) -> Result<Self> {
        let of_samples = samples.filter(|b| *b > 0 && rows.is_multiple_of(*b));
        let Some(samples) = of_samples else {
            let expected = "0: the rows of this objective are not those of samples";
            return Err(Error::setting("sketch", kept, expected));
        };
        let components = rows / samples;
        Self::check(kept, components)?;
        Ok(Self::signs(samples, components, kept, random))
    }

    /// n_s = b·m, the rows of S.
    pub fn rows(&self) -> usize {
        self.weights.nrows()
    }

    /// b.
    pub fn samples(&self) -> usize {
        self.samples
    }

    /// The blocks' rows, row `combination · b + sample` (b·m × dim(y)).
    pub fn weights(&self) -> &Mat<f64> {
        &self.weights
    }

    /// S·diag(factors) (factors: length n).
    #[must_use]
    pub fn weighted(mut self, factors: &[f64]) -> Self {
        for (j, factors) in factors.chunks_exact(self.samples).enumerate() {
            let column = self.weights.col_as_slice_mut(j);
            for block in column.chunks_exact_mut(factors.len()) {
                block.iter_mut().zip(factors).for_each(|(w, f)| *w *= f);
            }
        }
        self
    }

    /// S·v (length n → n_s).
    pub fn apply(&self, v: &[f64]) -> Vec<f64> {
        let mut combined = vec![0.0; self.rows()];
        let (samples, width) = (self.samples, self.weights.ncols());
        let batch = MatRef::from_column_major_slice(v, samples, width);
        rows_times(self.weights.as_ref(), batch, (&mut combined, samples));
        combined
    }

    /// Sᵀ·w (length n_s → n).
    pub fn apply_transposed(&self, w: &[f64]) -> Vec<f64> {
        let (samples, width) = (self.samples, self.weights.ncols());
        let mut spread = vec![0.0; samples * width];
        let target = MatMut::from_column_major_slice_mut(&mut spread, samples, width);
        rows_transposed_times(self.weights.as_ref(), (w, samples), target);
        spread
    }

    /// S times stacked rows (n × width) of which each stands C times, once a pass: row
    /// `component · (C·b) + pass · b + sample` of the given ones, and `combination · (C·b) + pass · b +
    /// sample` of the answer (C·n_s × width).
    pub(crate) fn combine(&self, rows: MatRef<'_, f64>, passes: usize) -> Mat<f64> {
        let samples = self.samples;
        let all = passes * samples;
        let combinations = self.rows() / samples;
        let mut combined = Mat::zeros(combinations * all, rows.ncols());
        for j in 0..rows.ncols() {
            let from = crate::linalg::column(rows, j);
            let into = combined.col_as_slice_mut(j);
            for (i, from) in from.chunks_exact(all).enumerate() {
                let weights = self.weights.col_as_slice(i).chunks_exact(samples);
                for (into, weights) in into.chunks_exact_mut(all).zip(weights) {
                    let pairs = into
                        .chunks_exact_mut(samples)
                        .zip(from.chunks_exact(samples));
                    for (into, from) in pairs {
                        let sums = into.iter_mut().zip(from).zip(weights);
                        sums.for_each(|((into, from), weight)| *into += weight * from);
                    }
                }
            }
        }
        combined
    }

    /// S times the rows of a matrix that is stored transposed (width × n → width × n_s).
    pub(crate) fn combine_transposed(&self, transposed: MatRef<'_, f64>) -> Mat<f64> {
        let mut combined = Mat::zeros(transposed.nrows(), self.rows());
        for place in 0..self.rows() {
            let sample = place % self.samples;
            let into = combined.col_as_slice_mut(place);
            for i in 0..self.weights.ncols() {
                let weight = self.weights[(place, i)];
                let from = transposed.col(i * self.samples + sample);
                into.iter_mut()
                    .zip(from.iter())
                    .for_each(|(t, v)| *t += weight * v);
            }
        }
        combined
    }

    /// Refuses more combinations than a sample has rows.
    ///
    /// # Errors
    /// m is above dim(y).
    pub(crate) fn check(kept: usize, components: usize) -> Result<()> {
        if kept > components {
            let expected = format!("at most {components}, the rows of a sample; 0 keeps them all");
            return Err(Error::setting("sketch", kept, expected));
        }
        Ok(())
    }
}
