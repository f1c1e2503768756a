//! The Poisson problem (arXiv 2203.10131, section 4.2 and appendix): the network reads a right-hand
//! side and answers the field whose Laplacian it is.

use super::picture::Field;
use super::{Content, Extent, Picture, System, extent};
use crate::data::{Dataset, Purpose, random};
use crate::linalg::matrix::{self, Mat, MatRef};
use crate::loss::SquaredError;
use crate::network::{
    ANY_ACTIVATION, ANY_INITIALIZER, Activation, Boundary, Grid, Initializer, Network,
};
use crate::objective::ThroughPhysics;
use crate::physics::{Record, Simulator, Widths};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, POSITIVE, Rule, SettingType, Settings, Value, WIDTHS};
use crate::trainer::Budget;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;
use std::f64::consts::PI;

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
        /// Activation of the hidden layers.
        pub activation: Activation = Activation::Tanh, ANY_ACTIVATION;
        /// Distribution of the initial weights.
        pub initializer: Initializer = Initializer::Glorot, ANY_INITIALIZER;
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

impl Architecture {
    const ALL: [(&'static str, Self); 3] = [
        ("mlp", Self::Mlp),
        ("resnet", Self::Resnet),
        ("unet", Self::Unet),
    ];
}

impl SettingType for Architecture {
    fn parse(text: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, architecture)| *architecture)
    }
    fn value(&self) -> Value {
        let found = Self::ALL.iter().find(|(_, a)| a == self);
        Value::Word(found.map_or("", |(name, _)| name).into())
    }
}

const ANY_ARCHITECTURE: Rule<Architecture> = Rule {
    text: "mlp, resnet or unet",
    holds: |_| true,
};

impl Poisson {
    fn network(&self) -> crate::Result<Network> {
        let side = self.grid;
        let grid = Grid {
            channels: 1,
            height: side,
            width: side,
        };
        let make = match self.architecture {
            Architecture::Mlp => {
                let width = grid.features();
                let widths: Vec<usize> = [&[width], &self.hidden[..], &[width]].concat();
                return Ok(Network::mlp(&widths, self.activation, self.initializer));
            }
            Architecture::Resnet => Network::resnet,
            Architecture::Unet => Network::unet,
        };
        let (activation, initializer) = (self.activation, self.initializer);
        make(
            grid,
            &self.channels,
            1,
            Boundary::Zero,
            activation,
            initializer,
        )
    }
}

/// A 3 × 3 convolution.
fn convolution(from: (&'static str, f64), to: (&'static str, f64)) -> Extent {
    extent::layer((from.0, 9.0 * from.1), to)
}

/// The layers, to be counted, of the networks on the grid.
impl Poisson {
    fn layers_of_resnet(&self) -> Vec<Extent> {
        let (mut layers, mut now) = (Vec::new(), ("", 1.0));
        for (i, &width) in self.channels.iter().enumerate() {
            let width = ("channels", width as f64);
            if i == 0 || width != now {
                layers.push(convolution(now, width));
            }
            let gains = Extent {
                of: Content::Parameters,
                // And as many biases.
                factors: vec![("", 2.0), width],
            };
            layers.extend([convolution(width, width), convolution(width, width), gains]);
            now = width;
        }
        layers.push(convolution(now, ("", 1.0)));
        layers
    }

    fn layers_of_unet(&self) -> Vec<Extent> {
        let (mut layers, mut now) = (Vec::new(), ("", 1.0));
        for (level, &width) in self.channels.iter().enumerate() {
            let width = ("channels", width as f64);
            layers.push(convolution(now, width));
            if let Some(&below) = self.channels.get(level + 1) {
                layers.push(convolution(("channels", width.1 + below as f64), width));
            }
            now = width;
        }
        let first = self.channels.first().map_or(1.0, |&width| width as f64);
        layers.push(extent::layer(("channels", first), ("", 1.0)));
        layers
    }
}

