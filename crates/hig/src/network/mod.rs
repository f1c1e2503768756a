//! Networks as chains of layers with one flat parameter vector.

mod activation;
mod architectures;
mod chain;
mod columns;
mod conv2d;
mod dense;
mod grid;
mod initialize;
mod layer;
mod layer_norm;
mod resample;
mod scale;
mod weights;

pub use activation::{ANY_ACTIVATION, Activation};
pub use chain::Chain;
pub(crate) use columns::each_chunk;
pub use conv2d::Conv2d;
pub use dense::Dense;
pub use grid::{Boundary, Grid};
pub use initialize::{ANY_INITIALIZER, Initializer};
pub use layer::{Initial, Layer, Parameter};
pub use layer_norm::LayerNorm;
pub use resample::{AveragePool2d, Upsample2d};
pub use scale::Scale;

use crate::data::{Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, MatRef};
use chain::Node;
use std::borrow::Cow;
use std::ops::Range;

/// A chain of layers. The network holds shapes only; parameters are a flat `[f64]` beside it.
#[derive(Debug)]
pub struct Network {
    nodes: Vec<Node>,
    /// Width of the input, and of every node's output.
    widths: Vec<usize>,
    ranges: Vec<Range<usize>>,
    /// Whether a later join reads the value before each node, and the output.
    joined: Vec<bool>,
    initializer: Initializer,
}

/// A parameter array by name, as a place in the flat vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterView {
    /// `layers.{i}.weight` or `layers.{i}.bias`; i counts the layers that have parameters, in the
    /// order of the chain, through its nested pieces.
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

    /// The values of a range of samples.
    pub fn samples(&self, range: Range<usize>) -> Self {
        let part = |value: &Mat<f64>| value.get(range.clone(), ..).to_owned();
        Self(self.0.iter().map(part).collect())
    }
}

impl Network {
    /// A network for inputs of the given width.
    ///
    /// # Errors
    /// The first layer whose input has the wrong width, with that width and the right one.
    pub fn new(inputs: usize, chain: Chain, initializer: Initializer) -> Result<Self> {
        let nodes = chain.0;
        let (mut widths, mut ranges) = (vec![inputs], Vec::with_capacity(nodes.len()));
        let mut joined = vec![false; nodes.len() + 1];
        let mut end = 0;
        for (place, node) in nodes.iter().enumerate() {
            let found = widths[place];
            let (name, width, count) = match node {
                Node::Layer(layer) => (
                    format!("{layer:?}"),
                    layer.outputs(found),
                    layer::parameter_count(layer.as_ref()),
                ),
                Node::Join(join, back) => {
                    joined[place - back] = true;
                    let earlier = widths[place - back];
                    (join.name().into(), join.outputs(earlier, found), 0)
                }
            };
            widths.push(width.map_err(|expected| Error::Layer {
                place,
                layer: name,
                found,
                expected,
            })?);
            let start = end;
            end = usize::saturating_add(start, count);
            ranges.push(start..end);
        }
        Ok(Self {
            nodes,
            widths,
            ranges,
            joined,
            initializer,
        })
    }

    /// Width of the input.
    pub fn inputs(&self) -> usize {
        self.widths[0]
    }

    /// Width of the output.
    pub fn outputs(&self) -> usize {
        self.widths[self.nodes.len()]
    }

    /// Number of parameters, p; of a network too large for any memory perhaps less, see
    /// [`size`](Self::size).
    pub fn parameter_count(&self) -> usize {
        self.ranges.last().map_or(0, |range| range.end)
    }

    /// Number of parameters as a real number, for which no layer is too large: a network holds shapes
    /// only, so that this can be asked before there are parameters.
    pub fn size(&self) -> f64 {
        let arrays = self.layers().flat_map(|(_, layer)| layer.parameters());
        arrays.map(|array| array.size()).sum()
    }

    /// Sum of the widths of all values that a sample passes through, a measure of memory.
    pub fn total_width(&self) -> usize {
        self.widths.iter().sum()
    }

