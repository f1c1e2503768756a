//! A problem: data, network, physics and loss that belong together.

use crate::data::Dataset;
use crate::error::Result;
use crate::linearization::Model;
use crate::loss::Loss;
use crate::network::Network;
use crate::physics::Simulator;

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
}

impl Problem {
    /// Network, physics and loss, borrowed.
    pub fn model(&self) -> Model<'_> {
        Model {
            network: &self.network,
            physics: self.physics.as_ref(),
            loss: self.loss.as_ref(),
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
        for data in [&self.train, &self.test] {
            data.check(self.network.inputs(), widths.state, widths.output)?;
        }
        Ok(())
    }
}
