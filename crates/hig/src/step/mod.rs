//! Steps: how a linearised batch becomes a change of the parameters.
//!
//! One file a method. The spectral family (gradient descent, half-inverse gradients, Gauss-Newton)
//! is one implementation in [`Spectral`], built on a [`Decomposition`](crate::spectral::Decomposition) that is computed once and
//! asked cheaply with any [`Filter`](crate::spectral::Filter).

mod adadelta;
mod adagrad;
mod adam;
mod adaptive;
mod gauss_newton_line_search;
mod lbfgs;
mod levenberg_marquardt;
mod rms_prop;
mod scale_invariant;
mod sgd;
mod spectral;
mod spring;
mod whitened;

pub use adadelta::Adadelta;
pub use adagrad::AdaGrad;
pub use adam::Adam;
pub use adaptive::AdaptiveHalfInverse;
pub use gauss_newton_line_search::GaussNewtonLineSearch;
pub use lbfgs::Lbfgs;
pub use levenberg_marquardt::LevenbergMarquardt;
pub use rms_prop::RmsProp;
pub use scale_invariant::{ScaleInvariant, physics_correction};
pub use sgd::Sgd;
pub use spectral::Spectral;
pub use spring::Spring;

use crate::error::{Error, Result};
use crate::files::Exchange;
use crate::linalg::matrix;
use crate::objective::{Consumes, Linearization};
use crate::settings::Settings;

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

/// The part of what a line promises that the loss must fall by (Nocedal and Wright 2006, equation 3.4).
const SUFFICIENT_DECREASE: f64 = 1e-4;

/// The gradient of a batch, refused where it is not finite: to a search every trial along it fails, so
/// that it would leave the parameters alone without a word.
fn finite_gradient(at: &Linearization<'_>) -> Result<Vec<f64>> {
    let gradient = at.gradient();
    matrix::check_finite_vector("gradient", &gradient)?;
    Ok(gradient)
}

/// Refuses sums of squared gradients that have overflowed: divided by their root every step to come
/// would be 0.
fn check_squares(squares: &[f64]) -> Result<()> {
    matrix::check_finite_vector("sum of squared gradients", squares)
}

/// An optimizer at work: its state between updates.
pub trait Step: Send {
    /// Tells how many numbers (f64) an update may hold; a step that knows how to do with fewer then
    /// does. Without a word there is no limit.
    fn limit_memory(&mut self, _numbers: usize) {}

    /// What it asks of a linearization of `rows` × `columns`.
    fn consumes(&self, rows: usize, columns: usize) -> Consumes;

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
    /// A gradient, or a matrix to be decomposed, that is not finite; a decomposition that fails.
    fn step(&mut self, at: &Linearization<'_>, learning_rate: f64) -> Result<Update>;
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

/// An optimizer's settings, and how to set it to work.
pub trait Method: Settings + Send + Sync {
    /// The name under which it is registered, whatever its settings are.
    fn name(&self) -> &'static str;

    /// What it is, in one line, with its source.
    fn about(&self) -> &'static str;

    /// The learning rate η before any schedule.
    fn learning_rate(&self) -> f64;

    /// A fresh optimizer.
    ///
    /// # Errors
    /// A setting out of range.
    fn start(&self) -> Result<Box<dyn Step>>;

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
        Box::new(Lbfgs::default()),
        Box::new(LevenbergMarquardt::default()),
        Box::new(GaussNewtonLineSearch::default()),
        Box::new(Spring::default()),
        Box::new(ScaleInvariant::default()),
        Box::new(Spectral::gradient_descent()),
        Box::new(Spectral::gauss_newton()),
        Box::new(Spectral::half_inverse()),
        Box::new(AdaptiveHalfInverse::default()),
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