    /// The layers with their places in the chain.
    fn layers(&self) -> impl DoubleEndedIterator<Item = (usize, &dyn Layer)> {
        self.nodes
            .iter()
            .enumerate()
            .filter_map(|(i, node)| match node {
                Node::Layer(layer) => Some((i, layer.as_ref())),
                Node::Join(..) => None,
            })
    }

    /// All parameter arrays with what they hold at the start.
    fn arrays(&self) -> Vec<(ParameterView, Initial)> {
        let mut arrays = Vec::new();
        let with_parameters = self.layers().filter(|(i, _)| !self.ranges[*i].is_empty());
        for (i, (place, layer)) in with_parameters.enumerate() {
            let mut start = self.ranges[place].start;
            for parameter in layer.parameters() {
                let range = start..start + parameter.count();
                start = range.end;
                let view = ParameterView {
                    name: format!("layers.{i}.{}", parameter.name),
                    shape: parameter.shape,
                    range,
                };
                arrays.push((view, parameter.initial));
            }
        }
        arrays
    }

    /// All parameter arrays by name, in the order of the flat vector.
    pub fn views(&self) -> Vec<ParameterView> {
        self.arrays().into_iter().map(|(view, _)| view).collect()
    }

    /// Initial parameters from a seed: weights by the initializer, biases zero, gains as their layer
    /// says.
    pub fn initial_parameters(&self, seed: u64) -> Vec<f64> {
        let mut random = random(seed, Purpose::Weights);
        let mut parameters = vec![0.0; self.parameter_count()];
        for (view, initial) in self.arrays() {
            let values = &mut parameters[view.range];
            match initial {
                Initial::Constant(value) => values.fill(value),
                Initial::Weights { inputs, outputs } => {
                    let count = values.len();
                    let weights = self.initializer.draw(count, inputs, outputs, &mut random);
                    values.copy_from_slice(&weights);
                }
            }
        }
        parameters
    }

    /// Output of a batch (samples × inputs → samples × outputs).
    pub fn predict(&self, parameters: &[f64], input: MatRef<'_, f64>) -> Mat<f64> {
        let mut value = input.to_owned();
        let mut kept: Vec<Option<Mat<f64>>> = vec![None; self.nodes.len() + 1];
        for (i, node) in self.nodes.iter().enumerate() {
            let next = match node {
                Node::Layer(layer) => layer.forward(&parameters[self.ranges[i].clone()], &value),
                Node::Join(join, back) => {
                    let earlier = kept[i - back].as_ref().unwrap_or(&value);
                    join.forward(earlier, &value)
                }
            };
            if self.joined[i] {
                kept[i] = Some(value);
            }
            value = next;
        }
        value
    }

    /// Forward pass that keeps what the backward passes need.
    pub fn forward(&self, parameters: &[f64], input: MatRef<'_, f64>) -> Activations {
        let mut values = vec![input.to_owned()];
        for (i, node) in self.nodes.iter().enumerate() {
            values.push(match node {
                Node::Layer(layer) => {
                    layer.forward(&parameters[self.ranges[i].clone()], &values[i])
                }
                Node::Join(join, back) => join.forward(&values[i - back], &values[i]),
            });
        }
        Activations(values)
    }

