//! Stiffness and damping of a chain of masses, with an unknown force that a network learns beside them.

use super::picture::{Lines, Picture};
use super::{Compared, MlpSettings, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::Result;
use crate::linalg::matrix::Mat;
use crate::loss::SquaredError;
use crate::network::{Network, Unknown};
use crate::objective::{ClosedLoop, values};
use crate::physics::{Chosen, DampedChain, Differentiated, RungeKutta4, Stepwise};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, FRACTION, GROUP, NON_NEGATIVE, POSITIVE, Settings};
use crate::trainer::Budget;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal};

crate::settings! {
    /// A damped chain of masses whose positions are observed with noise and gaps: stiffness and damping are
    /// found, and a network learns the force on the first mass from its position.
    pub struct ParameterEstimation {
        /// Masses between two walls.
        pub masses: usize = 3, AT_LEAST_ONE;
        /// True stiffness of all springs.
        pub stiffness: f64 = 2.0, POSITIVE;
        /// True damping of all masses.
        pub damping: f64 = 0.1, POSITIVE;
        /// Stiffness at the start of a training.
        pub first_stiffness: f64 = 1.0, POSITIVE;
        /// Damping at the start of a training.
        pub first_damping: f64 = 0.3, POSITIVE;
        /// Amplitude A of the true force A·sin(2x) on the first mass; 0 is none. One that is to be learned is held over each time step.
        pub force: f64 = 1.0, NON_NEGATIVE;
        /// Whether a network learns the force beside the parameters; without it there is no force to learn.
        pub learned_force: bool = true, crate::settings::FLAG;
        /// Standard deviation of the noise of an observation.
        pub noise: f64 = 0.02, POSITIVE;
        /// Part of the observations that is missing.
        pub missing: f64 = 0.2, FRACTION;
        /// Time steps of a sample.
        pub steps: usize = 40, AT_LEAST_ONE;
        /// Length of a time step.
        pub dt: f64 = 0.1, POSITIVE;
        /// Time steps between two observations.
        pub every: usize = 4, AT_LEAST_ONE;
        /// Training samples: positions and velocities at the start within 1.
        pub samples: usize = 64, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 64, AT_LEAST_ONE;
        /// The network of the force.
        pub network: MlpSettings = MlpSettings::tanh(vec![16]), GROUP;
    }
}

/// Times as many steps as a sample has over which a trained model is judged.
const HORIZON: usize = 4;
/// Samples that it is judged by, at most.
const JUDGED: usize = 32;

impl ParameterEstimation {
    fn state_len(&self) -> usize {
        self.masses.saturating_mul(2)
    }

    fn observed(&self) -> Vec<usize> {
        (1..=self.steps).filter(|k| k % self.every == 0).collect()
    }

    /// The chain with the true force.
    pub fn truth(&self) -> DampedChain {
        DampedChain {
            masses: self.masses,
            force: self.force,
            waves: 2.0,
        }
    }

    /// What is known of it: the force is not, where a network is there to learn it.
    fn model(&self) -> DampedChain {
        DampedChain {
            force: if self.learned_force { 0.0 } else { self.force },
            ..self.truth()
        }
    }

    fn unknowns(&self) -> Vec<Unknown> {
        let mut all = vec![
            Unknown::positive("stiffness", self.first_stiffness),
            Unknown::positive("damping", self.first_damping),
        ];
        if !self.learned_force {
            all.insert(0, Unknown::free("force", 0.0).fixed());
        }
        all
    }

    /// The model over so many steps, of which the chosen ones are observed.
    fn over(&self, steps: usize, observed: Vec<usize>) -> ClosedLoop {
        let first = Chosen {
            state_len: self.state_len(),
            states: 1,
            places: vec![0],
            beside: 1,
        };
        let positions = Chosen {
            states: observed.len(),
            places: (0..self.masses).collect(),
            beside: self.state_len(),
            ..first.clone()
        };
        let network = self.network().expect("names and bounds are right");
        let physics = RungeKutta4::new(self.model(), steps, self.dt);
        ClosedLoop::new(network, physics, SquaredError::half())
            .seeing(Differentiated(first))
            .after(observed)
            .expect("observed steps rise")
            .observing(Differentiated(positions))
    }

    /// Network and unknowns in the loop, and ½ Σ w·(x - x̂)² of the positions with w = 1/noise².
    pub fn closed_loop(&self) -> ClosedLoop {
        self.over(self.steps, self.observed()).weighing()
    }

    /// The true positions after the chosen ones of so many steps (samples × masses·observed).
    fn true_positions(&self, start: &Mat<f64>, steps: usize, observed: &[usize]) -> Mat<f64> {
        let (truth, physics) = (self.truth(), RungeKutta4::new(self.model(), steps, self.dt));
        let mut control = Mat::from_fn(start.nrows(), 3, |_, j| {
            [0.0, self.stiffness, self.damping][j]
        });
        let mut all = Mat::zeros(start.nrows(), observed.len() * self.masses);
        let (mut state, mut place) = (start.clone(), 0);
        for k in 0..steps {
            if self.learned_force {
                // Held over the step as the network's answer is: half a step of delay between the two would be
                // found as damping.
                for s in 0..start.nrows() {
                    control[(s, 0)] = truth.known(state[(s, 0)]);
                }
            }
            let next = physics.advance(k, state.as_ref(), control.as_ref());
            state = next.expect("equations of motion do not fail");
            if observed.get(place) == Some(&(k + 1)) {
                let columns = all.as_mut().subcols_mut(place * self.masses, self.masses);
                { columns }.copy_from(state.as_ref().subcols(0, self.masses));
                place += 1;
            }
        }
        all
    }

