//! A learned gain and bias for each channel.

use super::layer::{Layer, Parameter, expect_width};
use crate::linalg::matrix::{self, Mat, MatMut};
use faer::reborrow::ReborrowMut;
use std::ops::Range;

/// output = weight · input + bias with one weight and one bias a channel ("layer scale", Touvron et
/// al. 2021, arXiv 2103.17239, section 2.1, for a single weight a channel).
///
/// Unlike batch normalisation it keeps samples independent.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    /// Channels.
    pub channels: usize,
    /// Features of a channel, one behind the other; 1 gives every feature its own weight.
    pub points: usize,
    /// The weight at the start.
    pub gain: f64,
}

impl Layer for Scale {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        expect_channels(inputs, self.channels, self.points)
    }

    fn parameters(&self) -> Vec<Parameter> {
        gain_and_bias(self.channels, self.gain)
    }

    fn forward(&self, parameters: &[f64], input: &Mat<f64>) -> Mat<f64> {
        let mut output = input.clone();
        apply_gain(&mut output, parameters, self.points);
        add_bias(&mut output, parameters, self.points);
        output
    }

    fn backward(
        &self,
        parameters: &[f64],
        _: &Mat<f64>,
        _: &Mat<f64>,
        rows: &Mat<f64>,
    ) -> Mat<f64> {
        let mut result = rows.clone();
        apply_gain(&mut result, parameters, self.points);
        result
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
            Some(mut tangent) => {
                apply_gain(&mut tangent, parameters, self.points);
                output + tangent
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
        write_gain_and_bias(input, rows, self.points, columns, target);
    }
}

/// Refuses an input that is not `channels` × `points`.
pub(super) fn expect_channels(
    inputs: usize,
    channels: usize,
    points: usize,
) -> Result<usize, String> {
    let width = channels.saturating_mul(points);
    if width == 0 {
        return Err("its channels and points must be at least 1".into());
    }
    let meaning = format!("{channels} x {points}, channels x points");
    expect_width(inputs, width, &meaning)?;
    Ok(inputs)
}

/// The parameter arrays.
pub(super) fn gain_and_bias(channels: usize, gain: f64) -> Vec<Parameter> {
    vec![
        Parameter::constant("weight", channels, gain),
        Parameter::constant("bias", channels, 0.0),
    ]
}

/// Multiplies every channel by its weight.
pub(super) fn apply_gain(batch: &mut Mat<f64>, parameters: &[f64], points: usize) {
    for j in 0..batch.ncols() {
        let gain = parameters[j / points];
        for v in batch.col_as_slice_mut(j) {
            *v *= gain;
        }
    }
}

/// Adds every channel's bias.
pub(super) fn add_bias(batch: &mut Mat<f64>, parameters: &[f64], points: usize) {
    let channels = parameters.len() / 2;
    for j in 0..batch.ncols() {
        let bias = parameters[channels + j / points];
        for v in batch.col_as_slice_mut(j) {
            *v += bias;
        }
    }
}

/// Columns of J: for a weight the rows times the scaled values, for a bias the rows, summed over
/// the features of the channel.
pub(super) fn write_gain_and_bias(
    values: &Mat<f64>,
    rows: &Mat<f64>,
    points: usize,
    columns: Range<usize>,
    mut target: MatMut<'_, f64>,
) {
    let (samples, channels) = (values.nrows(), values.ncols() / points);
    for (j, place) in columns.enumerate() {
        let column = matrix::column_mut(target.rb_mut(), j);
        column.fill(0.0);
        let first = place % channels * points;
        for feature in first..first + points {
            let deltas = rows.col_as_slice(feature);
            if place >= channels {
                for (t, d) in column.iter_mut().zip(deltas) {
                    *t += d;
                }
                continue;
            }
            let values = values.col_as_slice(feature);
            let components = column.chunks_exact_mut(samples);
            for (t, d) in components.zip(deltas.chunks_exact(samples)) {
                for (t, (d, v)) in t.iter_mut().zip(d.iter().zip(values)) {
                    *t += d * v;
                }
            }
        }
    }
}
