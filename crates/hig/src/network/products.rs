//! Batches through a network, and products with its derivative.

use super::chain::Node;
use super::layer::{Layer, Values};
use super::layer_rows::LayerRows;
use super::moments::{LayerMoments, MomentSums};
use super::passes::Passes;
use super::{Activation, Jets, Network};
use crate::linalg::matrix::{self, Accum, Mat, MatMut, MatRef};
use crate::linalg::{Buffer, Lent, Scratch};
use std::ops::Range;
use std::sync::Arc;

/// The values that passed through a network: input, every layer's output.
#[derive(Debug, Clone, Default)]
pub struct Activations {
    pub(super) values: Vec<Mat<f64>>,
    /// The derivatives that they carry along, where they do.
    pub(super) jets: Option<Arc<Jets>>,
}

impl Activations {
    /// Output of the network (samples × outputs).
    ///
    /// # Panics
    /// If nothing has passed yet.
    pub fn output(&self) -> &Mat<f64> {
        self.values.last().expect("a batch has passed")
    }

    /// The values of a range of samples, in all their passes.
    pub fn samples(&self, range: Range<usize>, passes: Passes<'_>) -> Self {
        let count = range.len();
        let part = |value: &Mat<f64>| {
            let samples = passes.samples(value.nrows());
            let mut part = Mat::zeros(passes.count() * count, value.ncols());
            for pass in 0..passes.count() {
                let from = value.get(pass * samples + range.start.., ..);
                let to = part.as_mut().subrows_mut(pass * count, count);
                { to }.copy_from(from.subrows(0, count));
            }
            part
        };
        Self {
            values: self.values.iter().map(part).collect(),
            jets: self.jets.clone(),
        }
    }

    /// The values of one pass of every sample.
    pub fn pass(&self, pass: usize, passes: Passes<'_>) -> PassValues<'_> {
        let samples = passes.samples(self.output().nrows());
        PassValues {
            all: self,
            samples: passes.range(pass, samples),
        }
    }

    /// Zeros for b points with the derivatives of jets.
    pub(crate) fn zeros_of(jets: &Arc<Jets>, b: usize, network: &Network) -> Self {
        let mut values = Self::default();
        values.reshape(jets.count() * b, &network.widths);
        values.jets = Some(Arc::clone(jets));
        values
    }

    /// Takes `count` rows from other values, from the first of these two on there to the second here.
    pub(crate) fn take_rows(&mut self, other: &Self, count: usize, (from, to): (usize, usize)) {
        for (value, other) in self.values.iter_mut().zip(&other.values) {
            let target = value.as_mut().subrows_mut(to, count);
            matrix::copy(target, other.as_ref().subrows(from, count));
        }
    }

    /// Takes these widths for that many samples.
    pub(super) fn reshape(&mut self, samples: usize, widths: &[usize]) {
        self.values.resize_with(widths.len(), Mat::new);
        for (value, width) in self.values.iter_mut().zip(widths) {
            if value.shape() != (samples, *width) {
                *value = Mat::zeros(samples, *width);
            }
        }
    }

    /// How many numbers there are.
    pub(crate) fn numbers(&self) -> usize {
        let numbers = self
            .values
            .iter()
            .map(|value| value.nrows() * value.ncols());
        numbers.sum()
    }

    /// The values on both sides of a node.
    fn around(&self, node: usize) -> Values<'_> {
        Values {
            input: self.values[node].as_ref(),
            output: self.values[node + 1].as_ref(),
        }
    }
}

/// The values of some of the samples that passed through a network: those of a single pass, or all.
#[derive(Debug, Clone)]
pub struct PassValues<'a> {
    all: &'a Activations,
    samples: Range<usize>,
}

impl<'a> From<&'a Activations> for PassValues<'a> {
    fn from(all: &'a Activations) -> Self {
        let samples = 0..all.output().nrows();
        Self { all, samples }
    }
}

impl<'a> PassValues<'a> {
    fn around(&self, node: usize) -> Values<'a> {
        let (values, Range { start, end }) = (self.all.around(node), self.samples.clone());
        Values {
            input: values.input.subrows(start, end - start),
            output: values.output.subrows(start, end - start),
        }
    }

    fn jets(&self) -> Option<&'a Arc<Jets>> {
        self.all.jets.as_ref()
    }
}

