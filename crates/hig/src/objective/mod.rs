//! A batch linearised at the current parameters.

mod explicit;
mod jacobian;
mod through_physics;

pub use explicit::ExplicitJacobian;
pub use jacobian::Jacobian;
pub use through_physics::{Consumes, Linearization, Model, Reduction};
