//! The dense layer, output = input·Wᵀ + bias.

use super::layer::{Layer, Parameter, expect_width};
use crate::linalg::matrix::{self, Mat, MatMut, MatRef, WORTH_THREADS};
use crate::linalg::simd::vectorised;
use faer::Accum;
use faer::reborrow::ReborrowMut;
use rayon::prelude::*;
use std::ops::Range;

/// A dense layer; parameters are the weight (outputs × inputs, row-major) and the bias.
#[derive(Debug, Clone, Copy)]
pub struct Dense {
    /// Width of the input.
    pub inputs: usize,
    /// Width of the output.
    pub outputs: usize,
}

impl Dense {
    fn weight<'a>(&self, parameters: &'a [f64]) -> MatRef<'a, f64> {
        let count = self.outputs * self.inputs;
        MatRef::from_row_major_slice(&parameters[..count], self.outputs, self.inputs)
    }

    fn bias<'a>(&self, parameters: &'a [f64]) -> &'a [f64] {
        &parameters[self.outputs * self.inputs..]
    }

    fn with_bias(&self, mut output: Mat<f64>, bias: &[f64]) -> Mat<f64> {
        for (j, b) in bias.iter().enumerate() {
            for v in output.col_as_slice_mut(j) {
                *v += b;
            }
        }
        output
    }
}

// Numbers of images and what makes them, held at a time (32 MiB), unless one unit has more.
const HELD: usize = 1 << 22;

impl Layer for Dense {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        expect_width(inputs, self.inputs, "its inputs")?;
        Ok(self.outputs)
    }

    fn parameters(&self) -> Vec<Parameter> {
        let shape = vec![self.outputs, self.inputs];
        vec![
            Parameter::weight(shape, self.inputs, self.outputs),
            Parameter::constant("bias", self.outputs, 0.0),
        ]
    }

    fn forward(&self, parameters: &[f64], input: &Mat<f64>) -> Mat<f64> {
        let output = matrix::product(input.as_ref(), self.weight(parameters).transpose());
        self.with_bias(output, self.bias(parameters))
    }

    fn backward(
        &self,
        parameters: &[f64],
        _: &Mat<f64>,
        _: &Mat<f64>,
        rows: &Mat<f64>,
    ) -> Mat<f64> {
        matrix::product(rows.as_ref(), self.weight(parameters))
    }

    fn jvp(
        &self,
        parameters: &[f64],
        direction: &[f64],
        input: &Mat<f64>,
        _: &Mat<f64>,
        tangent: Option<Mat<f64>>,
    ) -> Option<Mat<f64>> {
        let mut output = self.forward(direction, input);
        if let Some(tangent) = tangent {
            matrix::multiply(
                output.as_mut(),
                Accum::Add,
                tangent.as_ref(),
                self.weight(parameters).transpose(),
            );
        }
        Some(output)
    }

    fn write_gradients(&self, input: &Mat<f64>, rows: &Mat<f64>, mut target: MatMut<'_, f64>) {
        let samples = input.nrows();
        for k in 0..target.ncols() {
            let rows = rows.as_ref().subrows(k * samples, samples);
            let column = matrix::column_mut(target.rb_mut(), k);
            let (weight, bias) = column.split_at_mut(self.outputs * self.inputs);
            matrix::multiply(
                MatMut::from_row_major_slice_mut(weight, self.outputs, self.inputs),
                Accum::Replace,
                rows.transpose(),
                input.as_ref(),
            );
            for (b, delta) in bias.iter_mut().zip(rows.col_iter()) {
                *b = delta.iter().sum();
            }
        }
    }

    /// A·Aᵀ + 1 for inputs A: a row of J is the outer product of a row of Δ and (A, 1) of its sample.
    fn gram_mask(&self, input: &Mat<f64>) -> Option<Mat<f64>> {
        let mut mask = Mat::from_fn(input.nrows(), input.nrows(), |_, _| 1.0);
        matrix::multiply(mask.as_mut(), Accum::Add, input.as_ref(), input.transpose());
        Some(mask)
    }

    fn write_columns(
        &self,
        input: &Mat<f64>,
        rows: &Mat<f64>,
        columns: Range<usize>,
        mut target: MatMut<'_, f64>,
    ) {
        let (samples, weights) = (input.nrows(), self.outputs * self.inputs);
        vectorised(
            #[inline(always)]
            || {
                for (j, place) in columns.enumerate() {
                    let column = matrix::column_mut(target.rb_mut(), j);
                    if place >= weights {
                        column.copy_from_slice(rows.col_as_slice(place - weights));
                        continue;
                    }
                    let values = input.col_as_slice(place % self.inputs);
                    let deltas = rows.col_as_slice(place / self.inputs);
                    let components = column.chunks_exact_mut(samples);
                    for (t, d) in components.zip(deltas.chunks_exact(samples)) {
                        for (t, (d, a)) in t.iter_mut().zip(d.iter().zip(values)) {
                            *t = d * a;
                        }
                    }
                }
            },
        );
    }

    /// Sums over the rows of each sample first: for one unit o, row s of X (b × k) is Σ W·Δ over the
    /// components of sample s, and the image of the unit's weight and bias is then (A, 1)ᵀ·X.
    fn images(
        &self,
        input: &Mat<f64>,
        rows: &Mat<f64>,
        w: MatRef<'_, f64>,
        visit: &mut dyn FnMut(MatRef<'_, f64>),
    ) {
        let (samples, count) = (input.nrows(), w.ncols());
        if samples == 0 || count == 0 {
            return;
        }
        let extended = Mat::from_fn(self.inputs + 1, samples, |i, s| {
            if i < self.inputs { input[(s, i)] } else { 1.0 }
        });
        let w = by_sample(w, samples);
        let most = HELD / ((samples + self.inputs + 1) * count);
        for units in groups(self.outputs, most.max(1)) {
            let deltas = by_sample(rows.as_ref().subcols(units.start, units.len()), samples);
            let sums = sums_of_samples(&deltas, &w, samples);
            // Its column (vector, unit) has the units of a vector one behind the other, so that the
            // same numbers are the images of all units, one column a vector.
            let mut image = vec![0.0; extended.nrows() * units.len() * count];
            matrix::multiply_in_blocks(
                MatMut::from_column_major_slice_mut(
                    &mut image,
                    extended.nrows(),
                    units.len() * count,
                ),
                extended.as_ref(),
                sums.transpose(),
            );
            let long = extended.nrows() * units.len();
            visit(MatRef::from_column_major_slice(&image, long, count));
        }
    }
}

