//! The Jacobian of outputs that a network leads to, from the rows ∂y/∂u at the network's output.

use super::Jacobian;
use crate::error::Result;
use crate::linalg::{Mat, MatRef, Symmetric, product_in_blocks, stack};
use crate::network::{Activations, Layer, Network, each_chunk};
use crate::physics::{rows_times, rows_transposed_times};
use std::borrow::Cow;
use std::ops::Range;

/// J = ∂y/∂θ (n × p) of a batch that went through a network, given the rows ∂y_i/∂u at its output. K
/// comes layer by layer and J is formed a bounded piece at a time, so that J need never exist.
#[derive(Debug)]
pub struct NetworkJacobian<'a> {
    network: &'a Network,
    parameters: &'a [f64],
    activations: &'a Activations,
    /// Row `component · samples + sample`: ∂y_component/∂u of the sample.
    rows: Cow<'a, Mat<f64>>,
}

impl<'a> NetworkJacobian<'a> {
    /// From the values of a batch inside a network, and the rows ∂y_i/∂u stacked as row
    /// `component · samples + sample` (n × outputs of the network).
    pub fn new(
        network: &'a Network,
        parameters: &'a [f64],
        activations: &'a Activations,
        rows: Cow<'a, Mat<f64>>,
    ) -> Self {
        Self {
            network,
            parameters,
            activations,
            rows,
        }
    }

    /// The rows ∂y_i/∂u (n × outputs of the network).
    pub fn output_rows(&self) -> &Mat<f64> {
        &self.rows
    }

    /// J (n × p).
    pub fn formed(&self) -> Mat<f64> {
        self.network
            .jacobian(self.parameters, self.activations, &self.rows)
    }

    /// diag(factors)·J (factors: length n).
    pub fn with_scaled_rows(&self, factors: &[f64]) -> Self {
        let mut rows = self.rows.as_ref().clone();
        for j in 0..rows.ncols() {
            for (row, factor) in rows.col_as_slice_mut(j).iter_mut().zip(factors) {
                *row *= factor;
            }
        }
        Self {
            rows: Cow::Owned(rows),
            ..*self
        }
    }

    fn samples(&self) -> usize {
        self.activations.output().nrows()
    }

    /// Calls `visit(layer, its input, the rows at its output)` for the layers with parameters, from the
    /// last to the first.
    fn each_layer(&self, mut visit: impl FnMut(&dyn Layer, &Mat<f64>, &Mat<f64>)) {
        let visit = |layer: &dyn Layer, _, input: &Mat<f64>, rows: &Mat<f64>| {
            visit(layer, input, rows);
        };
        self.network
            .backward(self.parameters, self.activations, &self.rows, visit);
    }

    /// Calls `visit` with blocks of rows of J until every row was there once, in a fixed order.
    ///
    /// A block has some components of some samples: the rows of a sample share its passage through
    /// the network, so that a block takes all components where they fit.
    fn each_rows(&self, mut visit: impl FnMut(MatRef<'_, f64>)) {
        // Numbers of J held at a time (64 MiB), unless one row has more.
        const HELD: usize = 1 << 23;
        let samples = self.samples();
        let components = self.rows.nrows() / samples.max(1);
        let most = (HELD / self.parameters.len().max(1)).max(1);
        if most >= samples * components {
            visit(self.formed().as_ref());
            return;
        }
        let of_samples = (most / components).clamp(1, samples);
        let of_components = (most / of_samples).clamp(1, components);
        for first in (0..samples).step_by(of_samples) {
            let count = of_samples.min(samples - first);
            let values = self.activations.samples(first..first + count);
            for component in (0..components).step_by(of_components) {
                let last = components.min(component + of_components);
                let rows = self.rows_of(first, count, component..last);
                let block = self.network.jacobian(self.parameters, &values, &rows);
                visit(block.as_ref());
            }
        }
    }

    /// The rows of some components of `count` samples, stacked as those of a batch.
    fn rows_of(&self, first: usize, count: usize, components: Range<usize>) -> Mat<f64> {
        let mut rows = Mat::zeros(components.len() * count, self.rows.ncols());
        for (i, component) in components.enumerate() {
            let from = self
                .rows
                .get(component * self.samples() + first.., ..)
                .subrows(0, count);
            rows.as_mut().subrows_mut(i * count, count).copy_from(from);
        }
        rows
    }
}

impl Jacobian for NetworkJacobian<'_> {
    fn rows(&self) -> usize {
        self.rows.nrows()
    }

    fn columns(&self) -> usize {
        self.parameters.len()
    }

    fn vjp(&self, w: &[f64]) -> Result<Vec<f64>> {
        let samples = self.samples();
        let w = MatRef::from_column_major_slice(w, samples, w.len() / samples.max(1));
        let cotangent = rows_transposed_times(&self.rows, w);
        let gradient = self
            .network
            .vjp(self.parameters, self.activations, cotangent);
        Ok(gradient.col_as_slice(0).to_vec())
    }

    fn jvp(&self, v: &[f64]) -> Result<Vec<f64>> {
        let tangent = self.network.jvp(self.parameters, self.activations, v);
        Ok(stack(rows_times(&self.rows, tangent.as_ref()).as_ref()))
    }

    fn gram(&self) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(self.rows());
        self.each_layer(|layer, input, rows| add_gram(&mut sum, layer, input, rows));
        Ok(sum)
    }

    fn image_gram(&self, w: MatRef<'_, f64>) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(w.ncols());
        self.each_layer(|layer, input, rows| {
            layer.images(input, rows, w, &mut |images| sum.add(images.transpose()));
        });
        Ok(sum)
    }

    fn normal(&self) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(self.columns());
        self.each_rows(|rows| sum.add(rows.transpose()));
        Ok(sum)
    }

    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Result<Symmetric> {
        let mut sum = Symmetric::zeros(v.ncols());
        self.each_rows(|rows| sum.add(product_in_blocks(rows, v).transpose()));
        Ok(sum)
    }

    fn transposed(&self) -> Result<Mat<f64>> {
        Ok(self
            .network
            .transposed_jacobian(self.parameters, self.activations, &self.rows))
    }

    fn scaled_rows<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        Ok(Box::new(self.with_scaled_rows(factors)))
    }
}

/// Adds a layer's part of K for rows of cotangents at its output.
fn add_gram(gram: &mut Symmetric, layer: &dyn Layer, input: &Mat<f64>, rows: &Mat<f64>) {
    match layer.gram_mask(input) {
        Some(mask) => gram.add_masked(rows, &mask),
        None => each_chunk(layer, input, rows, |_, columns| gram.add(columns)),
    }
}
