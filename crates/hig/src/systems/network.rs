//! Settings of networks, which the systems share.

use crate::network::{ANY_ACTIVATION, ANY_INITIALIZER, Activation, Initializer, Network};
use crate::settings::{GROUP, WIDTHS};

crate::settings! {
    /// What the layers of a network have in common.
    pub struct LayerSettings {
        /// Activation of the hidden layers.
        pub activation: Activation = Activation::Tanh, ANY_ACTIVATION;
        /// Distribution of the initial weights.
        pub initializer: Initializer = Initializer::Glorot, ANY_INITIALIZER;
    }
}

crate::settings! {
    /// A multilayer perceptron between an input and an output of given widths.
    pub struct MlpSettings {
        /// Widths of the hidden layers.
        pub hidden: Vec<usize> = vec![20, 20, 20], WIDTHS;
        /// Activation and initial weights.
        pub layers: LayerSettings = LayerSettings::default(), GROUP;
    }
}

impl MlpSettings {
    /// Hidden layers of the given widths and nonlinearity, with Glorot's initial weights.
    pub fn new(hidden: Vec<usize>, activation: Activation) -> Self {
        Self {
            hidden,
            layers: LayerSettings {
                activation,
                ..LayerSettings::default()
            },
        }
    }

    /// The same with tanh.
    pub fn tanh(hidden: Vec<usize>) -> Self {
        Self::new(hidden, Activation::Tanh)
    }

    /// The network from `inputs` to `outputs` numbers.
    pub fn between(&self, inputs: usize, outputs: usize) -> Network {
        let widths: Vec<usize> = [&[inputs], &self.hidden[..], &[outputs]].concat();
        Network::mlp(&widths, self.layers.activation, self.layers.initializer)
    }
}
