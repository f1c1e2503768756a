//! A problem: samples, and the objective that is trained on them.

use crate::data::{Dataset, Purpose, random};
use crate::error::Result;
use crate::files::Tensors;
use crate::loss::Loss;
use crate::network::{self, Network, ParameterView};
use crate::objective::{Objective, Residuals, ThroughPhysics};
use crate::physics::Simulator;
use rand_pcg::Pcg64;
use std::path::Path;

/// Draws any number of new samples at parameters θ, from which they may follow.
pub type Sampler = Box<dyn Fn(&[f64], usize, &mut Pcg64) -> Dataset + Send + Sync>;

/// Everything that a training needs besides a method.
pub struct Problem {
    /// Samples to train on.
    pub train: Dataset,
    /// Samples to judge by.
    pub test: Dataset,
    /// What is minimised.
    pub objective: Box<dyn Objective>,
    /// New samples for every update (order = fresh), where the system can draw them.
    pub sampler: Option<Sampler>,
}

impl Problem {
    /// A network, a simulator behind it and a loss, with given samples; a batch counts by its mean.
    pub fn new(
        train: Dataset,
        test: Dataset,
        network: Network,
        physics: impl Simulator + 'static,
        loss: impl Loss + 'static,
    ) -> Self {
        Self::of(train, test, ThroughPhysics::new(network, physics, loss))
    }

    /// Any objective, with given samples.
    pub fn of(train: Dataset, test: Dataset, objective: impl Objective + 'static) -> Self {
        Self {
            train,
            test,
            objective: Box::new(objective),
            sampler: None,
        }
    }

    /// A field that should obey equations: a whole set of points to train on, which a seed draws, new ones
    /// for every update where a training asks for them, and another whole set to judge by.
    pub fn of_residuals(residuals: Residuals, seed: u64) -> Self {
        let points = residuals.points();
        let [train, test] = [Purpose::Train, Purpose::Test]
            .map(|purpose| residuals.draw(points, &mut random(seed, purpose)));
        let sampler = residuals.sampler();
        Self::of(train, test, residuals).with_sampler(sampler)
    }

    /// The same with a source of new samples.
    pub fn with_sampler(
        self,
        sampler: impl Fn(usize, &mut Pcg64) -> Dataset + Send + Sync + 'static,
    ) -> Self {
        self.with_adaptive_sampler(move |_, count, random| sampler(count, random))
    }

    /// The same with a source of new samples that looks at θ.
    pub fn with_adaptive_sampler(
        mut self,
        sampler: impl Fn(&[f64], usize, &mut Pcg64) -> Dataset + Send + Sync + 'static,
    ) -> Self {
        self.sampler = Some(Box::new(sampler));
        self
    }

    /// The same with given samples to train on. It draws no new ones any more: they would pass the
    /// given ones by, see [`Training::for_given_samples`](crate::trainer::Training::for_given_samples).
    pub fn with_samples(mut self, train: Dataset) -> Self {
        self.train = train;
        self.sampler = None;
        self
    }

    /// The parameter arrays by name, in the order of the flat vector θ.
    pub fn parameters(&self) -> Vec<ParameterView> {
        self.objective.parameters()
    }

    /// p.
    pub fn parameter_count(&self) -> usize {
        self.parameters().last().map_or(0, |view| view.range.end)
    }

    /// θ at the start of a training, from a seed.
    pub fn initial_parameters(&self, seed: u64) -> Vec<f64> {
        self.objective.initial(seed)
    }

    /// Reads parameters from a safetensors file that has every array by its name, in f64 or f32.
    ///
    /// # Errors
    /// Unreadable file; a tensor that is missing, unexpected, of the wrong shape or not finite.
    pub fn load_parameters(&self, path: &Path) -> Result<Vec<f64>> {
        network::parameters_from(&self.parameters(), &Tensors::load(path)?)
    }

    /// Writes parameters so that [`load_parameters`](Self::load_parameters) reads the same bits.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save_parameters(&self, parameters: &[f64], path: &Path) -> Result<()> {
        network::tensors_of(&self.parameters(), parameters).save(path)
    }

    /// Network, physics and loss, where the objective has these parts.
    pub fn through_physics(&self) -> Option<&ThroughPhysics> {
        self.objective.through_physics()
    }

    /// The same, to replace one of them: another loss, network or physics for the samples of a system.
    pub fn through_physics_mut(&mut self) -> Option<&mut ThroughPhysics> {
        self.objective.through_physics_mut()
    }

    /// Checks that samples and objective fit together and that all samples are finite.
    ///
    /// # Errors
    /// The first thing that does not fit, by name.
    pub fn check(&self) -> Result<()> {
        self.objective.check()?;
        for (name, data) in [("training", &self.train), ("test", &self.test)] {
            let checked = self.objective.check_samples(data);
            // An objective may know no better than to look at shapes.
            let finite = checked.and_then(|()| data.check_finite());
            finite.map_err(|error| error.of(name))?;
        }
        Ok(())
    }
}