    fn data(&self, samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let mut random = random(seed, purpose);
        let state = Mat::from_fn(samples, self.state_len(), |_, _| {
            random.random_range(-1.0..1.0)
        });
        let truth = self.true_positions(&state, self.steps, &self.observed());
        let width = truth.ncols();
        let mut target = Mat::zeros(samples, 2 * width);
        for s in 0..samples {
            for j in 0..width {
                let noise: f64 = StandardNormal.sample(&mut random);
                let missing = random.random::<f64>() < self.missing;
                if !missing {
                    target[(s, j)] = truth[(s, j)] + self.noise * noise;
                    target[(s, width + j)] = self.noise.powi(-2);
                }
            }
        }
        Dataset {
            input: Mat::zeros(samples, 0),
            state,
            target,
        }
    }
}

impl System for ParameterEstimation {
    fn name(&self) -> &'static str {
        "parameter-estimation"
    }

    fn about(&self) -> &'static str {
        "stiffness and damping of a chain from noisy positions, with an unknown force beside them"
    }

    fn network(&self) -> Result<Network> {
        match self.learned_force {
            true => self.network.between(1, 1).beside(self.unknowns()),
            false => Network::of_unknowns(1, self.unknowns()),
        }
    }

    fn data_size(&self) -> f64 {
        let observed = (self.steps / self.every) as f64;
        let width = (2.0 + 2.0 * observed) * self.masses as f64;
        size::of_samples(self.samples, self.test_samples, width)
    }

    fn problem(&self, seed: u64) -> Problem {
        Problem::of(
            self.data(self.samples, seed, Purpose::Train),
            self.data(self.test_samples, seed, Purpose::Test),
            self.closed_loop(),
        )
    }

    fn comparison(&self) -> Compared {
        vec![
            ("adam", vec![("batch", "16"), ("learning_rate", "1e-2")]),
            ("gn", vec![("batch", "64"), ("learning_rate", "0.3")]),
            ("hig", vec![("batch", "64"), ("learning_rate", "auto")]),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::seconds(10.0)
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        if self.every > self.steps {
            let expected = format_args!("at most steps = {}", self.steps);
            return Err(crate::Error::setting("every", self.every, expected));
        }
        size::check_calls(self.steps)
    }

    fn tells_estimates(&self) -> bool {
        true
    }

    /// The error of positions beyond the observed time, over their own size, and the values found.
    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        let steps = HORIZON * self.steps;
        let observed: Vec<usize> = (self.steps + 1..=steps).collect();
        let judged: Vec<usize> = (0..problem.test.len().min(JUDGED)).collect();
        let chosen = problem.test.select(&judged);
        let truth = self.true_positions(&chosen.state, steps, &observed);
        let motion = self
            .over(steps, observed.clone())
            .motion(parameters, &chosen);
        let error = motion.map_or(f64::NAN, |motion| {
            let mut squares = 0.0;
            for (place, step) in observed.iter().enumerate() {
                let known = truth.as_ref().subcols(place * self.masses, self.masses);
                let found = motion.states[*step].as_ref().subcols(0, self.masses);
                squares += (found - known).squared_norm_l2();
            }
            (squares / truth.squared_norm_l2()).sqrt()
        });
        let mut all = vec![("extrapolation_error", error)];
        let found = values(problem.objective.as_ref(), parameters);
        all.extend(found.into_iter().filter(|(name, _)| *name != "force"));
        all
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let steps = HORIZON * self.steps;
        let chosen = problem.test.select(&[sample]);
        let all: Vec<usize> = (1..=steps).collect();
        let truth = self.true_positions(&chosen.state, steps, &all);
        let Ok(motion) = self.over(steps, all).motion(parameters, &chosen) else {
            return Vec::new();
        };
        let times: Vec<f64> = (0..=steps).map(|k| k as f64 * self.dt).collect();
        let mut lines = Vec::new();
        for i in 0..self.masses {
            let found = motion.states.iter().map(|x| x[(0, i)]).collect();
            lines.push((format!("mass {}", i + 1), times.clone(), found));
            let known = (0..steps).map(|k| truth[(0, k * self.masses + i)]);
            let known = std::iter::once(chosen.state[(0, i)]).chain(known).collect();
            lines.push((format!("truth {}", i + 1), times.clone(), known));
        }
        let positions: Vec<f64> = (-30..=30).map(|i| f64::from(i) / 20.0).collect();
        let seen = Mat::from_fn(positions.len(), 1, |i, _| positions[i]);
        let answers = self
            .closed_loop()
            .network
            .predict(parameters, seen.as_ref());
        let learned =
            (0..positions.len()).map(|i| answers[(i, 0)] + self.model().known(positions[i]));
        let known: Vec<f64> = positions.iter().map(|x| self.truth().known(*x)).collect();
        vec![
            Picture::Lines(Lines {
                title: "positions".into(),
                x: "time".into(),
                y: "position".into(),
                lines,
                points: Vec::new(),
            }),
            Picture::Lines(Lines {
                title: "force on the first mass".into(),
                x: "position".into(),
                y: "force".into(),
                lines: vec![
                    ("learned".into(), positions.clone(), learned.collect()),
                    ("truth".into(), positions, known),
                ],
                points: Vec::new(),
            }),
        ]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
