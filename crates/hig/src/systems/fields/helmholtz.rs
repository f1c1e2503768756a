//! The Helmholtz equation with the solution of Wang, Teng and Perdikaris 2021 (arXiv 2001.04536, section 2.3).

use super::{Exact, FieldPoints, comparison, measures, perceptron, pictures, problem};
use crate::error::Result;
use crate::network::{Jets, Network};
use crate::objective::{Block, Cuboid, Equation, Field, Given};
use crate::physics::Real;
use crate::problem::Problem;
use crate::settings::{AT_LEAST_ONE, GROUP, NON_NEGATIVE, Settings};
use crate::systems::{Compared, MlpSettings, Picture, System};
use crate::trainer::Budget;
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
    fn domain() -> Cuboid {
        Cuboid::new(&[(-1.0, 1.0), (-1.0, 1.0)]).expect("two intervals")
    }

    /// q at a point.
    pub fn right_side(&self, x: &[f64]) -> f64 {
        let waves = self.waves as f64;
        (self.wave_number.powi(2) - PI * PI * (1.0 + waves * waves)) * self.value(x)
    }
}

impl System for HelmholtzField {
    fn name(&self) -> &'static str {
        "helmholtz-pinn"
    }

    fn about(&self) -> &'static str {
        "a field with Δu + k²·u = q, trained on its residuals (arXiv 2001.04536)"
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        self.network()?.check_jets(&Helmholtz(1.0).derivatives())
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(2, 1))
    }

    fn data_size(&self) -> f64 {
        self.points.data_size(2.0)
    }

    fn problem(&self, seed: u64) -> Problem {
        let (inside, boundary) = self.points.counts();
        let [first, second] = self.points.across(&Self::domain());
        let (given, own) = (Given { coordinates: 2 }, self.clone());
        let equation = Helmholtz(self.wave_number);
        let blocks = vec![
            Block::of("interior", equation, inside, move |count, random| {
                first.inside(count, random)
            })
            .with_target(move |x, q| q[0] = own.right_side(x)),
            Block::of("boundary", given, boundary, move |count, random| {
                second.boundary(count, random)
            }),
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
        let right = |x: &[f64]| self.right_side(x);
        let network = self.network.between(2, 1);
        let (field, domain) = ((problem, &network), Self::domain());
        pictures(field, parameters, &domain, exact, right, ["x", "y"])
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
