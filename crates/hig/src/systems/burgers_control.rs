//! Control of the forced Burgers equation (Physics-based Deep Learning, arXiv 2109.05237, the chapter on
//! the control of Burgers' equation; after Holl, Koltun and Thuerey 2020, arXiv 2001.07457).
//!
//! Grid, steps, initial and target states are the source's. It steps with semi-Lagrangian advection, whose own
//! smoothing on this grid is far above its viscosity of 0.003; the spectral steps here smooth nothing, and
//! the default viscosity is one at which the grid resolves the fronts.

use super::picture::{Field, Lines};
use super::recommended::sketched;
use super::{Compared, MlpSettings, Picture, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::Result;
use crate::linalg::matrix::Mat;
use crate::loss::SquaredError;
use crate::network::Network;
use crate::objective::{ClosedLoop, Motion, ThroughPhysics};
use crate::physics::{CountedEffort, OpenLoop, PeriodicField, Scheme, Stepwise, TimeSteps};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, FLAG, GROUP, NON_NEGATIVE, POSITIVE, Settings};
use crate::trainer::Budget;
use rand::RngExt;
use rand_pcg::Pcg64;

crate::settings! {
    /// Forces along a circle that bring a field from one state to another, under the Burgers equation.
    pub struct BurgersControl {
        /// Grid points of the circle, whose length is 1.
        pub points: usize = 32, AT_LEAST_ONE;
        /// Viscosity.
        pub viscosity: f64 = 0.03, NON_NEGATIVE;
        /// Time steps, during each of which a force holds.
        pub steps: usize = 32, AT_LEAST_ONE;
        /// Length of a time step.
        pub dt: f64 = 0.03, POSITIVE;
        /// Steps of the solver in one time step.
        pub substeps: usize = 4, AT_LEAST_ONE;
        /// Whether the network is asked for the force at every time step, with the state of then; otherwise it answers the forces of all steps at once.
        pub closed: bool = true, FLAG;
        /// Whether derivatives go backwards through the physics alone, not through what the network sees (the gradient stopping of arXiv 2405.02041). With closed = true.
        pub stop_gradients: bool = false, FLAG;
        /// Weight of the squared forces in the loss; the source's reward has 1/32.
        pub effort: f64 = 0.0, NON_NEGATIVE;
        /// Training samples.
        pub samples: usize = 800, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 100, AT_LEAST_ONE;
        /// The network.
        pub network: MlpSettings = MlpSettings::tanh(vec![64, 64]), GROUP;
    }
}

impl BurgersControl {
    /// The equation, with a force at every grid point.
    pub fn field(&self) -> PeriodicField {
        let time = TimeSteps {
            scheme: Scheme::Etd4,
            steps: self.steps,
            dt: self.dt,
            substeps: self.substeps,
        };
        PeriodicField::burgers(self.points, 1.0, self.viscosity, time)
    }

    /// The same with the norm of all forces behind the field: its square is their mean square over the circle,
    /// summed over time.
    fn counted(&self) -> CountedEffort<PeriodicField> {
        CountedEffort::new(self.field(), self.dt / self.points as f64)
    }

    /// ½ of the mean squared distance from the target, and ½ of the weighted square of the effort.
    fn loss(&self) -> SquaredError {
        let mut weights = vec![1.0 / self.points as f64; self.points];
        if self.effort > 0.0 {
            weights.push(self.effort);
        }
        (SquaredError::half().weighted(weights)).expect("the settings were checked")
    }

    /// The network at every time step: it sees the state, the target and the time.
    pub fn closed_loop(&self) -> ClosedLoop {
        let network = self.between();
        let steered = match self.effort > 0.0 {
            true => ClosedLoop::new(network, self.counted(), self.loss()),
            false => ClosedLoop::new(network, self.field(), self.loss()),
        };
        let steered = steered.knowing_time();
        match self.stop_gradients {
            true => steered.stopping_gradients(),
            false => steered,
        }
    }

    /// The network before the simulation: it sees state and target.
    pub fn open_loop(&self) -> ThroughPhysics {
        let network = self.between();
        match self.effort > 0.0 {
            true => ThroughPhysics::new(network, OpenLoop::new(self.counted()), self.loss()),
            false => ThroughPhysics::new(network, OpenLoop::new(self.field()), self.loss()),
        }
    }

    fn between(&self) -> Network {
        match self.closed {
            true => {
                let seen = self.state_len().saturating_add(self.points);
                self.network.between(seen.saturating_add(1), self.points)
            }
            false => {
                let seen = self.points.saturating_mul(2);
                self.network
                    .between(seen, self.points.saturating_mul(self.steps))
            }
        }
    }

    fn state_len(&self) -> usize {
        self.points.saturating_add(usize::from(self.effort > 0.0))
    }

    /// amplitude·exp(-½(x - centre)²/width²) at the grid points, wrapped around the circle.
    fn bump(&self, amplitude: f64, centre: f64, width: f64) -> Vec<f64> {
        let at = |i: usize| {
            let distance = i as f64 / self.points as f64 - centre;
            let round = |turns: i32| ((distance + f64::from(turns)) / width).powi(2);
            let images = (-2..=2).map(|turns| (-0.5 * round(turns)).exp());
            amplitude * images.sum::<f64>()
        };
        (0..self.points).map(at).collect()
    }

