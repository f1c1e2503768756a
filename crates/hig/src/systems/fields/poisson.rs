//! The Poisson equation with the solutions of arXiv 2405.15603, appendix A, and arXiv 2505.12149.

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

crate::settings! {
    /// A field with -Δu = f inside the unit cube and u = u* on its boundary.
    pub struct PoissonField {
        /// Number of coordinates.
        pub dimension: usize = 2, AT_LEAST_ONE;
        /// The solution u*, from which f and the boundary follow.
        pub solution: PoissonSolution = PoissonSolution::Sines, ANY_SOLUTION;
        /// Where the equation is asked for.
        pub points: FieldPoints = FieldPoints::default(), GROUP;
        /// The network.
        pub network: MlpSettings = perceptron(&[64]), GROUP;
    }
}

/// Solutions in any number of coordinates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoissonSolution {
    /// Π sin πxᵢ, with f = d·π²·u.
    Sines,
    /// Σ cos πxᵢ, with f = π²·u.
    Cosines,
    /// x₁·x₂ + x₃·x₄ + …, with f = 0.
    Products,
    /// Σ xᵢ², with f = -2d.
    Squares,
}

crate::choices! {
    PoissonSolution, "solution" {
        Sines = "sines", "the product of sin πx over the coordinates";
        Cosines = "cosines", "the sum of cos πx over the coordinates";
        Products = "products", "the sum of the products of two coordinates each";
        Squares = "squares", "the sum of the squares of the coordinates";
    }
}

const ANY_SOLUTION: Rule<PoissonSolution> = Rule::any();

impl PoissonSolution {
    /// f = -Δu*.
    pub fn right_side(self, x: &[f64]) -> f64 {
        let d = x.len() as f64;
        match self {
            Self::Sines => d * PI * PI * self.value(x),
            Self::Cosines => PI * PI * self.value(x),
            Self::Products => 0.0,
            Self::Squares => -2.0 * d,
        }
    }
}

impl Exact for PoissonSolution {
    fn value<T: Real>(&self, x: &[T]) -> T {
        let sum = |start: T, next: T| start + next;
        let zero = T::constant(0.0);
        match self {
            Self::Sines => x
                .iter()
                .fold(T::constant(1.0), |product, x| product * (*x * PI).sin()),
            Self::Cosines => x.iter().map(|x| (*x * PI).cos()).fold(zero, sum),
            Self::Products => {
                let pairs = x.chunks_exact(2).map(|pair| pair[0] * pair[1]);
                pairs.fold(zero, sum)
            }
            Self::Squares => x.iter().map(|x| *x * *x).fold(zero, sum),
        }
    }
}

/// -Δu.
struct Laplace(usize);

impl Equation for Laplace {
    fn derivatives(&self) -> Jets {
        Jets::of(self.0).with_laplacian(0..self.0)
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        residuals[0] = -u.laplacian(0..self.0);
    }
}

impl PoissonField {
    fn domain(&self) -> Cuboid {
        Cuboid::unit(self.dimension)
    }
}

impl System for PoissonField {
    fn name(&self) -> &'static str {
        "poisson-pinn"
    }

    fn about(&self) -> &'static str {
        "a field with -Δu = f, trained on its residuals (arXiv 2405.15603)"
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        check_dimension(self.dimension)?;
        if self.solution == PoissonSolution::Products && !self.dimension.is_multiple_of(2) {
            let expected = "even where solution = products";
            return Err(Error::setting("dimension", self.dimension, expected));
        }
        self.network()?
            .check_jets(&Laplace(self.dimension).derivatives())
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(self.dimension, 1))
    }

    fn data_size(&self) -> f64 {
        self.points.data_size(self.dimension as f64)
    }

    fn problem(&self, seed: u64) -> Problem {
        let (d, solution) = (self.dimension, self.solution);
        let (inside, boundary) = self.points.counts();
        let [first, second] = self.points.across(&self.domain());
        let blocks = vec![
            Block::of("interior", Laplace(d), inside, move |count, random| {
                first.inside(count, random)
            })
            .with_target(move |x, f| f[0] = solution.right_side(x)),
            Block::of(
                "boundary",
                Given { coordinates: d },
                boundary,
                move |count, random| second.boundary(count, random),
            )
            .with_target(move |x, u| u[0] = solution.value(x)),
        ];
        let network = self.network.between(d, 1);
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
        let network = self.network.between(self.dimension, 1);
        let slope = |x: &[f64], i| self.solution.slope(x, i);
        measures(&network, problem, parameters, Some(&slope))
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], _: usize) -> Vec<Picture> {
        let network = self.network.between(self.dimension, 1);
        let exact = |x: &[f64]| self.solution.value(x);
        let right = |x: &[f64]| self.solution.right_side(x);
        let labels = ["x₁", "x₂"];
        pictures(
            (problem, &network),
            parameters,
            &self.domain(),
            exact,
            right,
            labels,
        )
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
