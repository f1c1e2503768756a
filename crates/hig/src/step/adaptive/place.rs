//! A place in the spectral family, and the places beside it.

use crate::step::filter::{Filter, Treatment};

/// A member of the family and how far it is followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// κ.
    pub exponent: f64,
    /// λ as a fraction of the largest σ².
    pub damping: f64,
    /// The step, as a multiple of the one that is best in the quadratic model.
    pub length: f64,
}

/// What neighbours differ in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Axis {
    /// κ.
    Exponent,
    /// λ.
    Damping,
}

impl Axis {
    /// The other one.
    pub fn other(self) -> Self {
        match self {
            Self::Exponent => Self::Damping,
            Self::Damping => Self::Exponent,
        }
    }
}

/// The distance of neighbours in κ.
const EXPONENT_STEP: f64 = 0.125;

/// The ratio of neighbours in λ.
const DAMPING_STEP: f64 = 8.0;

/// Less is lost in the rounding of the parameters.
const SHORTEST: f64 = 1e-12;

/// The model says 1, and far beyond that it is no longer asked.
const LONGEST: f64 = 4.0;

impl Place {
    /// The filter for a spectrum whose largest singular value is `largest`.
    pub fn filter(&self, largest: f64) -> Filter {
        Filter {
            exponent: self.exponent,
            treatment: Treatment::Damp {
                damping: (self.damping * largest * largest).max(f64::MIN_POSITIVE),
            },
        }
    }

    /// The place itself and its neighbours in κ, or in λ, where λ is at least `least`.
    pub fn neighbours(&self, axis: Axis, least: f64) -> Vec<Self> {
        let beside = [-1.0, 1.0].map(|sign| match axis {
            Axis::Exponent => Self {
                exponent: self.exponent + sign * EXPONENT_STEP,
                ..*self
            },
            Axis::Damping => Self {
                damping: self.damping * DAMPING_STEP.powf(sign),
                ..*self
            },
        });
        let inside = |place: &Self| {
            (0.0..=1.0).contains(&place.exponent) && (least..=1.0).contains(&place.damping)
        };
        let beside = beside.into_iter().filter(inside);
        [*self].into_iter().chain(beside).collect()
    }

    /// The smallest λ that a neighbour may have.
    pub fn least_damping(&self, least: f64) -> f64 {
        (self.damping / DAMPING_STEP).max(least).min(self.damping)
    }

    /// The same at another length.
    pub fn stretched(&self, factor: f64) -> Self {
        let length = (self.length * factor).clamp(SHORTEST, LONGEST);
        Self { length, ..*self }
    }

    /// Where to go on after nothing was accepted: shorter, and nearer to the gradient.
    pub fn retreat(&self) -> Self {
        let damping = (self.damping * DAMPING_STEP).min(1.0);
        Self {
            damping,
            ..self.stretched(0.25)
        }
    }
}
