//! The Poisson problem (arXiv 2203.10131, section 4.2 and appendix): the network reads a right-hand
//! side and answers the field whose Laplacian it is.

use super::picture::Field;
use super::{Compared, LayerSettings, MlpSettings, Picture, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::matrix::Mat;
use crate::loss::SquaredError;
use crate::network::{Boundary, Grid, Network};
use crate::objective::ThroughPhysics;
use crate::physics::Laplacian;
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, POSITIVE, Rule, Settings, WIDTHS};
use crate::trainer::Budget;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

crate::settings! {
    /// Solve Δu = f on a square grid with zero boundary.
    pub struct Poisson {
        /// Grid points along a side, boundary not counted.
        pub grid: usize = 8, AT_LEAST_ONE;
        /// Distance of neighbouring grid points.
        pub spacing: f64 = 1.0, POSITIVE;
        /// Band limit of the random fields: sine modes along a side, at most `grid`.
        pub modes: usize = 4, AT_LEAST_ONE;
        /// Samples by which the training loss is measured, and trained on unless order = fresh.
        pub samples: usize = 1024, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 1024, AT_LEAST_ONE;
        /// The network: dense layers, residual blocks of convolutions, or a U-Net.
        pub architecture: Architecture = Architecture::Mlp, ANY_ARCHITECTURE;
        /// Widths of the hidden layers of the mlp.
        pub hidden: Vec<usize> = vec![64, 128, 64], WIDTHS;
        /// Channels of each block of the resnet, or of each level of the unet from the full grid down.
        pub channels: Vec<usize> = vec![8, 8, 8], WIDTHS;
        /// Activation and initial weights.
        pub layers: LayerSettings = LayerSettings::default(), GROUP;
    }
}

/// The kinds of network that can be trained on the problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// [`Network::mlp`].
    Mlp,
    /// [`Network::resnet`].
    Resnet,
    /// [`Network::unet`].
    Unet,
}

crate::choices! {
    Architecture, "architecture" {
        Mlp = "mlp", "dense layers";
        Resnet = "resnet", "residual blocks of convolutions";
        Unet = "unet", "convolutions on grids of several sizes";
    }
}

const ANY_ARCHITECTURE: Rule<Architecture> = Rule::any();

/// Where the samples come from.
impl Poisson {
    /// Random smooth fields: independent normal amplitudes of the lowest `modes` sine modes of each
    /// side, scaled to a mean variance of 1.
    fn smooth_fields(&self, laplacian: &Laplacian, samples: usize, random: &mut Pcg64) -> Mat<f64> {
        let (g, modes) = (self.grid, self.modes.min(self.grid));
        let scale = g as f64 / modes as f64;
        let mut fields = Mat::zeros(samples, g * g);
        for s in 0..samples {
            let mut amplitudes = Mat::zeros(g, g);
            for k in 0..modes {
                for l in 0..modes {
                    let normal: f64 = StandardNormal.sample(random);
                    amplitudes[(k, l)] = scale * normal;
                }
            }
            let field = laplacian.transform(&amplitudes);
            for i in 0..g {
                for j in 0..g {
                    fields[(s, i * g + j)] = field[(i, j)];
                }
            }
        }
        fields
    }

    /// Samples whose input and target are the Laplacian of random smooth fields.
    fn draw(&self, laplacian: &Laplacian, samples: usize, random: &mut Pcg64) -> Dataset {
        let fields = self.smooth_fields(laplacian, samples, random);
        let right = laplacian.apply(fields.as_ref());
        Dataset {
            input: right.clone(),
            state: Mat::zeros(samples, 0),
            target: right,
        }
    }
}

