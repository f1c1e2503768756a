//! Networks as chains of layers with one flat parameter vector.

mod activation;
mod dense;
mod initialize;
mod layer;
mod weights;

pub use activation::{ANY_ACTIVATION, Activation};
pub use dense::Dense;
pub use initialize::{ANY_INITIALIZER, Initializer};
pub use layer::{GramFactor, Layer};

use crate::data::{Purpose, random};
use crate::matrix::{Mat, MatRef};
use std::ops::Range;

/// A chain of layers. The network holds shapes only; parameters are a flat `[f64]` beside it.
#[derive(Debug)]
pub struct Network {
    inputs: usize,
    outputs: usize,
    layers: Vec<Box<dyn Layer>>,
    ranges: Vec<Range<usize>>,
    initializer: Initializer,
}

/// A parameter array by name, as a place in the flat vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterView {
    /// `layers.{i}.weight` or `layers.{i}.bias`; i counts the layers that have parameters.
    pub name: String,
    /// Extents; row-major.
    pub shape: Vec<usize>,
    /// Place in the flat vector.
    pub range: Range<usize>,
}

/// The values that passed through a network: input, every layer's output.
#[derive(Debug, Clone)]
pub struct Activations(Vec<Mat<f64>>);

impl Activations {
    /// Output of the network (samples × outputs).
    pub fn output(&self) -> &Mat<f64> {
        self.0.last().expect("the input is always there")
    }
}

impl Network {
    /// A multilayer perceptron: dense layers of the given widths (input first, output last) with
    /// `activation` between them and a linear output.
    ///
    /// ```
    /// use hig::network::{Activation, Initializer, Network};
    /// let network = Network::mlp(&[1, 7, 2], Activation::Tanh, Initializer::Glorot);
    /// assert_eq!(network.parameter_count(), 7 + 7 + 14 + 2);
    /// ```
    ///
    /// # Panics
    /// With fewer than two widths.
    pub fn mlp(widths: &[usize], activation: Activation, initializer: Initializer) -> Self {
        assert!(widths.len() >= 2, "a network has an input and an output");
        let mut layers: Vec<Box<dyn Layer>> = Vec::new();
        for (i, pair) in widths.windows(2).enumerate() {
            if i > 0 && activation != Activation::Identity {
                layers.push(Box::new(activation));
            }
            layers.push(Box::new(Dense {
                inputs: pair[0],
                outputs: pair[1],
            }));
        }
        Self::new(widths[0], layers, initializer)
    }

    /// A chain of any layers for inputs of the given width.
    pub fn new(inputs: usize, layers: Vec<Box<dyn Layer>>, initializer: Initializer) -> Self {
        let mut ranges = Vec::with_capacity(layers.len());
        let (mut end, mut outputs) = (0, inputs);
        for layer in &layers {
            let count: usize = layer
                .parameters()
                .iter()
                .map(|(_, shape)| shape.iter().product::<usize>())
                .sum();
            ranges.push(end..end + count);
            end += count;
            outputs = layer.outputs(outputs);
        }
        Self {
            inputs,
            outputs,
            layers,
            ranges,
            initializer,
        }
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Number of parameters, p.
    pub fn parameter_count(&self) -> usize {
        self.ranges.last().map_or(0, |range| range.end)
    }

    /// Sum of the widths of all values that a sample passes through, a measure of memory.
    pub fn total_width(&self) -> usize {
        let mut width = self.inputs;
        let widths = self.layers.iter().map(|layer| {
            width = layer.outputs(width);
            width
        });
        self.inputs + widths.sum::<usize>()
    }

    /// All parameter arrays by name, in the order of the flat vector.
    pub fn views(&self) -> Vec<ParameterView> {
        let mut views = Vec::new();
        let with_parameters = self
            .layers
            .iter()
            .zip(&self.ranges)
            .filter(|(_, range)| !range.is_empty());
        for (i, (layer, range)) in with_parameters.enumerate() {
            let mut start = range.start;
            for (array, shape) in layer.parameters() {
                let end = start + shape.iter().product::<usize>();
                views.push(ParameterView {
                    name: format!("layers.{i}.{array}"),
                    shape,
                    range: start..end,
                });
                start = end;
            }
        }
        views
    }

    /// Initial parameters from a seed: weights by the initializer, biases zero.
    pub fn initial_parameters(&self, seed: u64) -> Vec<f64> {
        let mut random = random(seed, Purpose::Weights);
        let mut parameters = vec![0.0; self.parameter_count()];
        for view in self.views() {
            if let [outputs, inputs] = view.shape[..] {
                let weights = self.initializer.draw(inputs, outputs, &mut random);
                parameters[view.range].copy_from_slice(&weights);
            }
        }
        parameters
    }

    /// Output of a batch (samples × inputs → samples × outputs).
    pub fn predict(&self, parameters: &[f64], input: MatRef<'_, f64>) -> Mat<f64> {
        let mut value = input.to_owned();
        for (layer, range) in self.layers.iter().zip(&self.ranges) {
            value = layer.forward(&parameters[range.clone()], value.as_ref());
        }
        value
    }

    /// Forward pass that keeps what the backward passes need.
    pub fn forward(&self, parameters: &[f64], input: MatRef<'_, f64>) -> Activations {
        let mut values = vec![input.to_owned()];
        for (layer, range) in self.layers.iter().zip(&self.ranges) {
            let value = layer.forward(
                &parameters[range.clone()],
                values[values.len() - 1].as_ref(),
            );
            values.push(value);
        }
        Activations(values)
    }

    /// Calls `visit(layer, its parameter range, its input, rows at its output)` from the last layer
    /// to the first, with the rows of output cotangents carried backwards.
    fn backward<'a>(
        &'a self,
        parameters: &[f64],
        values: &'a Activations,
        rows: Mat<f64>,
        mut visit: impl FnMut(&'a dyn Layer, Range<usize>, &'a Mat<f64>, &Mat<f64>),
    ) {
        let mut rows = rows;
        for (l, layer) in self.layers.iter().enumerate().rev() {
            let (input, output) = (&values.0[l], &values.0[l + 1]);
            let range = self.ranges[l].clone();
            visit(layer.as_ref(), range.clone(), input, &rows);
            // Below the first layer with parameters nothing asks for the rows.
            if range.start == 0 && !range.is_empty() {
                break;
            }
            rows = layer.backward(&parameters[range], input, output, &rows);
        }
    }

