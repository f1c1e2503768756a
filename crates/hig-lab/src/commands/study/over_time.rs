//! Curves over wall-clock time of methods with several seeds.

use crate::commands::statistics::quantile;
use crate::figures::chart::Curve;

/// Points of the common grid of times.
const POINTS: usize = 120;

/// Times from the first evaluation after the start, of any training, to the end of the budget.
pub fn grid(evaluations: impl Iterator<Item = f64>, budget: f64) -> Vec<f64> {
    let first = evaluations.filter(|s| *s > 0.0).fold(budget, f64::min);
    let ratio = budget / first;
    let fraction = |i: usize| i as f64 / (POINTS - 1) as f64;
    (0..POINTS)
        .map(|i| first * ratio.powf(fraction(i)))
        .collect()
}

/// What `at` tells of each training of a method at each time: median and range.
pub fn band<T>(
    (label, style): (&str, usize),
    trainings: &[T],
    grid: &[f64],
    at: impl Fn(&T, f64) -> f64,
) -> Curve {
    let of_time = |time: &f64| trainings.iter().map(|t| at(t, *time)).collect();
    let values: Vec<Vec<f64>> = grid.iter().map(of_time).collect();
    let line = |q: f64| values.iter().map(|values| quantile(values, q)).collect();
    Curve {
        label: label.into(),
        x: grid.to_vec(),
        y: line(0.5),
        band: Some((line(0.0), line(1.0))),
        style,
    }
}