impl System for Poisson {
    fn name(&self) -> &'static str {
        "poisson"
    }

    fn about(&self) -> &'static str {
        "the Poisson problem on a grid (arXiv 2203.10131, section 4.2)"
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        if self.modes > self.grid {
            let expected = format!("at most grid = {}", self.grid);
            return Err(Error::setting("modes", self.modes, expected));
        }
        let coarsest = 1 << self.channels.len().saturating_sub(1).min(30);
        if self.architecture == Architecture::Unet && !self.grid.is_multiple_of(coarsest) {
            let levels = self.channels.len();
            let expected = format!("a multiple of {coarsest} for a unet of {levels} levels");
            return Err(Error::setting("grid", self.grid, expected));
        }
        Ok(())
    }

    fn network(&self) -> Result<Network> {
        let side = self.grid;
        let grid = Grid {
            channels: 1,
            height: side,
            width: side,
        };
        let layers = &self.layers;
        let make = match self.architecture {
            Architecture::Mlp => {
                let (hidden, layers) = (self.hidden.clone(), layers.clone());
                let width = grid.features();
                return Ok(MlpSettings { hidden, layers }.between(width, width));
            }
            Architecture::Resnet => Network::resnet,
            Architecture::Unet => Network::unet,
        };
        let (activation, initializer) = (layers.activation, layers.initializer);
        make(
            grid,
            &self.channels,
            1,
            Boundary::Zero,
            activation,
            initializer,
        )
    }

    fn data_size(&self) -> f64 {
        let side = self.grid as f64;
        size::of_samples(self.samples, self.test_samples, 2.0 * side * side)
    }

    fn problem(&self, seed: u64) -> Problem {
        let laplacian = Laplacian::new(self.grid, self.spacing);
        let data = |samples: usize, purpose: Purpose| {
            self.draw(&laplacian, samples, &mut random(seed, purpose))
        };
        let (settings, source) = (self.clone(), laplacian.clone());
        let network = self.network().expect("the settings were checked together");
        Problem::of(
            data(self.samples, Purpose::Train),
            data(self.test_samples, Purpose::Test),
            ThroughPhysics::new(network, laplacian, SquaredError::half()).summed(),
        )
        .with_sampler(move |samples, random| settings.draw(&source, samples, random))
    }

    fn comparison(&self) -> Compared {
        let (large, small) = (("batch", "64"), ("batch", "16"));
        let fresh = ("order", "fresh");
        let rate = ("learning_rate", "0.01");
        vec![
            ("adam", vec![large, fresh, ("learning_rate", "3e-4")]),
            ("sip", vec![large, fresh, ("learning_rate", "3e-4")]),
            ("hig", vec![small, fresh, rate, ("cutoff", "1e-5")]),
        ]
    }

    fn budget(&self) -> Budget {
        Budget::seconds(20.0)
    }

    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        let laplacian = Laplacian::new(self.grid, self.spacing);
        let Some(parts) = problem.through_physics() else {
            return Vec::new();
        };
        let predicted = parts.control(parameters, &problem.test);
        let truth = laplacian.solve(problem.test.target.as_ref());
        let count = (truth.nrows() * truth.ncols()) as f64;
        vec![("l1_distance", (&predicted - &truth).norm_l1() / count)]
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let chosen = problem.test.select(&[sample]);
        let laplacian = Laplacian::new(self.grid, self.spacing);
        let Some(parts) = problem.through_physics() else {
            return Vec::new();
        };
        let predicted = parts.control(parameters, &chosen);
        let truth = laplacian.solve(chosen.target.as_ref());
        let error = &predicted - &truth;
        let end = self.spacing * self.grid as f64;
        let field = |title: &str, quantity: &str, values: &Mat<f64>| {
            Picture::Field(Field {
                title: title.into(),
                x: "x".into(),
                y: "y".into(),
                x_range: (0.0, end),
                y_range: (0.0, end),
                values: (0..self.grid)
                    .map(|i| {
                        (0..self.grid)
                            .map(|j| values[(0, i * self.grid + j)])
                            .collect()
                    })
                    .collect(),
                quantity: quantity.into(),
            })
        };
        vec![
            field("right-hand side", "f", &chosen.target),
            field("prediction", "u", &predicted),
            field("truth", "u", &truth),
            field("error", "difference", &error),
        ]
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
