//! Steps: how a linearised batch becomes a change of the parameters.
//!
//! One file a method. A step sees a [`Linearized`] batch and nothing behind it; only
//! [`ScaleInvariant`] says in its type that it needs network and physics apart.
//!
//! The spectral family (gradient descent, half-inverse gradients, Gauss-Newton) is one implementation in
//! [`Spectral`], built on a [`Decomposition`](crate::spectral::Decomposition) that is computed once and
//! asked cheaply with any [`Filter`](crate::spectral::Filter).

mod adadelta;
mod adagrad;
mod adam;
mod adaptive;
mod corrections;
mod gain_ratio;
mod gauss_newton_line_search;
mod geodesic;
mod kron;
mod lbfgs;
mod learning_rate;
mod levenberg_marquardt;
mod line_search;
mod prime_sr;
mod rms_prop;
mod scale_invariant;
mod sgd;
mod soap;
mod spectral;
mod spring;

pub use adadelta::Adadelta;
pub use adagrad::AdaGrad;
pub use adam::Adam;
pub use adaptive::AdaptiveHalfInverse;
pub use gauss_newton_line_search::GaussNewtonLineSearch;
pub use kron::KroneckerHalfInverse;
pub use lbfgs::Lbfgs;
pub(crate) use learning_rate::PART;
pub use learning_rate::{ANY_LEARNING_RATE, LearningRate};
pub use levenberg_marquardt::LevenbergMarquardt;
pub use prime_sr::PrimeSr;
pub use rms_prop::RmsProp;
pub use scale_invariant::{ScaleInvariant, physics_correction};
pub use sgd::Sgd;
pub use soap::Soap;
pub use spectral::Spectral;
pub use spring::Spring;

use crate::error::{Error, Result};
use crate::files::Exchange;
use crate::linalg::matrix;
use crate::objective::{Consumes, Linearization, Linearized, ParameterView};
use crate::settings::Settings;
use crate::spectral::Combinations;

/// A change of the parameters with what is worth telling about it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Update {
    /// Δθ, to be added to the parameters (length p).
    pub delta: Vec<f64>,
    /// Numbers of interest by name, such as the rank that a truncation kept; see
    /// [`diagnostics`](crate::diagnostics).
    pub diagnostics: Vec<(&'static str, f64)>,
    /// Singular values of the J that the step decomposed, or of √C·J where it weighs the rows by the
    /// curvature C of the loss, largest first; empty for a step that decomposes nothing. Those below
    /// what the step asked for may be missing or zero.
    pub spectrum: Vec<f64>,
}

impl Update {
    /// No change of `parameters` numbers.
    pub fn still(parameters: usize) -> Self {
        Self {
            delta: vec![0.0; parameters],
            ..Self::default()
        }
    }
}

/// The gradient of a batch, refused where it is not finite: to a search every trial along it fails, so
/// that it would leave the parameters alone without a word.
fn finite_gradient(at: &dyn Linearized) -> Result<Vec<f64>> {
    let gradient = at.gradient()?;
    matrix::check_finite_vector("gradient", &gradient)?;
    Ok(gradient)
}

/// The gradient of the batch, shortened to a norm of `most` where it is longer and `most` is not 0
/// (Pascanu, Mikolov and Bengio 2013, arXiv 1211.5063, algorithm 1).
fn clipped_gradient(at: &dyn Linearized, most: f64) -> Result<Vec<f64>> {
    let mut gradient = finite_gradient(at)?;
    if most > 0.0 {
        let norm = matrix::norm(&gradient);
        if norm > most {
            gradient.iter_mut().for_each(|g| *g *= most / norm);
        }
    }
    Ok(gradient)
}

/// Refuses sums of squared gradients that have overflowed: divided by their root every step to come
/// would be 0.
fn check_squares(squares: &[f64]) -> Result<()> {
    matrix::check_finite_vector("sum of squared gradients", squares)
}

/// An optimizer at work: its state between updates.
pub trait Step: Send {
    /// Hears of the training that begins: its seed, and the arrays of its parameters in their order. A step
    /// that is told nothing takes the seed 0 and one vector of parameters.
    fn begin(&mut self, _seed: u64, _arrays: &[ParameterView]) {}

