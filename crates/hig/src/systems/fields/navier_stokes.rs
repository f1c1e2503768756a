//! Steady flow behind a grid, with Kovasznay's solution of the Navier-Stokes equations (Kovasznay 1948, doi
//! 10.1017/S0305004100023999) in the domain of Jin, Cai, Li and Karniadakis 2021 (arXiv 2003.06496, section 4.1).

use super::{ExactField, FieldPoints, FieldSystem, Values, comparison, perceptron};
use crate::error::{Error, Result};
use crate::network::Jets;
use crate::objective::{Block, Cuboid, Equation, Field};
use crate::physics::Real;
use crate::settings::{GROUP, POSITIVE};
use crate::systems::{Compared, MlpSettings};
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

impl NavierStokesField {
    /// u, v and p of a point: with λ = Re/2 - √(Re²/4 + 4π²)
    ///
    /// ```text
    /// u = 1 - e^(λx)·cos 2πy,     v = λ/2π·e^(λx)·sin 2πy,     p = ½·(1 - e^(2λx)).
    /// ```
    pub fn flow<T: Real>(&self, x: &[T]) -> [T; 3] {
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

impl FieldSystem for NavierStokesField {
    const NAME: &'static str = "navier-stokes-pinn";
    const ABOUT: &'static str = "velocity and pressure of a steady flow, trained on their residuals (Kovasznay 1948; arXiv 2003.06496)";
    const COORDINATES: [&'static str; 2] = ["x", "y"];
    const FIELDS: usize = 3;
    /// The velocity: the pressure is one up to a constant.
    const KNOWN: usize = 2;
    const RESIDUALS: usize = 3;

    fn points(&self) -> &FieldPoints {
        &self.points
    }

    fn layers(&self) -> &MlpSettings {
        &self.network
    }

    fn domain(&self) -> Cuboid {
        Cuboid::new(&[(-0.5, 1.0), (-0.5, 1.5)]).expect("two intervals")
    }

    fn blocks(&self, _: u64) -> Vec<Block> {
        let velocity = Values {
            coordinates: 2,
            count: 2,
        };
        vec![
            self.inside(NavierStokes(self.reynolds)),
            self.boundary(velocity).with_target(self.exact()),
        ]
    }

    fn exact(&self) -> ExactField {
        let own = self.clone();
        Box::new(move |x, u| u[..2].copy_from_slice(&own.flow(x)[..2]))
    }

    fn check_own(&self) -> Result<()> {
        if self.reynolds < LEAST_REYNOLDS {
            let expected =
                format!("at least {LEAST_REYNOLDS}: the solution grows beyond all numbers");
            return Err(Error::setting("reynolds", self.reynolds, expected));
        }
        Ok(())
    }

    fn methods(&self) -> Compared {
        comparison("1500")
    }

    fn seconds(&self) -> f64 {
        30.0
    }
}
