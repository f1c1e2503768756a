//! Networks as chains of layers with one flat parameter vector.

mod activation;
mod architectures;
mod chain;
mod conv2d;
mod correlation;
mod dense;
mod elementwise;
mod gram;
mod grid;
mod images;
mod initialize;
mod jet_rule;
mod jets;
mod layer;
mod layer_norm;
mod layer_rows;
mod moments;
mod outer_sums;
mod parameter;
mod passes;
mod products;
mod resample;
mod scale;
mod unknowns;
mod weights;

pub use activation::{ANY_ACTIVATION, Activation};
pub use chain::Chain;
pub use conv2d::Conv2d;
pub use dense::Dense;
pub use gram::GramOperations;
pub use grid::{Boundary, Grid};
pub use initialize::{ANY_INITIALIZER, Initializer};
pub use jets::{Derivative, Jets};
pub use layer::{Layer, ThroughJets, Values};
pub use layer_norm::LayerNorm;
pub use layer_rows::LayerRows;
pub(crate) use moments::MomentSums;
pub use moments::{LayerMoments, Moment, Moments, SharedWeight, WIDE};
pub use parameter::{Initial, Parameter};
pub use passes::Passes;
pub use products::{Activations, PassValues};
pub use resample::{AveragePool2d, Upsample2d};
pub use scale::Scale;
pub use unknowns::{Bounds, Unknown};
pub use weights::{parameters_from, tensors_of};

use crate::data::{Purpose, random};
use crate::error::{Error, Result};
use chain::Node;
use std::ops::Range;

/// A chain of layers. The network holds shapes only; parameters are a flat `[f64]` beside it.
#[derive(Debug)]
pub struct Network {
    nodes: Vec<Node>,
    /// Width of the input, and of every node's output.
    widths: Vec<usize>,
    ranges: Vec<Range<usize>>,
    /// The last join that reads the value before each node from further back; 0 where none does.
    last_read: Vec<usize>,
    initializer: Initializer,
}

/// A parameter array by name, as a place in the flat vector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterView {
    /// `layers.{i}.weight` or `layers.{i}.bias`, or the name of an [`Unknown`] there; i counts the layers that have parameters, in the
    /// order of the chain, through its nested pieces.
    pub name: String,
    /// Extents; row-major.
    pub shape: Vec<usize>,
    /// Place in the flat vector.
    pub range: Range<usize>,
}

impl Network {
    /// A network for inputs of the given width.
    ///
    /// # Errors
    /// The first layer whose input has the wrong width, with that width and the right one.
    pub fn new(inputs: usize, chain: Chain, initializer: Initializer) -> Result<Self> {
        let nodes = chain.0;
        let (mut widths, mut ranges) = (vec![inputs], Vec::with_capacity(nodes.len()));
        let mut last_read = vec![0; nodes.len()];
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
                    if *back > 0 {
                        last_read[place - back] = place;
                    }
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
            last_read,
            initializer,
        })
    }

    /// The same network behind a layer that reads inputs of another width.
    ///
    /// # Errors
    /// A layer of another output than the network reads.
    pub(crate) fn behind(self, inputs: usize, layer: impl Layer + 'static) -> Result<Self> {
        let chain = Chain::new().then(layer).append(Chain(self.nodes));
        Self::new(inputs, chain, self.initializer)
    }

    /// The same network with a layer behind it that reads (x, f(x)), what the network reads before what it
    /// answers.
    ///
    /// # Errors
    /// A layer that reads another width.
    pub(crate) fn beside_input(self, layer: impl Layer + 'static) -> Result<Self> {
        let inputs = self.inputs();
        let chain = Chain::new().skip(Chain(self.nodes)).then(layer);
        Self::new(inputs, chain, self.initializer)
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

    /// The largest width of a value that a sample passes through.
    pub(crate) fn widest(&self) -> usize {
        self.widths.iter().copied().max().unwrap_or(0)
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

    /// Initial parameters from a seed: weights by the initializer, biases zero unless it says otherwise,
    /// gains as their layer says.
    pub fn initial_parameters(&self, seed: u64) -> Vec<f64> {
        let mut random = random(seed, Purpose::Weights);
        let mut parameters = vec![0.0; self.parameter_count()];
        // Of the weight that an array follows.
        let mut fans = None;
        for (view, initial) in self.arrays() {
            let values = &mut parameters[view.range];
            match (initial, fans.take()) {
                (Initial::Constant(_), Some((inputs, outputs)))
                    if self.initializer.draws_biases() =>
                {
                    let count = values.len();
                    let biases = self.initializer.draw(count, inputs, outputs, &mut random);
                    values.copy_from_slice(&biases);
                }
                (Initial::Constant(value), _) => values.fill(value),
                (Initial::Weights { inputs, outputs }, _) => {
                    fans = Some((inputs, outputs));
                    let count = values.len();
                    let weights = self.initializer.draw(count, inputs, outputs, &mut random);
                    values.copy_from_slice(&weights);
                }
            }
        }
        parameters
    }
}
