//! Fields that obey an equation: the network is the solution, trained on its residuals
//! (physics-informed networks; Raissi, Perdikaris and Karniadakis 2019, doi 10.1016/j.jcp.2018.10.045).
//!
//! Points are spread evenly, every block has the weight 1, and the test samples are points inside the domain, each
//! drawn by itself, with the exact solution there, so that the test loss is ½·mean (u - u*)². The sources draw
//! points to train on each by itself too (`spread = uniform`) and weights narrower (`initializer = uniform`).

mod allen_cahn;
mod burgers;
mod burgers_inverse;
mod convection;
mod fokker_planck;
mod heat;
mod helmholtz;
mod navier_stokes;
mod poisson;
mod system;

pub use allen_cahn::AllenCahnField;
pub use burgers::BurgersField;
pub use burgers_inverse::BurgersInverse;
pub use convection::ConvectionField;
pub use fokker_planck::FokkerPlanckField;
pub use heat::{HeatField, HeatSolution};
pub use helmholtz::HelmholtzField;
pub use navier_stokes::NavierStokesField;
pub use poisson::{PoissonField, PoissonSolution};
pub use system::{ExactField, FieldSystem};

use super::picture::{Field as FieldPicture, Lines};
use super::{Compared, LayerSettings, MlpSettings, Picture};
use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::Mat;
use crate::network::{Activation, Initializer, Jets, Network};
use crate::objective::{ANY_SPREAD, ANY_WEIGHTS, Block, Cuboid, Equation, Field, Residuals};
use crate::objective::{Spread, Weights};
use crate::physics::{Dual, Real};
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, FRACTION};

crate::settings! {
    /// How many points a field is trained on and judged by.
    pub struct FieldPoints {
        /// Points of all blocks together.
        pub samples: usize = 1020, AT_LEAST_ONE;
        /// Fraction of them that lie on the boundary, and where time begins.
        pub boundary: f64 = 0.1176, FRACTION;
        /// How they are drawn: uniform or even.
        pub spread: Spread = Spread::Even, ANY_SPREAD;
        /// Candidates for a point where new ones are drawn (order = fresh), of which those with large residuals are more likely taken; 1 looks at none.
        pub candidates: usize = 1, AT_LEAST_ONE;
        /// What the blocks of points count: equal or balanced.
        pub weights: Weights = Weights::Equal, ANY_WEIGHTS;
        /// Points inside by which the error against the exact solution is told.
        pub test_samples: usize = 9000, AT_LEAST_ONE;
    }
}

impl FieldPoints {
    /// Numbers of points inside and on the boundary.
    fn counts(&self) -> (usize, usize) {
        let boundary = (self.samples as f64 * self.boundary).round() as usize;
        (self.samples - boundary, boundary)
    }

    /// The numbers of so many samples and those by which a field is judged, with so many coordinates, the number
    /// of a block and what is given for so many residuals.
    fn data_size(&self, samples: usize, (coordinates, residuals): (usize, usize)) -> f64 {
        let drawn = samples.saturating_mul(self.candidates);
        let width = coordinates as f64 + 1.0 + residuals as f64;
        super::size::of_samples(drawn, self.test_samples, width)
    }
}

/// A tanh network.
fn perceptron(hidden: &[usize]) -> MlpSettings {
    MlpSettings {
        hidden: hidden.to_vec(),
        layers: LayerSettings {
            activation: Activation::Tanh,
            initializer: Initializer::Wide,
        },
    }
}

/// Refuses more coordinates than a sum over all of them is ever taken for.
///
/// # Errors
/// The number of coordinates.
fn check_dimension(dimension: usize) -> Result<()> {
    const MOST: usize = 1000;
    if dimension <= MOST {
        return Ok(());
    }
    let expected = format_args!("at most {MOST}: a point has a pass for every coordinate");
    Err(Error::setting("dimension", dimension, expected))
}

/// A field that is known.
pub trait Exact: Send + Sync {
    /// u at a point.
    fn value<T: Real>(&self, x: &[T]) -> T;

    /// ∂u/∂xᵢ.
    fn slope(&self, x: &[f64], i: usize) -> f64 {
        let point: Vec<Dual<1>> = x
            .iter()
            .enumerate()
            .map(|(j, value)| match i == j {
                true => Dual::variable(*value, 0),
                false => Dual::fixed(*value),
            })
            .collect();
        self.value(&point).slopes[0]
    }
}

/// The name of the block by which a field is judged.
const EXACT: &str = "exact";

/// The first outputs of a network.
struct Values {
    coordinates: usize,
    count: usize,
}

impl Equation for Values {
    fn derivatives(&self) -> Jets {
        Jets::of(self.coordinates)
    }

