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

    /// The place itself and its neighbours in κ and λ, where λ is at least `least`.
    pub fn neighbours(&self, least: f64) -> Vec<Self> {
        let mut places = vec![*self];
        for exponent in [self.exponent - EXPONENT_STEP, self.exponent + EXPONENT_STEP] {
            if (0.0..=1.0).contains(&exponent) {
                places.push(Self { exponent, ..*self });
            }
        }
        for damping in [self.damping / DAMPING_STEP, self.damping * DAMPING_STEP] {
            if (least..=1.0).contains(&damping) {
                places.push(Self { damping, ..*self });
            }
        }
        places
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
