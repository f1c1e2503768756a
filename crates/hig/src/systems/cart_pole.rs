//! Swing-up of poles on a cart with the network in the loop (Schnell and Thuerey 2024, arXiv 2405.02041,
//! section 4.2 and its program).
//!
//! Sizes, masses, initial states, network and loss are the source's. The equations of motion are those of
//! the Lagrangian, with Runge-Kutta steps: the source takes semi-implicit Euler steps, and with several
//! poles leaves out what they do to each other through the cart.

use super::picture::{self, Lines};
use super::{Compared, MlpSettings, Picture, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::Result;
use crate::linalg::matrix::Mat;
use crate::loss::SquaredError;
use crate::network::Network;
use crate::objective::ClosedLoop;
use crate::physics::{CartPole, Differentiated, Pole, RungeKutta4, Upright};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, FLAG, GROUP, NON_NEGATIVE, POSITIVE, Settings};
use crate::trainer::Budget;
use rand::RngExt;
use std::f64::consts::PI;

crate::settings! {
    /// Hanging poles on one cart, to be upright at the end; the network is asked for the force at every
    /// time step.
    pub struct CartPoleSwingUp {
        /// Number of poles.
        pub poles: usize = 1, AT_LEAST_ONE;
        /// Mass of the cart.
        pub cart_mass: f64 = 1.0, POSITIVE;
        /// Mass of the first pole.
        pub pole_mass: f64 = 0.1, POSITIVE;
        /// Half of the length of the first pole.
        pub half_length: f64 = 0.5, POSITIVE;
        /// Mass and length of each further pole over those of the one before.
        pub shrink: f64 = 1.0, POSITIVE;
        /// Acceleration of gravity.
        pub gravity: f64 = 9.8, POSITIVE;
        /// Force that the network's output 1 stands for.
        pub force: f64 = 1.0, POSITIVE;
        /// Time steps.
        pub steps: usize = 100, AT_LEAST_ONE;
        /// Length of a time step.
        pub dt: f64 = 0.01, POSITIVE;
        /// Whether derivatives go backwards through the physics alone, not through what the network sees (the gradient stopping of arXiv 2405.02041).
        pub stop_gradients: bool = false, FLAG;
        /// Weight of the squared speeds at the end, beside 1 for 1 - cos of the angles.
        pub rest: f64 = 0.0, NON_NEGATIVE;
        /// Training samples: cart within 1, angles within 30 degrees of hanging, all speeds within 1.
        pub samples: usize = 256, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 256, AT_LEAST_ONE;
        /// The network.
        pub network: MlpSettings = MlpSettings::tanh(vec![100, 100]), GROUP;
    }
}

impl CartPoleSwingUp {
    /// The equations of motion.
    pub fn equations(&self) -> CartPole {
        let pole = |i: usize| {
            let scale = self.shrink.powi(i32::try_from(i).unwrap_or(i32::MAX));
            Pole {
                mass: self.pole_mass * scale,
                half_length: self.half_length * scale,
            }
        };
        CartPole {
            cart: self.cart_mass,
            poles: (0..self.poles).map(pole).collect(),
            gravity: self.gravity,
            force: self.force,
        }
    }

    /// Network, physics and loss: the mean of 1 - cos θ over the poles at the end, and rest times half of
    /// ẋ² and of the mean of θ̇².
    pub fn closed_loop(&self) -> ClosedLoop {
        let (d, chord) = (self.state_len(), 1.0 / (self.poles as f64).sqrt());
        let rest = self.rest.sqrt();
        let mut speeds = vec![(1, rest)];
        speeds.extend((0..self.poles).map(|i| (3 + 2 * i, rest * chord)));
        let upright = Upright {
            state_len: d,
            angles: (0..self.poles).map(|i| 2 + 2 * i).collect(),
            chord,
            speeds: if rest > 0.0 { speeds } else { Vec::new() },
        };
        let network = self.network.between(d, 1);
        let physics = RungeKutta4::new(self.equations(), self.steps, self.dt);
        let steered = ClosedLoop::new(network, physics, SquaredError::half());
        let steered = steered.observing(Differentiated(upright));
        match self.stop_gradients {
            true => steered.stopping_gradients(),
            false => steered,
        }
    }

