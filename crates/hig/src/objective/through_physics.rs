//! A network called once, then a simulator, then a loss: y = P(x, net(x; θ)).
//!
//! J = ∂y/∂θ runs through network and physics. Its n = b·dim(y) rows are stacked component by
//! component: row `component · b + sample`.

use super::by_products::ByProducts;
use super::linearized::check_finite_losses;
use super::network_jacobian::by_network_jacobian;
use super::{Jacobian, Linearized, NetworkJacobian, Objective, Reduction, Saturation, Sketch};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::linalg::{self, Mat, MatRef, Scratch, Symmetric};
use crate::loss::Loss;
use crate::network::{Activations, LayerMoments, Network, ParameterView, Passes, Unknown};
use crate::physics::{Record, Simulator};
use crate::timing::part;
use rayon::prelude::*;
use std::borrow::Cow;
use std::sync::OnceLock;

/// Network, physics and loss: what is needed to linearise a batch.
pub struct ThroughPhysics {
    /// The network u = net(x; θ).
    pub network: Network,
    /// The physics y = P(state, u).
    pub physics: Box<dyn Simulator>,
    /// The loss L(y, ŷ) of a sample.
    pub loss: Box<dyn Loss>,
    /// Whether a batch counts by the mean or the sum of its samples' losses.
    pub reduction: Reduction,
    /// What the passes of one update leave to those of the next.
    scratch: Scratch,
}

impl ThroughPhysics {
    /// A batch counts by the mean of its samples' losses.
    pub fn new(
        network: Network,
        physics: impl Simulator + 'static,
        loss: impl Loss + 'static,
    ) -> Self {
        Self {
            network,
            physics: Box::new(physics),
            loss: Box::new(loss),
            reduction: Reduction::Mean,
            scratch: Scratch::new(),
        }
    }

    /// The same with the losses of a batch summed instead of averaged.
    pub fn summed(mut self) -> Self {
        self.reduction = Reduction::Sum;
        self
    }

    /// What the network tells the physics of a data set, u (samples × control).
    pub fn control(&self, parameters: &[f64], data: &Dataset) -> Mat<f64> {
        self.predict(parameters, data.input.as_ref())
    }

    /// Values inside the network.
    fn forward(&self, parameters: &[f64], data: &Dataset) -> Activations {
        let (mut values, input) = (Activations::default(), data.input.as_ref());
        self.scratch.with_another(|scratch| {
            self.network
                .forward_into(parameters, input, &mut values, scratch);
        });
        values
    }

    fn predict(&self, parameters: &[f64], input: MatRef<'_, f64>) -> Mat<f64> {
        let mut output = Mat::zeros(input.nrows(), self.network.outputs());
        self.scratch.with_another(|scratch| {
            let output = output.as_mut();
            self.network
                .predict_into(parameters, input, output, scratch);
        });
        output
    }
}

impl Objective for ThroughPhysics {
    fn parameters(&self) -> Vec<ParameterView> {
        self.network.views()
    }

    fn initial(&self, seed: u64) -> Vec<f64> {
        self.network.initial_parameters(seed)
    }

    fn unknowns(&self) -> Vec<(Unknown, Option<usize>)> {
        self.network.unknowns()
    }

    fn rows(&self, samples: usize) -> usize {
        samples * self.physics.widths().output
    }

    fn pass_numbers(&self, samples: usize) -> usize {
        let widths = self.network.total_width() + self.physics.widths().control;
        self.rows(samples) * widths
    }

    fn product_numbers(&self, samples: usize) -> Option<usize> {
        let (output, control) = (self.physics.widths().output, self.physics.widths().control);
        let widths = self.network.total_width() + control + output;
        self.physics.has_products().then(|| samples * widths)
    }

    fn check(&self) -> Result<()> {
        let widths = self.physics.widths();
        if self.network.outputs() != widths.control {
            return Err(Error::Shape {
                what: "network output".into(),
                found: format!("width {}", self.network.outputs()),
                expected: format!("width {} (the control of the physics)", widths.control),
            });
        }
        self.loss.check(widths.output)
    }