    /// Two waves that run into each other, and the force that acts on them.
    fn draw(&self, random: &mut Pcg64) -> (Vec<f64>, Vec<f64>) {
        let mut within = |low: f64, high: f64| random.random_range(low..high);
        let left = self.bump(within(0.0, 3.0), within(0.2, 0.4), within(0.05, 0.15));
        let right = self.bump(within(-3.0, 0.0), within(0.6, 0.8), within(0.05, 0.15));
        let start = left.iter().zip(&right).map(|(a, b)| a + b).collect();
        let force = self.bump(within(-1.6, 1.6), within(0.4, 0.6), within(0.1, 0.4));
        (start, force)
    }

    /// Targets are what becomes of a start under a force that stays the same.
    fn data(&self, samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let mut random = random(seed, purpose);
        let drawn: Vec<_> = (0..samples).map(|_| self.draw(&mut random)).collect();
        let (n, field) = (self.points, self.field());
        let start = Mat::from_fn(samples, n, |s, i| drawn[s].0[i]);
        let force = Mat::from_fn(samples, n, |s, i| drawn[s].1[i]);
        let mut reached = start.clone();
        for k in 0..self.steps {
            let next = field.advance(k, reached.as_ref(), force.as_ref());
            reached = next.expect("the equation can be stepped");
        }
        let beside = |values: &Mat<f64>| {
            Mat::from_fn(samples, self.state_len(), |s, i| match i < n {
                true => values[(s, i)],
                false => 0.0,
            })
        };
        let both = Mat::from_fn(samples, 2 * n, |s, i| match i < n {
            true => start[(s, i)],
            false => reached[(s, i - n)],
        });
        Dataset {
            input: if self.closed { reached.clone() } else { both },
            state: beside(&start),
            target: beside(&reached),
        }
    }

    /// Fields at all times and the forces of all steps.
    fn motion(&self, parameters: &[f64], samples: &Dataset) -> Result<Motion> {
        if self.closed {
            return self.closed_loop().motion(parameters, samples);
        }
        let forces = self.open_loop().control(parameters, samples);
        let n = self.points;
        let start = samples.state.as_ref().subcols(0, n);
        let of_step = |k: usize| forces.as_ref().subcols(k * n, n).to_owned();
        Ok(Motion {
            states: OpenLoop::new(self.field()).states(start, forces.as_ref())?,
            controls: (0..self.steps).map(of_step).collect(),
        })
    }
}

impl System for BurgersControl {
    fn name(&self) -> &'static str {
        "burgers-control"
    }

    fn about(&self) -> &'static str {
        "forces that bring a field of the Burgers equation to a target (arXiv 2109.05237)"
    }

    fn network(&self) -> Result<Network> {
        Ok(self.between())
    }

    fn data_size(&self) -> f64 {
        let seen = if self.closed { 1.0 } else { 2.0 };
        let state = self.points as f64 + f64::from(self.effort > 0.0);
        let width = seen * self.points as f64 + 2.0 * state;
        size::of_samples(self.samples, self.test_samples, width)
    }

    fn problem(&self, seed: u64) -> Problem {
        let train = self.data(self.samples, seed, Purpose::Train);
        let test = self.data(self.test_samples, seed, Purpose::Test);
        match self.closed {
            true => Problem::of(train, test, self.closed_loop()),
            false => Problem::of(train, test, self.open_loop()),
        }
    }

    fn comparison(&self) -> Compared {
        sketched("32", "8")
    }

    fn budget(&self) -> Budget {
        Budget::seconds(30.0)
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        size::check_calls(self.steps)?;
        size::check_multiple("substeps", self.substeps, self.steps)
    }

    /// The distance from the target over that at the start, and the mean square of the forces, summed over
    /// time.
    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        let (n, test) = (self.points, &problem.test);
        let Ok(Motion { states, controls }) = self.motion(parameters, test) else {
            return Vec::new();
        };
        let target = test.target.as_ref().subcols(0, n);
        let distance = |state: &Mat<f64>| (state.as_ref().subcols(0, n) - target).norm_l1();
        let squares: f64 = controls.iter().map(|force| force.squared_norm_l2()).sum();
        vec![
            (
                "distance",
                distance(&states[self.steps]) / distance(&states[0]),
            ),
            ("effort", squares * self.dt / (n * test.len()) as f64),
        ]
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let chosen = problem.test.select(&[sample]);
        let Ok(Motion { states, controls }) = self.motion(parameters, &chosen) else {
            return Vec::new();
        };
        let (n, end) = (self.points, self.steps as f64 * self.dt);
        let row = |values: &Mat<f64>| -> Vec<f64> { (0..n).map(|i| values[(0, i)]).collect() };
        let over_time = |title: &str, quantity: &str, batches: &[Mat<f64>]| {
            Picture::Field(Field {
                title: title.into(),
                x: "position".into(),
                y: "time".into(),
                x_range: (0.0, 1.0),
                y_range: (0.0, end),
                values: batches.iter().map(row).collect(),
                quantity: quantity.into(),
            })
        };
        let places: Vec<f64> = (0..n).map(|i| i as f64 / n as f64).collect();
        let line = |label: &str, values: &Mat<f64>| (label.into(), places.clone(), row(values));
        vec![
            Picture::Lines(Lines {
                title: "start, target and end".into(),
                x: "position".into(),
                y: "u".into(),
                lines: vec![
                    line("start", &states[0]),
                    line("target", &chosen.target),
                    line("end, with the network's forces", &states[self.steps]),
                ],
                points: Vec::new(),
            }),
            over_time("field", "u", &states),
            over_time("forces", "force", &controls),
        ]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
