//! Control of a quantum dipole (arXiv 2203.10131, section 4.3 and appendix).
//!
//! A particle starts in the ground state of an infinite well; the network reads the state that is
//! wanted at the end and answers the strength over time of a uniform field that should lead there.

use super::{Compared, MlpSettings, Picture, System, picture, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::Result;
use crate::linalg::matrix::Mat;
use crate::loss::Infidelity;
use crate::network::Network;
use crate::physics::{InfiniteWell, Schroedinger};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, POSITIVE, Rule};
use crate::trainer::Budget;
use rand_distr::{Distribution, StandardNormal};

/// Three points inside, as many as the eigenstates that the task speaks of.
const AT_LEAST_FIVE: Rule<usize> = Rule::at_least(5);

crate::settings! {
    /// From the ground state of a well to mixtures of its second and third eigenstate.
    pub struct QuantumDipole {
        /// Grid points of the well [0, 2], walls included.
        pub points: usize = 16, AT_LEAST_FIVE;
        /// Time steps.
        pub steps: usize = 384, AT_LEAST_ONE;
        /// Length of a time step.
        pub dt: f64 = 0.05, POSITIVE;
        /// Training samples, targets c₁ψ₂ + c₂ψ₃ with normal coefficients, normalised.
        pub samples: usize = 1024, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 1024, AT_LEAST_ONE;
        /// The network.
        pub network: MlpSettings = MlpSettings::default(), GROUP;
    }
}

impl QuantumDipole {
    /// The well.
    pub fn well(&self) -> InfiniteWell {
        InfiniteWell {
            points: self.points,
        }
    }

    /// The particle in the field.
    pub fn physics(&self) -> Schroedinger {
        Schroedinger::new(self.well(), self.steps, self.dt)
    }

    fn data(&self, samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let [second, third] = [2, 3].map(|n| self.well().eigenstate(n));
        let mut random = random(seed, purpose);
        let mut target = Mat::zeros(samples, 2 * second.len());
        for s in 0..samples {
            let [a, b]: [f64; 2] = std::array::from_fn(|_| StandardNormal.sample(&mut random));
            let norm = a.hypot(b);
            for (j, (second, third)) in second.iter().zip(&third).enumerate() {
                target[(s, 2 * j)] = (a * second + b * third) / norm;
            }
        }
        Dataset {
            input: target.clone(),
            state: Mat::zeros(samples, 0),
            target,
        }
    }

    /// |ψ|² at every grid point, walls included.
    fn density(state: &[f64]) -> Vec<f64> {
        let inside = state.chunks_exact(2).map(|z| z[0] * z[0] + z[1] * z[1]);
        [0.0].into_iter().chain(inside).chain([0.0]).collect()
    }

    /// |ψ|² over time and position.
    fn density_over_time(&self, states: &[Vec<f64>]) -> picture::Field {
        const MOST_COLUMNS: usize = 192;
        let columns = self.steps.min(MOST_COLUMNS);
        // The state in the middle of what a column covers.
        let shown: Vec<Vec<f64>> = (0..columns)
            .map(|c| Self::density(&states[(2 * c + 1) * self.steps / (2 * columns)]))
            .collect();
        let half_cell = 0.5 * self.well().spacing();
        picture::Field {
            title: "density".into(),
            x: "time".into(),
            y: "position".into(),
            x_range: (0.0, self.steps as f64 * self.dt),
            y_range: (half_cell, InfiniteWell::WIDTH - half_cell),
            values: (1..=self.well().inside())
                .map(|j| shown.iter().map(|density| density[j]).collect())
                .collect(),
            quantity: "|ψ|² at a grid point".into(),
        }
    }

    fn final_density(&self, reached: &[f64], target: &[f64]) -> picture::Lines {
        let grid = |j: usize| j as f64 * self.well().spacing();
        let positions: Vec<f64> = (0..self.points).map(grid).collect();
        let line =
            |label: &str, state: &[f64]| (label.into(), positions.clone(), Self::density(state));
        picture::Lines {
            title: "final state".into(),
            x: "position".into(),
            y: "|ψ|² at a grid point".into(),
            lines: vec![line("reached", reached), line("target", target)],
            points: Vec::new(),
        }
    }

    fn control_over_time(&self, control: &[f64]) -> picture::Lines {
        let (times, held) = picture::held(self.dt, control);
        picture::Lines {
            title: "control".into(),
            x: "time".into(),
            y: "field strength".into(),
            lines: vec![("u".into(), times, held)],
            points: Vec::new(),
        }
    }
}

impl System for QuantumDipole {
    fn name(&self) -> &'static str {
        "quantum-dipole"
    }

    fn about(&self) -> &'static str {
        "control of a quantum dipole in an infinite well (arXiv 2203.10131, section 4.3)"
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(2 * self.well().inside(), self.steps))
    }

    fn data_size(&self) -> f64 {
        size::of_samples(
            self.samples,
            self.test_samples,
            4.0 * self.well().inside() as f64,
        )
    }

    fn problem(&self, seed: u64) -> Problem {
        Problem::new(
            self.data(self.samples, seed, Purpose::Train),
            self.data(self.test_samples, seed, Purpose::Test),
            self.network.between(2 * self.well().inside(), self.steps),
            self.physics(),
            Infidelity,
        )
    }

    fn comparison(&self) -> Compared {
        let spectral = vec![
            ("batch", "16"),
            ("learning_rate", "0.5"),
            ("cutoff", "1e-5"),
        ];
        vec![
            ("adam", vec![("batch", "256"), ("learning_rate", "5e-4")]),
            ("gn", spectral.clone()),
            ("hig", spectral),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::seconds(20.0)
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let chosen = problem.test.select(&[sample]);
        let row = |m: &Mat<f64>| -> Vec<f64> { m.row(0).iter().copied().collect() };
        let Some(parts) = problem.through_physics() else {
            return Vec::new();
        };
        let control = row(&parts.control(parameters, &chosen));
        let states = self.physics().trajectory(&control);
        let end = &states[self.steps];
        vec![
            Picture::Field(self.density_over_time(&states)),
            Picture::Lines(self.control_over_time(&control)),
            Picture::Lines(self.final_density(end, &row(&chosen.target))),
        ]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
