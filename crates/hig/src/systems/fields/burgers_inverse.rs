//! The viscosity of a fluid from noisy measurements of its velocity (Raissi, Perdikaris and Karniadakis 2019,
//! doi 10.1016/j.jcp.2018.10.045, section 4.1.1, with the one unknown that the equation has not got from its units).

use super::{BurgersField, ExactField, FieldPoints, FieldSystem, comparison, perceptron};
use crate::data::{Purpose, random};
use crate::error::{Error, Result};
use crate::linalg::Mat;
use crate::network::{Jets, Network, Unknown};
use crate::objective::{Block, Cuboid, Equation, Field};
use crate::physics::Real;
use crate::settings::{AT_LEAST_ONE, GROUP, POSITIVE};
use crate::systems::{Compared, MlpSettings};
use rand_distr::{Distribution, StandardNormal};

crate::settings! {
    /// The viscosity ν of ∂u/∂t + u·∂u/∂x = ν·∂²u/∂x² beside its solution, from measurements of u.
    pub struct BurgersInverse {
        /// ν, which is to be found.
        pub viscosity: f64 = 0.02, POSITIVE;
        /// The viscosity to begin with.
        pub guess: f64 = 0.1, POSITIVE;
        /// How often u is measured, at random times and places.
        pub measurements: usize = 200, AT_LEAST_ONE;
        /// Standard deviation of the normal noise in a measurement.
        pub noise: f64 = 0.01, POSITIVE;
        /// Standard deviation that residuals may have: they count as measurements of 0 with such noise.
        pub tolerance: f64 = 0.01, POSITIVE;
        /// Where the equation is asked for, the measurements not among the points.
        pub points: FieldPoints = FieldPoints { samples: 2000, boundary: 0.1, ..FieldPoints::default() }, GROUP;
        /// The network.
        pub network: MlpSettings = perceptron(&[16, 16, 16]), GROUP;
    }
}

/// Fields with a smaller one have a front that so few points miss.
const LEAST_VISCOSITY: f64 = 2e-3;

/// ∂u/∂t + u·∂u/∂x - ν·∂²u/∂x² with ν as a second field, which is the same everywhere.
struct WithViscosity;

impl Equation for WithViscosity {
    fn derivatives(&self) -> Jets {
        Jets::of(2).with_gradient().with_second(1, 1)
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        let viscosity = u.of(1).value();
        residuals[0] = u.first(0) + u.value() * u.first(1) - u.second(1, 1) * viscosity;
    }
}

impl BurgersInverse {
    fn truth(&self) -> BurgersField {
        BurgersField {
            viscosity: self.viscosity,
            ..BurgersField::default()
        }
    }

    /// A block whose N_k points count as measurements with noise of that deviation: then N·L/σ² is the negative
    /// log-likelihood, with N points in all and the noise σ of measurements.
    fn weighted(&self, block: Block, count: usize, deviation: f64) -> Block {
        let all = (self.points.samples + self.measurements) as f64;
        let precision = (self.noise / deviation).powi(2);
        block.with_weight(count.max(1) as f64 / all * precision)
    }

    /// The measurements of a seed.
    fn measured(&self, seed: u64) -> Block {
        let random = &mut random(seed, Purpose::Measurements);
        let points = self.domain().inside(self.measurements, random);
        let truth = self.truth();
        let values = Mat::from_fn(self.measurements, 1, |s, _| {
            let noise: f64 = StandardNormal.sample(random);
            truth.value(points[(s, 0)], points[(s, 1)]) + self.noise * noise
        });
        let block = Block::of_rows("data", self.given(), points, values);
        self.weighted(block, self.measurements, self.noise)
    }
}

impl FieldSystem for BurgersInverse {
    const NAME: &'static str = "burgers-inverse-pinn";
    const ABOUT: &'static str = "the viscosity of the Burgers equation from noisy measurements, with its standard error (Raissi et al. 2019)";
    const COORDINATES: [&'static str; 2] = ["t", "x"];
    const ESTIMATES: bool = true;

    fn points(&self) -> &FieldPoints {
        &self.points
    }

    fn layers(&self) -> &MlpSettings {
        &self.network
    }

    fn domain(&self) -> Cuboid {
        self.truth().domain()
    }

    fn field(&self) -> Network {
        let viscosity = Unknown::positive("viscosity", self.guess);
        let network = self.network.between(2, 1).beside(vec![viscosity]);
        network.expect("an unknown above 0")
    }

    fn blocks(&self, seed: u64) -> Vec<Block> {
        let (inside, _) = self.points.counts();
        let [start, sides] = self.of_times();
        let initial = self.start().with_target(self.exact());
        vec![
            self.weighted(self.inside(WithViscosity), inside, self.tolerance),
            self.weighted(self.sides(1..2), sides, self.tolerance),
            self.weighted(initial, start, self.tolerance),
            self.measured(seed),
        ]
    }

    fn variance(&self) -> f64 {
        self.noise * self.noise
    }

    fn samples(&self) -> usize {
        self.points.samples.saturating_add(self.measurements)
    }

    fn exact(&self) -> ExactField {
        self.truth().exact()
    }

    fn check_own(&self) -> Result<()> {
        if self.viscosity < LEAST_VISCOSITY {
            let expected = format!("at least {LEAST_VISCOSITY}: points miss a narrower front");
            return Err(Error::setting("viscosity", self.viscosity, expected));
        }
        Ok(())
    }

    fn methods(&self) -> Compared {
        comparison("2200")
    }

    fn seconds(&self) -> f64 {
        30.0
    }
}