impl Network {
    /// Output of a batch (samples × inputs → samples × outputs).
    pub fn predict(&self, parameters: &[f64], input: MatRef<'_, f64>) -> Mat<f64> {
        let mut output = Mat::zeros(input.nrows(), self.outputs());
        self.predict_into(parameters, input, output.as_mut(), &mut Scratch::new());
        output
    }

    /// Writes the output of a batch.
    pub fn predict_into(
        &self,
        parameters: &[f64],
        input: MatRef<'_, f64>,
        mut output: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let mut value = scratch.copy(input);
        let mut kept = scratch.take_list();
        for (i, node) in self.nodes.iter().enumerate() {
            let mut next = scratch.take(input.nrows(), self.widths[i + 1]);
            match node {
                Node::Layer(layer) => {
                    let parameters = &parameters[self.ranges[i].clone()];
                    layer.forward(parameters, value.as_ref(), next.as_mut(), scratch);
                }
                Node::Join(join, back) => {
                    let earlier = find(&kept, i - back).unwrap_or(value.as_ref());
                    let width = earlier.ncols();
                    join.write(Some(earlier), Some(value.as_ref()), width, next.as_mut());
                }
            }
            let before = std::mem::replace(&mut value, next);
            self.keep(i, Some(before), &mut kept, scratch);
        }
        output.copy_from(value.as_ref());
        scratch.give(value);
        scratch.give_list(kept);
    }

    /// Keeps the value before a node while a join behind it will read it, and gives back what no join
    /// will read again.
    fn keep(
        &self,
        node: usize,
        value: Option<Buffer>,
        kept: &mut Vec<(usize, Buffer)>,
        scratch: &mut Scratch,
    ) {
        match value {
            Some(value) if self.last_read[node] > node => kept.push((node, value)),
            Some(value) => scratch.give(value),
            None => {}
        }
        while let Some(done) = kept.iter().position(|(i, _)| self.last_read[*i] <= node) {
            scratch.give(kept.swap_remove(done).1);
        }
    }

    /// Forward pass that keeps what the backward passes need.
    pub fn forward(&self, parameters: &[f64], input: MatRef<'_, f64>) -> Activations {
        let mut values = Activations::default();
        self.forward_into(parameters, input, &mut values, &mut Scratch::new());
        values
    }

    /// The same into the values of an earlier pass; a batch of the same size allocates nothing.
    pub fn forward_into(
        &self,
        parameters: &[f64],
        input: MatRef<'_, f64>,
        values: &mut Activations,
        scratch: &mut Scratch,
    ) {
        self.forward_pass(parameters, input, (0, Passes::ONE), values, scratch);
    }