    /// Gradients with respect to the parameters: Σ over samples of (∂output/∂θ)ᵀ · cotangent for
    /// each of k cotangents of the batch, stacked (k·samples × outputs); parameters × k.
    pub fn vjp(&self, parameters: &[f64], values: &Activations, cotangents: Mat<f64>) -> Mat<f64> {
        let count = cotangents.nrows() / values.output().nrows();
        let mut gradients = Mat::zeros(self.parameter_count(), count);
        self.backward(
            parameters,
            values,
            cotangents,
            |layer, range, input, rows| {
                let part = gradients.as_mut().subrows_mut(range.start, range.len());
                layer.write_gradients(input, rows, part);
            },
        );
        gradients
    }

    /// Tangent of the output (samples × outputs) for a direction in parameter space.
    pub fn jvp(&self, parameters: &[f64], values: &Activations, direction: &[f64]) -> Mat<f64> {
        let mut tangent = None;
        for (l, layer) in self.layers.iter().enumerate() {
            let range = self.ranges[l].clone();
            let (input, output) = (&values.0[l], &values.0[l + 1]);
            tangent = layer.jvp(
                &parameters[range.clone()],
                &direction[range],
                input,
                output,
                tangent,
            );
        }
        tangent.unwrap_or_else(|| Mat::zeros(values.output().nrows(), self.outputs))
    }

    /// The layers' parts of K = J·Jᵀ for rows of output cotangents (k·b × outputs).
    pub fn gram_factors(
        &self,
        parameters: &[f64],
        values: &Activations,
        rows: Mat<f64>,
    ) -> Vec<GramFactor> {
        let mut factors = Vec::new();
        self.backward(parameters, values, rows, |layer, _, input, rows| {
            factors.extend(layer.gram_factor(input, rows));
        });
        factors
    }

    /// Jᵀ (parameters × k·b) for rows of output cotangents (k·b × outputs): column r is the
    /// gradient of row r.
    pub fn transposed_jacobian(
        &self,
        parameters: &[f64],
        values: &Activations,
        rows: Mat<f64>,
    ) -> Mat<f64> {
        let mut jacobian = Mat::zeros(self.parameter_count(), rows.nrows());
        self.backward(parameters, values, rows, |layer, range, input, rows| {
            let part = jacobian.as_mut().subrows_mut(range.start, range.len());
            layer.write_jacobian(input, rows, part);
        });
        jacobian
    }

    /// Outputs of the nonlinearities (samples × width each), first layer first.
    pub fn activated<'a>(
        &'a self,
        values: &'a Activations,
    ) -> impl Iterator<Item = (Activation, &'a Mat<f64>)> {
        self.layers
            .iter()
            .enumerate()
            .filter_map(|(l, layer)| layer.activation().map(|a| (a, &values.0[l + 1])))
    }
}
