//! Which matrix is decomposed.

use super::{Filter, Treatment};
use crate::objective::Consumes;
use crate::settings::Rule;

/// How J is decomposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// [`Svd`](Self::Svd) where τ is too small for anything else; otherwise [`Gram`](Self::Gram) or
    /// [`Normal`](Self::Normal), whichever is smaller; and [`Lanczos`](Self::Lanczos) where that is
    /// still too large for the memory allowed or for patience.
    Auto,
    /// Eigendecomposition of K = J·Jᵀ (n × n); J is never formed.
    Gram,
    /// Eigendecomposition of JᵀJ (p × p): the normal equations.
    Normal,
    /// Lanczos on products J·(Jᵀ·v): neither K nor J is formed.
    Lanczos,
    /// Thin singular value decomposition of J (n × p).
    Svd,
}

const AUTO_CUTOFF: f64 = 1e-12;

/// The largest matrix that `auto` decomposes exactly: about ten seconds an update on two cores.
const LARGEST_EXACT: usize = 8192;

impl Route {
    /// The route taken for a filter and a Jacobian of n rows and p columns, where an update may hold
    /// `memory` numbers.
    pub fn resolve(self, filter: &Filter, rows: usize, columns: usize, memory: usize) -> Self {
        let resolved = match filter.treatment {
            Treatment::Truncate { cutoff } => cutoff >= AUTO_CUTOFF,
            Treatment::Damp { damping } => damping > 0.0,
            Treatment::Clamp { .. } => false,
        };
        let side = rows.min(columns);
        let exact = side <= LARGEST_EXACT && Consumes::Gram.numbers(rows, columns) <= memory;
        match self {
            Self::Auto if !resolved => Self::Svd,
            Self::Auto if !exact => Self::Lanczos,
            Self::Auto if rows <= columns => Self::Gram,
            Self::Auto => Self::Normal,
            route => route,
        }
    }

    /// What the route asks of a linearization.
    pub fn consumes(self) -> Consumes {
        match self {
            Self::Auto | Self::Gram | Self::Normal => Consumes::Gram,
            Self::Lanczos => Consumes::Products {
                vectors: Consumes::VECTORS,
            },
            Self::Svd => Consumes::Jacobian,
        }
    }
}

crate::choices! {
    Route, "route" {
        Auto = "auto", "the cheapest route that is accurate enough and fits into memory";
        Gram = "gram", "eigendecomposition of J·Jᵀ (n × n)";
        Normal = "normal", "eigendecomposition of JᵀJ (p × p), the normal equations";
        Lanczos = "lanczos", "products with J alone, no matrix";
        Svd = "svd", "singular value decomposition of J (n × p)";
    }
}

/// Any route, as a setting.
pub const ANY_ROUTE: Rule<Route> = Rule::any();
