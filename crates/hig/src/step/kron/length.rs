//! How far a step goes, by what the next batch says of the last one.
//!
//! The direction m of an update is fixed before the next batch is drawn, which is therefore a witness without
//! a part in it. With its gradient g and its curvature c = mᵀJᵀCJ·m along m, after a step -η·α·m, its quadratic
//! model has the best length of that step at
//!
//! ```text
//! ρ·α,   ρ = (g·m + η·α·c) / (α·c)
//! ```
//!
//! (in multiples of m, from where the step began). ρ = 1 is the length that lowers the loss of other samples most, and
//! a step twice as long as the best one leaves it where it was: ρ = ½. What lowers the loss most in one
//! update is not best over many: it is short because of what is steep, and creeps along what is flat (the
//! short-horizon bias of Wu, Ren, Liao and Grosse 2018, arXiv 1803.02021). α is therefore led to
//! [`TARGET`], nearer to ½ than to 1, by the factor e^(γ·(ρ - TARGET)) an update.
//!
//! g·m costs nothing. c costs a forward pass, is asked for when the factors are renewed, and in between is
//! taken to grow with |m|².

use crate::files::Exchange;

/// The ρ that α is led to.
const TARGET: f64 = 0.65;

/// γ.
const GAIN: f64 = 0.03;

/// The largest distance of ρ from its target that a batch counts for.
const LARGEST: f64 = 2.0;

/// The least α as a part of the one that the batch finds best for its own direction. What is drawn without
/// replacement is against what was drawn before it, whatever the length.
const LEAST: f64 = 0.01;

/// α and what was measured for it.
#[derive(Debug, Default)]
pub struct Length {
    /// α; 0 before it was found.
    now: f64,
    /// c / |m|² when it was measured; 0 before.
    rayleigh: f64,
    /// The least α.
    least: f64,
}

impl Length {
    /// α, none before a batch has found one.
    pub fn now(&self) -> Option<f64> {
        (self.now > 0.0).then_some(self.now)
    }

    /// Exchanges all of it.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.number("now", &mut self.now);
        state.number("rayleigh", &mut self.rayleigh);
        state.number("least", &mut self.least);
    }

    /// Whether the curvature along the last direction must be measured before a batch can be heard.
    pub fn must_measure(&self) -> bool {
        self.rayleigh == 0.0
    }

    /// Hears the curvature c along a direction of squared length |m|².
    pub fn measure(&mut self, curvature: f64, square: f64) {
        let rayleigh = curvature / square;
        if rayleigh > 0.0 && rayleigh.is_finite() {
            self.rayleigh = rayleigh;
        }
    }

    /// Hears what the gradient of a new batch has along the direction m of the last step, g·m and |m|²; answers ρ.
    pub fn hear(&mut self, slope: f64, square: f64, rate: f64) -> Option<f64> {
        let ratio = slope / (self.now * self.rayleigh * square) + rate;
        if self.now == 0.0 || !ratio.is_finite() {
            return None;
        }
        let distance = (ratio - TARGET).clamp(-LARGEST, LARGEST);
        self.now = (self.now * (GAIN * distance).exp()).max(self.least);
        Some(ratio)
    }

    /// Hears of a batch's own direction d, with slope g·d and curvature along it, whose sum over all updates to come is
    /// `gathered` times itself: what is best for the batch bounds α from below, and begins it.
    pub fn hear_own(&mut self, slope: f64, curvature: f64, gathered: f64) {
        let best = slope / (curvature * gathered);
        if best > 0.0 && best.is_finite() {
            self.least = LEAST * best;
            if self.now == 0.0 {
                self.now = best;
            }
        }
    }

    /// Hears that a step was taken back.
    pub fn cut(&mut self) {
        self.now *= 0.5;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// α after many steps from 1 to 0 on ½·c·x² whose gradients have a noise of alternating sign.
    fn led_to(start: f64, noise: f64) -> f64 {
        let curvature = 3.0;
        let mut length = Length::default();
        length.hear_own(start * curvature, curvature, 1.0);
        length.measure(curvature, 1.0);
        for k in 0..4000 {
            // A step of length α from a point whose best length is 1.
            let along = curvature * (1.0 - length.now().unwrap());
            let noise = if k % 2 == 0 { noise } else { -noise };
            length.hear(along + noise, 1.0, 1.0);
        }
        length.now().unwrap()
    }

    #[test]
    fn it_is_led_to_the_same_multiple_of_the_best_length_from_anywhere() {
        for start in [0.02, 1.0, 30.0] {
            let found = led_to(start, 0.0);
            assert!((found * TARGET - 1.0).abs() < 1e-6, "{found} from {start}");
        }
        assert!((led_to(1.0, 1.0) * TARGET - 1.0).abs() < 0.05);
    }

    #[test]
    fn what_is_no_length_changes_nothing() {
        let mut length = Length::default();
        assert_eq!(length.hear(1.0, 1.0, 1.0), None);
        for (slope, curvature) in [(0.0, 0.0), (1.0, 0.0), (-1.0, 1.0), (f64::NAN, 1.0)] {
            length.hear_own(slope, curvature, 10.0);
            assert_eq!(length.now(), None);
        }
        length.hear_own(20.0, 1.0, 10.0);
        assert_eq!(length.now(), Some(2.0));
        for (curvature, square) in [
            (f64::NAN, 1.0),
            (0.0, 1.0),
            (1.0, 0.0),
            (f64::INFINITY, 1.0),
        ] {
            length.measure(curvature, square);
            assert!(length.must_measure());
        }
        length.measure(1.0, 1.0);
        assert_eq!(length.hear(f64::NAN, 1.0, 1.0), None);
        assert_eq!(length.hear(1.0, 0.0, 1.0), None);
        assert_eq!(length.now(), Some(2.0));
        for _ in 0..1000 {
            length.hear(-1e9, 1.0, 1.0);
        }
        assert_eq!(length.now(), Some(LEAST * 2.0));
    }
}
