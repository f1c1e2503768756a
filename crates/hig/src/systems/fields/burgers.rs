//! The viscous Burgers equation with the sine start of Raissi, Perdikaris and Karniadakis 2019
//! (doi 10.1016/j.jcp.2018.10.045, section 2.1.1), and its solution by the Cole-Hopf transform.

use super::{ExactField, FieldPoints, FieldSystem, comparison_renewed, perceptron};
use crate::error::{Error, Result};
use crate::network::Jets;
use crate::objective::{Block, Cuboid, Equation, Field};
use crate::physics::Real;
use crate::settings::{GROUP, POSITIVE};
use crate::systems::{Compared, MlpSettings};
use std::f64::consts::PI;

crate::settings! {
    /// A field with ∂u/∂t + u·∂u/∂x = ν·∂²u/∂x² for t in [0, 1] and x in [-1, 1], u = -sin πx at the start and 0 at both ends.
    pub struct BurgersField {
        /// ν; the smaller, the steeper the front that forms at x = 0.
        pub viscosity: f64 = 0.003_183_098_861_837_907, POSITIVE;
        /// Where the equation is asked for; of the points on the boundary half are at the start.
        pub points: FieldPoints = FieldPoints { samples: 5000, boundary: 0.12, candidates: 5, ..FieldPoints::default() }, GROUP;
        /// The network.
        pub network: MlpSettings = perceptron(&[16, 16, 16, 16]), GROUP;
    }
}

/// Below it the quadrature of the solution takes longer than a training.
const LEAST_VISCOSITY: f64 = 1e-4;

/// ∂u/∂t + u·∂u/∂x - ν·∂²u/∂x².
struct Burgers(f64);

impl Equation for Burgers {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_gradient().with_second(1, 1)
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        residuals[0] = u.first(0) + u.value() * u.first(1) - u.second(1, 1) * self.0;
    }
}

impl BurgersField {
    /// u(t, x): with f(y) = exp(-cos(πy)/(2πν)), and both integrals over the heat kernel
    /// exp(-η²/(4νt)) by the trapezoidal rule, whose error falls exponentially with the step,
    ///
    /// ```text
    /// u = -∫ sin π(x-η)·f(x-η)·exp(-η²/(4νt)) dη / ∫ f(x-η)·exp(-η²/(4νt)) dη.
    /// ```
    pub fn value(&self, t: f64, x: f64) -> f64 {
        let viscosity = self.viscosity;
        if t <= 0.0 {
            return -(PI * x).sin();
        }
        let exponent = |eta: f64| {
            -(PI * (x - eta)).cos() / (2.0 * PI * viscosity) - eta * eta / (4.0 * viscosity * t)
        };
        // Where the kernel has fallen below what any factor f can make up for, and rounding.
        let end = (4.0 * viscosity * t * (1.0 / (PI * viscosity) + 40.0)).sqrt();
        // The width of the narrowest peak.
        let peak = (viscosity / (0.5 * PI + 0.5 / t)).sqrt();
        let count = (6.0 * end / peak).ceil() as i64;
        let step = end / count as f64;
        let nodes = || (-count..=count).map(|k| k as f64 * step);
        let largest = nodes().map(exponent).fold(f64::NEG_INFINITY, f64::max);
        let (mut above, mut below) = (0.0, 0.0);
        for eta in nodes() {
            let weight = (exponent(eta) - largest).exp();
            above += weight * (PI * (x - eta)).sin();
            below += weight;
        }
        -above / below
    }
}

impl FieldSystem for BurgersField {
    const NAME: &'static str = "burgers-pinn";
    const ABOUT: &'static str =
        "a field with ∂u/∂t + u·∂u/∂x = ν·∂²u/∂x², trained on its residuals (Raissi et al. 2019)";
    const COORDINATES: [&'static str; 2] = ["t", "x"];

    fn points(&self) -> &FieldPoints {
        &self.points
    }

    fn layers(&self) -> &MlpSettings {
        &self.network
    }

    fn domain(&self) -> Cuboid {
        Cuboid::new(&[(0.0, 1.0), (-1.0, 1.0)]).expect("two intervals")
    }

    fn blocks(&self, _: u64) -> Vec<Block> {
        vec![
            self.inside(Burgers(self.viscosity)),
            self.sides(1..2),
            self.start().with_target(|x, u| u[0] = -(PI * x[1]).sin()),
        ]
    }

    fn exact(&self) -> ExactField {
        let own = self.clone();
        Box::new(move |x, u| u[0] = own.value(x[0], x[1]))
    }

    fn check_own(&self) -> Result<()> {
        if self.viscosity < LEAST_VISCOSITY {
            let expected =
                format!("at least {LEAST_VISCOSITY}: the front is narrower than points are dense");
            return Err(Error::setting("viscosity", self.viscosity, expected));
        }
        Ok(())
    }

    fn methods(&self) -> Compared {
        comparison_renewed("5000")
    }

    fn seconds(&self) -> f64 {
        30.0
    }
}
