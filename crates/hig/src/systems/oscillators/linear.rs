//! Control of coupled linear oscillators (arXiv 2203.10131, section 4.1 and appendix, and the
//! Physics-based Deep Learning book).

use super::super::{Compared, MlpSettings, Picture, System, size};
use super::{motion, steering};
use crate::error::Result;
use crate::network::Network;
use crate::physics::{LinearSpring, OscillatorChain};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, NON_NEGATIVE, POSITIVE};
use crate::trainer::Budget;

crate::settings! {
    /// A chain of masses with linear springs, steered by a force on the last one.
    pub struct LinearOscillators {
        /// Number of masses Nx.
        pub masses: usize = 2, AT_LEAST_ONE;
        /// Strength of the springs between neighbours.
        pub coupling: f64 = 0.2, NON_NEGATIVE;
        /// Strength of the control on the last mass.
        pub control: f64 = 1.0, POSITIVE;
        /// Time steps.
        pub steps: usize = 24, AT_LEAST_ONE;
        /// Length of a time step.
        pub dt: f64 = 0.5, POSITIVE;
        /// Training samples, initial states uniform in [0, 1].
        pub samples: usize = 4096, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 4096, AT_LEAST_ONE;
        /// The network.
        pub network: MlpSettings = MlpSettings::default(), GROUP;
    }
}

impl LinearOscillators {
    /// The chain's equations of motion.
    pub fn equations(&self) -> OscillatorChain<LinearSpring> {
        OscillatorChain {
            masses: self.masses,
            spring: LinearSpring(self.coupling),
            control: self.control,
        }
    }
}

impl System for LinearOscillators {
    fn name(&self) -> &'static str {
        "linear-oscillators"
    }

    fn about(&self) -> &'static str {
        "control of coupled linear oscillators (arXiv 2203.10131, section 4.1)"
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
        let large = ("batch", "256");
        let small = ("batch", "32");
        vec![
            ("adam", vec![large, ("learning_rate", "1e-3")]),
            ("gn", vec![small, ("cutoff", "1e-10")]),
            (
                "sip",
                vec![large, ("learning_rate", "1e-3"), ("physics_cutoff", "1e-5")],
            ),
            ("hig", vec![small, ("cutoff", "1e-10")]),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::seconds(15.0)
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let time = (self.steps, self.dt);
        motion(self.equations(), time, problem, parameters, sample)
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
