//! The two traits between a model and a step.

use super::{Jacobian, Linearization, Motion, ThroughPhysics};
use crate::data::Dataset;
use crate::error::{Error, Result};
use crate::linalg::{self, Mat, MatRef};
use crate::network::{Activation, LayerMoments, Network, ParameterView, Unknown};

/// A loss of samples under parameters θ, and what stands between the two.
pub trait Objective: Send + Sync {
    /// The parameter arrays by name, in the order of the flat vector θ; p is the end of the last.
    fn parameters(&self) -> Vec<ParameterView>;

    /// θ at the start of a training, from a seed (length p).
    fn initial(&self, seed: u64) -> Vec<f64>;

    /// n, the rows of J for so many samples.
    fn rows(&self, samples: usize) -> usize;

    /// How many numbers (f64) the passes of a linearized batch hold beside K or J, where all rows of J
    /// are asked for.
    fn pass_numbers(&self, samples: usize) -> usize;

    /// The same where J is asked for [products](Jacobian::by_products) alone; none where that needs all rows
    /// as well.
    fn product_numbers(&self, _samples: usize) -> Option<usize> {
        None
    }

    /// Checks that the parts fit together.
    ///
    /// # Errors
    /// The first part that does not fit, by name.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Checks that samples fit and that their numbers are finite.
    ///
    /// # Errors
    /// The first array that does not fit, by name.
    fn check_samples(&self, samples: &Dataset) -> Result<()>;

    /// y of samples (samples × dim(y)).
    ///
    /// # Errors
    /// A simulation that fails.
    fn outputs(&self, at: &[f64], samples: &Dataset) -> Result<Mat<f64>>;

    /// Mean loss of any number of samples, in bounded memory.
    ///
    /// # Errors
    /// A simulation that fails.
    fn loss(&self, at: &[f64], samples: &Dataset) -> Result<f64>;

    /// A batch linearised at θ (length p).
    ///
    /// # Errors
    /// A simulation that fails.
    fn linearize<'a>(
        &'a self,
        batch: &'a Dataset,
        at: &'a [f64],
    ) -> Result<Box<dyn Linearized + 'a>>;

    /// The number of time steps of a simulation that a network is called in, where it is.
    fn steps(&self) -> Option<usize> {
        None
    }

    /// A batch linearised over the first of these steps alone: y and the loss are those of a simulation that ends
    /// there. Where there are no steps it is [`linearize`](Self::linearize).
    ///
    /// # Errors
    /// A simulation that fails.
    fn linearize_within<'a>(
        &'a self,
        _steps: usize,
        batch: &'a Dataset,
        at: &'a [f64],
    ) -> Result<Box<dyn Linearized + 'a>> {
        self.linearize(batch, at)
    }

    /// The loss of each named block of samples, where an objective has such blocks.
    ///
    /// # Errors
    /// A pass that fails.
    fn blocks(&self, _at: &[f64], _samples: &Dataset) -> Result<Vec<(&'static str, f64)>> {
        Ok(Vec::new())
    }

    /// What each of these blocks counts.
    fn weights(&self) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// The unknowns of the physics among the parameters, each with its place in θ unless it is fixed.
    fn unknowns(&self) -> Vec<(Unknown, Option<usize>)> {
        Vec::new()
    }

    /// Whether its batches tell [`layer_moments`](Linearized::layer_moments).
    fn tells_layer_moments(&self) -> bool {
        false
    }

    /// How far hidden neurons are driven into saturation; none where there are no such neurons.
    ///
    /// # Errors
    /// A pass that fails.
    fn saturation(&self, _at: &[f64], _samples: &Dataset) -> Result<Option<Saturation>> {
        Ok(None)
    }

    /// How strongly y reacts to the state before each time step, where a network is called inside a simulation:
    /// for each step but the first the largest norm of ∂y/∂x among the samples, estimated by a few
    /// combinations of y.
    ///
    /// # Errors
    /// A pass that fails.
    fn sensitivities(&self, _at: &[f64], _samples: &Dataset) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }

    /// How samples move, where a network is called inside a simulation; their targets are not read.
    ///
    /// # Errors
    /// A simulation that fails.
    fn motion(&self, _at: &[f64], _samples: &Dataset) -> Result<Option<Motion>> {
        Ok(None)
    }

    /// The network, where one answers controls of a simulation.
    fn network(&self) -> Option<&Network> {
        self.through_physics().map(|parts| &parts.network)
    }

    /// Network, physics and loss, where a network is called once and a simulator once behind it.
    fn through_physics(&self) -> Option<&ThroughPhysics> {
        None
    }

    /// The same, to replace one of them.
    fn through_physics_mut(&mut self) -> Option<&mut ThroughPhysics> {
        None
    }
}

