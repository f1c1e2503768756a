//! Derivatives of a network's output in its input, carried through the layers with the values
//! (Taylor-mode differentiation; for the Laplacian the forward Laplacian of arXiv 2307.08214).
//!
//! A *jet* of a sample has C components: the value, first derivatives ∂ᵢ, and second ones, each ∂ᵢ∂ⱼ or a
//! sum of ∂ᵢ∂ᵢ. Each is a pass of the sample through the network (see [`Passes`]): an affine layer takes
//! them one by one, without its bias but for the value, and at an activation s = σ(z) they meet,
//!
//! ```text
//! ∂ᵢs = σ'·∂ᵢz,      ∂ᵢ∂ⱼs = σ'·∂ᵢ∂ⱼz + σ''·∂ᵢz·∂ⱼz,
//! ```
//!
//! so that all of them are exact and a row of J remains the sum Σ_c δ_c ⊗ a_c over the components.

use super::activation::Activation;
use super::chain::Node;
use super::jet_rule::{Products, Rule, Slopes};
use super::layer::Values;
use super::passes::Passes;
use super::{Activations, Network};
use crate::error::{Error, Result};
use crate::linalg::Scratch;
use crate::linalg::matrix::{self, Accum, Mat, MatMut, MatRef};
use crate::linalg::simd;
use faer::reborrow::{Reborrow, ReborrowMut};
use std::sync::Arc;

/// A derivative of a field in its coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Derivative {
    /// The field itself.
    Value,
    /// ∂ᵢ.
    First(usize),
    /// ∂ᵢ∂ⱼ with i ≤ j.
    Second(usize, usize),
    /// Σ ∂ᵢ∂ᵢ over the coordinates from one up to, and without, another.
    Laplacian(usize, usize),
}

/// The derivatives that the values in a network carry along.
///
/// ```
/// use hig::network::{Derivative, Jets};
/// // u_t and u_xx of u(t, x).
/// let jets = Jets::of(2).with_first(0).with_second(1, 1);
/// assert_eq!(jets.place(Derivative::First(0)), Some(1));
/// // The value, ∂ₜ and ∂ₓ, without which there is no ∂ₓ∂ₓ, and that one.
/// assert_eq!(jets.count(), 4);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jets {
    inputs: usize,
    components: Vec<Derivative>,
    biased: Vec<bool>,
    products: Products,
}

impl Jets {
    /// The value of a field of so many coordinates.
    pub fn of(inputs: usize) -> Self {
        Self {
            inputs,
            components: vec![Derivative::Value],
            biased: vec![true],
            products: vec![Vec::new()],
        }
    }

    /// The same with ∂ᵢ.
    ///
    /// # Panics
    /// If there is no such coordinate; so do the others.
    #[must_use]
    pub fn with_first(self, i: usize) -> Self {
        self.with(Derivative::First(i))
    }

    /// The same with all first derivatives.
    #[must_use]
    pub fn with_gradient(self) -> Self {
        (0..self.inputs).fold(self, Self::with_first)
    }

    /// The same with ∂ᵢ∂ⱼ, and the first derivatives that it is made of.
    #[must_use]
    pub fn with_second(self, i: usize, j: usize) -> Self {
        self.with(Derivative::Second(i.min(j), i.max(j)))
    }

    /// The same with Σ ∂ᵢ∂ᵢ over a range of coordinates, and the first derivatives that it is made of.
    #[must_use]
    pub fn with_laplacian(self, of: std::ops::Range<usize>) -> Self {
        self.with(Derivative::Laplacian(of.start, of.end))
    }

    /// The same with all that another one has, of a field of as many coordinates.
    #[must_use]
    pub fn joined(self, other: &Self) -> Self {
        other.components.iter().fold(self, |all, c| all.with(*c))
    }

