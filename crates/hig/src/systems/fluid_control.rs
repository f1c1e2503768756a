//! Control of an incompressible fluid (Physics-based Deep Learning, arXiv 2109.05237, after Holl, Koltun and
//! Thuerey 2020, arXiv 2001.07457): forces that move and deform a marker from one shape into another.
//!
//! Shapes, steps, cells and the smoothed distance are as there. It advects by semi-Lagrangian steps on a staggered
//! grid within walls, and its networks predict the states between; here the square is periodic, its steps
//! spectral, and one network is asked for the force at every time step. All shapes have the same area, which
//! a flow without divergence keeps, and a target is within reach.

use super::picture::Field;
use super::recommended::sketched;
use super::{Compared, LayerSettings, Picture, System, size};
use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::matrix::{Mat, MatRef};
use crate::loss::SquaredError;
use crate::network::{Boundary, Grid, Network};
use crate::objective::ClosedLoop;
use crate::physics::{PeriodicFlow, Picked, Record, Scheme, Simulator, Source, TimeSteps, Widths};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, FLAG, GROUP, NON_NEGATIVE, POSITIVE, Settings, WIDTHS};
use crate::trainer::Budget;
use rand::RngExt;
use rand_pcg::Pcg64;
use std::f64::consts::{PI, TAU};
use std::sync::Arc;

crate::settings! {
    /// Forces at every time step that bring a marker in an incompressible flow from one shape into another.
    pub struct FluidControl {
        /// Cells along a side of the periodic square, each of length 1.
        pub grid: usize = 32, AT_LEAST_ONE;
        /// Viscosity.
        pub viscosity: f64 = 0.1, NON_NEGATIVE;
        /// Diffusivity of the marker.
        pub diffusivity: f64 = 0.02, NON_NEGATIVE;
        /// Time steps, during each of which a force holds.
        pub steps: usize = 16, AT_LEAST_ONE;
        /// Length of a time step.
        pub dt: f64 = 1.0, POSITIVE;
        /// Steps of the solver, of fourth order, in one time step.
        pub substeps: usize = 1, AT_LEAST_ONE;
        /// Force per mass that an output 1 of the network stands for.
        pub force: f64 = 0.1, POSITIVE;
        /// How far a target lies from its start, at most, over the length of a side.
        pub reach: f64 = 0.2, NON_NEGATIVE;
        /// Standard deviation of the Gaussian with which densities are smoothed before they are compared, over the length of a side; the source's is 0.18.
        pub blur: f64 = 0.06, POSITIVE;
        /// Whether derivatives go backwards through the physics alone, not through what the network sees (the gradient stopping of arXiv 2405.02041).
        pub stop_gradients: bool = false, FLAG;
        /// Training samples.
        pub samples: usize = 128, AT_LEAST_ONE;
        /// Test samples.
        pub test_samples: usize = 32, AT_LEAST_ONE;
        /// Cells along a side over which the network reads means, and which have one force.
        pub patch: usize = 2, AT_LEAST_ONE;
        /// Channels of each level of the U-Net, from the grid of the patches down.
        pub channels: Vec<usize> = vec![4, 8, 8], WIDTHS;
        /// Activation and initial weights.
        pub layers: LayerSettings = LayerSettings::default(), GROUP;
    }
}

/// Area of a shape over that of the square.
const AREA: f64 = 1.0 / 16.0;
/// Standard deviation of the Gaussian that makes the edges of shapes soft, in cells.
const SOFT: f64 = 1.0;
/// Points along a side of a cell at which a shape is looked up.
const LOOKS: usize = 4;
/// Fields of the state, and those that the network sees beside it: target and time.
const FIELDS: usize = 3;
const SEEN: usize = FIELDS + 2;
/// Bound of what is held beside the samples: matrices of as many rows and columns as there are cells along a
/// side.
const MOST_CELLS: usize = 1024;

/// Whether a point belongs to a shape around the origin, and the shape's area.
type Shape = (fn(f64, f64) -> bool, f64);

