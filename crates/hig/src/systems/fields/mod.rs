//! Fields that obey an equation: the network is the solution, trained on its residuals
//! (physics-informed networks; Raissi, Perdikaris and Karniadakis 2019, doi 10.1016/j.jcp.2018.10.045).
//!
//! Points are spread evenly, every block has the weight 1, and the test samples are points inside the domain, each
//! drawn by itself, with the exact solution there, so that the test loss is ½·mean (u - u*)². The sources draw
//! points to train on each by itself too (`spread = uniform`) and weights narrower (`initializer = uniform`).

mod burgers;
mod convection;
mod heat;
mod helmholtz;
mod navier_stokes;
mod poisson;

pub use burgers::BurgersField;
pub use convection::ConvectionField;
pub use heat::{HeatField, HeatSolution};
pub use helmholtz::HelmholtzField;
pub use navier_stokes::NavierStokesField;
pub use poisson::{PoissonField, PoissonSolution};

use super::picture::{Field as FieldPicture, Lines};
use super::{Compared, LayerSettings, MlpSettings, Picture};
use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::Mat;
use crate::network::{Activation, Initializer, Jets, Network};
use crate::objective::{ANY_SPREAD, Block, Cuboid, Equation, Given, Residuals, Spread};
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

    /// A domain with points drawn so, once for each of N blocks.
    fn across<const N: usize>(&self, domain: &Cuboid) -> [Cuboid; N] {
        std::array::from_fn(|_| domain.clone().spread(self.spread))
    }

    /// The numbers of all samples with so many coordinates.
    fn data_size(&self, coordinates: f64) -> f64 {
        let drawn = self.samples.saturating_mul(self.candidates);
        super::size::of_samples(drawn, self.test_samples, coordinates + 2.0)
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

/// The problem of a field that is known at any point: its blocks, and the samples by which it is judged.
fn problem(
    network: Network,
    blocks: Vec<Block>,
    domain: &Cuboid,
    exact: impl Fn(&[f64]) -> f64 + Send + Sync + 'static,
    points: &FieldPoints,
    seed: u64,
) -> Problem {
    let coordinates = domain.coordinates();
    let judged = (Given { coordinates }, move |x: &[f64], u: &mut [f64]| {
        u[0] = exact(x);
    });
    problem_judged_by(judged, network, blocks, domain, points, seed)
}

/// The same, judged by what an equation makes of the field and what that is of the exact one.
fn problem_judged_by(
    (equation, exact): (
        impl Equation + 'static,
        impl Fn(&[f64], &mut [f64]) + Send + Sync + 'static,
    ),
    network: Network,
    mut blocks: Vec<Block>,
    domain: &Cuboid,
    points: &FieldPoints,
    seed: u64,
) -> Problem {
    let inside = domain.clone();
    let judged = Block::of(EXACT, equation, 0, move |count, random| {
        inside.inside(count, random)
    });
    blocks.push(judged.with_target(exact));
    let residuals = Residuals::new(network, blocks).expect("the settings were checked");
    let train = residuals.draw(points.samples, &mut random(seed, Purpose::Train));
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
    let inputs = network.inputs();
    let jets = match slope {
        Some(_) => Jets::of(inputs).with_gradient(),
        None => Jets::of(inputs),
    };
    let points = samples.input.as_ref();
    let found = network
        .jets(parameters, points, &jets)
        .expect("first derivatives can be carried");
    let (b, found) = (samples.len(), found.col_as_slice(0));
    let target = samples.target.col_as_slice(0);
    let sums = |of: &[f64], exact: &mut dyn FnMut(usize) -> f64| {
        let pairs = of.iter().enumerate().map(|(s, u)| (*u, exact(s)));
        pairs.fold((0.0, 0.0), |(error, size), (u, exact)| {
            (error + (u - exact) * (u - exact), size + exact * exact)
        })
    };
    let (error, size) = sums(&found[..b], &mut |s| target[s]);
    let with_slopes = slope.map(|slope| {
        let (mut error, mut size) = (error, size);
        let mut x = vec![0.0; inputs];
        for i in 0..inputs {
            let of = &found[(i + 1) * b..][..b];
            let (more, scale) = sums(of, &mut |s| {
                (0..inputs).for_each(|j| x[j] = samples.input[(s, j)]);
                slope(&x, i)
            });
            (error, size) = (error + more, size + scale);
        }
        (error / size).sqrt()
    });
    ((error / size).sqrt(), with_slopes)
}

/// What a run tells beside the losses: the errors, and the loss of every block of the training samples.
fn measures(
    network: &Network,
    problem: &Problem,
    parameters: &[f64],
    slope: Option<&ExactSlope<'_>>,
) -> Vec<(&'static str, f64)> {
    let (l2, h1) = relative_errors(network, parameters, &problem.test, slope);
    let mut told = vec![("relative_l2", l2)];
    told.extend(h1.map(|h1| ("relative_h1", h1)));
    told.extend(losses(problem, parameters));
    told
}

/// The loss of every block of the training samples.
fn losses(problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
    const LOSSES: [(&str, &str); 4] = [
        ("interior", "interior_loss"),
        ("boundary", "boundary_loss"),
        ("sides", "sides_loss"),
        ("initial", "initial_loss"),
    ];
    let blocks = problem.objective.blocks(parameters, &problem.train);
    let named = |(block, loss)| {
        let found = LOSSES.iter().find(|(name, _)| *name == block);
        found.map(|(_, name)| (*name, loss))
    };
    let blocks = blocks.unwrap_or_default().into_iter();
    blocks.filter_map(named).collect()
}

/// The field, the exact one, their difference and the residual of the first block, whose right side is
/// given, over the first two coordinates, the others in the middle; of a field of one coordinate, lines.
fn pictures(
    (problem, network): (&Problem, &Network),
    parameters: &[f64],
    domain: &Cuboid,
    exact: impl Fn(&[f64]) -> f64,
    right: impl Fn(&[f64]) -> f64,
    labels: [&str; 2],
) -> Vec<Picture> {
    const ALONG: usize = 65;
    let sides = domain.sides();
    let plane = Cuboid::new(&sides[..sides.len().min(2)]).expect("sides of a box");
    let grid = plane.grid(ALONG);
    let middle = |j: usize| 0.5 * (sides[j].0 + sides[j].1);
    let points = Mat::from_fn(grid.nrows(), sides.len(), |s, j| match j < grid.ncols() {
        true => grid[(s, j)],
        false => middle(j),
    });
    let found = network.predict(parameters, points.as_ref());
    let found = found.col_as_slice(0);
    let each = |of: &dyn Fn(&[f64]) -> f64| -> Vec<f64> {
        let point = |s| points.row(s).iter().copied().collect::<Vec<_>>();
        (0..points.nrows()).map(|s| of(&point(s))).collect()
    };
    let truth = each(&exact);
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
        let sides = left.col_as_slice(0).iter().zip(each(&right));
        let residual: Vec<f64> = sides.map(|(left, right)| left - right).collect();
        fields.push(field("residual", "residual", &residual));
    }
    fields
}

/// The settings with which methods are compared on fields with so many fixed points in a batch.
fn comparison(batch: &'static str) -> Compared {
    compared(&[("batch", batch), ("order", "fixed")])
}

/// The same where the field has a front, to which the points move.
fn comparison_at_front(batch: &'static str) -> Compared {
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
        // A damped step that errs by a tenth is as good here, and takes no second decomposition.
        ("lm", with(&[("accuracy", "0.1")])),
    ]
}