    fn with(mut self, derivative: Derivative) -> Self {
        let last = match derivative {
            Derivative::Value => 0,
            Derivative::First(i) => i + 1,
            Derivative::Second(_, j) => j + 1,
            Derivative::Laplacian(first, last) => {
                assert!(first < last, "a Laplacian of no coordinate");
                last
            }
        };
        let inputs = self.inputs;
        assert!(last <= inputs, "{derivative:?} of {inputs} coordinates");
        let firsts: Vec<usize> = match derivative {
            Derivative::Value | Derivative::First(_) => Vec::new(),
            Derivative::Second(i, j) => vec![i, j],
            Derivative::Laplacian(first, last) => (first..last).collect(),
        };
        for i in firsts {
            self.add(Derivative::First(i));
        }
        self.add(derivative);
        self.products = self.products_of_all();
        self
    }

    /// First derivatives stand before second ones.
    fn add(&mut self, derivative: Derivative) {
        if self.place(derivative).is_some() {
            return;
        }
        let place = match derivative {
            Derivative::First(_) => 1 + self.firsts(),
            _ => self.components.len(),
        };
        self.components.insert(place, derivative);
        self.biased.push(false);
    }

    /// Number of coordinates.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Number of components, C.
    pub fn count(&self) -> usize {
        self.components.len()
    }

    /// The components in their order: the value, first derivatives, second ones.
    pub fn components(&self) -> &[Derivative] {
        &self.components
    }

    /// Where a component stands.
    pub fn place(&self, derivative: Derivative) -> Option<usize> {
        self.components.iter().position(|c| *c == derivative)
    }

    /// The components as passes through a network.
    pub fn passes(&self) -> Passes<'_> {
        Passes::new(&self.biased)
    }

    /// Number of first derivatives.
    fn firsts(&self) -> usize {
        let first = |c: &&Derivative| matches!(c, Derivative::First(_));
        self.components.iter().filter(first).count()
    }

    fn products_of_all(&self) -> Products {
        let first = |i: usize| {
            let place = self.place(Derivative::First(i));
            place.expect("it was added before")
        };
        let of = |component: &Derivative| match *component {
            Derivative::Second(i, j) => vec![(first(i), first(j))],
            Derivative::Laplacian(from, to) => (from..to).map(|i| (first(i), first(i))).collect(),
            Derivative::Value | Derivative::First(_) => Vec::new(),
        };
        self.components.iter().map(of).collect()
    }

    /// The jets of points x (b × inputs) themselves: C·b × inputs, component by component.
    fn seed(&self, points: MatRef<'_, f64>, mut target: MatMut<'_, f64>) {
        let samples = points.nrows();
        target.fill(0.0);
        target.rb_mut().subrows_mut(0, samples).copy_from(points);
        for (c, component) in self.components.iter().enumerate() {
            if let Derivative::First(i) = component {
                let ones = target.rb_mut().submatrix_mut(c * samples, *i, samples, 1);
                { ones }.fill(1.0);
            }
        }
    }
}

impl Jets {
    /// Takes the velocity and the acceleration of jets (C·b × width) along a curve from before an activation to
    /// behind it.
    pub(super) fn second_along(
        &self,
        activation: Activation,
        at: Values<'_>,
        (velocity, acceleration): (MatRef<'_, f64>, MatRef<'_, f64>),
        mut behind: (MatMut<'_, f64>, MatMut<'_, f64>),
        scratch: &mut Scratch,
    ) {
        self.with_rule(activation, at.input.nrows(), |rule| {
            let mut slopes = Slopes::take(rule.samples, scratch);
            for j in 0..velocity.ncols() {
                let values = (matrix::column(at.input, j), matrix::column(at.output, j));
                let before = (matrix::column(velocity, j), matrix::column(acceleration, j));
                let behind = (
                    matrix::column_mut(behind.0.rb_mut(), j),
                    matrix::column_mut(behind.1.rb_mut(), j),
                );
                rule.second_along(values, before, behind, &mut slopes);
            }
            slopes.give_to(scratch);
        });
    }

