//! Inversion of heat conduction in a plane ("Learning to Invert Heat Conduction with Scale-invariant Updates",
//! Physics-based Deep Learning, arXiv 2109.05237, after Holl, Koltun and Thuerey 2022, arXiv 2109.15048).
//!
//! Grid, diffusion, rectangles, the shift of the mean and the inverse of a relative uncertainty are as there. Its
//! network is larger, and batches are of 128 samples.

use super::picture::Field;
use super::recommended::sketched;
use super::{Compared, LayerSettings, Picture, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, MatRef};
use crate::loss::SquaredError;
use crate::network::{Boundary, Grid, Network};
use crate::physics::PlaneDiffusion;
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, POSITIVE, Settings, WIDTHS};
use crate::trainer::Budget;
use rand::RngExt;
use rand_pcg::Pcg64;

crate::settings! {
    /// Find the rectangles of heat that diffused to a given field on a periodic square.
    pub struct HeatInversion2d {
        /// Points along a side.
        pub grid: usize = 64, AT_LEAST_ONE;
        /// νt: diffusivity times duration, in squares of the points' distance.
        pub diffused: f64 = 8.0, POSITIVE;
        /// What is uncertain of a difference of diffused fields where sip inverts it, relative to its root mean square.
        pub uncertainty: f64 = 1e-6, POSITIVE;
        /// Samples by which the training loss is measured, and trained on unless order = fresh.
        pub samples: usize = 256, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 64, AT_LEAST_ONE;
        /// Channels of each level of the U-Net, from the full grid down.
        pub channels: Vec<usize> = vec![4, 8, 8, 8], WIDTHS;
        /// Activation and initial weights.
        pub layers: LayerSettings = LayerSettings::default(), GROUP;
    }
}

/// Rectangles of a field, and the largest half of a side, over the length of a side.
const RECTANGLES: std::ops::RangeInclusive<usize> = 4..=10;
const HALF: f64 = 10.0 / 64.0;
/// Where their centres lie: behind this part of a side, and before as much of its end.
const MARGIN: f64 = 0.1;
/// Bound of what is held beside the samples: matrices of as many rows and columns as there are points along a
/// side.
const MOST_POINTS: usize = 1024;

impl HeatInversion2d {
    fn physics(&self) -> PlaneDiffusion {
        PlaneDiffusion::new(self.grid, self.diffused, self.uncertainty)
    }

    fn area(&self) -> usize {
        self.grid.saturating_mul(self.grid)
    }

    /// A field: rectangles of a strength of 0 to 1, whose edges are one point wide.
    fn field(&self, random: &mut Pcg64) -> Vec<f64> {
        let (n, side) = (self.grid, self.grid as f64);
        let mut field = vec![0.0; n * n];
        for _ in 0..random.random_range(RECTANGLES) {
            let mut covered = || -> Vec<f64> {
                let half = random.random_range(0.0..HALF * side);
                let centre = random.random_range(MARGIN * side..(1.0 - MARGIN) * side);
                // Pushed inside.
                let centre = centre.clamp(half, side - half);
                let of_point = |i: usize| {
                    let distance = (i as f64 + 0.5 - centre).abs();
                    (half + 0.5 - distance).clamp(0.0, 1.0)
                };
                (0..n).map(of_point).collect()
            };
            let (across, down) = (covered(), covered());
            let strength: f64 = random.random_range(0.0..1.0);
            for (row, down) in field.chunks_exact_mut(n).zip(down) {
                for (value, across) in row.iter_mut().zip(&across) {
                    *value += strength * down * across;
                }
            }
        }
        field
    }

    /// Fields before diffusion (samples × points²).
    fn fields(&self, samples: usize, random: &mut Pcg64) -> Mat<f64> {
        let fields: Vec<Vec<f64>> = (0..samples).map(|_| self.field(random)).collect();
        Mat::from_fn(samples, self.area(), |s, i| fields[s][i])
    }

    /// Samples whose input and target are the diffused fields; the state is those before, of which the physics reads
    /// the mean alone.
    fn draw(&self, physics: &PlaneDiffusion, samples: usize, random: &mut Pcg64) -> Dataset {
        let before = self.fields(samples, random);
        let after = physics.apply(before.as_ref());
        Dataset {
            input: after.clone(),
            state: before,
            target: after,
        }
    }

