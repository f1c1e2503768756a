//! The dense layer, output = input·Wᵀ + bias.

use super::layer::{GramFactor, Layer};
use crate::matrix::{self, Mat, MatMut, MatRef};
use faer::Accum;
use faer::reborrow::ReborrowMut;

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

/// A column of a column-major matrix.
fn contiguous(matrix: MatMut<'_, f64>, column: usize) -> &mut [f64] {
    matrix
        .col_mut(column)
        .try_as_col_major_mut()
        .expect("columns are contiguous")
        .as_slice_mut()
}

impl Layer for Dense {
    fn outputs(&self, _: usize) -> usize {
        self.outputs
    }

    fn parameters(&self) -> Vec<(&'static str, Vec<usize>)> {
        vec![
            ("weight", vec![self.outputs, self.inputs]),
            ("bias", vec![self.outputs]),
        ]
    }

    fn forward(&self, parameters: &[f64], input: MatRef<'_, f64>) -> Mat<f64> {
        let output = matrix::product(input, self.weight(parameters).transpose());
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
        let mut output = self.forward(direction, input.as_ref());
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
            let column = contiguous(target.rb_mut(), k);
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

    fn gram_factor(&self, input: &Mat<f64>, rows: &Mat<f64>) -> Option<GramFactor> {
        let mut mask = Mat::from_fn(input.nrows(), input.nrows(), |_, _| 1.0);
        matrix::multiply(mask.as_mut(), Accum::Add, input.as_ref(), input.transpose());
        Some(GramFactor {
            rows: rows.clone(),
            mask,
        })
    }

    fn write_jacobian(&self, input: &Mat<f64>, rows: &Mat<f64>, mut target: MatMut<'_, f64>) {
        let samples = input.nrows();
        let weights = self.outputs * self.inputs;
        for r in 0..rows.nrows() {
            let column = contiguous(target.rb_mut(), r);
            let sample = r % samples;
            for (o, weight) in column[..weights].chunks_exact_mut(self.inputs).enumerate() {
                let delta = rows[(r, o)];
                for (i, w) in weight.iter_mut().enumerate() {
                    *w = delta * input[(sample, i)];
                }
            }
            for (o, b) in column[weights..].iter_mut().enumerate() {
                *b = rows[(r, o)];
            }
        }
    }
}