    fn check_samples(&self, samples: &Dataset) -> Result<()> {
        let widths = self.physics.widths();
        samples.check(self.network.inputs(), widths.state, widths.output)
    }

    fn outputs(&self, at: &[f64], samples: &Dataset) -> Result<Mat<f64>> {
        let control = self.control(at, samples);
        let state = samples.state.as_ref();
        self.physics.simulate(state, control.as_ref())
    }

    /// In chunks as the physics asks.
    fn loss(&self, at: &[f64], samples: &Dataset) -> Result<f64> {
        let size = self.physics.chunk().clamp(1, samples.len().max(1));
        let chunks: Vec<f64> = (0..samples.len().div_ceil(size))
            .into_par_iter()
            .map(|chunk| {
                let first = chunk * size;
                let count = size.min(samples.len() - first);
                let rows = |matrix: &'_ Mat<f64>| matrix.as_ref().subrows(first, count).to_owned();
                let (input, state) = (rows(&samples.input), rows(&samples.state));
                let control = self.predict(at, input.as_ref());
                let y = self.physics.simulate(state.as_ref(), control.as_ref())?;
                let target = samples.target.as_ref().subrows(first, count);
                Ok(self.loss.values(y.as_ref(), target).iter().sum())
            })
            .collect::<Result<_>>()?;
        Ok(chunks.iter().sum::<f64>() / samples.len() as f64)
    }

    fn linearize<'a>(
        &'a self,
        batch: &'a Dataset,
        at: &'a [f64],
    ) -> Result<Box<dyn Linearized + 'a>> {
        Ok(Box::new(Linearization::new(self, batch, at)?))
    }

    fn tells_layer_moments(&self) -> bool {
        true
    }

    /// Of the tanh and sine neurons.
    fn saturation(&self, at: &[f64], samples: &Dataset) -> Result<Option<Saturation>> {
        let input = samples.input.as_ref();
        Ok(Saturation::of_network(&self.network, at, input))
    }

    fn through_physics(&self) -> Option<&ThroughPhysics> {
        Some(self)
    }

    fn through_physics_mut(&mut self) -> Option<&mut ThroughPhysics> {
        Some(self)
    }
}

/// A batch linearised through network, physics and loss.
///
/// ```
/// use hig::objective::{Jacobian, Linearization};
/// use hig::systems::{System, Toy};
/// let problem = Toy { samples: 16, ..Toy::default() }.problem(0);
/// let parameters = problem.initial_parameters(0);
/// let parts = problem.through_physics().unwrap();
/// let at = Linearization::new(parts, &problem.train, &parameters)?;
/// let k = at.gram()?.complete();
/// let j = at.jacobian()?.formed();
/// assert_eq!((k.nrows(), j.nrows(), j.ncols()), (32, 32, 30));
/// # Ok::<(), hig::Error>(())
/// ```
pub struct Linearization<'a> {
    parts: &'a ThroughPhysics,
    batch: &'a Dataset,
    parameters: &'a [f64],
    activations: Activations,
    record: Box<dyn Record>,
    cotangent: Vec<f64>,
    mean_loss: f64,
    loss: f64,
    rows: OnceLock<Mat<f64>>,
    /// Sample, control and value of the first number of a product with the Jacobian of the physics that
    /// was not finite.
    spoilt: OnceLock<(usize, usize, f64)>,
}

impl<'a> Linearization<'a> {
    /// One forward pass through network and physics at `parameters` (length p).
    ///
    /// # Errors
    /// A simulation that fails.
    pub fn new(
        parts: &'a ThroughPhysics,
        batch: &'a Dataset,
        parameters: &'a [f64],
    ) -> Result<Self> {
        let _part = part!(FORWARD);
        let activations = parts.forward(parameters, batch);
        let control = activations.output().as_ref();
        let record = parts.physics.record(batch.state.as_ref(), control)?;
        let (y, target) = (record.y().as_ref(), batch.target.as_ref());
        let losses = parts.loss.values(y, target);
        Ok(Self {
            parts,
            batch,
            parameters,
            cotangent: parts.reduction.rows(&parts.loss.cotangents(y, target)),
            mean_loss: Reduction::Mean.loss(&losses),
            loss: parts.reduction.loss(&losses),
            activations,
            record,
            rows: OnceLock::new(),
            spoilt: OnceLock::new(),
        })
    }