/// How far the neurons of a network are driven into saturation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Saturation {
    /// Mean of |activation| over hidden neurons and samples; near 1 for saturated neurons.
    pub mean: f64,
    /// Standard deviation of |activation| over the same; near 0 once all neurons are saturated.
    pub deviation: f64,
}

impl Saturation {
    /// Of a network at the first samples (b × inputs), so many that more would tell the same.
    pub(super) fn of_network(
        network: &Network,
        parameters: &[f64],
        input: MatRef<'_, f64>,
    ) -> Option<Self> {
        const SAMPLES: usize = 4096;
        let some = input.subrows(0, input.nrows().min(SAMPLES));
        let values = network.forward(parameters, some);
        let values = network.activated(&values);
        Self::of(values.map(|(a, outputs)| (a, outputs.as_ref())))
    }

    /// Of the tanh and sine neurons among the outputs of all; none where there are none.
    pub(super) fn of<'a>(
        outputs: impl Iterator<Item = (Activation, MatRef<'a, f64>)>,
    ) -> Option<Self> {
        let saturates = |a: &Activation| matches!(a, Activation::Tanh | Activation::Sine);
        let outputs = outputs
            .filter(|(a, _)| saturates(a))
            .map(|(_, outputs)| outputs);
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for column in outputs.flat_map(MatRef::col_iter) {
            for v in column.iter() {
                count += 1.0;
                sum += v.abs();
                squares += v * v;
            }
        }
        let mean = sum / count;
        (count > 0.0).then(|| Self {
            mean,
            deviation: (squares / count - mean * mean).max(0.0).sqrt(),
        })
    }
}

/// A batch linearised at θ: all that a step may ask. Its own J is the [`Jacobian`] that it is.
///
/// The answers do not depend on what was asked before, to the last bit.
pub trait Linearized: Jacobian {
    /// θ (length p).
    fn parameters(&self) -> &[f64];

    /// Loss of the batch: the mean over its samples, or their sum, as the objective says.
    fn loss(&self) -> f64;

    /// The mean over its samples, whatever the objective says.
    fn mean_loss(&self) -> f64;

    /// g = ∂(loss)/∂y, stacked (length n).
    fn cotangent(&self) -> &[f64];

    /// C: what stands for the diagonal of ∂²(loss)/∂y² in a Gauss-Newton model, stacked (length n), all
    /// above 0.
    ///
    /// # Errors
    /// A loss that cannot tell it.
    fn curvature(&self) -> Result<Vec<f64>>;

    /// ∂(loss)/∂θ = Jᵀ·g (length p): one backward pass.
    ///
    /// # Errors
    /// A simulator that fails.
    fn gradient(&self) -> Result<Vec<f64>>;

    /// The loss of the same batch at other parameters: one forward pass.
    ///
    /// # Errors
    /// A simulation that fails.
    fn loss_at(&self, parameters: &[f64]) -> Result<f64>;

    /// The same after a change of the parameters (length p).
    ///
    /// # Errors
    /// A simulation that fails.
    fn loss_after(&self, delta: &[f64]) -> Result<f64> {
        self.loss_at(&changed(self.parameters(), delta))
    }

    /// y of the batch, stacked (length n).
    fn outputs(&self) -> Vec<f64>;

    /// y of the same batch at other parameters, stacked (length n): one forward pass.
    ///
    /// # Errors
    /// A simulation that fails.
    fn outputs_at(&self, parameters: &[f64]) -> Result<Vec<f64>>;