    /// The same for one of several passes of every sample, whose values stand beside those of the others.
    pub fn forward_pass(
        &self,
        parameters: &[f64],
        input: MatRef<'_, f64>,
        (pass, passes): (usize, Passes<'_>),
        values: &mut Activations,
        scratch: &mut Scratch,
    ) {
        let samples = input.nrows();
        let Range { start, .. } = passes.range(pass, samples);
        values.reshape(passes.count() * samples, &self.widths);
        values.jets = None;
        let given = values.values[0].as_mut().subrows_mut(start, samples);
        { given }.copy_from(input);
        for (i, node) in self.nodes.iter().enumerate() {
            let (before, behind) = values.values.split_at_mut(i + 1);
            let here = before[i].as_ref().subrows(start, samples);
            let output = behind[0].as_mut().subrows_mut(start, samples);
            match node {
                Node::Layer(layer) => {
                    layer.forward(&parameters[self.ranges[i].clone()], here, output, scratch);
                }
                Node::Join(join, back) => {
                    let earlier = before[i - back].as_ref().subrows(start, samples);
                    join.write(Some(earlier), Some(here), earlier.ncols(), output);
                }
            }
        }
    }

    /// Calls `visit` for the layers with parameters, from the last to the first, with the rows of
    /// output cotangents (k·b × outputs) carried backwards.
    pub fn backward(
        &self,
        parameters: &[f64],
        values: &Activations,
        rows: MatRef<'_, f64>,
        scratch: &mut Scratch,
        mut visit: impl FnMut(LayerRows<'_>, &mut Scratch),
    ) {
        // Below the first layer with parameters nothing asks for the rows.
        let Some(first) = self.ranges.iter().position(|range| !range.is_empty()) else {
            return;
        };
        let values = values.into();
        let carried = self.carry(parameters, &values, rows, first + 1, scratch, &mut visit);
        let rows = carried.as_ref().map_or(rows, Buffer::as_ref);
        if let Some(part) = self.layer_rows(first, &values, rows) {
            visit(part, scratch);
        }
        if let Some(done) = carried {
            scratch.give(done);
        }
    }

    /// Takes rows of output cotangents (k·b × outputs) to those of the input (k·b × inputs).
    pub fn input_rows(
        &self,
        parameters: &[f64],
        values: &Activations,
        rows: MatRef<'_, f64>,
        scratch: &mut Scratch,
    ) -> Mat<f64> {
        self.backward_to_input(parameters, &values.into(), rows, scratch, |_, _| {})
    }

    /// The same, where `visit` is called for the layers with parameters as in [`backward`](Self::backward).
    pub(crate) fn backward_to_input(
        &self,
        parameters: &[f64],
        values: &PassValues<'_>,
        rows: MatRef<'_, f64>,
        scratch: &mut Scratch,
        visit: impl FnMut(LayerRows<'_>, &mut Scratch),
    ) -> Mat<f64> {
        match self.carry(parameters, values, rows, 0, scratch, visit) {
            None => rows.to_owned(),
            Some(carried) => {
                let rows = matrix::owned(carried.as_ref());
                scratch.give(carried);
                rows
            }
        }
    }

    /// Calls `visit` for the layers with parameters, from the last to the first, with rows at their outputs that
    /// an earlier pass backwards left; not for those that have none.
    fn each_layer(
        &self,
        values: &Activations,
        rows: &[Lent<'_>],
        mut visit: impl FnMut(LayerRows<'_>),
    ) {
        let nodes = (0..self.nodes.len()).rev();
        let with_parameters = nodes.filter(|node| !self.ranges[*node].is_empty());
        let left = with_parameters.zip(rows);
        for (node, rows) in left.filter(|(_, rows)| rows.as_ref().nrows() > 0) {
            if let Some(part) = self.layer_rows(node, &values.into(), rows.as_ref()) {
                visit(part);
            }
        }
    }

    /// Writes Jᵀ (parameters × k·b) from rows at the outputs of the layers with parameters, last to first.
    pub(crate) fn write_transposed_of(
        &self,
        values: &Activations,
        rows: &[Lent<'_>],
        passes: Passes<'_>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        self.each_layer(values, rows, |part| {
            let (first, count) = (part.range.start, part.range.len());
            let target = target.as_mut().subrows_mut(first, count);
            part.write_transposed(passes, target, scratch);
        });
    }

    /// Writes the gradient of one cotangent of the batch from its rows at the outputs of the layers with
    /// parameters, last to first.
    pub(crate) fn gradient_of(
        &self,
        values: &Activations,
        rows: &[Lent<'_>],
        gradient: &mut [f64],
        scratch: &mut Scratch,
    ) {
        let count = gradient.len();
        let mut target = MatMut::from_column_major_slice_mut(gradient, count, 1);
        self.each_layer(values, rows, |part| {
            let (first, count) = (part.range.start, part.range.len());
            let target = target.as_mut().subrows_mut(first, count);
            part.write_gradients(Passes::ONE, target, scratch);
        });
    }

    /// A layer with parameters and the rows at its output; none where a node is no such layer.
    fn layer_rows<'a>(
        &'a self,
        node: usize,
        values: &PassValues<'a>,
        rows: MatRef<'a, f64>,
    ) -> Option<LayerRows<'a>> {
        match &self.nodes[node] {
            Node::Layer(layer) if !self.ranges[node].is_empty() => Some(LayerRows {
                layer: layer.as_ref(),
                range: self.ranges[node].clone(),
                input: values.around(node).input,
                rows,
            }),
            _ => None,
        }
    }

    /// Carries rows of output cotangents backwards to the value before node `until` and visits the
    /// layers with parameters on the way; none where that value is the output.
    fn carry(
        &self,
        parameters: &[f64],
        values: &PassValues<'_>,
        rows: MatRef<'_, f64>,
        until: usize,
        scratch: &mut Scratch,
        mut visit: impl FnMut(LayerRows<'_>, &mut Scratch),
    ) -> Option<Buffer> {
        let mut carried: Option<Buffer> = None;
        let mut pending = scratch.take_list();
        for (i, node) in self.nodes.iter().enumerate().skip(until).rev() {
            let rows = carried.as_ref().map_or(rows, Buffer::as_ref);
            let mut next = match node {
                Node::Layer(layer) => {
                    if let Some(part) = self.layer_rows(i, values, rows) {
                        visit(part, scratch);
                    }
                    let parameters = &parameters[self.ranges[i].clone()];
                    let mut next = scratch.take(rows.nrows(), self.widths[i]);
                    let (at, target) = (values.around(i), next.as_mut());
                    let through = (layer.activation(), layer.through_jets());
                    match (values.jets(), through) {
                        (Some(jets), (Some(activation), _)) => {
                            jets.backward(activation, at, rows, target, scratch);
                        }
                        (Some(jets), (_, Some(layer))) => {
                            layer.backward(jets, at.input, rows, target);
                        }
                        _ => layer.backward(parameters, at, rows, target, scratch),
                    }
                    next
                }
                Node::Join(join, back) => {
                    let (before, here) = join.backward(rows, self.widths[i - back]);
                    match pending.iter_mut().find(|(at, _)| *at == i - back) {
                        Some((_, sum)) => sum.add(before),
                        None => pending.push((i - back, scratch.copy(before))),
                    }
                    scratch.copy(here)
                }
            };
            if let Some(place) = pending.iter().position(|(at, _)| *at == i) {
                let (_, before) = pending.swap_remove(place);
                next.add(before.as_ref());
                scratch.give(before);
            }
            if let Some(done) = carried.replace(next) {
                scratch.give(done);
            }
        }
        scratch.give_list(pending);
        carried
    }

    /// What stands for the blocks of the layers with parameters, in their order, for k rows of output
    /// cotangents a sample (k·C·b × outputs) that are each unbiased for the curvature behind the network;
    /// see [`LayerMoments`].
    pub fn moments(
        &self,
        parameters: &[f64],
        values: &Activations,
        rows: MatRef<'_, f64>,
        passes: Passes<'_>,
        scratch: &mut Scratch,
    ) -> Vec<LayerMoments> {
        let mut moments = Vec::new();
        self.backward(parameters, values, rows, scratch, |part, scratch| {
            moments.push(part.moments(passes, scratch));
        });
        moments.reverse();
        moments
    }

    /// Adds what some of the passes give to the moments of all of them, by rows as [`moments`](Self::moments) has
    /// them for these passes.
    pub(crate) fn add_moments(
        &self,
        parameters: &[f64],
        values: &Activations,
        rows: MatRef<'_, f64>,
        passes: Passes<'_>,
        (sums, scratch): (&mut MomentSums, &mut Scratch),
    ) {
        let mut layer = 0;
        self.backward(parameters, values, rows, scratch, |part, scratch| {
            sums.add(layer, &part, passes, scratch);
            layer += 1;
        });
    }

    /// Gradients with respect to the parameters: Σ over samples of (∂output/∂θ)ᵀ · cotangent for
    /// each of k cotangents of the batch, stacked (k·samples × outputs); parameters × k.
    pub fn vjp(
        &self,
        parameters: &[f64],
        values: &Activations,
        cotangents: MatRef<'_, f64>,
    ) -> Mat<f64> {
        let count = cotangents.nrows() / values.output().nrows();
        let mut gradients = Mat::zeros(self.parameter_count(), count);
        self.gradients_into(
            parameters,
            values,
            cotangents,
            Passes::ONE,
            gradients.as_mut(),
            &mut Scratch::new(),
        );
        gradients
    }

    /// Writes the gradient of one cotangent of the batch (samples × outputs).
    pub fn vjp_into(
        &self,
        parameters: &[f64],
        values: &Activations,
        cotangent: MatRef<'_, f64>,
        gradient: &mut [f64],
        scratch: &mut Scratch,
    ) {
        let count = gradient.len();
        let target = MatMut::from_column_major_slice_mut(gradient, count, 1);
        self.gradients_into(parameters, values, cotangent, Passes::ONE, target, scratch);
    }

    /// Writes the gradients of k cotangents of the batch, summed over passes and samples (parameters ×
    /// k).
    pub fn gradients_into(
        &self,
        parameters: &[f64],
        values: &Activations,
        cotangents: MatRef<'_, f64>,
        passes: Passes<'_>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        self.backward(parameters, values, cotangents, scratch, |part, scratch| {
            let (first, count) = (part.range.start, part.range.len());
            let target = target.as_mut().subrows_mut(first, count);
            part.write_gradients(passes, target, scratch);
        });
    }

    /// Tangent of the output (samples × outputs) for a direction in parameter space.
    pub fn jvp(&self, parameters: &[f64], values: &Activations, direction: &[f64]) -> Mat<f64> {
        let mut tangent = Mat::zeros(values.output().nrows(), self.outputs());
        let scratch = &mut Scratch::new();
        self.jvp_into(parameters, values, direction, tangent.as_mut(), scratch);
        tangent
    }

    /// Writes the tangent of the output for a direction in parameter space.
    pub fn jvp_into(
        &self,
        parameters: &[f64],
        values: &Activations,
        direction: &[f64],
        target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        self.tangents_into(parameters, values, direction, Passes::ONE, target, scratch);
    }

    /// The same for samples that pass several times (C·b × outputs): a pass without bias has no share
    /// in a change of the biases.
    pub fn tangents_into(
        &self,
        parameters: &[f64],
        values: &Activations,
        direction: &[f64],
        passes: Passes<'_>,
        target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let changes = (None, direction);
        self.moved_into(parameters, &values.into(), changes, passes, target, scratch);
    }

    /// The same for a change of the input (C·b × inputs, none for no change) beside the direction in parameter
    /// space.
    pub(crate) fn moved_into(
        &self,
        parameters: &[f64],
        values: &PassValues<'_>,
        (input, direction): (Option<MatRef<'_, f64>>, &[f64]),
        passes: Passes<'_>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        // None is zero.
        let mut tangent: Option<Buffer> = input.map(|input| {
            let mut buffer = scratch.take(input.nrows(), input.ncols());
            buffer.as_mut().copy_from(input);
            buffer
        });
        let mut kept = scratch.take_list();
        for (i, node) in self.nodes.iter().enumerate() {
            let here = tangent.as_ref().map(Buffer::as_ref);
            let next = match node {
                Node::Layer(layer) => {
                    let (range, at) = (self.ranges[i].clone(), values.around(i));
                    let (parameters, direction) = (&parameters[range.clone()], &direction[range]);
                    let moves = !direction.is_empty();
                    (moves || here.is_some()).then(|| {
                        let mut next = scratch.take(target.nrows(), self.widths[i + 1]);
                        if moves {
                            let part = (layer.as_ref(), parameters, direction);
                            write_own_tangents(part, at, passes, next.as_mut(), scratch);
                        }
                        if let Some(here) = here {
                            let accumulate = if moves { Accum::Add } else { Accum::Replace };
                            let mut target = next.as_mut();
                            let through = (layer.activation(), layer.through_jets());
                            match (values.jets(), through) {
                                (Some(jets), (Some(activation), _)) => {
                                    jets.tangent(activation, at, here, target, accumulate, scratch);
                                }
                                (Some(jets), (_, Some(layer))) => {
                                    target.fill(0.0);
                                    layer.add_tangent(jets, at.input, here, target);
                                }
                                _ => layer
                                    .jvp_input(parameters, at, here, target, accumulate, scratch),
                            }
                        }
                        next
                    })
                }
                Node::Join(join, back) => {
                    let earlier = match back {
                        0 => here,
                        _ => find(&kept, i - back),
                    };
                    (earlier.is_some() || here.is_some()).then(|| {
                        let mut next = scratch.take(target.nrows(), self.widths[i + 1]);
                        join.write(earlier, here, self.widths[i - back], next.as_mut());
                        next
                    })
                }
            };
            let before = std::mem::replace(&mut tangent, next);
            self.keep(i, before, &mut kept, scratch);
        }
        match tangent {
            Some(tangent) => {
                target.copy_from(tangent.as_ref());
                scratch.give(tangent);
            }
            None => target.fill(0.0),
        }
        scratch.give_list(kept);
    }

    /// The output's velocity and acceleration (C·b × outputs each) for values that carry jets, as the parameters
    /// move along a line: d/dt and d²/dt² at θ + t·direction, by Taylor mode.
    ///
    /// None where a layer has more than the first derivatives that this needs: one that is neither affine
    /// nor an activation, and unknowns of the physics.
    pub fn second_along(
        &self,
        parameters: &[f64],
        values: &Activations,
        direction: &[f64],
        scratch: &mut Scratch,
    ) -> Option<(Buffer, Buffer)> {
        let jets = values.jets.as_ref()?;
        let (passes, all) = (jets.passes(), values.output().nrows());
        let mut curves: Vec<(Buffer, Buffer)> = Vec::with_capacity(self.nodes.len() + 1);
        let still = |curve: &mut (Buffer, Buffer)| {
            curve.0.as_mut().fill(0.0);
            curve.1.as_mut().fill(0.0);
        };
        let curve = |width: usize, scratch: &mut Scratch| {
            let take = |_| scratch.take(all, width);
            <(Buffer, Buffer)>::from([0; 2].map(take))
        };
        curves.push(curve(self.inputs(), scratch));
        still(&mut curves[0]);
        for (i, node) in self.nodes.iter().enumerate() {
            let mut next = curve(self.widths[i + 1], scratch);
            let (velocity, acceleration) = &curves[i];
            match node {
                Node::Join(join, back) => {
                    let (earlier, width) = (&curves[i - back], self.widths[i - back]);
                    let pairs = [
                        (&earlier.0, velocity, &mut next.0),
                        (&earlier.1, acceleration, &mut next.1),
                    ];
                    for (earlier, here, target) in pairs {
                        let (earlier, here) = (Some(earlier.as_ref()), Some(here.as_ref()));
                        join.write(earlier, here, width, target.as_mut());
                    }
                }
                Node::Layer(layer) => {
                    let (range, at) = (self.ranges[i].clone(), values.around(i));
                    let (parameters, direction) = (&parameters[range.clone()], &direction[range]);
                    if let Some(activation) = layer.activation() {
                        let before = (velocity.as_ref(), acceleration.as_ref());
                        let behind = (next.0.as_mut(), next.1.as_mut());
                        jets.second_along(activation, at, before, behind, scratch);
                    } else if let Some(layer) = layer.through_jets() {
                        still(&mut next);
                        layer.add_tangent(jets, at.input, velocity.as_ref(), next.0.as_mut());
                        layer.add_tangent(jets, at.input, acceleration.as_ref(), next.1.as_mut());
                    } else if layer.is_affine() && layer.unknowns().is_empty() {
                        // The input of the network is at rest.
                        let moves = i > 0;
                        if direction.is_empty() || !moves {
                            still(&mut next);
                        }
                        if !direction.is_empty() {
                            let part = (layer.as_ref(), parameters, direction);
                            write_own_tangents(part, at, passes, next.0.as_mut(), scratch);
                        }
                        if !direction.is_empty() && moves {
                            // The weights move while their input does; nothing else is multiplied.
                            let mut weights = scratch.take_numbers(direction.len());
                            for (twice, of) in weights.iter_mut().zip(direction) {
                                *twice = 2.0 * of;
                            }
                            weights[layer.biases()].fill(0.0);
                            let moving = Values {
                                input: velocity.as_ref(),
                                output: at.output,
                            };
                            let target = next.1.as_mut();
                            layer.jvp_parameters(parameters, &weights, moving, target, scratch);
                            scratch.give_numbers(weights);
                        }
                        if moves {
                            let curve = [(velocity, &mut next.0), (acceleration, &mut next.1)];
                            for (of, target) in curve {
                                let (of, target) = (of.as_ref(), target.as_mut());
                                layer.jvp_input(parameters, at, of, target, Accum::Add, scratch);
                            }
                        }
                    } else {
                        return None;
                    }
                }
            }
            curves.push(next);
        }
        let last = curves.pop();
        for (velocity, acceleration) in curves {
            scratch.give(velocity);
            scratch.give(acceleration);
        }
        last
    }

    /// J (k·b × parameters) for rows of output cotangents (k·C·b × outputs): row r is the gradient of
    /// row r, summed over its passes.
    pub fn jacobian(
        &self,
        parameters: &[f64],
        values: &Activations,
        rows: MatRef<'_, f64>,
        passes: Passes<'_>,
    ) -> Mat<f64> {
        let mut jacobian = Mat::zeros(rows.nrows() / passes.count(), self.parameter_count());
        let (target, scratch) = (jacobian.as_mut(), &mut Scratch::new());
        self.jacobian_into(parameters, values, rows, passes, target, scratch);
        jacobian
    }

    /// Writes the same.
    pub fn jacobian_into(
        &self,
        parameters: &[f64],
        values: &Activations,
        rows: MatRef<'_, f64>,
        passes: Passes<'_>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        self.backward(parameters, values, rows, scratch, |part, scratch| {
            let (first, count) = (part.range.start, part.range.len());
            let target = target.as_mut().subcols_mut(first, count);
            part.write_columns(passes, target, scratch);
        });
    }

    /// Jᵀ (parameters × k·b): the same, with contiguous gradients.
    pub fn transposed_jacobian(
        &self,
        parameters: &[f64],
        values: &Activations,
        rows: MatRef<'_, f64>,
        passes: Passes<'_>,
    ) -> Mat<f64> {
        let mut jacobian = Mat::zeros(self.parameter_count(), rows.nrows() / passes.count());
        let scratch = &mut Scratch::new();
        self.backward(parameters, values, rows, scratch, |part, scratch| {
            let (first, count) = (part.range.start, part.range.len());
            let target = jacobian.as_mut().subrows_mut(first, count);
            part.write_transposed(passes, target, scratch);
        });
        jacobian
    }

    /// Outputs of the nonlinearities (samples × width each), first layer first.
    pub fn activated<'a>(
        &'a self,
        values: &'a Activations,
    ) -> impl Iterator<Item = (Activation, &'a Mat<f64>)> {
        self.layers()
            .filter_map(|(i, layer)| layer.activation().map(|a| (a, &values.values[i + 1])))
    }
}