/// Ranges of at most `most` that cover `0..count`.
fn groups(count: usize, most: usize) -> impl Iterator<Item = Range<usize>> {
    let starts = (0..count).step_by(most);
    starts.map(move |first| first..count.min(first + most))
}

/// Rows `component · samples + sample` reordered to `sample · components + component`.
fn by_sample(rows: MatRef<'_, f64>, samples: usize) -> Mat<f64> {
    let mut sorted = Mat::zeros(rows.nrows(), rows.ncols());
    let components = rows.nrows() / samples;
    for j in 0..rows.ncols() {
        let from = matrix::column(rows, j).chunks_exact(samples);
        let to = sorted.col_as_slice_mut(j);
        for (c, component) in from.enumerate() {
            let places = to[c..].iter_mut().step_by(components);
            for (t, v) in places.zip(component) {
                *t = *v;
            }
        }
    }
    sorted
}

/// For each sample Δ_sᵀ·W_s (units × k), read column by column: (units·k) × samples.
fn sums_of_samples(deltas: &Mat<f64>, w: &Mat<f64>, samples: usize) -> Mat<f64> {
    let (components, units) = (deltas.nrows() / samples, deltas.ncols());
    let mut sums = Mat::zeros(units * w.ncols(), samples);
    let fill = |(s, column): (usize, MatMut<'_, f64>)| {
        let first = s * components;
        let column = matrix::column_mut(column, 0);
        matrix::multiply(
            MatMut::from_column_major_slice_mut(column, units, w.ncols()),
            Accum::Replace,
            deltas.as_ref().subrows(first, components).transpose(),
            w.as_ref().subrows(first, components),
        );
    };
    let columns = sums.as_mut().par_col_chunks_mut(1).enumerate();
    if deltas.nrows() >= WORTH_THREADS {
        columns.for_each(fill);
    } else {
        columns.with_min_len(samples).for_each(fill);
    }
    sums
}
