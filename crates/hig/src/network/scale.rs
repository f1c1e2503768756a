//! A learned gain and bias for each channel.

use super::layer::{Layer, Values, expect_width};
use super::parameter::Parameter;
use crate::linalg::Scratch;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
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

    fn forward(
        &self,
        parameters: &[f64],
        input: MatRef<'_, f64>,
        mut output: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        write_scaled(
            output.rb_mut(),
            Accum::Replace,
            input,
            parameters,
            self.points,
        );
        add_bias(output, parameters, self.points);
    }

    fn backward(
        &self,
        parameters: &[f64],
        _: Values<'_>,
        rows: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        write_scaled(target, Accum::Replace, rows, parameters, self.points);
    }

    fn jvp_input(
        &self,
        parameters: &[f64],
        _: Values<'_>,
        tangent: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        accumulate: Accum,
        _: &mut Scratch,
    ) {
        write_scaled(target, accumulate, tangent, parameters, self.points);
    }

    fn write_columns(
        &self,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        columns: Range<usize>,
        target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        write_gain_and_bias(input, rows, self.points, columns, target);
    }

    fn is_affine(&self) -> bool {
        true
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

/// Writes a batch with every channel multiplied by its weight, or adds it.
pub(super) fn write_scaled(
    mut target: MatMut<'_, f64>,
    accumulate: Accum,
    batch: MatRef<'_, f64>,
    parameters: &[f64],
    points: usize,
) {
    for j in 0..batch.ncols() {
        let gain = parameters[j / points];
        let scaled = matrix::column(batch, j).iter().map(|v| v * gain);
        matrix::write(matrix::column_mut(target.rb_mut(), j), accumulate, scaled);
    }
}

/// Adds every channel's bias.
pub(super) fn add_bias(mut batch: MatMut<'_, f64>, parameters: &[f64], points: usize) {
    let channels = parameters.len() / 2;
    for j in 0..batch.ncols() {
        let bias = parameters[channels + j / points];
        for v in matrix::column_mut(batch.rb_mut(), j) {
            *v += bias;
        }
    }
}

/// Columns of J: for a weight the rows times the scaled values, for a bias the rows, summed over
/// the features of the channel.
pub(super) fn write_gain_and_bias(
    values: MatRef<'_, f64>,
    rows: MatRef<'_, f64>,
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
            let deltas = matrix::column(rows, feature);
            if place >= channels {
                for (t, d) in column.iter_mut().zip(deltas) {
                    *t += d;
                }
                continue;
            }
            let values = matrix::column(values, feature);
            let components = column.chunks_exact_mut(samples);
            for (t, d) in components.zip(deltas.chunks_exact(samples)) {
                for (t, (d, v)) in t.iter_mut().zip(d.iter().zip(values)) {
                    *t += d * v;
                }
            }
        }
    }
}