    /// Calls `work` with the rule for an activation.
    fn with_rule<R>(
        &self,
        activation: Activation,
        virtual_samples: usize,
        work: impl FnOnce(&Rule<'_>) -> R,
    ) -> R {
        work(&Rule {
            activation,
            products: &self.products,
            samples: virtual_samples / self.count(),
        })
    }

    /// Writes the jets behind an activation (C·b × width).
    fn forward(
        &self,
        activation: Activation,
        input: MatRef<'_, f64>,
        mut output: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        self.with_rule(activation, input.nrows(), |rule| {
            let b = rule.samples;
            let mut slopes = Slopes::take(b, scratch);
            for j in 0..input.ncols() {
                let z = matrix::column(input, j);
                let y = matrix::column_mut(output.rb_mut(), j);
                y[..b].copy_from_slice(&z[..b]);
                match activation {
                    Activation::Tanh => simd::tanh(&mut y[..b]),
                    _ => y[..b].iter_mut().for_each(|y| *y = activation.apply(*y)),
                }
                rule.forward(z, y, &mut slopes);
            }
            slopes.give_to(scratch);
        });
    }

    /// Takes rows of cotangents (k·C·b × width) from behind an activation to before it.
    pub(super) fn backward(
        &self,
        activation: Activation,
        at: Values<'_>,
        rows: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        scratch: &mut Scratch,
    ) {
        let all = at.input.nrows();
        self.with_rule(activation, all, |rule| {
            let mut slopes = Slopes::take(rule.samples, scratch);
            for j in 0..rows.ncols() {
                let z = matrix::column(at.input, j);
                rule.write(z, matrix::column(at.output, j), &mut slopes);
                let behind = matrix::column(rows, j).chunks_exact(all.max(1));
                let before = matrix::column_mut(target.rb_mut(), j).chunks_exact_mut(all.max(1));
                for (before, behind) in before.zip(behind) {
                    rule.backward(z, behind, before, &slopes);
                }
            }
            slopes.give_to(scratch);
        });
    }

    /// Takes a tangent of the jets (C·b × width) from before an activation to behind it.
    pub(super) fn tangent(
        &self,
        activation: Activation,
        at: Values<'_>,
        tangent: MatRef<'_, f64>,
        mut target: MatMut<'_, f64>,
        accumulate: Accum,
        scratch: &mut Scratch,
    ) {
        self.with_rule(activation, at.input.nrows(), |rule| {
            let mut slopes = Slopes::take(rule.samples, scratch);
            for j in 0..tangent.ncols() {
                let z = matrix::column(at.input, j);
                rule.write(z, matrix::column(at.output, j), &mut slopes);
                let behind = matrix::column_mut(target.rb_mut(), j);
                rule.tangent(z, matrix::column(tangent, j), behind, accumulate, &slopes);
            }
            slopes.give_to(scratch);
        });
    }
}

impl Network {
    /// Checks that derivatives in the input can be carried through every layer.
    ///
    /// # Errors
    /// Another number of coordinates than the network has inputs; a layer that is neither affine nor an
    /// activation nor made for them; an activation without the second derivatives that are asked for, by name.
    pub fn check_jets(&self, jets: &Jets) -> Result<()> {
        if jets.inputs != self.inputs() {
            return Err(Error::Shape {
                what: "coordinates of the derivatives".into(),
                found: format!("{}", jets.inputs),
                expected: format!("{} (the inputs of the network)", self.inputs()),
            });
        }
        let second = jets.products.iter().any(|products| !products.is_empty());
        for (place, layer) in self.layers() {
            let refused = match layer.activation() {
                Some(Activation::Relu) if second => {
                    "a smooth activation, such as tanh: second derivatives of relu are 0 wherever they \
                     are numbers, and an equation cannot be met with them"
                }
                Some(_) => continue,
                None if layer.is_affine() || jets.count() == 1 => continue,
                None if layer.through_jets().is_some() => continue,
                None => "a layer through which derivatives in the input can be carried",
            };
            return Err(Error::setting(
                "network",
                format!("{layer:?} (layer {place})"),
                refused,
            ));
        }
        Ok(())
    }