/// The five-point Laplacian of a field on a square grid with zero boundary, y = Δu.
#[derive(Debug, Clone)]
pub struct Laplacian {
    grid: usize,
    spacing: f64,
    /// Orthonormal sine modes of one side; its own inverse.
    sines: Mat<f64>,
}

impl Laplacian {
    /// On `grid` × `grid` points with the given spacing.
    pub fn new(grid: usize, spacing: f64) -> Self {
        let sides = (grid + 1) as f64;
        let sines = Mat::from_fn(grid, grid, |i, k| {
            let phase = PI * ((i + 1) * (k + 1)) as f64 / sides;
            (2.0 / sides).sqrt() * phase.sin()
        });
        Self {
            grid,
            spacing,
            sines,
        }
    }

    /// Eigenvalue of the sine mode with k + 1 and l + 1 half waves along the sides.
    fn eigenvalue(&self, k: usize, l: usize) -> f64 {
        let sides = (self.grid + 1) as f64;
        let cosine = |m: usize| (PI * (m + 1) as f64 / sides).cos();
        (2.0 * cosine(k) + 2.0 * cosine(l) - 4.0) / (self.spacing * self.spacing)
    }

    /// Δu of every sample (samples × grid²; grid point (i, j) is column i·grid + j).
    pub fn apply(&self, fields: MatRef<'_, f64>) -> Mat<f64> {
        let (g, scale) = (self.grid, 1.0 / (self.spacing * self.spacing));
        let mut result = Mat::zeros(fields.nrows(), g * g);
        for i in 0..g {
            for j in 0..g {
                let here = i * g + j;
                let column = result.col_as_slice_mut(here);
                let mut add = |from: usize, weight: f64| {
                    for (t, v) in column.iter_mut().zip(fields.col(from).iter()) {
                        *t += weight * v;
                    }
                };
                add(here, -4.0 * scale);
                if i > 0 {
                    add(here - g, scale);
                }
                if i + 1 < g {
                    add(here + g, scale);
                }
                if j > 0 {
                    add(here - 1, scale);
                }
                if j + 1 < g {
                    add(here + 1, scale);
                }
            }
        }
        result
    }

    /// The field whose Laplacian is given, for every sample: exact, by the discrete sine transform.
    pub fn solve(&self, right_hand_sides: MatRef<'_, f64>) -> Mat<f64> {
        let g = self.grid;
        let mut fields = Mat::zeros(right_hand_sides.nrows(), g * g);
        for s in 0..right_hand_sides.nrows() {
            let values = Mat::from_fn(g, g, |i, j| right_hand_sides[(s, i * g + j)]);
            let mut modes = self.transform(&values);
            for k in 0..g {
                for l in 0..g {
                    modes[(k, l)] /= self.eigenvalue(k, l);
                }
            }
            let field = self.transform(&modes);
            for i in 0..g {
                for j in 0..g {
                    fields[(s, i * g + j)] = field[(i, j)];
                }
            }
        }
        fields
    }

    /// The orthonormal sine transform along both sides.
    fn transform(&self, values: &Mat<f64>) -> Mat<f64> {
        let half = matrix::product(self.sines.as_ref(), values.as_ref());
        matrix::product(half.as_ref(), self.sines.as_ref())
    }

    /// Random smooth fields: independent normal amplitudes of the lowest `modes` sine modes of each
    /// side, scaled to a mean variance of 1.
    fn smooth_fields(&self, samples: usize, modes: usize, random: &mut Pcg64) -> Mat<f64> {
        let g = self.grid;
        let modes = modes.min(g);
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
            let field = self.transform(&amplitudes);
            for i in 0..g {
                for j in 0..g {
                    fields[(s, i * g + j)] = field[(i, j)];
                }
            }
        }
        fields
    }

    /// Samples whose input and target are the Laplacian of random smooth fields.
    fn draw(&self, samples: usize, modes: usize, random: &mut Pcg64) -> Dataset {
        let right = self.apply(self.smooth_fields(samples, modes, random).as_ref());
        Dataset {
            input: right.clone(),
            state: Mat::zeros(samples, 0),
            target: right,
        }
    }
}