    fn count(&self) -> usize {
        self.count
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        for (i, residual) in residuals.iter_mut().enumerate() {
            *residual = u.of(i).value();
        }
    }
}

/// The problem of a field: its blocks, and the samples by which it is judged.
fn problem<F: FieldSystem>(system: &F, seed: u64) -> Problem {
    let (inside, points) = (system.domain(), system.points());
    let values = Values {
        coordinates: system.coordinates(),
        count: F::KNOWN,
    };
    let judged = Block::of(EXACT, values, 0, move |count, random| {
        inside.inside(count, random)
    });
    let mut blocks = system.blocks(seed);
    blocks.push(judged.with_target(system.exact()));
    let residuals = Residuals::weighted(system.field(), blocks, points.weights, seed);
    let residuals = residuals.expect("the settings were checked");
    let train = residuals.draw(system.samples(), &mut random(seed, Purpose::Train));
    let (count, random) = (points.test_samples, &mut random(seed, Purpose::Test));
    let test = residuals.draw_block(EXACT, count, random);
    let sampler = residuals.adaptive_sampler(points.candidates);
    Problem::of(train, test, residuals).with_adaptive_sampler(sampler)
}

/// ∂u*/∂xᵢ of an exact solution, by a point x and i.
pub type ExactSlope<'a> = dyn Fn(&[f64], usize) -> f64 + 'a;

/// Errors of a field over samples with the exact solution u* as target: √(Σ (u - u*)² / Σ u*²), and, where
/// the slopes of u* are known, the same with all first derivatives among the squares (H¹).
pub fn relative_errors(
    network: &Network,
    parameters: &[f64],
    samples: &Dataset,
    slope: Option<&ExactSlope<'_>>,
) -> (f64, Option<f64>) {
    errors_of_first(1, network, parameters, samples, slope)
}

/// The same of so many fields together, of which slopes are those of the first.
fn errors_of_first(
    fields: usize,
    network: &Network,
    parameters: &[f64],
    samples: &Dataset,
    slope: Option<&ExactSlope<'_>>,
) -> (f64, Option<f64>) {
    let inputs = network.inputs();
    let jets = match slope {
        Some(_) => Jets::of(inputs).with_gradient(),
        None => Jets::of(inputs),
    };
    let points = samples.input.as_ref();
    let found = network
        .jets(parameters, points, &jets)
        .expect("first derivatives can be carried");
    let b = samples.len();
    let sums = |of: &[f64], start: (f64, f64), exact: &mut dyn FnMut(usize) -> f64| {
        let pairs = of.iter().enumerate().map(|(s, u)| (*u, exact(s)));
        pairs.fold(start, |(error, size), (u, exact)| {
            (error + (u - exact) * (u - exact), size + exact * exact)
        })
    };
    let (error, size) = (0..fields).fold((0.0, 0.0), |start, field| {
        let (found, target) = (
            found.col_as_slice(field),
            samples.target.col_as_slice(field),
        );
        sums(&found[..b], start, &mut |s| target[s])
    });
    let with_slopes = slope.map(|slope| {
        let (mut error, mut size) = (error, size);
        let mut x = vec![0.0; inputs];
        for i in 0..inputs {
            let of = &found.col_as_slice(0)[(i + 1) * b..][..b];
            let (more, scale) = sums(of, (0.0, 0.0), &mut |s| {
                (0..inputs).for_each(|j| x[j] = samples.input[(s, j)]);
                slope(&x, i)
            });
            (error, size) = (error + more, size + scale);
        }
        (error / size).sqrt()
    });
    ((error / size).sqrt(), with_slopes)
}

/// What a run tells beside the losses: the errors, the loss of every block of the training samples, and the weights
/// that were found for them.
fn measures<F: FieldSystem>(
    system: &F,
    problem: &Problem,
    parameters: &[f64],
) -> Vec<(&'static str, f64)> {
    let slope = system.exact_slope();
    let (l2, h1) = errors_of_first(
        F::KNOWN,
        &system.field(),
        parameters,
        &problem.test,
        slope.as_deref(),
    );
    let mut told = vec![("relative_l2", l2)];
    told.extend(h1.map(|h1| ("relative_h1", h1)));
    told.extend(losses(problem, parameters));
    if system.points().weights == Weights::Balanced {
        told.extend(weights(problem));
    }
    told
}

/// The loss of every block of the training samples.
fn losses(problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
    let blocks = problem.objective.blocks(parameters, &problem.train);
    let losses = blocks.unwrap_or_default().into_iter();
    losses.filter_map(|of| named(of, |names| names.1)).collect()
}

/// The weights of the blocks.
fn weights(problem: &Problem) -> Vec<(&'static str, f64)> {
    let weights = problem.objective.weights().into_iter();
    weights
        .filter_map(|of| named(of, |names| names.2))
        .collect()
}

