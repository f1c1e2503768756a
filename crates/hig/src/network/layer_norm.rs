//! Normalisation of each sample by its own features.

use super::layer::{Layer, Values};
use super::parameter::Parameter;
use super::scale::{add_bias, expect_channels, gain_and_bias, write_gain_and_bias, write_scaled};
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
use crate::linalg::{Buffer, Scratch};
use faer::reborrow::{Reborrow, ReborrowMut};
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
    fn normalised(&self, input: MatRef<'_, f64>, scratch: &mut Scratch) -> (Buffer, Vec<f64>) {
        let mut values = scratch.copy(input);
        let mean = means(values.as_ref(), |v| v, scratch);
        for j in 0..input.ncols() {
            for (v, m) in values.column_mut(j).iter_mut().zip(&mean) {
                *v -= m;
            }
        }
        scratch.give_numbers(mean);
        let mut inverse = means(values.as_ref(), |v| v * v, scratch);
        for v in &mut inverse {
            *v = 1.0 / (*v + self.epsilon).sqrt();
        }
        for j in 0..input.ncols() {
            for (v, i) in values.column_mut(j).iter_mut().zip(&inverse) {
                *v *= i;
            }
        }
        (values, inverse)
    }

    /// Multiplies rows or tangents δ by the derivative of the normalised values with respect to the
    /// input, which is symmetric: (δ - mean δ - x̂ · mean(x̂·δ)) / √(variance + ε).
    fn differentiate(
        &self,
        input: MatRef<'_, f64>,
        mut rows: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (samples, width) = (input.nrows(), rows.ncols());
        let (values, inverse) = self.normalised(input, scratch);
        let mean = means(rows.rb(), |d| d, scratch);
        let mut overlap = scratch.take_numbers(rows.nrows());
        overlap.fill(0.0);
        for j in 0..width {
            let deltas = matrix::column(rows.rb(), j).chunks_exact(samples);
            for (s, d) in overlap.chunks_exact_mut(samples).zip(deltas) {
                let pairs = d.iter().zip(values.column(j));
                for (s, (d, v)) in s.iter_mut().zip(pairs) {
                    *s += d * v;
                }
            }
        }
        for s in &mut overlap {
            *s /= width as f64;
        }
        for j in 0..width {
            let values = values.column(j);
            let components = matrix::column_mut(rows.rb_mut(), j).chunks_exact_mut(samples);
            let (mean, overlap) = (mean.chunks_exact(samples), overlap.chunks_exact(samples));
            for (d, (mean, overlap)) in components.zip(mean.zip(overlap)) {
                for s in 0..samples {
                    d[s] = (d[s] - mean[s] - values[s] * overlap[s]) * inverse[s];
                }
            }
        }
        scratch.give(values);
        for numbers in [inverse, mean, overlap] {
            scratch.give_numbers(numbers);
        }
    }
}

/// The mean over the features of each row, of a function of the value.
fn means(batch: MatRef<'_, f64>, f: impl Fn(f64) -> f64, scratch: &mut Scratch) -> Vec<f64> {
    let mut sums = scratch.take_numbers(batch.nrows());
    sums.fill(0.0);
    for j in 0..batch.ncols() {
        for (s, v) in sums.iter_mut().zip(matrix::column(batch, j)) {
            *s += f(*v);
        }
    }
    for s in &mut sums {
        *s /= batch.ncols() as f64;
    }
    sums
}

impl Layer for LayerNorm {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        expect_channels(inputs, self.channels, self.points)
    }

    fn parameters(&self) -> Vec<Parameter> {
        gain_and_bias(self.channels, 1.0)
    }

    fn forward(
        &self,
        parameters: &[f64],
        input: MatRef<'_, f64>,
        mut output: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (values, inverse) = self.normalised(input, scratch);
        let (written, points) = (Accum::Replace, self.points);
        write_scaled(
            output.rb_mut(),
            written,
            values.as_ref(),
            parameters,
            points,
        );
        add_bias(output, parameters, points);
        scratch.give(values);
        scratch.give_numbers(inverse);
    }

    fn backward(
        &self,
        parameters: &[f64],
        at: Values<'_>,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        write_scaled(
            target.rb_mut(),
            Accum::Replace,
            rows,
            parameters,
            self.points,
        );
        self.differentiate(at.input, target, scratch);
    }

    fn jvp_input(
        &self,
        parameters: &[f64],
        at: Values<'_>,
        tangent: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        accumulate: Accum,
        scratch: &mut Scratch,
    ) {
        let mut moved = scratch.copy(tangent);
        self.differentiate(at.input, moved.as_mut(), scratch);
        write_scaled(target, accumulate, moved.as_ref(), parameters, self.points);
        scratch.give(moved);
    }

    fn write_columns(
        &self,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        columns: Range<usize>,
        target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let (values, inverse) = self.normalised(input, scratch);
        write_gain_and_bias(values.as_ref(), rows, self.points, columns, target);
        scratch.give(values);
        scratch.give_numbers(inverse);
    }
}
