//! A batch linearised at the current parameters.
//!
//! Holds y and g = ∂L/∂y of the batch's loss, and computes what a step asks for, when it asks:
//! products J·v and Jᵀ·w, the Gram matrices K = J·Jᵀ and JᵀJ, or J itself, where J = ∂y/∂θ runs through
//! network and physics. The n = b·dim(y) rows of J are stacked component by component: row
//! `component · b + sample`.

mod row_blocks;

use super::Jacobian;
use crate::data::Dataset;
use crate::error::Result;
use crate::linalg::matrix::{self, Mat, MatRef};
use crate::linalg::{Scratch, Symmetric};
use crate::loss::Loss;
use crate::network::{Activations, LayerRows, Network, Passes};
use crate::physics::{Record, Simulator};
use crate::timing::part;
use rayon::prelude::*;
use std::sync::{Arc, OnceLock};

/// What a step consumes of a linearization, from cheap to costly. A step states it, so that a
/// trainer can tell the cost in memory before any work starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Consumes {
    /// The gradient ∂L/∂θ: one backward pass.
    Gradient,
    /// The physics rows ∂y/∂u of each sample, without the network's Jacobian.
    PhysicsRows,
    /// Products J·v and Jᵀ·w.
    Products,
    /// The Gram matrix of the smaller side: min(n, p)² numbers.
    Gram,
    /// The Jacobian itself: n × p numbers.
    Jacobian,
}

impl Consumes {
    /// The most vectors of length n that a step which asks for products keeps.
    pub const VECTORS: usize = 2048;

    /// The numbers that an update holds at most for n rows and p columns, beside what the passes
    /// through network and physics hold.
    pub fn numbers(self, rows: usize, columns: usize) -> usize {
        let side = rows.min(columns);
        let square = side.saturating_mul(side);
        match self {
            Self::Gradient | Self::PhysicsRows => 0,
            Self::Products => rows.saturating_mul(rows.min(Self::VECTORS)),
            // K and its reflections; or K, the eigenvectors and their workspace.
            Self::Gram => square.saturating_mul(4),
            Self::Jacobian => {
                let jacobian = rows.saturating_mul(columns).saturating_mul(3);
                jacobian.saturating_add(square.saturating_mul(2))
            }
        }
    }
}

impl std::fmt::Display for Consumes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Gradient => "gradient",
            Self::PhysicsRows => "physics rows",
            Self::Products => "products",
            Self::Gram => "Gram matrix",
            Self::Jacobian => "Jacobian",
        })
    }
}

/// How the samples of a batch make one objective. A published learning rate belongs to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// The mean over the batch.
    #[default]
    Mean,
    /// The sum over the batch.
    Sum,
}

impl Reduction {
    /// The objective divided by the mean loss of that many samples.
    pub fn scale(self, samples: usize) -> f64 {
        match self {
            Self::Mean => 1.0,
            Self::Sum => samples as f64,
        }
    }
}

/// Network, physics and loss of a problem: what is needed to linearise a batch.
#[derive(Clone, Copy)]
pub struct Model<'a> {
    /// The network u = net(x; θ).
    pub network: &'a Network,
    /// The physics y = P(state, u).
    pub physics: &'a dyn Simulator,
    /// The loss L(y, ŷ).
    pub loss: &'a dyn Loss,
    /// Whether a batch counts by its mean or its sum.
    pub reduction: Reduction,
    /// Memory that one linearization after the other uses for its passes through the network.
    pub scratch: &'a Scratch,
}

