//! Complete problems: data and objective (network, physics, loss) with the settings of their sources.

mod burgers_control;
mod cart_pole;
mod corrected;
mod fields;
mod fluid_control;
mod heat_inversion;
mod heat_inversion_2d;
mod ks_correction;
mod network;
mod oscillators;
mod parameter_estimation;
mod pendulum_swing_up;
pub mod picture;
mod poisson;
mod quantum_dipole;
mod recommended;
mod size;
mod toy;
mod wake_flow_correction;

pub use burgers_control::BurgersControl;
pub use cart_pole::CartPoleSwingUp;
pub use fields::{
    AllenCahnField, BurgersField, BurgersInverse, ConvectionField, Exact, ExactField, ExactSlope,
    FieldPoints, FieldSystem, FokkerPlanckField, HeatField, HeatSolution, HelmholtzField,
    NavierStokesField, PoissonField, PoissonSolution, relative_errors,
};
pub use fluid_control::{FluidControl, SmoothedDensity};
pub use heat_inversion::HeatInversion;
pub use heat_inversion_2d::HeatInversion2d;
pub use ks_correction::KsCorrection;
pub use network::{LayerSettings, MlpSettings};
pub use oscillators::{LinearOscillators, NonlinearOscillators};
pub use parameter_estimation::ParameterEstimation;
pub use pendulum_swing_up::PendulumSwingUp;
pub use picture::Picture;
pub use poisson::{Architecture, Poisson};
pub use quantum_dipole::QuantumDipole;
pub use recommended::{ALSO_COMPARED, compared, recommended};
pub use size::{check_memory, size};
pub use toy::Toy;
pub use wake_flow_correction::WakeFlowCorrection;

use crate::error::{Error, Result};
use crate::network::Network;
use crate::problem::Problem;
use crate::settings::Settings;
use crate::trainer::Budget;
use std::sync::{PoisonError, RwLock};

/// The settings of methods by their names: `(method, [(setting, value)])`.
pub type Compared = Vec<(&'static str, Vec<(&'static str, &'static str)>)>;

/// A complete problem with settings.
pub trait System: Settings + Send + Sync {
    /// The name under which it is registered.
    fn name(&self) -> &'static str;

    /// What it is, in one line, with its source.
    fn about(&self) -> &'static str;

    /// The network that [`problem`](Self::problem) trains. It holds shapes only, so that
    /// [`check_memory`] can refuse settings that no machine has the memory for.
    ///
    /// # Errors
    /// Layers that do not fit together, with settings that
    /// [`check_together`](Self::check_together) refuses.
    fn network(&self) -> Result<Network>;

    /// How many numbers input, state and target of all training and test samples are, told before
    /// they are made; a real number, for which no setting is too large.
    fn data_size(&self) -> f64;

    /// Data and objective for a seed. The data of train and test, and the initial
    /// weights, come from separate streams of it.
    ///
    /// # Panics
    /// With settings that [`check_together`](Self::check_together) refuses.
    fn problem(&self, seed: u64) -> Problem;

    /// The settings with which methods are compared on this system, in the order of the comparison.
    /// Settings are those of the method and of the training.
    fn comparison(&self) -> Compared;

    /// The budget of a comparison that takes a minute or less.
    fn budget(&self) -> Budget;

    /// Checks what the ranges of single settings cannot say.
    ///
    /// # Errors
    /// The first setting that is out of range, alone or beside the others.
    fn check_together(&self) -> Result<()> {
        self.check()
    }

    /// What is measured beside the loss, by name, under given parameters.
    fn measures(&self, _problem: &Problem, _parameters: &[f64]) -> Vec<(&'static str, f64)> {
        Vec::new()
    }

    /// Whether the loss of a sample is its negative log-likelihood up to a constant, so that
    /// [`estimates`](crate::objective::estimates) tells standard errors of the unknowns.
    fn tells_estimates(&self) -> bool {
        false
    }

    /// What the negative log-likelihood has been multiplied by to be the loss; the squares of standard errors are to
    /// be multiplied by it.
    fn estimates_variance(&self) -> f64 {
        1.0
    }

    /// Pictures of one test sample under trained parameters.
    fn pictures(&self, _problem: &Problem, _parameters: &[f64], _sample: usize) -> Vec<Picture> {
        Vec::new()
    }

    /// A copy of the settings.
    fn boxed(&self) -> Box<dyn System>;
}

impl std::fmt::Debug for dyn System {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.name(), self.settings())
    }
}

/// All systems with default settings, those of [`register`] last. To add one to the library, write its file
/// and add its line.
pub fn systems() -> Vec<Box<dyn System>> {
    let mut all = built_in();
    let registered = REGISTERED.read().unwrap_or_else(PoisonError::into_inner);
    all.extend(registered.iter().map(|system| system.boxed()));
    all
}

fn built_in() -> Vec<Box<dyn System>> {
    vec![
        Box::new(Toy::default()),
        Box::new(LinearOscillators::default()),
        Box::new(NonlinearOscillators::default()),
        Box::new(Poisson::default()),
        Box::new(QuantumDipole::default()),
        Box::new(HeatInversion::default()),
        Box::new(HeatInversion2d::default()),
        Box::new(CartPoleSwingUp::default()),
        Box::new(PendulumSwingUp::default()),
        Box::new(BurgersControl::default()),
        Box::new(KsCorrection::default()),
        Box::new(FluidControl::default()),
        Box::new(WakeFlowCorrection::default()),
        Box::new(PoissonField::default()),
        Box::new(HeatField::default()),
        Box::new(BurgersField::default()),
        Box::new(ConvectionField::default()),
        Box::new(HelmholtzField::default()),
        Box::new(NavierStokesField::default()),
        Box::new(AllenCahnField::default()),
        Box::new(FokkerPlanckField::default()),
        Box::new(BurgersInverse::default()),
        Box::new(ParameterEstimation::default()),
    ]
}

static REGISTERED: RwLock<Vec<Box<dyn System>>> = RwLock::new(Vec::new());

/// Adds a system of one's own, with the settings that it has, to those that [`systems`] answers in this
/// process.
///
/// # Errors
/// A name that another system has, or that is no word of small letters, digits and hyphens.
pub fn register(system: Box<dyn System>) -> Result<()> {
    let name = system.name();
    let of_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if name.is_empty() || !name.chars().all(of_word) {
        let expected = "small letters, digits and hyphens";
        return Err(Error::setting("name of a system", name, expected));
    }
    let mut registered = REGISTERED.write().unwrap_or_else(PoisonError::into_inner);
    let all = built_in();
    if all
        .iter()
        .chain(&*registered)
        .any(|known| known.name() == name)
    {
        let expected = "a name that no other system has";
        return Err(Error::setting("name of a system", name, expected));
    }
    registered.push(system);
    Ok(())
}

/// A system by name, with default settings.
///
/// # Errors
/// No such system; the message suggests the nearest.
pub fn system(name: &str) -> Result<Box<dyn System>> {
    let mut all = systems();
    match all.iter().position(|system| system.name() == name) {
        Some(i) => Ok(all.swap_remove(i)),
        None => Err(Error::unknown(
            "system",
            name,
            all.iter().map(|system| system.name()),
        )),
    }
}
