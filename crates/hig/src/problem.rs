//! A problem: data, network, physics and loss that belong together.

use crate::data::Dataset;
use crate::error::Result;
use crate::linalg::Scratch;
use crate::loss::Loss;
use crate::network::Network;
use crate::objective::{Model, Reduction};
use crate::physics::Simulator;
use rand_pcg::Pcg64;

/// Draws any number of new samples.
pub type Sampler = Box<dyn Fn(usize, &mut Pcg64) -> Dataset + Send + Sync>;

/// Everything that a training needs besides a method.
pub struct Problem {
    /// Samples to train on.
    pub train: Dataset,
    /// Samples to judge by.
    pub test: Dataset,
    /// The network u = net(x; θ).
    pub network: Network,
    /// The physics y = P(state, u).
    pub physics: Box<dyn Simulator>,
    /// The loss L(y, ŷ).
    pub loss: Box<dyn Loss>,
    /// Whether a batch counts by the mean or the sum of its samples' losses.
    pub reduction: Reduction,
    /// New samples for every update (order = fresh), where the system can draw them.
    pub sampler: Option<Sampler>,
    scratch: Scratch,
}

impl Problem {
    /// A problem with given samples.
    pub fn new(
        train: Dataset,
        test: Dataset,
        network: Network,
        physics: impl Simulator + 'static,
        loss: impl Loss + 'static,
    ) -> Self {
        Self {
            train,
            test,
            network,
            physics: Box::new(physics),
            loss: Box::new(loss),
            reduction: Reduction::Mean,
            sampler: None,
            scratch: Scratch::new(),
        }
    }

    /// The same with the losses of a batch summed instead of averaged.
    pub fn summed(mut self) -> Self {
        self.reduction = Reduction::Sum;
        self
    }

    /// The same with a source of new samples.
    pub fn with_sampler(
        mut self,
        sampler: impl Fn(usize, &mut Pcg64) -> Dataset + Send + Sync + 'static,
    ) -> Self {
        self.sampler = Some(Box::new(sampler));
        self
    }

    /// Network, physics and loss, borrowed.
    pub fn model(&self) -> Model<'_> {
        Model {
            network: &self.network,
            physics: self.physics.as_ref(),
            loss: self.loss.as_ref(),
            reduction: self.reduction,
            scratch: &self.scratch,
        }
    }

    /// Checks that data, network and physics fit together and that all data are finite.
    ///
    /// # Errors
    /// The first thing that does not fit, by name.
    pub fn check(&self) -> Result<()> {
        let widths = self.physics.widths();
        if self.network.outputs() != widths.control {
            return Err(crate::Error::Shape {
                what: "network output".into(),
                found: format!("width {}", self.network.outputs()),
                expected: format!("width {} (the control of the physics)", widths.control),
            });
        }
        self.loss.check(widths.output)?;
        for (name, data) in [("training", &self.train), ("test", &self.test)] {
            data.check(self.network.inputs(), widths.state, widths.output)
                .map_err(|error| error.of(name))?;
        }
        Ok(())
    }
}
