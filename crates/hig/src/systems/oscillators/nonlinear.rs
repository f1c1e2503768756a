//! Control of coupled nonlinear oscillators (arXiv 2203.10131, section 4.1 and appendix), with the
//! force (Δx)³ of the authors' program, without the factor 4 that their quartic Hamiltonian implies.

use super::super::{Compared, MlpSettings, Picture, System, size};
use super::{motion, steering};
use crate::error::Result;
use crate::network::{Activation, Network};
use crate::physics::{CubicSpring, OscillatorChain};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, POSITIVE};
use crate::trainer::Budget;

crate::settings! {
    /// A chain of masses with cubic springs, steered by a force on the last one.
    pub struct NonlinearOscillators {
        /// Number of masses Nx.
        pub masses: usize = 2, AT_LEAST_ONE;
        /// Strength of the control on the last mass.
        pub control: f64 = 3.0, POSITIVE;
        /// Time steps.
        pub steps: usize = 96, AT_LEAST_ONE;
        /// Length of a time step.
        pub dt: f64 = 0.125, POSITIVE;
        /// Training samples, initial states uniform in [0, 1].
        pub samples: usize = 4096, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 4096, AT_LEAST_ONE;
        /// The network.
        pub network: MlpSettings = MlpSettings::new(vec![20, 20, 20], Activation::Relu), GROUP;
    }
}

impl NonlinearOscillators {
    /// The chain's equations of motion.
    pub fn equations(&self) -> OscillatorChain<CubicSpring> {
        OscillatorChain {
            masses: self.masses,
            spring: CubicSpring,
            control: self.control,
        }
    }
}

impl System for NonlinearOscillators {
    fn name(&self) -> &'static str {
        "nonlinear-oscillators"
    }

    fn about(&self) -> &'static str {
        "control of coupled nonlinear oscillators (arXiv 2203.10131, section 4.1)"
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(2 * self.masses, self.steps))
    }

    fn data_size(&self) -> f64 {
        size::of_samples(self.samples, self.test_samples, 6.0 * self.masses as f64)
    }

    fn problem(&self, seed: u64) -> Problem {
        let time = (self.steps, self.dt);
        let samples = (self.samples, self.test_samples);
        let network = self.network.between(2 * self.masses, self.steps);
        steering(self.equations(), time, samples, network, seed)
    }

    fn comparison(&self) -> Compared {
        let batch = ("batch", "128");
        let adam = vec![("batch", "512"), ("learning_rate", "3e-4")];
        vec![
            ("adam", adam),
            ("gn", vec![batch, ("cutoff", "1e-6")]),
            ("hig", vec![batch, ("cutoff", "1e-6")]),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::seconds(20.0)
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let time = (self.steps, self.dt);
        motion(self.equations(), time, problem, parameters, sample)
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