    /// Forward pass of points (b × inputs) with the derivatives in the input that are asked for. What it
    /// keeps are the values of C·b virtual samples, component by component, which every product
    /// with [`Jets::passes`] takes as it takes others.
    ///
    /// # Panics
    /// With jets that [`check_jets`](Self::check_jets) refuses.
    pub fn forward_jets(
        &self,
        parameters: &[f64],
        points: MatRef<'_, f64>,
        jets: &Arc<Jets>,
    ) -> Activations {
        let mut values = Activations::default();
        let scratch = &mut Scratch::new();
        self.forward_jets_into(parameters, points, jets, &mut values, scratch);
        values
    }

    /// The same into the values of an earlier pass.
    ///
    /// # Panics
    /// As [`forward_jets`](Self::forward_jets).
    pub fn forward_jets_into(
        &self,
        parameters: &[f64],
        points: MatRef<'_, f64>,
        jets: &Arc<Jets>,
        values: &mut Activations,
        scratch: &mut Scratch,
    ) {
        let samples = points.nrows();
        values.reshape(jets.count() * samples, &self.widths);
        values.jets = Some(Arc::clone(jets));
        jets.seed(points, values.values[0].as_mut());
        for (i, node) in self.nodes.iter().enumerate() {
            let (before, behind) = values.values.split_at_mut(i + 1);
            let (here, mut output) = (before[i].as_ref(), behind[0].as_mut());
            let layer = match node {
                Node::Layer(layer) => layer,
                Node::Join(join, back) => {
                    let earlier = before[i - back].as_ref();
                    join.write(Some(earlier), Some(here), earlier.ncols(), output);
                    continue;
                }
            };
            if let Some(activation) = layer.activation() {
                jets.forward(activation, here, output, scratch);
                continue;
            }
            if let Some(layer) = layer.through_jets() {
                layer.forward(jets, here, output);
                continue;
            }
            let one = jets.count() == 1;
            assert!(one || layer.is_affine(), "{layer:?} carries no derivatives");
            let parameters = &parameters[self.ranges[i].clone()];
            let (mut value, rest) = output.rb_mut().split_at_row_mut(samples);
            let (point, slopes) = here.split_at_row(samples);
            layer.forward(parameters, point, value.rb_mut(), scratch);
            if !one {
                let at = Values {
                    input: point,
                    output: value.rb(),
                };
                layer.jvp_input(parameters, at, slopes, rest, Accum::Replace, scratch);
            }
        }
    }

    /// The jets of the output at points (b × inputs): C·b × outputs, component by component.
    ///
    /// # Errors
    /// As [`check_jets`](Self::check_jets).
    pub fn jets(
        &self,
        parameters: &[f64],
        points: MatRef<'_, f64>,
        jets: &Jets,
    ) -> Result<Mat<f64>> {
        /// Points that pass together.
        const POINTS: usize = 128;
        self.check_jets(jets)?;
        let (b, shared) = (points.nrows(), &Arc::new(jets.clone()));
        let mut found = Mat::zeros(jets.count() * b, self.outputs());
        let (mut values, mut scratch) = (Activations::default(), Scratch::new());
        for first in (0..b).step_by(POINTS) {
            let count = POINTS.min(b - first);
            let points = points.subrows(first, count);
            self.forward_jets_into(parameters, points, shared, &mut values, &mut scratch);
            for c in 0..jets.count() {
                let target = found.as_mut().subrows_mut(c * b + first, count);
                { target }.copy_from(values.output().as_ref().subrows(c * count, count));
            }
        }
        Ok(found)
    }
}