impl Model<'_> {
    /// y of a data set (samples × dim(y)).
    pub fn simulate(&self, parameters: &[f64], data: &Dataset) -> Mat<f64> {
        let control = self.control(parameters, data.input.as_ref());
        self.physics.simulate(data.state.as_ref(), control.as_ref())
    }

    /// Output of the network (samples × control).
    fn control(&self, parameters: &[f64], input: MatRef<'_, f64>) -> Mat<f64> {
        let mut output = Mat::zeros(input.nrows(), self.network.outputs());
        let (network, target) = (self.network, output.as_mut());
        self.scratch
            .with_another(|scratch| network.predict_into(parameters, input, target, scratch));
        output
    }

    /// Mean loss of a data set (whatever the reduction of a batch), in chunks as the physics asks.
    pub fn loss(&self, parameters: &[f64], data: &Dataset) -> f64 {
        let size = self.physics.chunk().clamp(1, data.len().max(1));
        let chunks: Vec<f64> = (0..data.len().div_ceil(size))
            .into_par_iter()
            .map(|chunk| {
                let first = chunk * size;
                let count = size.min(data.len() - first);
                let rows = |matrix: &'_ Mat<f64>| matrix.as_ref().subrows(first, count).to_owned();
                let (input, state) = (rows(&data.input), rows(&data.state));
                let control = self.control(parameters, input.as_ref());
                let y = self.physics.simulate(state.as_ref(), control.as_ref());
                let target = data.target.as_ref().subrows(first, count);
                count as f64 * self.loss.value(y.as_ref(), target)
            })
            .collect();
        chunks.iter().sum::<f64>() / data.len() as f64
    }
}

/// A batch with everything that a step may ask about it.
///
/// ```
/// use hig::{Linearization, Problem, systems::{System, Toy}};
/// let problem = Toy { samples: 16, ..Toy::default() }.problem(0);
/// let parameters = problem.network.initial_parameters(0);
/// let at = Linearization::new(problem.model(), &problem.train, &parameters);
/// let k = at.gram();
/// let j = at.jacobian();
/// assert_eq!((k.nrows(), j.nrows(), j.ncols()), (32, 32, 30));
/// ```
pub struct Linearization<'a> {
    model: Model<'a>,
    batch: &'a Dataset,
    parameters: &'a [f64],
    activations: Arc<Activations>,
    record: Arc<dyn Record>,
    cotangent: Mat<f64>,
    loss: f64,
    rows: OnceLock<Mat<f64>>,
}

impl<'a> Linearization<'a> {
    /// One forward pass through network and physics at `parameters` (length p).
    pub fn new(model: Model<'a>, batch: &'a Dataset, parameters: &'a [f64]) -> Self {
        let _part = part!(FORWARD);
        let (input, mut activations) = (batch.input.as_ref(), Activations::default());
        model.scratch.with_another(|scratch| {
            let network = model.network;
            network.forward_into(parameters, input, &mut activations, scratch);
        });
        let record = model
            .physics
            .record(batch.state.as_ref(), activations.output().as_ref());
        let (y, target) = (record.y().as_ref(), batch.target.as_ref());
        let scale = model.reduction.scale(batch.len());
        let cotangent = faer::Scale(scale) * model.loss.cotangent(y, target);
        let loss = scale * model.loss.value(y, target);
        Self {
            model,
            batch,
            parameters,
            activations: Arc::new(activations),
            record: record.into(),
            cotangent,
            loss,
            rows: OnceLock::new(),
        }
    }

    /// The same batch with each row of J multiplied by a number (length n); y, loss and g stay.
    pub fn with_scaled_rows(&self, scale: &[f64]) -> Self {
        let mut rows = self.physics_rows().clone();
        for j in 0..rows.ncols() {
            for (row, scale) in rows.col_as_slice_mut(j).iter_mut().zip(scale) {
                *row *= scale;
            }
        }
        Self {
            activations: self.activations.clone(),
            record: self.record.clone(),
            cotangent: self.cotangent.clone(),
            rows: rows.into(),
            ..*self
        }
    }

