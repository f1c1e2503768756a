//! Nonlinearities as layers.

use super::activation::Activation;
use super::layer::{Layer, Values};
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
use crate::linalg::{Scratch, simd};
use faer::reborrow::ReborrowMut;

impl Layer for Activation {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        Ok(inputs)
    }

    fn forward(
        &self,
        _: &[f64],
        input: MatRef<'_, f64>,
        mut output: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        for j in 0..input.ncols() {
            let column = matrix::column_mut(output.rb_mut(), j);
            column.copy_from_slice(matrix::column(input, j));
            if *self == Self::Tanh {
                simd::tanh(column);
                continue;
            }
            for v in column {
                *v = self.apply(*v);
            }
        }
    }

    fn backward(
        &self,
        parameters: &[f64],
        at: Values<'_>,
        rows: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        // The derivative is diagonal.
        self.jvp_input(parameters, at, rows, target, Accum::Replace, scratch);
    }

    /// Multiplies each row of a sample by that sample's derivatives.
    fn jvp_input(
        &self,
        _: &[f64],
        at: Values<'_>,
        tangent: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        accumulate: Accum,
        scratch: &mut Scratch,
    ) {
        let samples = at.input.nrows();
        let mut slope = scratch.take_numbers(samples);
        for j in 0..tangent.ncols() {
            let (x, y) = (matrix::column(at.input, j), matrix::column(at.output, j));
            self.write_derivatives(x, y, &mut slope);
            let rows = matrix::column(tangent, j).chunks_exact(samples);
            let target = matrix::column_mut(target.rb_mut(), j).chunks_exact_mut(samples);
            simd::vectorised(
                #[inline(always)]
                || {
                    for (target, row) in target.zip(rows) {
                        let moved = row.iter().zip(&slope).map(|(v, d)| v * d);
                        matrix::write(target, accumulate, moved);
                    }
                },
            );
        }
        scratch.give_numbers(slope);
    }

    fn activation(&self) -> Option<Activation> {
        Some(*self)
    }
}
