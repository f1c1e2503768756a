//! The spectral family of steps, V·f(Σ)·Uᵀ: the [filter](Filter) f, and the [decomposition](Decomposition)
//! of J = U·Σ·Vᵀ that is computed once and asked cheaply with any filter.

mod combinations;
mod damped;
mod decomposition;
mod deflation;
mod filter;
mod from_gram;
mod lanczos;
mod request;
mod route;
mod svd;
mod unit;

pub use combinations::{ANY_COMBINATIONS, Combinations};
pub use damped::{ANY_FACTORIZATION, DampedSystem, Factorization, Solve};
pub use decomposition::{Decomposition, Spectrum};
pub use filter::{ANY_TREATMENT, Filter, Treatment, TreatmentKind};
pub use from_gram::filtered_inverse;
pub(crate) use request::few_vectors;
pub use request::{DecompositionSettings, Request, Rows};
pub use route::{ANY_ROUTE, Route};
