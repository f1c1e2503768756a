//! Steady flow behind a grid, with Kovasznay's solution of the Navier-Stokes equations (Kovasznay 1948, doi
//! 10.1017/S0305004100023999) in the domain of Jin, Cai, Li and Karniadakis 2021 (arXiv 2003.06496, section 4.1).

use super::{FieldPoints, comparison, losses, perceptron, pictures, problem_judged_by};
use crate::error::{Error, Result};
use crate::network::{Jets, Network};
use crate::objective::{Block, Cuboid, Equation, Field};
use crate::physics::Real;
use crate::problem::Problem;
use crate::settings::{GROUP, POSITIVE, Settings};
use crate::systems::{Compared, MlpSettings, Picture, System};
use crate::trainer::Budget;
use std::f64::consts::PI;

crate::settings! {
    /// Velocity (u, v) and pressure p of a steady flow over x in [-0.5, 1] and y in [-0.5, 1.5], the velocity given on the boundary.
    pub struct NavierStokesField {
        /// Re.
        pub reynolds: f64 = 40.0, POSITIVE;
        /// Where the equations are asked for.
        pub points: FieldPoints = FieldPoints { samples: 1500, boundary: 0.2, ..FieldPoints::default() }, GROUP;
        /// The network, from (x, y) to (u, v, p).
        pub network: MlpSettings = perceptron(&[16, 16, 16, 16]), GROUP;
    }
}

/// Below it the flow changes by more than numbers hold from one side to the other.
const LEAST_REYNOLDS: f64 = 1e-1;

/// u·∂u/∂x + v·∂u/∂y + ∂p/∂x - Δu/Re, the same of v, and ∂u/∂x + ∂v/∂y.
struct NavierStokes(f64);

impl Equation for NavierStokes {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_gradient().with_laplacian(0..2)
    }

    fn count(&self) -> usize {
        3
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        let (v, p) = (u.of(1), u.of(2));
        for (i, w) in [*u, v].iter().enumerate() {
            let carried = u.value() * w.first(0) + v.value() * w.first(1);
            residuals[i] = carried + p.first(i) - w.laplacian(0..2) * (1.0 / self.0);
        }
        residuals[2] = u.first(0) + v.first(1);
    }
}

/// The velocity itself.
struct Velocity;

impl Equation for Velocity {
    fn derivatives(&self) -> Jets {
        Jets::of(2)
    }

    fn count(&self) -> usize {
        2
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        (residuals[0], residuals[1]) = (u.value(), u.of(1).value());
    }
}

impl NavierStokesField {
    fn domain() -> Cuboid {
        Cuboid::new(&[(-0.5, 1.0), (-0.5, 1.5)]).expect("two intervals")
    }

    /// u, v and p of a point: with λ = Re/2 - √(Re²/4 + 4π²)
    ///
    /// ```text
    /// u = 1 - e^(λx)·cos 2πy,     v = λ/2π·e^(λx)·sin 2πy,     p = ½·(1 - e^(2λx)).
    /// ```
    pub fn exact<T: Real>(&self, x: &[T]) -> [T; 3] {
        let half = 0.5 * self.reynolds;
        // The same as λ, without the difference of two numbers of nearly one size.
        let rate = -4.0 * PI * PI / (half + (half * half + 4.0 * PI * PI).sqrt());
        let (decay, angle) = ((x[0] * rate).exp(), x[1] * (2.0 * PI));
        let one = T::constant(1.0);
        [
            one - decay * angle.cos(),
            decay * angle.sin() * (rate / (2.0 * PI)),
            (one - decay * decay) * 0.5,
        ]
    }
}

impl System for NavierStokesField {
    fn name(&self) -> &'static str {
        "navier-stokes-pinn"
    }

    fn about(&self) -> &'static str {
        "velocity and pressure of a steady flow, trained on their residuals (Kovasznay 1948; arXiv 2003.06496)"
    }

    fn check_together(&self) -> Result<()> {
        self.check()?;
        if self.reynolds < LEAST_REYNOLDS {
            let expected =
                format!("at least {LEAST_REYNOLDS}: the solution grows beyond all numbers");
            return Err(Error::setting("reynolds", self.reynolds, expected));
        }
        self.network()?.check_jets(&NavierStokes(1.0).derivatives())
    }

    fn network(&self) -> Result<Network> {
        Ok(self.network.between(2, 3))
    }

    fn data_size(&self) -> f64 {
        self.points.data_size(4.0)
    }

    fn problem(&self, seed: u64) -> Problem {
        let (inside, boundary) = self.points.counts();
        let [first, second] = self.points.across(&Self::domain());
        let velocity = || {
            let own = self.clone();
            move |x: &[f64], target: &mut [f64]| target[..2].copy_from_slice(&own.exact(x)[..2])
        };
        let equations = NavierStokes(self.reynolds);
        let blocks = vec![
            Block::of("interior", equations, inside, move |count, random| {
                first.inside(count, random)
            }),
            Block::of("boundary", Velocity, boundary, move |count, random| {
                second.boundary(count, random)
            })
            .with_target(velocity()),
        ];
        let network = self.network.between(2, 3);
        let judged = (Velocity, velocity());
        problem_judged_by(judged, network, blocks, &Self::domain(), &self.points, seed)
    }

    fn comparison(&self) -> Compared {
        comparison("1500")
    }

    fn budget(&self) -> Budget {
        Budget::seconds(30.0)
    }

    /// The error of the velocity: the pressure is one up to a constant.
    fn measures(&self, problem: &Problem, parameters: &[f64]) -> Vec<(&'static str, f64)> {
        let test = &problem.test;
        let mut told = Vec::new();
        if let Ok(found) = problem.objective.outputs(parameters, test) {
            let error = (&found - &test.target).norm_l2() / test.target.norm_l2();
            told.push(("relative_l2", error));
        }
        told.extend(losses(problem, parameters));
        told
    }

    /// Of u; the residual is that of its equation.
    fn pictures(&self, problem: &Problem, parameters: &[f64], _: usize) -> Vec<Picture> {
        let exact = |x: &[f64]| self.exact(x)[0];
        let network = self.network.between(2, 3);
        let (field, domain) = ((problem, &network), Self::domain());
        pictures(field, parameters, &domain, exact, |_| 0.0, ["x", "y"])
    }

    fn boxed(&self) -> Box<dyn System> {
        Box::new(self.clone())
    }
}
