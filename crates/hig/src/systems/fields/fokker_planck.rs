//! The Fokker-Planck equation of the logarithm of a density, with the solution of arXiv 2405.15603, appendix A.

use super::{
    Exact, ExactField, ExactSlope, FieldPoints, FieldSystem, check_dimension, comparison_renewed,
    perceptron,
};
use crate::error::Result;
use crate::network::Jets;
use crate::objective::{Block, Cuboid, Equation, Field};
use crate::physics::Real;
use crate::settings::{AT_LEAST_ONE, GROUP};
use crate::systems::{Compared, MlpSettings};
use std::f64::consts::PI;

crate::settings! {
    /// A field q = log p with ∂q/∂t - d/2 - ½·x·∇q - |∇q|² - Δq = 0 for t in [0, 1] and x in [-5, 5]^d, that of the normal density at the start.
    pub struct FokkerPlanckField {
        /// d, the number of coordinates in space.
        pub dimension: usize = 9, AT_LEAST_ONE;
        /// Where the equation is asked for; the points on the boundary are all at the start.
        pub points: FieldPoints = FieldPoints { samples: 4000, boundary: 0.25, test_samples: 30000, ..FieldPoints::default() }, GROUP;
        /// The network.
        pub network: MlpSettings = perceptron(&[64]), GROUP;
    }
}

/// ∂q/∂t + ∇·m + m·∇q - |∇q|² - Δq with the drift m = -½·x and noise of the intensity √2.
struct LogFokkerPlanck(usize);

impl Equation for LogFokkerPlanck {
    fn derivatives(&self) -> Jets {
        Jets::of(self.0 + 1)
            .with_gradient()
            .with_laplacian(1..self.0 + 1)
    }

    fn residuals<T: Real>(&self, x: &[f64], q: &Field<'_, T>, residuals: &mut [T]) {
        let mut sum = q.first(0) - q.laplacian(1..self.0 + 1) - 0.5 * self.0 as f64;
        for (i, x) in x.iter().enumerate().skip(1) {
            let slope = q.first(i);
            sum = sum - slope * (slope + 0.5 * x);
        }
        residuals[0] = sum;
    }
}

impl Exact for FokkerPlanckField {
    /// log of the normal density of mean 0 and variance 2 - exp(-t) in each coordinate.
    fn value<T: Real>(&self, x: &[T]) -> T {
        let (t, x) = (x[0], &x[1..]);
        let variance = -(-t).exp() + 2.0;
        let zero = T::constant(0.0);
        let square = x.iter().fold(zero, |sum, x| sum + *x * *x);
        ((variance * (2.0 * PI)).ln() * x.len() as f64 + square / variance) * -0.5
    }
}

impl FieldSystem for FokkerPlanckField {
    const NAME: &'static str = "fokker-planck-pinn";
    const ABOUT: &'static str = "the logarithm of a density that drifts and diffuses, trained on the residuals of its equation (arXiv 2405.15603)";
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
        let space = std::iter::repeat_n((-5.0, 5.0), self.dimension);
        let sides: Vec<(f64, f64)> = std::iter::once((0.0, 1.0)).chain(space).collect();
        Cuboid::new(&sides).expect("intervals")
    }

    fn blocks(&self, _: u64) -> Vec<Block> {
        vec![
            self.inside(LogFokkerPlanck(self.dimension)),
            self.start().with_target(self.exact()),
        ]
    }

    fn of_times(&self) -> [usize; 2] {
        let (_, boundary) = self.points.counts();
        [boundary, 0]
    }

    fn exact(&self) -> ExactField {
        let own = self.clone();
        Box::new(move |x, u| u[0] = own.value(x))
    }

    fn exact_slope(&self) -> Option<Box<ExactSlope<'_>>> {
        Some(Box::new(|x, i| self.slope(x, i)))
    }

    fn check_own(&self) -> Result<()> {
        check_dimension(self.dimension)
    }

    fn methods(&self) -> Compared {
        comparison_renewed("4000")
    }

    fn seconds(&self) -> f64 {
        60.0
    }
}
