//! The heat equation with the solutions of arXiv 2405.15603, appendix A.

use super::{
    Exact, FieldPoints, check_dimension, comparison, measures, perceptron, pictures, problem,
};
use crate::error::{Error, Result};
use crate::network::{Jets, Network};
use crate::objective::{Block, Cuboid, Equation, Field, Given};
use crate::physics::Real;
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, Rule, Settings};
use crate::systems::{Compared, MlpSettings, Picture, System};
use crate::trainer::Budget;
use std::f64::consts::PI;

/// κ.
const DIFFUSIVITY: f64 = 0.25;

crate::settings! {
    /// A field with ∂u/∂t = ¼·Δu for times and places from 0 to 1, and u = u* on the sides and at the start.
    pub struct HeatField {
        /// Number of coordinates in space.
        pub dimension: usize = 1, AT_LEAST_ONE;
        /// The solution u*, from which the sides and the start follow.
        pub solution: HeatSolution = HeatSolution::Mode, ANY_SOLUTION;
        /// Where the equation is asked for; of the points on the boundary half are at the start.
        pub points: FieldPoints = FieldPoints::default(), GROUP;
        /// The network.
        pub network: MlpSettings = perceptron(&[64]), GROUP;
    }
}

/// Solutions of (t, x).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeatSolution {
    /// exp(-π²t/4)·sin πx, of one coordinate in space.
    Mode,
    /// exp(-t)·Σ sin 2xᵢ.
    Sines,
}

crate::choices! {
    HeatSolution, "solution" {
        Mode = "mode", "exp(-π²t/4)·sin πx in one coordinate";
        Sines = "sines", "exp(-t) times the sum of sin 2x over the coordinates";
    }
}

const ANY_SOLUTION: Rule<HeatSolution> = Rule::any();

impl Exact for HeatSolution {
    fn value<T: Real>(&self, x: &[T]) -> T {
        let (t, x) = (x[0], &x[1..]);
        match self {
            Self::Mode => (t * (-PI * PI * DIFFUSIVITY)).exp() * (x[0] * PI).sin(),
            Self::Sines => {
                let waves = x.iter().map(|x| (*x * 2.0).sin());
                let sum = waves.fold(T::constant(0.0), |sum, wave| sum + wave);
                (-t).exp() * sum
            }
        }
    }
}

/// ∂u/∂t - κ·Δu.
struct Heat(usize);

impl Equation for Heat {
    fn derivatives(&self) -> Jets {
        Jets::of(self.0 + 1)
            .with_first(0)
            .with_laplacian(1..self.0 + 1)
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        residuals[0] = u.first(0) - u.laplacian(1..self.0 + 1) * DIFFUSIVITY;
    }
}

impl HeatField {
    fn domain(&self) -> Cuboid {
        Cuboid::unit(self.dimension + 1)
    }
}

impl System for HeatField {
    fn name(&self) -> &'static str {
        "heat-pinn"
    }

    fn about(&self) -> &'static str {
        "a field with ∂u/∂t = ¼·Δu, trained on its residuals (arXiv 2405.15603)"
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        check_dimension(self.dimension)?;
        if self.solution == HeatSolution::Mode && self.dimension != 1 {
            let expected =
                "1 where solution = mode; solution = sines has any number of coordinates";
            return Err(Error::setting("dimension", self.dimension, expected));
        }
        self.network()?
            .check_jets(&Heat(self.dimension).derivatives())
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(self.dimension.saturating_add(1), 1))
    }

    fn data_size(&self) -> f64 {
        self.points.data_size(self.dimension as f64 + 1.0)
    }

    fn problem(&self, seed: u64) -> Problem {
        let (d, solution) = (self.dimension, self.solution);
        let (inside, boundary) = self.points.counts();
        let start = boundary / 2;
        let [first, second, third] = self.points.across(&self.domain());
        let given = Given { coordinates: d + 1 };
        let blocks = vec![
            Block::of("interior", Heat(d), inside, move |count, random| {
                first.inside(count, random)
            }),
            Block::of("sides", given, boundary - start, move |count, random| {
                second.boundary_of(1..d + 1, count, random)
            })
            .with_target(move |x, u| u[0] = solution.value(x)),
            Block::of("initial", given, start, move |count, random| {
                third.face(0, false, count, random)
            })
            .with_target(move |x, u| u[0] = solution.value(x)),
        ];
        let network = self.network.between(d + 1, 1);
        let exact = move |x: &[f64]| solution.value(x);
        problem(network, blocks, &self.domain(), exact, &self.points, seed)
    }

    fn comparison(&self) -> Compared {
        comparison("1020")
    }

    fn budget(&self) -> Budget {
        Budget::seconds(10.0)
    }

    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        let network = self.network.between(self.dimension + 1, 1);
        let slope = |x: &[f64], i| self.solution.slope(x, i);
        measures(&network, problem, parameters, Some(&slope))
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], _: usize) -> Vec<Picture> {
        let network = self.network.between(self.dimension + 1, 1);
        let exact = |x: &[f64]| self.solution.value(x);
        let labels = ["t", "x₁"];
        pictures(
            (problem, &network),
            parameters,
            &self.domain(),
            exact,
            |_| 0.0,
            labels,
        )
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
