//! The heat equation with the solutions of arXiv 2405.15603, appendix A.

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

impl FieldSystem for HeatField {
    const NAME: &'static str = "heat-pinn";
    const ABOUT: &'static str =
        "a field with ∂u/∂t = ¼·Δu, trained on its residuals (arXiv 2405.15603)";
    const COORDINATES: [&'static str; 2] = ["t", "x₁"];

    fn points(&self) -> &FieldPoints {
        &self.points
    }

    fn layers(&self) -> &MlpSettings {
        &self.network
    }

    fn coordinates(&self) -> usize {
        self.dimension.saturating_add(1)
    }

    fn domain(&self) -> Cuboid {
        Cuboid::unit(self.coordinates())
    }

    fn blocks(&self, _: u64) -> Vec<Block> {
        vec![
            self.inside(Heat(self.dimension)),
            self.sides(1..self.coordinates()).with_target(self.exact()),
            self.start().with_target(self.exact()),
        ]
    }

    fn exact(&self) -> ExactField {
        let solution = self.solution;
        Box::new(move |x, u| u[0] = solution.value(x))
    }

    fn exact_slope(&self) -> Option<Box<ExactSlope<'_>>> {
        Some(Box::new(|x, i| self.solution.slope(x, i)))
    }

    fn check_own(&self) -> Result<()> {
        check_dimension(self.dimension)?;
        if self.solution == HeatSolution::Mode && self.dimension != 1 {
            let expected =
                "1 where solution = mode; solution = sines has any number of coordinates";
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