/// The shapes, of which the source has ten as well.
const SHAPES: [Shape; 10] = [
    (|x, y| x * x + y * y < 1.0, PI),
    (|x, y| x.abs().max(y.abs()) < 1.0, 4.0),
    (|x, y| x.abs() + y.abs() < 1.0, 2.0),
    (|x, y| (0.25..1.0).contains(&(x * x + y * y)), 0.75 * PI),
    (
        |x, y| x.abs().max(y.abs()) < 1.0 && x.abs().min(y.abs()) < 0.35,
        2.31,
    ),
    (|x, y| (-0.5..1.0).contains(&y) && x.abs() < 1.0 - y, 2.25),
    (|x, y| x.abs() < 1.0 && y.abs() < 0.4, 1.6),
    (|x, y| x.abs() < 0.4 && y.abs() < 1.0, 1.6),
    (
        |x, y| x.abs().max(y.abs()) < 1.0 && (x < -0.2 || y < -0.2),
        4.0 - 1.44,
    ),
    (|x, y| (x.abs() - 0.7).hypot(y) < 0.5, 0.5 * PI),
];

impl FluidControl {
    /// The flow, with a force at every point and a marker.
    pub fn flow(&self) -> PeriodicFlow {
        let time = TimeSteps {
            scheme: Scheme::Etd4,
            steps: self.steps,
            dt: self.dt,
            substeps: self.substeps,
        };
        let flow = PeriodicFlow::new(self.grid, self.grid as f64, self.viscosity, time);
        flow.carrying(self.diffusivity).pushed(self.force)
    }

    /// The network at every time step: it sees velocity, density, target and the time, each as a channel.
    pub fn closed_loop(&self) -> ClosedLoop {
        let (n, network) = (self.area(), self.network());
        let network = network.expect("the settings were checked together");
        let mut seen = Picked::new(n + 1, FIELDS * n);
        let over_time = 1.0 / (self.steps as f64 * self.dt);
        let places = (0..FIELDS * n).map(|i| (Source::Control(i), 1.0));
        let target = (0..n).map(|i| (Source::State(i), 1.0));
        let time = (0..n).map(|_| (Source::State(n), over_time));
        for (source, factor) in places.chain(target).chain(time) {
            seen = seen.with(source, factor);
        }
        // Of half the mean square over the cells.
        let weights = vec![1.0 / n as f64; n];
        let loss = SquaredError::half()
            .weighted(weights)
            .expect("weights above 0");
        let steered = ClosedLoop::new(network, self.flow(), loss).seeing(seen);
        let steered = steered.observing(self.smoothed());
        match self.stop_gradients {
            true => steered.stopping_gradients(),
            false => steered,
        }
    }

    /// The density of a state, smoothed.
    pub fn smoothed(&self) -> SmoothedDensity {
        SmoothedDensity {
            smoothing: Arc::new(gaussian(self.grid, self.blur * self.grid as f64)),
        }
    }

    /// Cells of the square.
    fn area(&self) -> usize {
        self.grid.saturating_mul(self.grid)
    }

    /// The density of a shape around a place, with soft edges.
    fn shape(&self, (inside, area): Shape, centre: [f64; 2], soft: &Mat<f64>) -> Vec<f64> {
        let side = self.grid as f64;
        let scale = (AREA * side * side / area).sqrt();
        // The nearest of all images.
        let from = |place: f64, centre: f64| {
            let distance = place - centre;
            (distance - side * (distance / side).round()) / scale
        };
        let look = |cell: usize, i: usize| cell as f64 + (i as f64 + 0.5) / LOOKS as f64;
        let covered = Mat::from_fn(self.grid, self.grid, |row, column| {
            let looks = (0..LOOKS * LOOKS).filter(|i| {
                let (x, y) = (look(column, i % LOOKS), look(row, i / LOOKS));
                inside(from(x, centre[0]), from(y, centre[1]))
            });
            looks.count() as f64
        });
        let density = soft * &covered * soft;
        let full = AREA * side * side / density.sum();
        let at = |i: usize| full * density[(i / self.grid, i % self.grid)];
        (0..self.area()).map(at).collect()
    }

