//! Inversion of heat conduction: which temperature was it that diffused to the one that is seen?

use super::picture::Lines;
use super::{Compared, MlpSettings, Picture, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::Result;
use crate::linalg::matrix::Mat;
use crate::loss::SquaredError;
use crate::network::Network;
use crate::physics::Diffusion;
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, POSITIVE};
use crate::trainer::Budget;
use rand::RngExt;
use rand_pcg::Pcg64;

crate::settings! {
    /// Find the periodic field that diffuses to a given one.
    pub struct HeatInversion {
        /// Points of the circle.
        pub points: usize = 64, AT_LEAST_ONE;
        /// νt: diffusivity times duration, in squares of the points' distance.
        pub diffused: f64 = 8.0, POSITIVE;
        /// Training samples.
        pub samples: usize = 1024, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 256, AT_LEAST_ONE;
        /// The network.
        pub network: MlpSettings = MlpSettings::tanh(vec![64, 64]), GROUP;
    }
}

/// Steps that each field is the sum of.
const STEPS: usize = 3;

impl HeatInversion {
    fn physics(&self) -> Diffusion {
        Diffusion::new(self.points, self.diffused)
    }

    /// Sums of steps: intervals of the circle, a sixteenth to a quarter of it, raised by -1 to 1.
    fn fields(&self, samples: usize, random: &mut Pcg64) -> Mat<f64> {
        let points = self.points;
        let lengths = (points / 16).max(1)..=(points / 4).max(1);
        let mut fields = Mat::zeros(samples, points);
        for s in 0..samples {
            for _ in 0..STEPS {
                let start = random.random_range(0..points);
                let length = random.random_range(lengths.clone());
                let height: f64 = random.random_range(-1.0..1.0);
                for i in start..start + length {
                    fields[(s, i % points)] += height;
                }
            }
        }
        fields
    }

    /// Samples whose input and target are diffused fields.
    fn data(&self, samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let fields = self.fields(samples, &mut random(seed, purpose));
        let seen = self.physics().apply(fields.as_ref());
        Dataset {
            input: seen.clone(),
            state: Mat::zeros(samples, 0),
            target: seen,
        }
    }
}

impl System for HeatInversion {
    fn name(&self) -> &'static str {
        "heat-inversion"
    }

    fn about(&self) -> &'static str {
        "the field before diffusion, from the one after it"
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(self.points, self.points))
    }

    fn data_size(&self) -> f64 {
        size::of_samples(self.samples, self.test_samples, 2.0 * self.points as f64)
    }

    fn problem(&self, seed: u64) -> Problem {
        Problem::new(
            self.data(self.samples, seed, Purpose::Train),
            self.data(self.test_samples, seed, Purpose::Test),
            self.network.between(self.points, self.points),
            self.physics(),
            SquaredError::sum(),
        )
    }

    fn comparison(&self) -> Compared {
        vec![
            ("adam", vec![("batch", "32"), ("learning_rate", "1e-3")]),
            (
                "hig",
                vec![
                    ("batch", "8"),
                    ("learning_rate", "0.03"),
                    ("cutoff", "1e-3"),
                ],
            ),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::seconds(10.0)
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let Some(parts) = problem.through_physics() else {
            return Vec::new();
        };
        let chosen = problem.test.select(&[sample]);
        let before = parts.control(parameters, &chosen);
        let after = self.physics().apply(before.as_ref());
        let places: Vec<f64> = (0..self.points).map(|i| i as f64).collect();
        let line = |label: &str, field: &Mat<f64>| {
            let values = field.row(0).iter().copied().collect();
            (label.to_owned(), places.clone(), values)
        };
        vec![Picture::Lines(Lines {
            title: "before and after diffusion".into(),
            x: "point".into(),
            y: "temperature".into(),
            lines: vec![
                line("before, by the network", &before),
                line("after, by the network", &after),
                line("after, seen", &chosen.target),
            ],
            points: Vec::new(),
        })]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
