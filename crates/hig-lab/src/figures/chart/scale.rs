//! Values of an axis as pixels.

/// Axis range, in decades if `log`, mapped onto the pixels from `start` to `end`.
#[derive(Clone, Copy)]
pub struct Scale {
    /// Whether units are decades.
    pub log: bool,
    /// Least unit.
    pub low: f64,
    /// Largest unit.
    pub high: f64,
    /// Pixel of the least unit.
    pub start: f64,
    /// Pixel of the largest unit.
    pub end: f64,
    /// Whether what lies above the range is not shown.
    pub cut: bool,
}

impl Scale {
    /// Range of the `units`, wider by `margin` (a fraction) on both sides; not yet on the page.
    pub fn new(log: bool, units: impl Iterator<Item = f64>, margin: f64) -> Self {
        let wider = |(low, high): (f64, f64), u: f64| (low.min(u), high.max(u));
        let (mut low, mut high) = units.fold((f64::INFINITY, f64::NEG_INFINITY), wider);
        if low > high {
            (low, high) = (0.0, 1.0);
        }
        if log {
            low = low.max(high - 20.0);
        }
        let size = low.abs().max(high.abs());
        if high - low <= if log { 1e-6 } else { 1e-9 * size } {
            let half = if log || size == 0.0 { 0.5 } else { 0.1 * size };
            (low, high) = (low - half, high + half);
        }
        let pad = margin * (high - low);
        Self {
            log,
            low: low - pad,
            high: high + pad,
            start: 0.0,
            end: 1.0,
            cut: false,
        }
    }

    /// The same range on other pixels.
    pub fn on(self, start: f64, end: f64) -> Self {
        Self { start, end, ..self }
    }

    /// The value in axis units (decades if `log`), if it can be shown at all.
    pub fn unit(log: bool, value: f64) -> Option<f64> {
        let shown = value.abs() < 1e300 && (!log || value > 0.0);
        shown.then(|| if log { value.log10() } else { value })
    }

    /// Where a unit stands.
    pub fn pixel(&self, unit: f64) -> f64 {
        self.start + (self.end - self.start) * (unit - self.low) / (self.high - self.low)
    }

    /// Where a value stands, unless it cannot be shown, or lies below the range or above a cut one.
    pub fn place(&self, value: f64) -> Option<f64> {
        let inside = |u: &f64| *u >= self.low && !(self.cut && *u > self.high);
        let unit = Self::unit(self.log, value).filter(inside)?;
        Some(self.pixel(unit))
    }

    /// Whether a value lies above the range, or is beyond numbers.
    pub fn is_above(&self, value: f64) -> bool {
        !value.is_finite() || Self::unit(self.log, value).map_or(value > 0.0, |u| u > self.high)
    }

    /// Like `place`, but values below a log axis stand at its low end.
    pub fn clamp(&self, value: f64) -> Option<f64> {
        let floored = self.log && value.is_finite();
        self.place(value).or(floored.then_some(self.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_scale_leaves_out_what_has_no_logarithm() {
        let values = [1e-8, 0.0, -3.0, f64::NAN, f64::INFINITY, 1.0];
        let units = values.iter().filter_map(|v| Scale::unit(true, *v));
        let scale = Scale::new(true, units, 0.0);
        assert_eq!((scale.low, scale.high), (-8.0, 0.0));
        let shown = values.map(|v| scale.place(v).is_some());
        assert_eq!(shown, [true, false, false, false, false, true]);
        assert_eq!(scale.clamp(-3.0), Some(scale.start));
    }
}
