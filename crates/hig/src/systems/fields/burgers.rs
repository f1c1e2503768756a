//! The viscous Burgers equation with the sine start of Raissi, Perdikaris and Karniadakis 2019
//! (doi 10.1016/j.jcp.2018.10.045, section 2.1.1), and its solution by the Cole-Hopf transform.

use super::{FieldPoints, comparison_at_front, measures, perceptron, pictures, problem};
use crate::error::{Error, Result};
use crate::network::{Jets, Network};
use crate::objective::{Block, Cuboid, Equation, Field, Given};
use crate::physics::Real;
use crate::problem::Problem;
use crate::settings::{GROUP, POSITIVE, Settings};
use crate::systems::{Compared, MlpSettings, Picture, System};
use crate::trainer::Budget;
use std::f64::consts::PI;

crate::settings! {
    /// A field with ∂u/∂t + u·∂u/∂x = ν·∂²u/∂x² for t in [0, 1] and x in [-1, 1], u = -sin πx at the start and 0 at both ends.
    pub struct BurgersField {
        /// ν; the smaller, the steeper the front that forms at x = 0.
        pub viscosity: f64 = 0.003_183_098_861_837_907, POSITIVE;
        /// Where the equation is asked for; of the points on the boundary half are at the start.
        pub points: FieldPoints = FieldPoints { samples: 2500, boundary: 0.12, candidates: 5, ..FieldPoints::default() }, GROUP;
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
    fn domain() -> Cuboid {
        Cuboid::new(&[(0.0, 1.0), (-1.0, 1.0)]).expect("two intervals")
    }

    /// u(t, x): with f(y) = exp(-cos(πy)/(2πν)), and both integrals over the heat kernel
    /// exp(-η²/(4νt)) by the trapezoidal rule, whose error falls exponentially with the step,
    ///
    /// ```text
    /// u = -∫ sin π(x-η)·f(x-η)·exp(-η²/(4νt)) dη / ∫ f(x-η)·exp(-η²/(4νt)) dη.
    /// ```
    pub fn exact(&self, t: f64, x: f64) -> f64 {
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

impl System for BurgersField {
    fn name(&self) -> &'static str {
        "burgers-pinn"
    }

    fn about(&self) -> &'static str {
        "a field with ∂u/∂t + u·∂u/∂x = ν·∂²u/∂x², trained on its residuals (Raissi et al. 2019)"
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        if self.viscosity < LEAST_VISCOSITY {
            let expected =
                format!("at least {LEAST_VISCOSITY}: the front is narrower than points are dense");
            return Err(Error::setting("viscosity", self.viscosity, expected));
        }
        self.network()?.check_jets(&Burgers(1.0).derivatives())
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(2, 1))
    }

    fn data_size(&self) -> f64 {
        self.points.data_size(2.0)
    }

    fn problem(&self, seed: u64) -> Problem {
        let (inside, boundary) = self.points.counts();
        let start = boundary / 2;
        let [first, second, third] = self.points.across(&Self::domain());
        let given = Given { coordinates: 2 };
        let equation = Burgers(self.viscosity);
        let blocks = vec![
            Block::of("interior", equation, inside, move |count, random| {
                first.inside(count, random)
            }),
            Block::of("sides", given, boundary - start, move |count, random| {
                second.boundary_of(1..2, count, random)
            }),
            Block::of("initial", given, start, move |count, random| {
                third.face(0, false, count, random)
            })
            .with_target(|x, u| u[0] = -(PI * x[1]).sin()),
        ];
        let (network, own) = (self.network.between(2, 1), self.clone());
        let exact = move |x: &[f64]| own.exact(x[0], x[1]);
        problem(network, blocks, &Self::domain(), exact, &self.points, seed)
    }

    fn comparison(&self) -> Compared {
        comparison_at_front("2500")
    }

    fn budget(&self) -> Budget {
        Budget::seconds(30.0)
    }

    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        measures(&self.network.between(2, 1), problem, parameters, None)
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], _: usize) -> Vec<Picture> {
        let exact = |x: &[f64]| self.exact(x[0], x[1]);
        let network = self.network.between(2, 1);
        let labels = ["t", "x"];
        pictures(
            (problem, &network),
            parameters,
            &Self::domain(),
            exact,
            |_| 0.0,
            labels,
        )
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
