//! Where an axis has ticks, and what they say.

use super::numbers::{decimal, number, power_of_ten};
use super::scale::Scale;
use super::text::{TICK, width};

/// Position in axis units, and its label.
type Label = (f64, String);

/// Labelled positions, faint ones, and a factor common to all labels.
pub struct Ticks {
    /// Positions with a label.
    pub labelled: Vec<Label>,
    /// Positions, in axis units, of faint grid lines.
    pub faint: Vec<f64>,
    /// Factor by which all labels are to be multiplied; mostly empty.
    pub factor: String,
}

impl Ticks {
    /// The densest ticks whose labels do not touch.
    pub fn new(scale: &Scale, upright: bool) -> Self {
        let most = (scale.end - scale.start).abs() / if upright { 45.0 } else { 70.0 };
        let counts = (1..=most as usize + 1).rev();
        let fits = |labelled: &Vec<Label>| {
            labelled.windows(2).all(|pair| {
                let gap = (scale.pixel(pair[1].0) - scale.pixel(pair[0].0)).abs();
                let across = (width(&pair[0].1, TICK) + width(&pair[1].1, TICK)) / 2.0;
                gap > if upright { 1.8 * TICK } else { across + 14.0 }
            })
        };
        if scale.log {
            let labelled = logarithmic(scale, counts).find(fits);
            return Self {
                labelled: labelled.unwrap_or_default(),
                faint: between_decades(scale),
                factor: String::new(),
            };
        }
        let (unit, factor) = common_factor(scale);
        let labelled = linear(scale, unit, counts).find(fits);
        Self {
            labelled: labelled.unwrap_or_default(),
            faint: Vec::new(),
            factor,
        }
    }

    /// Width of the widest label in pixels.
    pub fn widest(&self) -> f64 {
        let widths = self.labelled.iter().map(|t| width(&t.1, TICK));
        widths.fold(0.0, f64::max)
    }
}

/// The factor that keeps labels of very small and very large values short, with its text.
fn common_factor(scale: &Scale) -> (f64, String) {
    let exponent = scale.low.abs().max(scale.high.abs()).log10().floor() as i32;
    if (-2..6).contains(&exponent) {
        return (1.0, String::new());
    }
    (10f64.powi(exponent), format!("×{}", power_of_ten(exponent)))
}

/// Labels at about so many round values, as multiples of `unit`.
fn linear(
    scale: &Scale,
    unit: f64,
    counts: impl Iterator<Item = usize>,
) -> impl Iterator<Item = Vec<Label>> {
    counts.map(move |count| {
        let (values, step) = even_steps((scale.low, scale.high), count);
        let label = |v| (v, decimal(v / unit, step / unit));
        values.into_iter().map(label).collect()
    })
}

/// Labels of a log axis from dense to sparse: 1, 2 and 5 of each decade if these are few, then
/// decades, then, where there is no decade to speak of, even steps.
fn logarithmic(
    scale: &Scale,
    counts: impl Iterator<Item = usize>,
) -> impl Iterator<Item = Vec<Label>> {
    let fine = multiples(scale, 1, [1, 2, 5]).map(|(u, v, s)| (u, number(v, s)));
    let fine = Some(fine.collect()).filter(|f: &Vec<_>| (3..9).contains(&f.len()));
    let decades = [1, 2, 3, 5, 10].into_iter().map(|stride| {
        let label = |u: f64| (u, power_of_ten(u.round() as i32));
        multiples(scale, stride, [1]).map(|m| label(m.0)).collect()
    });
    let decades = decades.filter(|d: &Vec<_>| d.len() > 1);
    let even = counts.map(|count| {
        let ends = (10f64.powf(scale.low), 10f64.powf(scale.high));
        let (values, step) = even_steps(ends, count);
        let values = values.into_iter().filter(|v| *v > 0.0);
        values.map(|v| (v.log10(), number(v, step))).collect()
    });
    fine.into_iter().chain(decades).chain(even)
}

/// Faint positions of a log axis: 2 to 9 of each decade, or decades if these are many.
fn between_decades(scale: &Scale) -> Vec<f64> {
    let many = scale.high - scale.low > 5.0;
    let of = if many { 1..=1 } else { 2..=9 };
    multiples(scale, 1, of).map(|m| m.0).collect()
}

/// Position, value and power of ten of the multiples of every `stride`-th decade on a log axis.
fn multiples(
    scale: &Scale,
    stride: i32,
    of: impl IntoIterator<Item = i32> + Clone,
) -> impl Iterator<Item = (f64, f64, f64)> {
    let inside = scale.low - 1e-9..=scale.high + 1e-9;
    let decades = scale.low.floor() as i32..=scale.high.ceil() as i32;
    let decades = decades.filter(move |e| e % stride == 0);
    let all = decades.flat_map(move |e| of.clone().into_iter().map(move |m| (f64::from(m), e)));
    let all = all.map(|(m, e)| (m.log10() + f64::from(e), m * 10f64.powi(e), 10f64.powi(e)));
    all.filter(move |(unit, ..)| inside.contains(unit))
}

/// At most about `count` round values of a range, and the step between them.
fn even_steps((low, high): (f64, f64), count: usize) -> (Vec<f64>, f64) {
    let raw = (high - low) / count as f64;
    let power = 10f64.powf(raw.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0].map(|m| m * power);
    let step = round.into_iter().find(|s| *s >= 0.999 * raw).unwrap_or(raw);
    let (first, last) = ((low / step - 1e-9).ceil(), (high / step + 1e-9).floor());
    let all = 0..=(last - first).clamp(-1.0, 50.0) as i64;
    (all.map(|k| (first + k as f64) * step).collect(), step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_ticks_are_decades_or_round_values() {
        let labels = |low: f64, high: f64| -> Vec<String> {
            let ends = [low.log10(), high.log10()];
            let scale = Scale::new(true, ends.into_iter(), 0.0).on(380.0, 0.0);
            let ticks = Ticks::new(&scale, true).labelled;
            ticks.into_iter().map(|t| t.1).collect()
        };
        let decades = labels(1e-8, 1.0);
        assert_eq!(decades.len(), 9);
        assert_eq!((&*decades[0], &*decades[8]), ("10⁻⁸", "10⁰"));
        assert_eq!(
            labels(1e-14, 1e-13),
            ["10⁻¹⁴", "2·10⁻¹⁴", "5·10⁻¹⁴", "10⁻¹³"]
        );
        assert_eq!(labels(0.1, 10.0)[..3], ["0.1", "0.2", "0.5"]);
        assert!(labels(0.31, 0.33).len() > 2);
    }

    #[test]
    fn linear_ticks_stay_exact_and_few() {
        for (low, high) in [(0.0, 1.0), (-3e-9, 7e-9), (1e6, 1e6 + 1.0), (-1e250, 1e299)] {
            let scale = Scale::new(false, [low, high].into_iter(), 0.0).on(0.0, 600.0);
            let ticks = Ticks::new(&scale, false).labelled;
            assert!((2..12).contains(&ticks.len()), "{low} {high}: {ticks:?}");
            let inside = ticks.iter().all(|t| (low..=high).contains(&t.0));
            assert!(inside, "{ticks:?}");
        }
    }
}
