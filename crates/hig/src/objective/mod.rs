//! Objectives: what a training minimises, and what a step may ask of a batch of it.
//!
//! An [`Objective`] takes parameters θ and samples to a loss. [`Objective::linearize`] answers a
//! [`Linearized`] batch: the outputs y are rows of a [`Jacobian`] J = ∂y/∂θ (n × p), and the loss is a
//! function of y with the gradient g = ∂L/∂y (n) and the curvature C (n). A step sees these traits and
//! nothing behind them.
//!
//! | objective | y |
//! | --- | --- |
//! | [`ThroughPhysics`] | a simulation that a network controls, y = P(x, net(x; θ)) |
//! | [`ClosedLoop`] | what is observed of a simulation that asks the network at every time step |
//! | [`Residuals`] | the residuals of equations that the network, a field, should obey |
//!
//! To add one, write its file. Where a network is called, [`NetworkJacobian`] does the products of J.

mod by_products;
mod closed_loop;
mod cuboid;
mod equation;
mod estimates;
mod explicit;
mod factored;
mod form;
mod formula;
mod jacobian;
mod linearized;
mod network_jacobian;
mod reduction;
mod residuals;
mod sketch;
mod through_physics;
mod weights;
mod whitened;

pub use crate::network::{LayerMoments, Moment, Moments, ParameterView};
pub use closed_loop::{ClosedLoop, Motion};
pub use cuboid::{ANY_SPREAD, Cuboid, Part, Spread};
pub use equation::{Equation, Field, Given};
pub use estimates::{Estimate, estimates, values};
pub use explicit::ExplicitJacobian;
pub use factored::{FactoredJacobian, FactoredLayout, FactoredWeight, WeightFactors};
pub use form::{Ansatz, Embedding, formed, reading};
pub use formula::{Formula, Function, Operation, Pair};
pub use jacobian::{Consumes, Jacobian};
pub use linearized::{Linearized, Objective, Saturation};
pub use network_jacobian::NetworkJacobian;
pub use reduction::Reduction;
pub use residuals::{Block, Residuals};
pub use sketch::Sketch;
pub use through_physics::{Linearization, ThroughPhysics};
pub use weights::{ANY_WEIGHTS, Weights};
pub(crate) use whitened::curvature_roots;
pub use whitened::{rayleigh, residual, whitened};
