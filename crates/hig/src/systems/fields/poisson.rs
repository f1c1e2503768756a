//! The Poisson equation with the solutions of arXiv 2405.15603, appendix A, and arXiv 2505.12149.

use super::{
    Exact, ExactField, ExactSlope, FieldPoints, FieldSystem, check_dimension, comparison,
    perceptron,
};
use crate::error::{Error, Result};
use crate::network::Jets;
use crate::objective::{Block, Cuboid, Equation, Field};
use crate::physics::Real;
use crate::settings::{AT_LEAST_ONE, GROUP, Rule};
use crate::systems::{Compared, MlpSettings};
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

impl FieldSystem for PoissonField {
    const NAME: &'static str = "poisson-pinn";
    const ABOUT: &'static str = "a field with -Δu = f, trained on its residuals (arXiv 2405.15603)";
    const COORDINATES: [&'static str; 2] = ["x₁", "x₂"];

    fn points(&self) -> &FieldPoints {
        &self.points
    }

    fn layers(&self) -> &MlpSettings {
        &self.network
    }

    fn coordinates(&self) -> usize {
        self.dimension
    }

    fn domain(&self) -> Cuboid {
        Cuboid::unit(self.dimension)
    }

    fn blocks(&self, _: u64) -> Vec<Block> {
        let solution = self.solution;
        vec![
            self.inside(Laplace(self.dimension))
                .with_target(move |x, f| f[0] = solution.right_side(x)),
            self.boundary(self.given()).with_target(self.exact()),
        ]
    }

    fn exact(&self) -> ExactField {
        let solution = self.solution;
        Box::new(move |x, u| u[0] = solution.value(x))
    }

    fn exact_slope(&self) -> Option<Box<ExactSlope<'_>>> {
        Some(Box::new(|x, i| self.solution.slope(x, i)))
    }

    fn right_side(&self, x: &[f64]) -> f64 {
        self.solution.right_side(x)
    }

    fn check_own(&self) -> Result<()> {
        check_dimension(self.dimension)?;
        if self.solution == PoissonSolution::Products && !self.dimension.is_multiple_of(2) {
            let expected = "even where solution = products";
            return Err(Error::setting("dimension", self.dimension, expected));
        }
        Ok(())
    }

    fn methods(&self) -> Compared {
        comparison("1020")
    }

    fn seconds(&self) -> f64 {
        10.0
    }
}
