//! The Helmholtz equation with the solution of Wang, Teng and Perdikaris 2021 (arXiv 2001.04536, section 2.3).

use super::{Exact, ExactField, ExactSlope, FieldPoints, FieldSystem, comparison, perceptron};
use crate::network::Jets;
use crate::objective::{Block, Cuboid, Equation, Field};
use crate::physics::Real;
use crate::settings::{AT_LEAST_ONE, GROUP, NON_NEGATIVE};
use crate::systems::{Compared, MlpSettings};
use std::f64::consts::PI;

crate::settings! {
    /// A field with Δu + k²·u = q for x and y in [-1, 1], 0 on the boundary, of which sin πx · sin aπy is the solution.
    pub struct HelmholtzField {
        /// k.
        pub wave_number: f64 = 1.0, NON_NEGATIVE;
        /// a, half waves of the solution for each unit of y.
        pub waves: usize = 4, AT_LEAST_ONE;
        /// Where the equation is asked for.
        pub points: FieldPoints = FieldPoints { samples: 2000, boundary: 0.2, ..FieldPoints::default() }, GROUP;
        /// The network.
        pub network: MlpSettings = perceptron(&[16, 16, 16, 16]), GROUP;
    }
}

/// Δu + k²·u.
struct Helmholtz(f64);

impl Equation for Helmholtz {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_laplacian(0..2)
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        residuals[0] = u.laplacian(0..2) + u.value() * (self.0 * self.0);
    }
}

impl Exact for HelmholtzField {
    fn value<T: Real>(&self, x: &[T]) -> T {
        (x[0] * PI).sin() * (x[1] * (PI * self.waves as f64)).sin()
    }
}

impl HelmholtzField {
    /// q at a point.
    pub fn right_side(&self, x: &[f64]) -> f64 {
        let waves = self.waves as f64;
        (self.wave_number.powi(2) - PI * PI * (1.0 + waves * waves)) * self.value(x)
    }
}

impl FieldSystem for HelmholtzField {
    const NAME: &'static str = "helmholtz-pinn";
    const ABOUT: &'static str =
        "a field with Δu + k²·u = q, trained on its residuals (arXiv 2001.04536)";
    const COORDINATES: [&'static str; 2] = ["x", "y"];

    fn points(&self) -> &FieldPoints {
        &self.points
    }

    fn layers(&self) -> &MlpSettings {
        &self.network
    }

    fn domain(&self) -> Cuboid {
        Cuboid::new(&[(-1.0, 1.0), (-1.0, 1.0)]).expect("two intervals")
    }

    fn blocks(&self, _: u64) -> Vec<Block> {
        let own = self.clone();
        vec![
            self.inside(Helmholtz(self.wave_number))
                .with_target(move |x, q| q[0] = own.right_side(x)),
            self.boundary(self.given()),
        ]
    }

    fn exact(&self) -> ExactField {
        let own = self.clone();
        Box::new(move |x, u| u[0] = own.value(x))
    }

    fn exact_slope(&self) -> Option<Box<ExactSlope<'_>>> {
        Some(Box::new(|x, i| self.slope(x, i)))
    }

    fn right_side(&self, x: &[f64]) -> f64 {
        Self::right_side(self, x)
    }

    fn methods(&self) -> Compared {
        comparison("2000")
    }

    fn seconds(&self) -> f64 {
        30.0
    }
}
