//! Swing-up of a pendulum by a torque too weak to lift it at once, with the network in the loop.
//!
//! The pendulum, its time step and what the network sees of it are those of `Pendulum-v1` of Gymnasium
//! (arXiv 2407.17032); the torque is bounded smoothly, by tanh.

use super::picture::{self, Lines};
use super::{Compared, MlpSettings, Picture, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::Result;
use crate::linalg::matrix::Mat;
use crate::loss::SquaredError;
use crate::network::Network;
use crate::objective::ClosedLoop;
use crate::physics::{Differentiated, Direction, Pendulum, RungeKutta4, Upright};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, NON_NEGATIVE, POSITIVE, Settings};
use crate::trainer::Budget;
use rand::RngExt;
use std::f64::consts::PI;

crate::settings! {
    /// A hanging pendulum, to be upright and at rest at the end; the network is asked for the torque at
    /// every time step.
    pub struct PendulumSwingUp {
        /// Mass of the rod.
        pub mass: f64 = 1.0, POSITIVE;
        /// Its length.
        pub length: f64 = 1.0, POSITIVE;
        /// Acceleration of gravity.
        pub gravity: f64 = 10.0, POSITIVE;
        /// Torque of friction per angular velocity.
        pub friction: f64 = 0.0, NON_NEGATIVE;
        /// The largest torque.
        pub torque: f64 = 2.0, POSITIVE;
        /// Time steps.
        pub steps: usize = 100, AT_LEAST_ONE;
        /// Length of a time step.
        pub dt: f64 = 0.05, POSITIVE;
        /// Training samples: within 30 degrees of hanging, angular velocities within 1.
        pub samples: usize = 256, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 256, AT_LEAST_ONE;
        /// The network.
        pub network: MlpSettings = MlpSettings::tanh(vec![32, 32]), GROUP;
    }
}

impl PendulumSwingUp {
    /// The equations of motion.
    pub fn equations(&self) -> Pendulum {
        Pendulum {
            mass: self.mass,
            length: self.length,
            gravity: self.gravity,
            friction: self.friction,
            torque: self.torque,
        }
    }

    /// Network, physics and loss: 1 - cos θ + ½(θ̇/ω)² at the end, with ω the rate of small swings.
    pub fn closed_loop(&self) -> ClosedLoop {
        let speed = self.equations().frequency();
        let upright = Upright {
            state_len: 2,
            angles: vec![0],
            chord: 1.0,
            speeds: vec![(1, 1.0 / speed)],
        };
        let network = self.network.between(3, 1);
        let physics = RungeKutta4::new(self.equations(), self.steps, self.dt);
        ClosedLoop::new(network, physics, SquaredError::half())
            .seeing(Differentiated(Direction { speed }))
            .observing(Differentiated(upright))
    }

    fn data(samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let mut random = random(seed, purpose);
        let state = Mat::from_fn(samples, 2, |_, j| {
            let number: f64 = random.random_range(-1.0..1.0);
            [PI + number * PI / 6.0, number][j]
        });
        Dataset {
            input: Mat::zeros(samples, 0),
            state,
            target: Mat::zeros(samples, 2),
        }
    }
}

impl System for PendulumSwingUp {
    fn name(&self) -> &'static str {
        "pendulum-swing-up"
    }

    fn about(&self) -> &'static str {
        "swing-up of a pendulum by a weak torque with the network in the loop"
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(3, 1))
    }

    fn data_size(&self) -> f64 {
        size::of_samples(self.samples, self.test_samples, 4.0)
    }

    fn problem(&self, seed: u64) -> Problem {
        Problem::of(
            Self::data(self.samples, seed, Purpose::Train),
            Self::data(self.test_samples, seed, Purpose::Test),
            self.closed_loop(),
        )
    }

    fn comparison(&self) -> Compared {
        let spectral = vec![
            ("batch", "32"),
            ("learning_rate", "0.3"),
            ("cutoff", "1e-4"),
        ];
        vec![
            ("adam", vec![("batch", "8"), ("learning_rate", "1e-3")]),
            ("gn", spectral.clone()),
            ("hig", spectral),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::seconds(20.0)
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        size::check_calls(self.steps)
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let chosen = problem.test.select(&[sample]);
        let Ok(motion) = self.closed_loop().motion(parameters, &chosen) else {
            return Vec::new();
        };
        let times: Vec<f64> = (0..=self.steps).map(|k| k as f64 * self.dt).collect();
        let angles = motion.states.iter().map(|x| x[(0, 0)].to_degrees());
        let torques: Vec<f64> = (motion.controls.iter())
            .map(|u| u[(0, 0)].tanh() * self.torque)
            .collect();
        let (edges, held) = picture::held(self.dt, &torques);
        vec![
            Picture::Lines(Lines {
                title: "angle".into(),
                x: "time".into(),
                y: "angle from upright (degrees)".into(),
                lines: vec![("pendulum".into(), times, angles.collect())],
                points: Vec::new(),
            }),
            Picture::Lines(Lines {
                title: "control".into(),
                x: "time".into(),
                y: "torque".into(),
                lines: vec![("torque".into(), edges, held)],
                points: Vec::new(),
            }),
        ]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