    /// Exchanges everything that it remembers between updates, so that a training can be stopped and
    /// go on to the same bits.
    fn exchange(&mut self, state: &mut Exchange<'_>);

    /// Whether it can take its last update back. Where it can, a loss that is not finite does not end a
    /// training: the step is asked about the batch all the same.
    fn takes_back(&self) -> bool {
        false
    }

    /// The update for a linearised batch at a learning rate.
    ///
    /// # Errors
    /// A gradient, or a matrix to be decomposed, that is not finite; a decomposition or a simulator that
    /// fails.
    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update>;
}

/// An optimizer that needs the parts of a [`ThroughPhysics`](crate::objective::ThroughPhysics):
/// network, physics and loss. Its method consumes [`Consumes::PhysicsRows`], by which a trainer refuses
/// it before the first update where the objective has no such parts.
pub trait PhysicsStep: Send {
    /// As [`Step::exchange`].
    fn exchange(&mut self, state: &mut Exchange<'_>);

    /// As [`Step::step`].
    ///
    /// # Errors
    /// As [`Step::step`].
    fn step(&mut self, at: &Linearization<'_>, learning_rate: f64) -> Result<Update>;
}

/// A step of a method by the parts of the objective.
struct ThroughParts<S> {
    method: &'static str,
    step: S,
}

impl<S: PhysicsStep> Step for ThroughParts<S> {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        self.step.exchange(state);
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        match at.through_physics() {
            Some(parts) => self.step.step(parts, learning_rate),
            None => Err(no_parts(self.method)),
        }
    }
}

/// Why a method that needs network and physics apart cannot train an objective without them.
pub(crate) fn no_parts(method: &str) -> Error {
    let expected = "one that sees the whole objective: this one inverts a simulator behind a network, \
                    and the problem has none";
    Error::setting("method", method, expected)
}

/// Under what a method is registered, for settings that serve several methods: which of them it is
/// does not depend on what is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Registered {
    /// [`Method::name`].
    pub name: &'static str,
    /// [`Method::about`].
    pub about: &'static str,
}

/// Why a method that asks for the moments of layers cannot train an objective that has none.
pub(crate) fn no_layers(method: &str) -> Error {
    let expected = "one that asks for less: this one needs the second moments of each layer of a network, \
                    which this problem does not tell; adaptive-hig and adam train any";
    Error::setting("method", method, expected)
}

/// An optimizer's settings, and how to set it to work.
pub trait Method: Settings + Send + Sync {
    /// The name under which it is registered, whatever its settings are.
    fn name(&self) -> &'static str;

    /// What it is, in one line, with its source.
    fn about(&self) -> &'static str;

    /// The learning rate η before any schedule.
    fn learning_rate(&self) -> f64;

    /// What its updates ask of a linearized batch of `rows` × `columns` where one of them may hold
    /// `memory` numbers (f64).
    fn consumes(&self, rows: usize, columns: usize, memory: usize) -> Consumes;

    /// Combinations of the rows of each sample that its updates see in place of all. The `rows` of
    /// [`consumes`](Self::consumes) are then b times as many.
    fn sketch(&self) -> Combinations {
        Combinations::Fixed(0)
    }

    /// A fresh optimizer of which an update may hold `memory` numbers (f64).
    ///
    /// # Errors
    /// A setting out of range.
    fn start_within(&self, memory: usize) -> Result<Box<dyn Step>>;

    /// A fresh optimizer without such a limit.
    ///
    /// # Errors
    /// A setting out of range.
    fn start(&self) -> Result<Box<dyn Step>> {
        self.start_within(usize::MAX)
    }

    /// A copy of the settings.
    fn boxed(&self) -> Box<dyn Method>;
}

impl std::fmt::Debug for dyn Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:?}", self.name(), self.settings())
    }
}

/// All methods with default settings. To add one, write its file and add its line.
pub fn methods() -> Vec<Box<dyn Method>> {
    vec![
        Box::new(Adam::default()),
        Box::new(Sgd::default()),
        Box::new(Sgd::with_momentum()),
        Box::new(AdaGrad::default()),
        Box::new(Adadelta::default()),
        Box::new(RmsProp::default()),
        Box::new(Soap::default()),
        Box::new(Lbfgs::default()),
        Box::new(LevenbergMarquardt::default()),
        Box::new(GaussNewtonLineSearch::default()),
        Box::new(Spring::default()),
        Box::new(PrimeSr::default()),
        Box::new(ScaleInvariant::default()),
        Box::new(Spectral::gradient_descent()),
        Box::new(Spectral::gauss_newton()),
        Box::new(Spectral::half_inverse()),
        Box::new(AdaptiveHalfInverse::default()),
        Box::new(KroneckerHalfInverse::default()),
    ]
}

/// A method by name, with default settings.
///
/// # Errors
/// No such method; the message suggests the nearest.
pub fn method(name: &str) -> Result<Box<dyn Method>> {
    let mut all = methods();
    match all.iter().position(|method| method.name() == name) {
        Some(i) => Ok(all.swap_remove(i)),
        None => Err(Error::unknown(
            "method",
            name,
            all.iter().map(|method| method.name()),
        )),
    }
}