/// Writes the tangents of a layer's output for a direction of its own parameters, pass by pass where
/// not all of them use the bias.
fn write_own_tangents(
    (layer, parameters, direction): (&dyn Layer, &[f64], &[f64]),
    at: Values<'_>,
    passes: Passes<'_>,
    mut target: MatMut<'_, f64>,
    scratch: &mut Scratch,
) {
    if passes.biased().iter().all(|biased| *biased) {
        layer.jvp_parameters(parameters, direction, at, target, scratch);
        return;
    }
    let mut without_bias = scratch.take_numbers(direction.len());
    without_bias.copy_from_slice(direction);
    without_bias[layer.biases()].fill(0.0);
    let samples = passes.samples(target.nrows());
    let mut first = 0;
    // Passes that follow each other and are alike in that are one product.
    for alike in passes.biased().chunk_by(|a, b| a == b) {
        let rows = alike.len() * samples;
        let at = Values {
            input: at.input.subrows(first, rows),
            output: at.output.subrows(first, rows),
        };
        let direction = if alike[0] { direction } else { &without_bias };
        let target = target.as_mut().subrows_mut(first, rows);
        layer.jvp_parameters(parameters, direction, at, target, scratch);
        first += rows;
    }
    scratch.give_numbers(without_bias);
}

/// What is kept of a place.
fn find(kept: &[(usize, Buffer)], place: usize) -> Option<MatRef<'_, f64>> {
    let mut places = kept.iter();
    places
        .find(|(at, _)| *at == place)
        .map(|(_, buffer)| buffer.as_ref())
}