    fn draw(&self, random: &mut Pcg64, soft: &Mat<f64>) -> [Vec<f64>; 2] {
        let side = self.grid as f64;
        let mut kind = || SHAPES[random.random_range(0..SHAPES.len())];
        let (first, second) = (kind(), kind());
        let mut within = |high: f64| random.random_range(0.0..high);
        let start = [within(side), within(side)];
        // Evenly over a disc.
        let (distance, angle) = (self.reach * side * within(1.0).sqrt(), within(TAU));
        let end = [
            start[0] + distance * angle.cos(),
            start[1] + distance * angle.sin(),
        ];
        [
            self.shape(first, start, soft),
            self.shape(second, end, soft),
        ]
    }

    fn data(&self, samples: usize, seed: u64, purpose: Purpose) -> Dataset {
        let (mut random, soft) = (random(seed, purpose), gaussian(self.grid, SOFT));
        let drawn: Vec<_> = (0..samples)
            .map(|_| self.draw(&mut random, &soft))
            .collect();
        let n = self.area();
        let wanted = Mat::from_fn(samples, n, |s, i| drawn[s][1][i]);
        let state = Mat::from_fn(samples, FIELDS * n, |s, i| match i.checked_sub(2 * n) {
            Some(i) => drawn[s][0][i],
            None => 0.0,
        });
        Dataset {
            target: self.smoothed().of_densities(wanted.as_ref()),
            input: wanted,
            state,
        }
    }
}

/// Smooths along a circle by a Gaussian of this standard deviation, in points.
fn gaussian(points: usize, deviation: f64) -> Mat<f64> {
    let factor = |k: usize| (-0.5 * (TAU * k as f64 / points as f64 * deviation).powi(2)).exp();
    // The sum over the modes, which is the same for both signs of the distance.
    let kernel: Vec<f64> = (0..points)
        .map(|distance| {
            let wave = |k: usize| {
                let twice = if k == 0 || 2 * k == points { 1.0 } else { 2.0 };
                twice * factor(k) * (TAU * (k * distance) as f64 / points as f64).cos()
            };
            (0..=points / 2).map(wave).sum::<f64>() / points as f64
        })
        .collect();
    Mat::from_fn(points, points, |i, j| kernel[i.abs_diff(j)])
}

/// The smoothed density of states of a flow that carries one.
#[derive(Debug, Clone)]
pub struct SmoothedDensity {
    /// Symmetric, of points along a side.
    smoothing: Arc<Mat<f64>>,
}

impl SmoothedDensity {
    fn area(&self) -> usize {
        self.smoothing.nrows() * self.smoothing.nrows()
    }

    /// Smooths densities (samples × points²).
    pub fn of_densities(&self, densities: MatRef<'_, f64>) -> Mat<f64> {
        let (n, smoothing) = (self.smoothing.nrows(), &*self.smoothing);
        let mut smoothed = Mat::zeros(densities.nrows(), densities.ncols());
        for s in 0..densities.nrows() {
            let field = Mat::from_fn(n, n, |row, column| densities[(s, row * n + column)]);
            let field = smoothing * field * smoothing;
            for i in 0..n * n {
                smoothed[(s, i)] = field[(i / n, i % n)];
            }
        }
        smoothed
    }
}

impl Simulator for SmoothedDensity {
    fn widths(&self) -> Widths {
        Widths {
            state: FIELDS * self.area(),
            control: FIELDS * self.area(),
            output: self.area(),
        }
    }

    fn has_products(&self) -> bool {
        true
    }

    fn record(&self, _: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        Ok(Box::new(Smoothed {
            y: self.of_densities(control.subcols(2 * self.area(), self.area())),
            by: self.clone(),
        }))
    }
}

/// A batch of smoothed densities.
struct Smoothed {
    y: Mat<f64>,
    by: SmoothedDensity,
}

impl Record for Smoothed {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let (n, of_density) = (self.by.area(), self.by.of_densities(cotangent));
        let mut before = Mat::zeros(cotangent.nrows(), FIELDS * n);
        before.as_mut().subcols_mut(2 * n, n).copy_from(&of_density);
        Ok(before)
    }

    fn vjps(&self, cotangents: MatRef<'_, f64>) -> Result<Mat<f64>> {
        self.vjp(cotangents)
    }

    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let n = self.by.area();
        Ok(self.by.of_densities(tangent.subcols(2 * n, n)))
    }
}

