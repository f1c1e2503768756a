//! What systems of fields have in common.

use super::{ExactSlope, FieldPoints, Weights, measures, pictures, problem};
use crate::error::{Error, Result};
use crate::network::Network;
use crate::objective::{Block, Cuboid, Equation, Given};
use crate::problem::Problem;
use crate::settings::Settings;
use crate::systems::{Compared, MlpSettings, Picture, System};
use crate::trainer::Budget;
use std::ops::Range;

/// A function that writes what is known at a point x.
pub type ExactField = Box<dyn Fn(&[f64], &mut [f64]) + Send + Sync>;

/// A field with an equation, the blocks of points at which it is asked for, and an exact solution: all that
/// such a [`System`] has of its own.
pub trait FieldSystem: Settings + Clone + Send + Sync + 'static {
    /// The name under which it is registered.
    const NAME: &'static str;
    /// What it is, in one line, with its source.
    const ABOUT: &'static str;
    /// Names of the first two coordinates.
    const COORDINATES: [&'static str; 2];
    /// How many fields there are.
    const FIELDS: usize = 1;
    /// How many of them the exact solution tells, the first ones; the field is judged by these.
    const KNOWN: usize = 1;
    /// The most residuals at a point.
    const RESIDUALS: usize = 1;

    /// Whether the loss of a point is its negative log-likelihood up to a factor (see [`System::tells_estimates`]).
    const ESTIMATES: bool = false;

    /// How many points there are, and how they are drawn.
    fn points(&self) -> &FieldPoints;

    /// The layers of the network.
    fn layers(&self) -> &MlpSettings;

    /// Number of coordinates.
    fn coordinates(&self) -> usize {
        2
    }

    /// Where the equation holds.
    ///
    /// # Panics
    /// With settings that [`System::check_together`] refuses; so do the others below.
    fn domain(&self) -> Cuboid;

    /// The equation inside, what is given at the ends of the domain, and what was measured, of a seed.
    fn blocks(&self, seed: u64) -> Vec<Block>;

    /// The factor (see [`System::estimates_variance`]).
    fn variance(&self) -> f64 {
        1.0
    }

    /// Number of points in all blocks.
    fn samples(&self) -> usize {
        self.points().samples
    }

    /// The exact solution: writes [`KNOWN`](Self::KNOWN) numbers at a point.
    fn exact(&self) -> ExactField;

    /// The slopes of the first field's exact solution, where they are known.
    fn exact_slope(&self) -> Option<Box<ExactSlope<'_>>> {
        None
    }

    /// What the first residual of the equation inside should be at a point.
    fn right_side(&self, _x: &[f64]) -> f64 {
        0.0
    }

    /// Checks what the ranges of single settings cannot say.
    ///
    /// # Errors
    /// The first setting that is out of range beside the others.
    fn check_own(&self) -> Result<()> {
        Ok(())
    }

    /// The settings with which methods are compared.
    fn methods(&self) -> Compared;

    /// Seconds of a comparison.
    fn seconds(&self) -> f64;

    /// An equation inside the domain.
    fn inside(&self, equation: impl Equation + 'static) -> Block {
        let (domain, (count, _)) = (self.spread(), self.points().counts());
        Block::of("interior", equation, count, move |count, random| {
            domain.inside(count, random)
        })
    }

    /// What is given on the whole boundary.
    fn boundary(&self, given: impl Equation + 'static) -> Block {
        let (domain, (_, count)) = (self.spread(), self.points().counts());
        Block::of("boundary", given, count, move |count, random| {
            domain.boundary(count, random)
        })
    }

    /// The field where one of a range of coordinates ends, beside a [`start`](Self::start).
    fn sides(&self, of: Range<usize>) -> Block {
        let (domain, [_, count]) = (self.spread(), self.of_times());
        Block::of("sides", self.given(), count, move |count, random| {
            domain.boundary_of(of.clone(), count, random)
        })
    }

    /// The same where one coordinate begins.
    fn inflow(&self, coordinate: usize) -> Block {
        let (domain, [_, count]) = (self.spread(), self.of_times());
        Block::of("sides", self.given(), count, move |count, random| {
            domain.face(coordinate, false, count, random)
        })
    }

    /// The field where the first coordinate, time, begins.
    fn start(&self) -> Block {
        let (domain, [count, _]) = (self.spread(), self.of_times());
        Block::of("initial", self.given(), count, move |count, random| {
            domain.face(0, false, count, random)
        })
    }

    /// The value of the field.
    fn given(&self) -> Given {
        Given {
            coordinates: self.coordinates(),
        }
    }

    /// Numbers of points at the start and on the sides: half of those on the boundary each.
    fn of_times(&self) -> [usize; 2] {
        let (_, boundary) = self.points().counts();
        [boundary / 2, boundary - boundary / 2]
    }

    /// The domain with points drawn as the settings say.
    fn spread(&self) -> Cuboid {
        self.domain().spread(self.points().spread)
    }

    /// The network of the field.
    fn field(&self) -> Network {
        self.layers().between(self.coordinates(), Self::FIELDS)
    }
}

impl<F: FieldSystem> System for F {
    fn name(&self) -> &'static str {
        F::NAME
    }

    fn about(&self) -> &'static str {
        F::ABOUT
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        self.check_own()?;
        if F::ESTIMATES && self.points().weights == Weights::Balanced {
            let expected = "equal: the weights make the loss a likelihood";
            return Err(Error::setting("weights", Weights::Balanced, expected));
        }
        let (network, blocks) = (self.field(), self.blocks(0));
        let mut jets = blocks.iter().map(Block::derivatives);
        jets.try_for_each(|jets| network.check_jets(jets))
    }

    fn network(&self) -> Result<Network> {
        Ok(self.field())
    }

    fn data_size(&self) -> f64 {
        let numbers = (self.coordinates(), F::RESIDUALS);
        self.points().data_size(self.samples(), numbers)
    }

    fn problem(&self, seed: u64) -> Problem {
        problem(self, seed)
    }

    fn comparison(&self) -> Compared {
        self.methods()
    }

    fn budget(&self) -> Budget {
        Budget::seconds(self.seconds())
    }

    fn tells_estimates(&self) -> bool {
        F::ESTIMATES
    }

    fn estimates_variance(&self) -> f64 {
        self.variance()
    }

    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        measures(self, problem, parameters)
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], _: usize) -> Vec<Picture> {
        pictures(self, problem, parameters)
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