impl Simulator for Laplacian {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: self.grid * self.grid,
            output: self.grid * self.grid,
        }
    }

    fn record(
        &self,
        _: MatRef<'_, f64>,
        control: MatRef<'_, f64>,
    ) -> crate::Result<Box<dyn Record>> {
        Ok(Box::new(Applied {
            y: self.apply(control),
            laplacian: self.clone(),
        }))
    }

    fn simulate(&self, _: MatRef<'_, f64>, control: MatRef<'_, f64>) -> crate::Result<Mat<f64>> {
        Ok(self.apply(control))
    }

    fn inverse(
        &self,
        _: MatRef<'_, f64>,
        _: MatRef<'_, f64>,
        y: MatRef<'_, f64>,
    ) -> crate::Result<Option<Mat<f64>>> {
        Ok(Some(self.solve(y)))
    }
}

/// A linear and symmetric map is its own derivative, everywhere.
struct Applied {
    y: Mat<f64>,
    laplacian: Laplacian,
}

impl Record for Applied {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> crate::Result<Mat<f64>> {
        Ok(self.laplacian.apply(cotangent))
    }

    fn jvp(&self, tangent: MatRef<'_, f64>) -> crate::Result<Mat<f64>> {
        Ok(self.laplacian.apply(tangent))
    }

    fn rows(&self) -> crate::Result<Mat<f64>> {
        let width = self.y.ncols();
        let unit = Mat::<f64>::identity(width, width);
        let one_sample = self.laplacian.apply(unit.as_ref());
        let samples = self.y.nrows();
        Ok(Mat::from_fn(samples * width, width, |r, j| {
            one_sample[(r / samples, j)]
        }))
    }
}

impl System for Poisson {
    fn name(&self) -> &'static str {
        "poisson"
    }

    fn about(&self) -> &'static str {
        "the Poisson problem on a grid (arXiv 2203.10131, section 4.2)"
    }

    fn check_together(&self) -> crate::Result<()> {
        self.check()?;
        if self.modes > self.grid {
            let expected = format!("at most grid = {}", self.grid);
            return Err(crate::Error::setting("modes", self.modes, expected));
        }
        let coarsest = 1 << self.channels.len().saturating_sub(1).min(30);
        if self.architecture == Architecture::Unet && !self.grid.is_multiple_of(coarsest) {
            let levels = self.channels.len();
            let expected = format!("a multiple of {coarsest} for a unet of {levels} levels");
            return Err(crate::Error::setting("grid", self.grid, expected));
        }
        Ok(())
    }

    fn problem(&self, seed: u64) -> Problem {
        let laplacian = Laplacian::new(self.grid, self.spacing);
        let modes = self.modes;
        let data = |samples: usize, purpose: Purpose| {
            laplacian.draw(samples, modes, &mut random(seed, purpose))
        };
        let sampler = laplacian.clone();
        let network = self.network().expect("the settings were checked together");
        Problem::of(
            data(self.samples, Purpose::Train),
            data(self.test_samples, Purpose::Test),
            ThroughPhysics::new(network, laplacian, SquaredError::half()).summed(),
        )
        .with_sampler(move |samples, random| sampler.draw(samples, modes, random))
    }

    fn comparison(&self) -> Vec<(&'static str, Vec<(&'static str, &'static str)>)> {
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

    fn extents(&self) -> Vec<Extent> {
        let side = ("grid", self.grid as f64);
        let samples = extent::samples(self.samples, self.test_samples, &[("", 2.0), side, side]);
        let points = ("grid", side.1 * side.1);
        let layers = match self.architecture {
            Architecture::Mlp => extent::mlp(points, &self.hidden, points),
            Architecture::Resnet => self.layers_of_resnet(),
            Architecture::Unet => self.layers_of_unet(),
        };
        samples.into_iter().chain(layers).collect()
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
