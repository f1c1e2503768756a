//! A wave that is carried along, of the speed at which trainings are known to fail (Krishnapriyan, Gholami, Zhe,
//! Kirby and Mahoney 2021, arXiv 2109.01050, section 3.1). The source's domain is periodic; here the wave is given
//! where it comes in, which has the same solution.

use super::{Exact, ExactField, ExactSlope, FieldPoints, FieldSystem, comparison, perceptron};
use crate::error::{Error, Result};
use crate::network::Jets;
use crate::objective::{Block, Cuboid, Equation, Field};
use crate::physics::Real;
use crate::settings::{GROUP, POSITIVE};
use crate::systems::{Compared, MlpSettings};
use std::f64::consts::TAU;

crate::settings! {
    /// A field with ∂u/∂t + β·∂u/∂x = 0 for t in [0, 1] and x in [0, 2π], sin(x - β·t), which is given at the start and at x = 0.
    pub struct ConvectionField {
        /// β, the speed.
        pub speed: f64 = 40.0, POSITIVE;
        /// Where the equation is asked for; of the points on the boundary half are at the start.
        pub points: FieldPoints = FieldPoints { samples: 2000, boundary: 0.2, ..FieldPoints::default() }, GROUP;
        /// The network.
        pub network: MlpSettings = perceptron(&[16, 16, 16, 16]), GROUP;
    }
}

/// Above it the waves are narrower than points are dense.
const GREATEST_SPEED: f64 = 1e4;

/// ∂u/∂t + β·∂u/∂x.
struct Convection(f64);

impl Equation for Convection {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_gradient()
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        residuals[0] = u.first(0) + u.first(1) * self.0;
    }
}

impl Exact for ConvectionField {
    fn value<T: Real>(&self, x: &[T]) -> T {
        (x[1] - x[0] * self.speed).sin()
    }
}

impl FieldSystem for ConvectionField {
    const NAME: &'static str = "convection-pinn";
    const ABOUT: &'static str =
        "a field with ∂u/∂t + β·∂u/∂x = 0, trained on its residuals (arXiv 2109.01050)";
    const COORDINATES: [&'static str; 2] = ["t", "x"];

    fn points(&self) -> &FieldPoints {
        &self.points
    }

    fn layers(&self) -> &MlpSettings {
        &self.network
    }

    fn domain(&self) -> Cuboid {
        Cuboid::new(&[(0.0, 1.0), (0.0, TAU)]).expect("two intervals")
    }

    fn blocks(&self, _: u64) -> Vec<Block> {
        vec![
            self.inside(Convection(self.speed)),
            self.inflow(1).with_target(self.exact()),
            self.start().with_target(self.exact()),
        ]
    }

    fn exact(&self) -> ExactField {
        let own = self.clone();
        Box::new(move |x, u| u[0] = own.value(x))
    }

    fn exact_slope(&self) -> Option<Box<ExactSlope<'_>>> {
        Some(Box::new(|x, i| self.slope(x, i)))
    }

    fn check_own(&self) -> Result<()> {
        if self.speed > GREATEST_SPEED {
            let expected =
                format!("at most {GREATEST_SPEED}: the waves are narrower than points are dense");
            return Err(Error::setting("speed", self.speed, expected));
        }
        Ok(())
    }

    fn methods(&self) -> Compared {
        comparison("2000")
    }

    fn seconds(&self) -> f64 {
        30.0
    }
}