impl System for FluidControl {
    fn name(&self) -> &'static str {
        "fluid-control"
    }

    fn about(&self) -> &'static str {
        "forces that bring a marker in a fluid from one shape into another (arXiv 2001.07457)"
    }

    fn network(&self) -> Result<Network> {
        let LayerSettings {
            activation,
            initializer,
        } = self.layers;
        let grid = Grid {
            channels: SEEN,
            height: self.grid,
            width: self.grid,
        };
        Network::unet_of_means(
            grid,
            self.patch,
            &self.channels,
            2,
            Boundary::Periodic,
            activation,
            initializer,
        )
    }

    fn data_size(&self) -> f64 {
        let width = (FIELDS as f64 + 2.0) * (self.grid as f64).powi(2);
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
        sketched("8", "8")
    }

    fn budget(&self) -> Budget {
        Budget::seconds(60.0)
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        if self.grid > MOST_CELLS {
            let expected = format_args!("at most {MOST_CELLS}");
            return Err(Error::setting("grid", self.grid, expected));
        }
        let halvings = 1 << self.channels.len().saturating_sub(1).min(30);
        let coarsest = self.patch.saturating_mul(halvings);
        if !self.grid.is_multiple_of(coarsest) {
            let (levels, patch) = (self.channels.len(), self.patch);
            let expected = format!(
                "a multiple of {coarsest} for {levels} levels of channels with patch = {patch}"
            );
            return Err(Error::setting("grid", self.grid, expected));
        }
        size::check_calls(self.steps)?;
        size::check_multiple("substeps", self.substeps, self.steps)
    }

    /// The mean absolute error of the density at the end over that at the start, and the mean square of the
    /// forces, summed over time.
    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        let (n, test) = (self.area(), &problem.test);
        let Ok(motion) = self.closed_loop().motion(parameters, test) else {
            return Vec::new();
        };
        let distance =
            |state: &Mat<f64>| (state.as_ref().subcols(2 * n, n) - test.input.as_ref()).norm_l1();
        let states = &motion.states;
        let squares: f64 = motion.controls.iter().map(|u| u.squared_norm_l2()).sum();
        let mean = squares * self.force * self.force / (n * test.len()) as f64;
        vec![
            (
                "distance",
                distance(&states[self.steps]) / distance(&states[0]),
            ),
            ("effort", mean * self.dt),
        ]
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], sample: usize) -> Vec<Picture> {
        let chosen = problem.test.select(&[sample]);
        let Ok(motion) = self.closed_loop().motion(parameters, &chosen) else {
            return Vec::new();
        };
        let (n, side) = (self.area(), self.grid as f64);
        let field = |title: String, quantity: &str, values: &Mat<f64>, first: usize| {
            let row = |row: usize| (0..self.grid).map(move |column| row * self.grid + column);
            let values = (0..self.grid).map(|y| row(y).map(|i| values[(0, first + i)]).collect());
            Picture::Field(Field {
                title,
                x: "x".into(),
                y: "y".into(),
                x_range: (0.0, side),
                y_range: (0.0, side),
                values: values.collect(),
                quantity: quantity.into(),
            })
        };
        let states = &motion.states;
        let density = |k: usize| {
            let title = match k {
                0 => "start".into(),
                k if k == self.steps => "end, with the network's forces".into(),
                k => format!("after {k} of {} steps", self.steps),
            };
            field(title, "density", &states[k], 2 * n)
        };
        let mut shown: Vec<usize> = [0, 1, 2].map(|third| third * self.steps / 3).to_vec();
        shown.push(self.steps);
        shown.dedup();
        let mut pictures: Vec<Picture> = shown.iter().map(|k| density(*k)).collect();
        let target = field("target".into(), "density", &chosen.input, 0);
        pictures.push(target);
        let vorticity = self.flow().vorticity(states[self.steps].as_ref());
        pictures.push(field(
            "vorticity at the end".into(),
            "vorticity",
            &vorticity,
            0,
        ));
        pictures
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