/// What is told of a block of that name, by the name that is chosen for it.
fn named(
    (block, value): (&str, f64),
    chosen: impl Fn(&(&'static str, &'static str, &'static str)) -> &'static str,
) -> Option<(&'static str, f64)> {
    const NAMES: [(&str, &str, &str); 5] = [
        ("interior", "interior_loss", "interior_weight"),
        ("boundary", "boundary_loss", "boundary_weight"),
        ("sides", "sides_loss", "sides_weight"),
        ("initial", "initial_loss", "initial_weight"),
        ("data", "data_loss", "data_weight"),
    ];
    let found = NAMES.iter().find(|(name, ..)| *name == block);
    found.map(|names| (chosen(names), value))
}

/// The first field, the exact one, their difference and the first residual inside, over the first two
/// coordinates, the others in the middle; of a field of one coordinate, lines.
fn pictures<F: FieldSystem>(system: &F, problem: &Problem, parameters: &[f64]) -> Vec<Picture> {
    const ALONG: usize = 65;
    let (domain, labels, exact) = (system.domain(), F::COORDINATES, system.exact());
    let sides = domain.sides();
    let plane = Cuboid::new(&sides[..sides.len().min(2)]).expect("sides of a box");
    let grid = plane.grid(ALONG);
    let middle = |j: usize| 0.5 * (sides[j].0 + sides[j].1);
    let points = Mat::from_fn(grid.nrows(), sides.len(), |s, j| match j < grid.ncols() {
        true => grid[(s, j)],
        false => middle(j),
    });
    let found = system.field().predict(parameters, points.as_ref());
    let found = found.col_as_slice(0);
    let each = |of: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        let point = |s| points.row(s).iter().copied().collect::<Vec<_>>();
        (0..points.nrows()).map(|s| of(&point(s))).collect()
    };
    let truth = each(&|x| {
        let mut u = vec![0.0; F::KNOWN];
        exact(x, &mut u);
        u[0]
    });
    let error: Vec<f64> = found.iter().zip(&truth).map(|(u, e)| u - e).collect();
    if sides.len() == 1 {
        let along = points.col_as_slice(0);
        let line = |label: &str, values: &[f64]| (label.into(), along.to_vec(), values.to_vec());
        return vec![Picture::Lines(Lines {
            title: "field".into(),
            x: labels[0].into(),
            y: "u".into(),
            lines: vec![line("network", found), line("exact", &truth)],
            points: Vec::new(),
        })];
    }
    let field = |title: &str, quantity: &str, values: &[f64]| {
        Picture::Field(FieldPicture {
            title: title.into(),
            x: labels[0].into(),
            y: labels[1].into(),
            x_range: sides[0],
            y_range: sides[1],
            // The second coordinate is the faster one.
            values: (0..ALONG)
                .map(|row| (0..ALONG).map(|c| values[c * ALONG + row]).collect())
                .collect(),
            quantity: quantity.into(),
        })
    };
    let mut fields = vec![
        field("field", "u", found),
        field("exact field", "u", &truth),
        field("error", "difference", &error),
    ];
    let samples = Dataset {
        state: Mat::zeros(points.nrows(), 1),
        target: Mat::zeros(points.nrows(), 1),
        input: points.clone(),
    };
    // No picture where the equation cannot be evaluated.
    if let Ok(left) = problem.objective.outputs(parameters, &samples) {
        let right = each(&|x| system.right_side(x));
        let sides = left.col_as_slice(0).iter().zip(right);
        let residual: Vec<f64> = sides.map(|(left, right)| left - right).collect();
        fields.push(field("residual", "residual", &residual));
    }
    fields
}

/// The settings with which methods are compared on fields with so many fixed points in a batch.
fn comparison(batch: &'static str) -> Compared {
    compared(&[("batch", batch), ("order", "fixed")])
}

/// The same where points are drawn anew every 20 updates, such as those that move to a front.
fn comparison_renewed(batch: &'static str) -> Compared {
    compared(&[("batch", batch), ("order", "fresh"), ("renew", "20")])
}

/// The same with settings that all methods share.
fn compared(shared: &[(&'static str, &'static str)]) -> Compared {
    let with = |more: &[(&'static str, &'static str)]| [shared, more].concat();
    vec![
        ("adam", with(&[("learning_rate", "1e-3")])),
        ("lbfgs", with(&[])),
        ("spring", with(&[])),
        ("gn-line-search", with(&[("cutoff", "1e-7")])),
        // The rounding of JᵀJ is taken as it is down to dampings of 2·ε·σ²: trials are judged by the loss that they
        // bring, and what a second decomposition would win back shows in no error.
        ("lm", with(&[("accuracy", "10")])),
    ]
}
