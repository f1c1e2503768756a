//! Normalisation of each sample by its own features.

use super::layer::{Layer, Parameter};
use super::scale::{add_bias, apply_gain, expect_channels, gain_and_bias, write_gain_and_bias};
use crate::linalg::matrix::{Mat, MatMut};
use std::ops::Range;

/// output = weight · (x - mean) / √(variance + ε) + bias with mean and variance over all features
/// of a sample, and one weight and one bias a channel (Ba, Kiros and Hinton 2016, arXiv 1607.06450,
/// equation 4). The weights start at 1.
///
/// Unlike batch normalisation it keeps samples independent.
#[derive(Debug, Clone, Copy)]
pub struct LayerNorm {
    /// Channels.
    pub channels: usize,
    /// Features of a channel, one behind the other; 1 gives every feature its own weight.
    pub points: usize,
    /// ε, added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    /// One weight and one bias a channel, ε = 1e-5.
    pub fn new(channels: usize, points: usize) -> Self {
        Self {
            channels,
            points,
            epsilon: 1e-5,
        }
    }

    /// The normalised batch, and 1/√(variance + ε) of each sample.
    fn normalised(&self, input: &Mat<f64>) -> (Mat<f64>, Vec<f64>) {
        let mut values = input.clone();
        let mean = means(&values, |v| v);
        for j in 0..values.ncols() {
            for (v, m) in values.col_as_slice_mut(j).iter_mut().zip(&mean) {
                *v -= m;
            }
        }
        let variance = means(&values, |v| v * v);
        let inverse = variance.iter().map(|v| 1.0 / (v + self.epsilon).sqrt());
        let inverse: Vec<f64> = inverse.collect();
        for j in 0..values.ncols() {
            for (v, i) in values.col_as_slice_mut(j).iter_mut().zip(&inverse) {
                *v *= i;
            }
        }
        (values, inverse)
    }

    /// Multiplies by the derivative of the normalised values with respect to the input, which is
    /// symmetric: (δ - mean δ - x̂ · mean(x̂·δ)) / √(variance + ε), for rows or tangents δ.
    fn derivative(&self, input: &Mat<f64>, mut rows: Mat<f64>) -> Mat<f64> {
        let samples = input.nrows();
        let (values, inverse) = self.normalised(input);
        let mean = means(&rows, |d| d);
        let overlap = {
            let mut sums = vec![0.0; rows.nrows()];
            for j in 0..rows.ncols() {
                let deltas = rows.col_as_slice(j).chunks_exact(samples);
                for (s, d) in sums.chunks_exact_mut(samples).zip(deltas) {
                    let pairs = d.iter().zip(values.col_as_slice(j));
                    for (s, (d, v)) in s.iter_mut().zip(pairs) {
                        *s += d * v;
                    }
                }
            }
            let width = rows.ncols() as f64;
            sums.into_iter().map(|s| s / width).collect::<Vec<f64>>()
        };
        for j in 0..rows.ncols() {
            let values = values.col_as_slice(j);
            let components = rows.col_as_slice_mut(j).chunks_exact_mut(samples);
            let (mean, overlap) = (mean.chunks_exact(samples), overlap.chunks_exact(samples));
            for (d, (mean, overlap)) in components.zip(mean.zip(overlap)) {
                for s in 0..samples {
                    d[s] = (d[s] - mean[s] - values[s] * overlap[s]) * inverse[s];
                }
            }
        }
        rows
    }
}

/// The mean over the features of each row, of a function of the value.
fn means(batch: &Mat<f64>, f: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut sums = vec![0.0; batch.nrows()];
    for j in 0..batch.ncols() {
        for (s, v) in sums.iter_mut().zip(batch.col_as_slice(j)) {
            *s += f(*v);
        }
    }
    let width = batch.ncols() as f64;
    sums.into_iter().map(|s| s / width).collect()
}

impl Layer for LayerNorm {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        expect_channels(inputs, self.channels, self.points)
    }

    fn parameters(&self) -> Vec<Parameter> {
        gain_and_bias(self.channels, 1.0)
    }

    fn forward(&self, parameters: &[f64], input: &Mat<f64>) -> Mat<f64> {
        let mut output = self.normalised(input).0;
        apply_gain(&mut output, parameters, self.points);
        add_bias(&mut output, parameters, self.points);
        output
    }

    fn backward(
        &self,
        parameters: &[f64],
        input: &Mat<f64>,
        _: &Mat<f64>,
        rows: &Mat<f64>,
    ) -> Mat<f64> {
        let mut deltas = rows.clone();
        apply_gain(&mut deltas, parameters, self.points);
        self.derivative(input, deltas)
    }

    fn jvp(
        &self,
        parameters: &[f64],
        direction: &[f64],
        input: &Mat<f64>,
        _: &Mat<f64>,
        tangent: Option<Mat<f64>>,
    ) -> Option<Mat<f64>> {
        let output = self.forward(direction, input);
        Some(match tangent {
            Some(tangent) => {
                let mut moved = self.derivative(input, tangent);
                apply_gain(&mut moved, parameters, self.points);
                output + moved
            }
            None => output,
        })
    }

    fn write_columns(
        &self,
        input: &Mat<f64>,
        rows: &Mat<f64>,
        columns: Range<usize>,
        target: MatMut<'_, f64>,
    ) {
        let values = self.normalised(input).0;
        write_gain_and_bias(&values, rows, self.points, columns, target);
    }
}
