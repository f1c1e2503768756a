//! A place in the spectral family, and which neighbour of it is tried next.

use crate::files::Exchange;
use crate::spectral::{Filter, Treatment};

/// A member of the family, and how far it is followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Place {
    /// κ.
    pub exponent: f64,
    /// λ as a fraction of the largest σ².
    pub damping: f64,
    /// β: the step as a part of the one that is best in the quadratic model.
    pub reach: f64,
}

impl Place {
    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.number("exponent", &mut self.exponent);
        state.number("damping", &mut self.damping);
        state.number("reach", &mut self.reach);
    }

    /// The filter for a spectrum whose largest singular value is `largest`.
    pub fn filter(&self, largest: f64) -> Filter {
        Filter {
            exponent: self.exponent,
            treatment: Treatment::Damp {
                damping: (self.damping * largest * largest).max(f64::MIN_POSITIVE),
            },
        }
    }

    /// Directions of a spectrum (largest first) that the filter leaves undamped, Σ σ²/(σ² + λ): the
    /// effective degrees of freedom of the step.
    pub fn freedom(&self, spectrum: &[f64]) -> f64 {
        let damping = self.damping * spectrum.first().map_or(0.0, |s| s * s);
        let squares = spectrum.iter().map(|s| s * s).filter(|s| *s > 0.0);
        squares.map(|s| s / (s + damping)).sum()
    }
}

/// The distance of neighbours in κ.
const EXPONENT_STEP: f64 = 0.125;

/// Tries one neighbour in κ on every update: on the side where one was better last, and on the other
/// once it was not. Trying it less often while it does not pay costs more updates than it saves.
#[derive(Debug)]
pub struct Probe {
    up: bool,
}

impl Probe {
    /// Begins towards κ = 1.
    pub fn new() -> Self {
        Self { up: true }
    }

    /// Exchanges the side.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.flag("up", &mut self.up);
    }

    /// The neighbour to be tried on this batch.
    pub fn neighbour(&mut self, place: &Place) -> Place {
        let beside = |up: bool| Place {
            exponent: place.exponent + if up { EXPONENT_STEP } else { -EXPONENT_STEP },
            ..*place
        };
        if !(0.0..=1.0).contains(&beside(self.up).exponent) {
            self.up = !self.up;
        }
        beside(self.up)
    }

    /// Hears whether the neighbour was the better one.
    pub fn hear(&mut self, better: bool) {
        self.up = self.up == better;
    }
}