    /// Checks what the loss and the physics have told: the gradient in y, and the physics rows if they
    /// were asked for.
    ///
    /// # Errors
    /// [`Error::NonFinite`](crate::Error::NonFinite) with the place of the first number that is not
    /// finite.
    pub fn check_finite(&self) -> Result<()> {
        matrix::check_finite("gradient of the loss in y", &self.cotangent)?;
        match self.rows.get() {
            Some(rows) => matrix::check_finite("Jacobian of the physics", rows),
            None => Ok(()),
        }
    }

    /// Network, physics and loss.
    pub fn model(&self) -> Model<'a> {
        self.model
    }

    /// The samples.
    pub fn batch(&self) -> &'a Dataset {
        self.batch
    }

    /// The parameters θ at which the batch is linearised.
    pub fn parameters(&self) -> &'a [f64] {
        self.parameters
    }

    /// Loss of the batch, its mean or its sum as the reduction says.
    pub fn loss(&self) -> f64 {
        self.loss
    }

    /// The same at other parameters: one forward pass.
    pub fn loss_at(&self, parameters: &[f64]) -> f64 {
        let _part = part!(FORWARD);
        self.model.reduction.scale(self.batch.len()) * self.model.loss(parameters, self.batch)
    }

    /// The same after a change of the parameters (length p).
    pub fn loss_after(&self, delta: &[f64]) -> f64 {
        let moved = self.parameters.iter().zip(delta).map(|(p, d)| p + d);
        self.loss_at(&moved.collect::<Vec<f64>>())
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

    /// Number of rows of J, n = b·dim(y).
    pub fn rows(&self) -> usize {
        self.y().nrows() * self.y().ncols()
    }

    /// Number of columns of J, p.
    pub fn columns(&self) -> usize {
        self.parameters.len()
    }

    /// g = ∂L/∂y of the batch's loss, its mean or its sum as the reduction says, stacked (length n).
    pub fn cotangent(&self) -> Vec<f64> {
        matrix::stack(self.cotangent.as_ref())
    }

    /// ∂L/∂θ = Jᵀ·g: one backward pass through physics and network.
    pub fn gradient(&self) -> Vec<f64> {
        let _part = part!(DIRECTION);
        self.vjp(&self.cotangent())
    }

    /// Jᵀ·w for a stacked w (length n → p): one backward pass.
    pub fn vjp(&self, w: &[f64]) -> Vec<f64> {
        let w = MatRef::from_column_major_slice(w, self.y().nrows(), self.y().ncols());
        let du = match self.rows.get() {
            Some(rows) => crate::physics::rows_transposed_times(rows, w),
            None => self.record.vjp(w),
        };
        let network = self.model.network;
        let mut gradient = vec![0.0; self.columns()];
        self.model.scratch.with_another(|scratch| {
            let (at, values) = (self.parameters, &self.activations);
            network.vjp_into(at, values, du.as_ref(), &mut gradient, scratch);
        });
        gradient
    }

    /// J·v for a direction in parameter space (length p → n).
    pub fn jvp(&self, v: &[f64]) -> Vec<f64> {
        let network = self.model.network;
        let mut tangent = Mat::zeros(self.control().nrows(), self.control().ncols());
        self.model.scratch.with_another(|scratch| {
            let (at, values) = (self.parameters, &self.activations);
            network.jvp_into(at, values, v, tangent.as_mut(), scratch);
        });
        let dy = match self.rows.get() {
            Some(rows) => crate::physics::rows_times(rows, tangent.as_ref()),
            None => self.record.jvp(tangent.as_ref()),
        };
        matrix::stack(dy.as_ref())
    }

    /// The physics rows ∂y_i/∂u, stacked (n × control); computed once.
    pub fn physics_rows(&self) -> &Mat<f64> {
        self.rows.get_or_init(|| {
            let _part = part!(GRAM);
            self.record.rows()
        })
    }

    /// K = J·Jᵀ (n × n), layer by layer, in f64; J is never formed.
    pub fn gram(&self) -> Mat<f64> {
        self.gram_sum().complete()
    }

    fn gram_sum(&self) -> Symmetric {
        let mut sum = Symmetric::zeros(self.rows());
        self.each_layer(|layer, scratch| layer.add_gram(&mut sum, Passes::ONE, scratch));
        sum
    }

    /// (JᵀW)ᵀ·(JᵀW) for k stacked vectors side by side (n × k → k × k). The images JᵀW are formed
    /// before they are multiplied with each other, so that what cancels in them cancels before it
    /// is squared, but only for a bounded number of parameters at a time.
    pub fn image_gram(&self, w: MatRef<'_, f64>) -> Mat<f64> {
        let mut sum = Symmetric::zeros(w.ncols());
        self.each_layer(|layer, scratch| {
            layer.images(w, Passes::ONE, scratch, |images| {
                sum.add(images.transpose())
            });
        });
        sum.complete()
    }

    /// JᵀJ (p × p), from a bounded number of rows of J at a time.
    pub fn normal(&self) -> Mat<f64> {
        let mut sum = Symmetric::zeros(self.columns());
        self.each_rows(|rows| sum.add(rows.transpose()));
        sum.complete()
    }

    /// (JV)ᵀ·(JV) for k directions side by side (p × k → k × k), from a bounded number of rows of J
    /// at a time.
    pub fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Mat<f64> {
        let mut sum = Symmetric::zeros(v.ncols());
        self.each_rows(|rows| sum.add(matrix::product_in_blocks(rows, v).transpose()));
        sum.complete()
    }

    /// Jᵀ (p × n): column r is the gradient of row r, contiguous in memory.
    pub fn transposed_jacobian(&self) -> Mat<f64> {
        let network = self.model.network;
        let rows = self.physics_rows().as_ref();
        network.transposed_jacobian(self.parameters, &self.activations, rows, Passes::ONE)
    }

    /// J (n × p).
    pub fn jacobian(&self) -> Mat<f64> {
        let network = self.model.network;
        let rows = self.physics_rows().as_ref();
        network.jacobian(self.parameters, &self.activations, rows, Passes::ONE)
    }

    /// Calls `visit` for the layers with parameters, from the last to the first, with the physics rows at
    /// their output.
    fn each_layer(&self, visit: impl FnMut(LayerRows<'_>, &mut Scratch)) {
        let (network, rows) = (self.model.network, self.physics_rows().as_ref());
        let scratch = &mut Scratch::new();
        network.backward(self.parameters, &self.activations, rows, scratch, visit);
    }
}

impl Jacobian for Linearization<'_> {
    fn rows(&self) -> usize {
        Linearization::rows(self)
    }
    fn columns(&self) -> usize {
        Linearization::columns(self)
    }
    fn vjp(&self, w: &[f64]) -> Vec<f64> {
        Linearization::vjp(self, w)
    }
    fn jvp(&self, v: &[f64]) -> Vec<f64> {
        Linearization::jvp(self, v)
    }
    fn gram_times(&self, w: &[f64]) -> Vec<f64> {
        // Whoever asks will ask again: then rows are cheaper than simulations.
        self.physics_rows();
        self.jvp(&self.vjp(w))
    }
    fn gram(&self) -> Mat<f64> {
        self.gram_sum().lower()
    }
    fn image_gram(&self, w: MatRef<'_, f64>) -> Mat<f64> {
        Linearization::image_gram(self, w)
    }
    fn normal(&self) -> Mat<f64> {
        Linearization::normal(self)
    }
    fn normal_image_gram(&self, v: MatRef<'_, f64>) -> Mat<f64> {
        Linearization::normal_image_gram(self, v)
    }
    fn transposed(&self) -> Mat<f64> {
        self.transposed_jacobian()
    }
    fn divided_by(&self, unit: f64) -> Option<Box<dyn Jacobian + '_>> {
        let factors = vec![1.0 / unit; self.rows()];
        Some(Box::new(self.with_scaled_rows(&factors)))
    }
}
