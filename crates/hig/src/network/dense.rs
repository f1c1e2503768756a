//! The dense layer, output = input·Wᵀ + bias.

use super::layer::{Layer, Values, expect_width};
use super::moments::SharedWeight;
use super::parameter::Parameter;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
use crate::linalg::simd::vectorised;
use crate::linalg::{Scratch, Symmetric};
use faer::reborrow::ReborrowMut;
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
}

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

    fn forward(
        &self,
        parameters: &[f64],
        input: MatRef<'_, f64>,
        mut output: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        let weight = self.weight(parameters).transpose();
        matrix::multiply(output.rb_mut(), Accum::Replace, input, weight);
        let bias = &parameters[self.outputs * self.inputs..];
        vectorised(
            #[inline(always)]
            || {
                for (j, b) in bias.iter().enumerate() {
                    for v in matrix::column_mut(output.rb_mut(), j) {
                        *v += b;
                    }
                }
            },
        );
    }

    fn backward(
        &self,
        parameters: &[f64],
        _: Values<'_>,
        rows: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        matrix::multiply(target, Accum::Replace, rows, self.weight(parameters));
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
        let weight = self.weight(parameters).transpose();
        matrix::multiply(target, accumulate, tangent, weight);
    }

    fn write_columns(
        &self,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        columns: Range<usize>,
        mut target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        let (samples, weights) = (input.nrows(), self.outputs * self.inputs);
        vectorised(
            #[inline(always)]
            || {
                for (j, place) in columns.enumerate() {
                    let column = matrix::column_mut(target.rb_mut(), j);
                    if place >= weights {
                        column.copy_from_slice(matrix::column(rows, place - weights));
                        continue;
                    }
                    let values = matrix::column(input, place % self.inputs);
                    let deltas = matrix::column(rows, place / self.inputs);
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

    fn write_gradients(
        &self,
        input: MatRef<'_, f64>,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        let samples = input.nrows();
        for k in 0..target.ncols() {
            let rows = rows.subrows(k * samples, samples);
            let column = matrix::column_mut(target.rb_mut(), k);
            let (weight, bias) = column.split_at_mut(self.outputs * self.inputs);
            matrix::multiply(
                MatMut::from_row_major_slice_mut(weight, self.outputs, self.inputs),
                Accum::Replace,
                rows.transpose(),
                input,
            );
            vectorised(
                #[inline(always)]
                || {
                    for (j, b) in bias.iter_mut().enumerate() {
                        *b = matrix::sum(matrix::column(rows, j));
                    }
                },
            );
        }
    }

    fn is_outer_product(&self) -> bool {
        true
    }

    fn is_affine(&self) -> bool {
        true
    }

    fn shared_weight(&self) -> Option<SharedWeight> {
        Some(SharedWeight {
            inputs: self.inputs,
            outputs: self.outputs,
            positions: 1,
        })
    }

    fn add_input_moment(
        &self,
        input: MatRef<'_, f64>,
        ones: &[f64],
        sum: &mut Symmetric,
        scratch: &mut Scratch,
    ) {
        let mut read = scratch.take(input.nrows(), self.inputs + 1);
        read.as_mut().subcols_mut(0, self.inputs).copy_from(input);
        read.column_mut(self.inputs).copy_from_slice(ones);
        sum.add(read.as_ref().transpose());
        scratch.give(read);
    }

    fn add_output_moment(&self, rows: MatRef<'_, f64>, sum: &mut Symmetric, _: &mut Scratch) {
        sum.add(rows.transpose());
    }
}