    /// What a network answers for samples, with the mean that is known, and the field to which it diffuses.
    fn answered(
        &self,
        problem: &Problem,
        parameters: &[f64],
        samples: &Dataset,
    ) -> Option<(Mat<f64>, Mat<f64>)> {
        let (parts, physics) = (problem.through_physics()?, self.physics());
        let control = parts.control(parameters, samples);
        let before = physics.with_means(samples.state.as_ref(), control.as_ref());
        let after = physics.apply(before.as_ref());
        Some((before, after))
    }
}

/// The mean over samples of |found - true| / |true|.
fn relative_error(found: MatRef<'_, f64>, truth: MatRef<'_, f64>) -> f64 {
    let error = |s: usize| {
        let difference = found.row(s) - truth.row(s);
        difference.norm_l2() / truth.row(s).norm_l2().max(f64::MIN_POSITIVE)
    };
    (0..truth.nrows()).map(error).sum::<f64>() / truth.nrows() as f64
}

impl System for HeatInversion2d {
    fn name(&self) -> &'static str {
        "heat-inversion-2d"
    }

    fn about(&self) -> &'static str {
        "rectangles of heat on a grid, from what they diffused to (arXiv 2109.15048)"
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        if self.grid > MOST_POINTS {
            let expected = format!("at most {MOST_POINTS}");
            return Err(Error::setting("grid", self.grid, expected));
        }
        let coarsest = 1 << self.channels.len().saturating_sub(1).min(30);
        if !self.grid.is_multiple_of(coarsest) {
            let levels = self.channels.len();
            let expected = format!("a multiple of {coarsest} for a U-Net of {levels} levels");
            return Err(Error::setting("grid", self.grid, expected));
        }
        Ok(())
    }

    fn network(&self) -> Result<Network> {
        let grid = Grid {
            channels: 1,
            height: self.grid,
            width: self.grid,
        };
        let LayerSettings {
            activation,
            initializer,
        } = self.layers;
        let boundary = Boundary::Periodic;
        Network::unet(grid, &self.channels, 1, boundary, activation, initializer)
    }

    fn data_size(&self) -> f64 {
        let side = self.grid as f64;
        size::of_samples(self.samples, self.test_samples, 3.0 * side * side)
    }

    fn problem(&self, seed: u64) -> Problem {
        let physics = self.physics();
        let data = |samples: usize, purpose: Purpose| {
            self.draw(&physics, samples, &mut random(seed, purpose))
        };
        let (settings, source) = (self.clone(), physics.clone());
        Problem::new(
            data(self.samples, Purpose::Train),
            data(self.test_samples, Purpose::Test),
            self.network().expect("the settings were checked together"),
            physics,
            SquaredError::half(),
        )
        .with_sampler(move |samples, random| settings.draw(&source, samples, random))
    }

    fn comparison(&self) -> Compared {
        let fresh = ("order", "fresh");
        let first_order = || vec![("batch", "32"), fresh, ("learning_rate", "1e-3")];
        let others = sketched("8", "16").into_iter();
        let others = others.filter(|(name, _)| *name != "adam");
        let others = others.map(|(name, settings)| (name, [settings, vec![fresh]].concat()));
        let mut all = vec![("adam", first_order()), ("sip", first_order())];
        all.extend(others);
        all
    }

    fn budget(&self) -> Budget {
        Budget::seconds(30.0)
    }

    /// Relative errors of the fields before diffusion, x, and after it, y.
    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        let test = &problem.test;
        let Some((before, after)) = self.answered(problem, parameters, test) else {
            return Vec::new();
        };
        vec![
            (
                "x_error",
                relative_error(before.as_ref(), test.state.as_ref()),
            ),
            (
                "y_error",
                relative_error(after.as_ref(), test.target.as_ref()),
            ),
        ]
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let chosen = problem.test.select(&[sample]);
        let Some((before, after)) = self.answered(problem, parameters, &chosen) else {
            return Vec::new();
        };
        let side = self.grid as f64;
        let field = |title: &str, values: &Mat<f64>| {
            let row = |i: usize| (0..self.grid).map(move |j| values[(0, i * self.grid + j)]);
            Picture::Field(Field {
                title: title.into(),
                x: "x".into(),
                y: "y".into(),
                x_range: (0.0, side),
                y_range: (0.0, side),
                values: (0..self.grid).map(|i| row(i).collect()).collect(),
                quantity: "temperature".into(),
            })
        };
        vec![
            field("seen", &chosen.target),
            field("before, by the network", &before),
            field("before, truth", &chosen.state),
            field("after, by the network", &after),
        ]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
