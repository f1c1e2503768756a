//! The Allen-Cahn equation of Raissi, Perdikaris and Karniadakis 2019 (doi 10.1016/j.jcp.2018.10.045, section
//! 3.1.2), on a circle.

mod reference;

use super::{ExactField, FieldPoints, FieldSystem, comparison_renewed, perceptron};
use crate::error::{Error, Result};
use crate::network::{Jets, Network};
use crate::objective::{Ansatz, Block, Cuboid, Embedding, Equation, Field, formed, reading};
use crate::physics::Real;
use crate::settings::{FLAG, GROUP, POSITIVE};
use crate::systems::{Compared, MlpSettings};
use reference::{Reference, start};
use std::f64::consts::PI;

crate::settings! {
    /// A field with ∂u/∂t = ε·∂²u/∂x² + r·(u - u³) for t in [0, 1] on the circle of x in [-1, 1], u = x²·cos πx at the start.
    pub struct AllenCahnField {
        /// ε; layers between u = -1 and u = 1 are about √(2·ε/r) wide.
        pub diffusivity: f64 = 1e-4, POSITIVE;
        /// r.
        pub rate: f64 = 5.0, POSITIVE;
        /// Whether the field has the start built in, u = x²·cos πx + t·N, in place of points there.
        pub built_in_start: bool = true, FLAG;
        /// Where the equation is asked for; the points on the boundary are all at the start.
        pub points: FieldPoints = FieldPoints { samples: 2500, boundary: 0.12, candidates: 5, ..FieldPoints::default() }, GROUP;
        /// The network, of t, cos πx and sin πx.
        pub network: MlpSettings = perceptron(&[20, 20, 20, 20]), GROUP;
    }
}

/// The smallest ε/r whose layers the reference solution resolves.
const LEAST_RATIO: f64 = 1e-5;

/// The greatest r with which the time steps of the reference solution are as accurate.
const GREATEST_RATE: f64 = 100.0;

/// ∂u/∂t - ε·∂²u/∂x² - r·(u - u³).
struct AllenCahn {
    diffusivity: f64,
    rate: f64,
}

impl Equation for AllenCahn {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_first(0).with_second(1, 1)
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        let value = u.value();
        let reaction = value * (-(value * value) + 1.0) * self.rate;
        residuals[0] = u.first(0) - u.second(1, 1) * self.diffusivity - reaction;
    }
}

/// t, cos πx and sin πx.
#[derive(Debug)]
struct Circle;

impl Embedding for Circle {
    fn coordinates(&self) -> usize {
        2
    }

    fn features(&self) -> usize {
        3
    }

    fn write<T: Real>(&self, x: &[T], features: &mut [T]) {
        let angle = x[1] * PI;
        (features[0], features[1], features[2]) = (x[0], angle.cos(), angle.sin());
    }
}

/// What the field is at the start, and t.
#[derive(Debug)]
struct FromStart;

impl Ansatz for FromStart {
    fn coordinates(&self) -> usize {
        2
    }

    fn write<T: Real>(&self, x: &[T], g: &mut [T], d: &mut [T]) {
        (g[0], d[0]) = (start(x[1]), x[0]);
    }
}

impl FieldSystem for AllenCahnField {
    const NAME: &'static str = "allen-cahn-pinn";
    const ABOUT: &'static str = "a field on a circle with ∂u/∂t = ε·∂²u/∂x² + r·(u - u³), trained on its residuals (Raissi et al. 2019)";
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

    fn field(&self) -> Network {
        let network = self.network.between(Circle.features(), 1);
        let network = reading(Circle, network).expect("its features");
        match self.built_in_start {
            true => formed(network, FromStart).expect("a field of two coordinates"),
            false => network,
        }
    }

    fn blocks(&self, _: u64) -> Vec<Block> {
        let equation = AllenCahn {
            diffusivity: self.diffusivity,
            rate: self.rate,
        };
        let mut blocks = vec![self.inside(equation)];
        if !self.built_in_start {
            blocks.push(self.start().with_target(|x, u| u[0] = start(x[1])));
        }
        blocks
    }

    fn of_times(&self) -> [usize; 2] {
        let (_, boundary) = self.points.counts();
        [boundary, 0]
    }

    fn exact(&self) -> ExactField {
        let reference = Reference::of(self.diffusivity, self.rate);
        Box::new(move |x, u| u[0] = reference.value(x[0], x[1]))
    }

    fn check_own(&self) -> Result<()> {
        if self.rate > GREATEST_RATE {
            let expected = format!("at most {GREATEST_RATE}");
            return Err(Error::setting("rate", self.rate, expected));
        }
        if self.diffusivity < LEAST_RATIO * self.rate {
            let expected = format!("at least {LEAST_RATIO} of rate: layers are too thin");
            return Err(Error::setting("diffusivity", self.diffusivity, expected));
        }
        Ok(())
    }

    fn methods(&self) -> Compared {
        comparison_renewed("2500")
    }

    fn seconds(&self) -> f64 {
        60.0
    }
}