    /// Network, physics and loss.
    pub fn parts(&self) -> &'a ThroughPhysics {
        self.parts
    }

    /// The samples.
    pub fn batch(&self) -> &'a Dataset {
        self.batch
    }

    /// Values inside the network.
    pub fn activations(&self) -> &Activations {
        &self.activations
    }

    /// Output of the network u (samples × control).
    pub fn control(&self) -> &Mat<f64> {
        self.activations.output()
    }

    /// Output of the physics y (samples × dim(y)).
    pub fn y(&self) -> &Mat<f64> {
        self.record.y()
    }

    /// The physics rows ∂y_i/∂u, stacked (n × control); computed once.
    ///
    /// # Errors
    /// A simulator that fails.
    pub fn physics_rows(&self) -> Result<&Mat<f64>> {
        if let Some(rows) = self.rows.get() {
            return Ok(rows);
        }
        let _part = part!(GRAM);
        let rows = self.record.rows()?;
        Ok(self.rows.get_or_init(|| rows))
    }

    /// J.
    ///
    /// # Errors
    /// A simulator that fails.
    pub fn jacobian(&self) -> Result<NetworkJacobian<'_>> {
        Ok(self.jacobian_of(Cow::Borrowed(self.physics_rows()?)))
    }

    fn jacobian_of<'s>(&'s self, rows: Cow<'s, Mat<f64>>) -> NetworkJacobian<'s> {
        let network = &self.parts.network;
        NetworkJacobian::new(network, self.parameters, &self.activations, rows)
            .with_scratch(&self.parts.scratch)
    }
}

