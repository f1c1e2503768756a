//! Damping by the gain ratio: what the loss fell by over what the quadratic model promised
//! (Marquardt 1963, doi 10.1137/0111030; Nielsen's rule, Madsen, Nielsen and Tingleff 2004, "Methods for
//! non-linear least squares problems", algorithm 3.16).

/// The gain ratio of a trial whose loss falls; none where that is no more than `least` of what was
/// promised, or not finite.
pub(super) fn gain_ratio(decrease: f64, promised: f64, least: f64) -> Option<f64> {
    let gain = decrease / promised;
    (promised > 0.0 && gain > least && gain.is_finite()).then_some(gain)
}

/// The damping of the trials on one batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Damping {
    now: f64,
    bounds: (f64, f64),
    /// What the next refused trial multiplies it by.
    growth: f64,
}

impl Damping {
    /// Begins a batch.
    pub(super) fn new(first: f64, bounds: (f64, f64)) -> Self {
        Self {
            now: first.clamp(bounds.0, bounds.1),
            bounds,
            growth: 2.0,
        }
    }

    /// λ.
    pub(super) fn now(&self) -> f64 {
        self.now
    }

    /// A trial failed: λ grows by 2, 4, 8, …
    pub(super) fn refuse(&mut self) {
        self.now = (self.now * self.growth).clamp(self.bounds.0, self.bounds.1);
        self.growth *= 2.0;
    }

    /// λ for the next batch after a trial that was taken: a third where the model was right, up to
    /// double where it promised far too much.
    pub(super) fn accept(&self, gain: f64) -> f64 {
        let factor = (1.0 - (2.0 * gain - 1.0).powi(3)).clamp(1.0 / 3.0, 2.0);
        (self.now * factor).clamp(self.bounds.0, self.bounds.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_the_published_rule() {
        let damping = Damping::new(1.0, (1e-9, 1e9));
        for (gain, next) in [
            (1.0, 1.0 / 3.0),
            (0.5, 1.0),
            (0.75, 0.875),
            (3.0, 1.0 / 3.0),
        ] {
            assert!((damping.accept(gain) - next).abs() < 1e-15, "gain {gain}");
        }
        let mut damping = damping;
        let grown = [2.0, 8.0, 64.0].map(|_| {
            damping.refuse();
            damping.now()
        });
        assert_eq!(grown, [2.0, 8.0, 64.0]);
        assert_eq!(Damping::new(5.0, (1e-3, 1.0)).now(), 1.0);
    }

    #[test]
    fn what_is_no_decrease_has_no_gain() {
        for (decrease, promised) in [
            (-1.0, 1.0),
            (0.0, 1.0),
            (f64::NAN, 1.0),
            (f64::INFINITY, 1.0),
            (1.0, 0.0),
            (-1.0, -1.0),
        ] {
            assert_eq!(gain_ratio(decrease, promised, 0.0), None);
        }
        assert_eq!(gain_ratio(1.0, 2.0, 0.0), Some(0.5));
        assert_eq!(gain_ratio(1.0, 2.0, 0.5), None);
    }
}
