//! A wave that is carried along, of the speed at which trainings are known to fail (Krishnapriyan, Gholami, Zhe,
//! Kirby and Mahoney 2021, arXiv 2109.01050, section 3.1). The source's domain is periodic; here the wave is given
//! where it comes in, which has the same solution.

use super::{Exact, FieldPoints, comparison, measures, perceptron, pictures, problem};
use crate::error::{Error, Result};
use crate::network::{Jets, Network};
use crate::objective::{Block, Cuboid, Equation, Field, Given};
use crate::physics::Real;
use crate::problem::Problem;
use crate::settings::{GROUP, POSITIVE, Settings};
use crate::systems::{Compared, MlpSettings, Picture, System};
use crate::trainer::Budget;
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

impl ConvectionField {
    fn domain() -> Cuboid {
        Cuboid::new(&[(0.0, 1.0), (0.0, TAU)]).expect("two intervals")
    }
}

impl System for ConvectionField {
    fn name(&self) -> &'static str {
        "convection-pinn"
    }

    fn about(&self) -> &'static str {
        "a field with ∂u/∂t + β·∂u/∂x = 0, trained on its residuals (arXiv 2109.01050)"
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        if self.speed > GREATEST_SPEED {
            let expected =
                format!("at most {GREATEST_SPEED}: the waves are narrower than points are dense");
            return Err(Error::setting("speed", self.speed, expected));
        }
        self.network()?.check_jets(&Convection(1.0).derivatives())
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
        let own = || {
            let own = self.clone();
            move |x: &[f64], u: &mut [f64]| u[0] = own.value(x)
        };
        let equation = Convection(self.speed);
        let blocks = vec![
            Block::of("interior", equation, inside, move |count, random| {
                first.inside(count, random)
            }),
            Block::of("sides", given, boundary - start, move |count, random| {
                second.face(1, false, count, random)
            })
            .with_target(own()),
            Block::of("initial", given, start, move |count, random| {
                third.face(0, false, count, random)
            })
            .with_target(own()),
        ];
        let (network, own) = (self.network.between(2, 1), self.clone());
        let exact = move |x: &[f64]| own.value(x);
        problem(network, blocks, &Self::domain(), exact, &self.points, seed)
    }

    fn comparison(&self) -> Compared {
        comparison("2000")
    }

    fn budget(&self) -> Budget {
        Budget::seconds(30.0)
    }

    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        let slope = |x: &[f64], i| self.slope(x, i);
        measures(
            &self.network.between(2, 1),
            problem,
            parameters,
            Some(&slope),
        )
    }

    fn pictures(&self, problem: &Problem, parameters: &[f64], _: usize) -> Vec<Picture> {
        let exact = |x: &[f64]| self.value(x);
        let network = self.network.between(2, 1);
        let (field, domain) = ((problem, &network), Self::domain());
        pictures(field, parameters, &domain, exact, |_| 0.0, ["t", "x"])
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