impl Linearized for Linearization<'_> {
    fn parameters(&self) -> &[f64] {
        self.parameters
    }

    fn loss(&self) -> f64 {
        self.loss
    }

    fn mean_loss(&self) -> f64 {
        self.mean_loss
    }

    fn cotangent(&self) -> &[f64] {
        &self.cotangent
    }

    fn curvature(&self) -> Result<Vec<f64>> {
        let target = self.batch.target.as_ref();
        let of_samples = self.parts.loss.curvature(self.y().as_ref(), target);
        Ok(self.parts.reduction.rows(&of_samples))
    }

    /// By the adjoint of the simulation, whether its rows are there or not.
    fn gradient(&self) -> Result<Vec<f64>> {
        let _part = part!(DIRECTION);
        let (samples, components) = (self.y().nrows(), self.y().ncols());
        let g = MatRef::from_column_major_slice(&self.cotangent, samples, components);
        let du = self.record.vjp(g)?;
        if let Some(place) = linalg::first_not_finite(du.as_ref()) {
            self.spoilt.get_or_init(|| place);
        }
        let network = &self.parts.network;
        let mut gradient = vec![0.0; self.parameters.len()];
        let (at, du) = (&self.activations, du.as_ref());
        self.parts.scratch.with_another(|scratch| {
            network.vjp_into(self.parameters, at, du, &mut gradient, scratch);
        });
        Ok(gradient)
    }

    fn loss_at(&self, parameters: &[f64]) -> Result<f64> {
        let _part = part!(FORWARD);
        let mean = Objective::loss(self.parts, parameters, self.batch)?;
        Ok(self.parts.reduction.of_mean(mean, self.batch.len()))
    }

    fn outputs(&self) -> Vec<f64> {
        linalg::stack(self.y().as_ref())
    }

    fn outputs_at(&self, parameters: &[f64]) -> Result<Vec<f64>> {
        let _part = part!(FORWARD);
        let y = Objective::outputs(self.parts, parameters, self.batch)?;
        Ok(linalg::stack(y.as_ref()))
    }

    fn loss_and_outputs_at(&self, at: &[f64]) -> Result<(f64, Vec<f64>)> {
        let _part = part!(FORWARD);
        let parts = self.parts;
        let y = Objective::outputs(parts, at, self.batch)?;
        let losses = parts.loss.values(y.as_ref(), self.batch.target.as_ref());
        Ok((parts.reduction.loss(&losses), linalg::stack(y.as_ref())))
    }

    fn moved<'s>(&'s self, parameters: &'s [f64]) -> Result<Box<dyn Linearized + 's>> {
        self.parts.linearize(self.batch, parameters)
    }

    fn tangent(&self, v: &[f64]) -> Result<Vec<f64>> {
        let _part = part!(FORWARD);
        let network = &self.parts.network;
        let mut du = Mat::zeros(self.batch.len(), network.outputs());
        self.parts.scratch.with_another(|scratch| {
            network.jvp_into(self.parameters, &self.activations, v, du.as_mut(), scratch);
        });
        Ok(linalg::stack(self.record.jvp(du.as_ref())?.as_ref()))
    }

    /// By the adjoint of the simulation, which begins with the probes.
    fn layer_moments(&self, probes: MatRef<'_, f64>) -> Result<Option<Vec<LayerMoments>>> {
        let _part = part!(DIRECTION);
        let (samples, components) = (self.y().nrows(), self.y().ncols());
        let network = &self.parts.network;
        let cotangents = Mat::from_fn(samples * probes.ncols(), components, |row, i| {
            probes[(i * samples + row % samples, row / samples)]
        });
        let rows = self.record.vjps(cotangents.as_ref())?;
        let (values, rows) = (&self.activations, rows.as_ref());
        let moments = self.parts.scratch.with_another(|scratch| {
            network.moments(self.parameters, values, rows, Passes::ONE, scratch)
        });
        Ok(Some(moments))
    }

    fn samples(&self) -> Option<usize> {
        Some(self.batch.len())
    }

    fn check_finite(&self) -> Result<()> {
        let (parts, samples) = (self.parts, self.batch.len());
        let physics = || parts.physics.name();
        if let Some((s, i, value)) = linalg::first_not_finite(self.y().as_ref()) {
            let control = self.control().as_ref().subrows(s, 1);
            return Err(match linalg::first_not_finite(control) {
                Some((_, j, value)) => Error::of_sample("output of the network", value, s, j),
                None => Error::of_sample(format!("output of {}", physics()), value, s, i),
            });
        }
        let (y, target) = (self.y().as_ref(), self.batch.target.as_ref());
        let losses = parts.loss.values(y, target);
        check_finite_losses(&losses, &self.cotangent)?;
        let rows = self.rows.get();
        if let Some((row, j, value)) = rows.and_then(|r| linalg::first_not_finite(r.as_ref())) {
            let what = format!("Jacobian of {}", physics());
            return Err(Error::of_sample(what, value, row % samples, row / samples).by_control(j));
        }
        match self.spoilt.get() {
            Some((s, j, value)) => {
                let what = format!("product with the Jacobian of {}", physics());
                Err(Error::of_sample(what, *value, *s, None).by_control(*j))
            }
            None => Ok(()),
        }
    }

    fn through_physics(&self) -> Option<&Linearization<'_>> {
        Some(self)
    }
}

/// All by the rows of the physics: they are simulated at the first question, and the next ones are
/// cheaper than simulations.
impl Jacobian for Linearization<'_> {
    by_network_jacobian!();

    /// The adjoint of the simulation begins with the combinations, so that its cost is that of n_s rows.
    fn combined_rows<'s>(&'s self, sketch: &Sketch) -> Result<Box<dyn Jacobian + 's>> {
        let _part = part!(GRAM);
        let rows = self.record.vjps(sketch.weights().as_ref())?;
        if let Some((row, j, value)) = linalg::first_not_finite(rows.as_ref()) {
            self.spoilt
                .get_or_init(|| (row % self.batch.len(), j, value));
        }
        Ok(Box::new(self.jacobian_of(Cow::Owned(rows))))
    }

    fn by_products<'s>(&'s self, factors: &[f64]) -> Result<Box<dyn Jacobian + 's>> {
        match self.parts.physics.has_products() {
            true => Ok(Box::new(ByProducts::new(
                self,
                self.record.as_ref(),
                factors,
            ))),
            false => self.scaled_rows(factors),
        }
    }
}
