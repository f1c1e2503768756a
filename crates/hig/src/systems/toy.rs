//! The toy problem of the Physics-based Deep Learning book, chapter "Half-Inverse Gradients".
//!
//! A network learns (sin 6x, cos 9x); the physics scales its second output by λ, so that λ = 0.01
//! makes the two outputs differ in sensitivity by a factor of a hundred.

use super::{Compared, MlpSettings, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::Result;
use crate::linalg::matrix::Mat;
use crate::loss::SquaredError;
use crate::network::Network;
use crate::physics::{Differentiated, Scaling};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, NON_ZERO};
use crate::trainer::Budget;
use rand_distr::{Distribution, Uniform};

crate::settings! {
    /// x ↦ (sin 6x, cos 9x) through y = (o₁, λ·o₂).
    pub struct Toy {
        /// λ, the scale of the second output; 1 is well-conditioned, 0.01 is not.
        pub lambda: f64 = 1.0, NON_ZERO;
        /// Training samples, x uniform in [-1, 1].
        pub samples: usize = 256, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 256, AT_LEAST_ONE;
        /// The network.
        pub network: MlpSettings = MlpSettings::tanh(vec![7]), GROUP;
    }
}

impl Toy {
    fn data(&self, samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let uniform = Uniform::new_inclusive(-1.0, 1.0).expect("finite bounds");
        let mut random = random(seed, purpose);
        let input = Mat::<f64>::from_fn(samples, 1, |_, _| uniform.sample(&mut random));
        let target = Mat::from_fn(samples, 2, |i, j| match j {
            0 => (6.0 * input[(i, 0)]).sin(),
            _ => (9.0 * input[(i, 0)]).cos(),
        });
        Dataset {
            state: Mat::zeros(samples, 0),
            input,
            target,
        }
    }
}

impl System for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn about(&self) -> &'static str {
        "two outputs of different sensitivity (Physics-based Deep Learning book)"
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(1, 2))
    }

    fn data_size(&self) -> f64 {
        size::of_samples(self.samples, self.test_samples, 3.0)
    }

    fn problem(&self, seed: u64) -> Problem {
        let scaling = Scaling {
            lambda: self.lambda,
        };
        Problem::new(
            self.data(self.samples, seed, Purpose::Train),
            self.data(self.test_samples, seed, Purpose::Test),
            self.network.between(1, 2),
            Differentiated(scaling),
            SquaredError::half(),
        )
    }

    fn comparison(&self) -> Compared {
        let batch = ("batch", "256");
        // The spectrum goes on across the cut-off, and with 30 parameters accuracy costs nothing.
        let accuracy = ("accuracy", "1e-9");
        vec![
            ("adam", vec![batch, ("learning_rate", "1e-2")]),
            ("gn", vec![batch, ("cutoff", "1e-6"), accuracy]),
            ("sip", vec![batch, ("learning_rate", "1e-2")]),
            ("hig", vec![batch, ("cutoff", "1e-5"), accuracy]),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::updates(5000)
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
