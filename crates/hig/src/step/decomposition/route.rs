//! Which matrix is decomposed.

use crate::linearization::Consumes;
use crate::settings::{Rule, SettingType, Value};
use crate::step::filter::{Filter, Treatment};

/// How J is decomposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// [`Gram`](Self::Gram) or [`Normal`](Self::Normal), whichever is smaller, where τ and f64
    /// allow it, [`Svd`](Self::Svd) otherwise.
    Auto,
    /// Eigendecomposition of K = J·Jᵀ (n × n); J is never formed.
    Gram,
    /// Eigendecomposition of JᵀJ (p × p): the normal equations.
    Normal,
    /// Thin singular value decomposition of J (n × p).
    Svd,
}

const AUTO_CUTOFF: f64 = 1e-12;

impl Route {
    /// All routes with their names.
    pub const ALL: [(&'static str, Self); 4] = [
        ("auto", Self::Auto),
        ("gram", Self::Gram),
        ("normal", Self::Normal),
        ("svd", Self::Svd),
    ];

    /// The route taken for a filter and a Jacobian of n rows and p columns.
    pub fn resolve(self, filter: &Filter, rows: usize, columns: usize) -> Self {
        let resolved = match filter.treatment {
            Treatment::Truncate { cutoff } => cutoff >= AUTO_CUTOFF,
            Treatment::Damp { damping } => damping > 0.0,
            Treatment::Clamp { .. } => false,
        };
        match self {
            Self::Auto if !resolved => Self::Svd,
            Self::Auto if rows <= columns => Self::Gram,
            Self::Auto => Self::Normal,
            route => route,
        }
    }

    /// What the route asks of a linearization.
    pub fn consumes(self) -> Consumes {
        match self {
            Self::Auto | Self::Gram => Consumes::Gram,
            Self::Normal | Self::Svd => Consumes::Jacobian,
        }
    }
}

impl SettingType for Route {
    fn parse(text: &str) -> Option<Self> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text);
        found.map(|(_, route)| *route)
    }
    fn value(&self) -> Value {
        let found = Self::ALL.iter().find(|(_, route)| route == self);
        Value::Word(found.map_or("", |(name, _)| name).into())
    }
}

/// Any route, as a setting.
pub const ANY_ROUTE: Rule<Route> = Rule {
    text: "auto, gram, normal or svd",
    holds: |_| true,
};