    /// The same after a change of the parameters (length p).
    ///
    /// # Errors
    /// A simulation that fails.
    fn outputs_after(&self, delta: &[f64]) -> Result<Vec<f64>> {
        self.outputs_at(&changed(self.parameters(), delta))
    }

    /// Both the loss and y of the same batch at other parameters, where one forward pass can tell them.
    ///
    /// # Errors
    /// A simulation that fails.
    fn loss_and_outputs_at(&self, parameters: &[f64]) -> Result<(f64, Vec<f64>)> {
        Ok((self.loss_at(parameters)?, self.outputs_at(parameters)?))
    }

    /// The same after a change of the parameters (length p).
    ///
    /// # Errors
    /// A simulation that fails.
    fn loss_and_outputs_after(&self, delta: &[f64]) -> Result<(f64, Vec<f64>)> {
        self.loss_and_outputs_at(&changed(self.parameters(), delta))
    }

    /// The same batch linearised at other parameters.
    ///
    /// # Errors
    /// A simulation that fails.
    fn moved<'s>(&'s self, parameters: &'s [f64]) -> Result<Box<dyn Linearized + 's>>;

    /// J·v (length p → n) where one such product is asked for: by a forward pass, whether the rows of J
    /// are there or not.
    ///
    /// # Errors
    /// A simulator that fails.
    fn tangent(&self, v: &[f64]) -> Result<Vec<f64>> {
        self.jvp(v)
    }

    /// The second derivative of y along a direction v of the parameters (length p), d²/dt² y(θ + t·v) at t = 0
    /// (length n), where it is known exactly.
    ///
    /// # Errors
    /// A simulator that fails.
    fn second_along(&self, _v: &[f64]) -> Result<Option<Vec<f64>>> {
        Ok(None)
    }

    /// What stands for the layers' blocks of Jᵀ·C·J, in the order of the parameters, by k probes w (n × k):
    /// random numbers of mean 0 whose squares have the mean C, independent of each other. None where the
    /// parameters are not those of layers.
    ///
    /// # Errors
    /// A simulator that fails.
    fn layer_moments(&self, _probes: MatRef<'_, f64>) -> Result<Option<Vec<LayerMoments>>> {
        Ok(None)
    }

    /// b, where the n rows are those of so many samples, stacked component by component.
    fn samples(&self) -> Option<usize> {
        None
    }

    /// Refuses numbers that are not finite in what the network, the physics and the loss have told until
    /// now.
    ///
    /// # Errors
    /// [`Error::NonFiniteOfSample`](crate::Error::NonFiniteOfSample) with the place of the first in the
    /// order of the data flow, or [`Error::NonFinite`](crate::Error::NonFinite) where the samples of the
    /// rows are not known.
    fn check_finite(&self) -> Result<()> {
        check_finite_rows(
            "gradient of the loss in y",
            self.cotangent(),
            self.samples(),
        )
    }

    /// The parts of a batch that goes through a network and then a simulator, for a method whose type
    /// says that it needs them.
    fn through_physics(&self) -> Option<&Linearization<'_>> {
        None
    }
}

fn changed(parameters: &[f64], delta: &[f64]) -> Vec<f64> {
    parameters.iter().zip(delta).map(|(p, d)| p + d).collect()
}

/// Refuses losses of samples that are not finite, and then their gradients in y, stacked as all rows are.
pub(super) fn check_finite_losses(losses: &[f64], cotangent: &[f64]) -> Result<()> {
    if let Some(s) = losses.iter().position(|loss| !loss.is_finite()) {
        return Err(Error::of_sample("loss", losses[s], s, None));
    }
    let what = "gradient of the loss in y";
    check_finite_rows(what, cotangent, Some(losses.len()))
}

/// Refuses numbers of stacked rows that are not finite, by sample and component where the rows are those
/// of so many samples.
pub(super) fn check_finite_rows(what: &str, rows: &[f64], samples: Option<usize>) -> Result<()> {
    match samples {
        Some(samples) if samples > 0 && rows.len().is_multiple_of(samples) => {
            let (width, matrix) = (rows.len() / samples, MatRef::from_column_major_slice);
            linalg::check_finite_samples(what, matrix(rows, samples, width))
        }
        _ => linalg::check_finite_vector(what, rows),
    }
}