    fn state_len(&self) -> usize {
        self.poles.saturating_mul(2).saturating_add(2)
    }

    /// How many numbers are judged.
    fn outputs(&self) -> usize {
        match self.rest > 0.0 {
            true => self.poles.saturating_mul(2).saturating_add(1),
            false => self.poles,
        }
    }

    fn data(&self, samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let mut random = random(seed, purpose);
        let state = Mat::from_fn(samples, self.state_len(), |_, j| {
            let number = random.random_range(-1.0..1.0);
            match j >= 2 && j % 2 == 0 {
                true => PI + number * PI / 6.0,
                false => number,
            }
        });
        Dataset {
            input: Mat::zeros(samples, 0),
            state,
            target: Mat::zeros(samples, self.outputs()),
        }
    }
}

impl System for CartPoleSwingUp {
    fn name(&self) -> &'static str {
        "cart-pole"
    }

    fn about(&self) -> &'static str {
        "swing-up of poles on a cart with the network in the loop (arXiv 2405.02041, section 4.2)"
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(self.state_len(), 1))
    }

    fn data_size(&self) -> f64 {
        let width = self.state_len().saturating_add(self.outputs());
        size::of_samples(self.samples, self.test_samples, width as f64)
    }

    fn problem(&self, seed: u64) -> Problem {
        Problem::of(
            self.data(self.samples, seed, Purpose::Train),
            self.data(self.test_samples, seed, Purpose::Test),
            self.closed_loop(),
        )
    }

    fn comparison(&self) -> Compared {
        let spectral = |rate| vec![("batch", "32"), ("learning_rate", rate), ("cutoff", "1e-4")];
        vec![
            ("adam", vec![("batch", "8"), ("learning_rate", "1e-3")]),
            ("gn", spectral("0.3")),
            ("hig", spectral("1")),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::seconds(30.0)
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
        let along =
            |place: usize| -> Vec<f64> { motion.states.iter().map(|x| x[(0, place)]).collect() };
        let pole = |i: usize| format!("pole {}", i + 1);
        let angles = (0..self.poles).map(|i| {
            let degrees = along(2 + 2 * i).into_iter().map(f64::to_degrees);
            (pole(i), times.clone(), degrees.collect())
        });
        let cart = along(0);
        let paths = self
            .equations()
            .poles
            .into_iter()
            .enumerate()
            .map(|(i, rod)| {
                let angles = along(2 + 2 * i);
                let length = 2.0 * rod.half_length;
                let across = cart.iter().zip(&angles).map(|(x, a)| x + length * a.sin());
                let height = angles.iter().map(|a| length * a.cos());
                (
                    format!("tip of {}", pole(i)),
                    across.collect(),
                    height.collect(),
                )
            });
        let line = (String::from("cart"), cart.clone(), vec![0.0; cart.len()]);
        let forces: Vec<f64> = (motion.controls.iter())
            .map(|u| u[(0, 0)] * self.force)
            .collect();
        let (edges, held) = picture::held(self.dt, &forces);
        vec![
            Picture::Lines(Lines {
                title: "angles".into(),
                x: "time".into(),
                y: "angle from upright (degrees)".into(),
                lines: angles.collect(),
                points: Vec::new(),
            }),
            Picture::Lines(Lines {
                title: "paths".into(),
                x: "position".into(),
                y: "height above the cart".into(),
                lines: std::iter::once(line).chain(paths).collect(),
                points: Vec::new(),
            }),
            Picture::Lines(Lines {
                title: "control".into(),
                x: "time".into(),
                y: "force".into(),
                lines: vec![("force on the cart".into(), edges, held)],
                points: Vec::new(),
            }),
        ]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