    /// Calls `visit(layer, its parameter range, its input, rows at its output)` for the layers with
    /// parameters, from the last to the first, with the rows of output cotangents (k·b × outputs)
    /// carried backwards.
    pub fn backward<'a>(
        &'a self,
        parameters: &[f64],
        values: &'a Activations,
        rows: &Mat<f64>,
        mut visit: impl FnMut(&'a dyn Layer, Range<usize>, &'a Mat<f64>, &Mat<f64>),
    ) {
        // Below the first layer with parameters nothing asks for the rows.
        let Some(first) = self.ranges.iter().position(|range| !range.is_empty()) else {
            return;
        };
        let mut rows = Cow::Borrowed(rows);
        let mut pending: Vec<Option<Mat<f64>>> = vec![None; self.nodes.len()];
        for (i, node) in self.nodes.iter().enumerate().skip(first).rev() {
            let range = self.ranges[i].clone();
            let mut next = match node {
                Node::Layer(layer) => {
                    let (input, output) = (&values.0[i], &values.0[i + 1]);
                    if !range.is_empty() {
                        visit(layer.as_ref(), range.clone(), input, &rows);
                    }
                    if i == first {
                        return;
                    }
                    layer.backward(&parameters[range], input, output, &rows)
                }
                Node::Join(join, back) => {
                    let earlier = i - back;
                    let (before, here) = join.backward(&rows, self.widths[earlier]);
                    match &mut pending[earlier] {
                        Some(sum) => *sum += before,
                        none => *none = Some(before),
                    }
                    here
                }
            };
            if let Some(before) = pending[i].take() {
                next += before;
            }
            rows = Cow::Owned(next);
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
            &cotangents,
            |layer, range, input, rows| {
                let part = gradients.as_mut().subrows_mut(range.start, range.len());
                layer.write_gradients(input, rows, part);
            },
        );
        gradients
    }

    /// Tangent of the output (samples × outputs) for a direction in parameter space.
    pub fn jvp(&self, parameters: &[f64], values: &Activations, direction: &[f64]) -> Mat<f64> {
        let samples = values.output().nrows();
        let mut tangent: Option<Mat<f64>> = None;
        let mut kept: Vec<Option<Mat<f64>>> = vec![None; self.nodes.len() + 1];
        for (i, node) in self.nodes.iter().enumerate() {
            if self.joined[i] {
                kept[i] = tangent.clone();
            }
            tangent = match node {
                Node::Layer(layer) => {
                    let range = self.ranges[i].clone();
                    layer.jvp(
                        &parameters[range.clone()],
                        &direction[range],
                        &values.0[i],
                        &values.0[i + 1],
                        tangent,
                    )
                }
                Node::Join(join, back) => join.jvp(
                    kept[i - back].as_ref(),
                    tangent.as_ref(),
                    (samples, self.widths[i - back], self.widths[i]),
                ),
            };
        }
        tangent.unwrap_or_else(|| Mat::zeros(samples, self.outputs()))
    }

    /// J (k·b × parameters) for rows of output cotangents (k·b × outputs): row r is the gradient of
    /// row r.
    pub fn jacobian(&self, parameters: &[f64], values: &Activations, rows: &Mat<f64>) -> Mat<f64> {
        let mut jacobian = Mat::zeros(rows.nrows(), self.parameter_count());
        self.backward(parameters, values, rows, |layer, range, input, rows| {
            let part = jacobian.as_mut().subcols_mut(range.start, range.len());
            columns::write_columns(layer, input, rows, 0..range.len(), part);
        });
        jacobian
    }

    /// Jᵀ (parameters × k·b): the same, with contiguous gradients.
    pub fn transposed_jacobian(
        &self,
        parameters: &[f64],
        values: &Activations,
        rows: &Mat<f64>,
    ) -> Mat<f64> {
        let mut jacobian = Mat::zeros(self.parameter_count(), rows.nrows());
        self.backward(parameters, values, rows, |layer, range, input, rows| {
            each_chunk(layer, input, rows, |part, columns| {
                let first = range.start + part.start;
                let mut target = jacobian.as_mut().subrows_mut(first, part.len());
                target.copy_from(columns.transpose());
            });
        });
        jacobian
    }

    /// Outputs of the nonlinearities (samples × width each), first layer first.
    pub fn activated<'a>(
        &'a self,
        values: &'a Activations,
    ) -> impl Iterator<Item = (Activation, &'a Mat<f64>)> {
        self.layers()
            .filter_map(|(i, layer)| layer.activation().map(|a| (a, &values.0[i + 1])))
    }
}
