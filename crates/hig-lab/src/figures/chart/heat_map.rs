//! Coloured cells and their colour bar.

use super::HeatMap;
use super::axes::upright_ticks;
use super::pen::Pen;
use super::scale::Scale;
use super::text::{TEXT, TICK};
use super::ticks::Ticks;
use kuva::plot::colormap::ColorMap;
use kuva::render::render::TextAnchor::{End, Start};
use std::collections::BTreeMap;

/// Cells along each side; larger fields are averaged over blocks.
const CELLS: usize = 96;
/// Shades; few enough that equal neighbours merge.
const SHADES: usize = 64;

/// Draws cells and bar.
pub fn draw(pen: &mut Pen, map: &HeatMap, x: Scale, y: Scale) {
    let rows = map.values.len();
    let columns = map.values.iter().map(Vec::len).max().unwrap_or(0);
    let (tall, wide) = (rows.div_ceil(CELLS).max(1), columns.div_ceil(CELLS).max(1));
    let cells: Vec<Vec<f64>> = map
        .values
        .chunks(tall)
        .map(|rows| averages(rows, columns, wide))
        .collect();
    let shades = Shades::new(&cells);
    // One path for each shade keeps the file small.
    let mut paths: BTreeMap<String, String> = BTreeMap::new();
    for (r, row) in cells.iter().enumerate() {
        let (low, high) = (edge(&y, r * tall, rows), edge(&y, (r + 1) * tall, rows));
        let row: Vec<String> = row.iter().map(|&v| shades.of(v)).collect();
        let mut c = 0;
        for run in row.chunk_by(|a, b| a == b) {
            let from = edge(&x, c * wide, columns);
            c += run.len();
            let to = edge(&x, c * wide, columns);
            let path = paths.entry(run[0].clone()).or_default();
            path.push_str(&format!("M{from} {low}H{to}V{high}H{from}z"));
        }
    }
    for (shade, d) in paths {
        pen.fill(d, &shade, 1.0, 0.0);
    }
    bar(pen, &map.bar, &shades, x, y);
}

/// Colour bar on the right of the panel, its label above.
fn bar(pen: &mut Pen, label: &str, shades: &Shades, x: Scale, y: Scale) {
    let left = (x.end + 16.0).round();
    let scale = shades.range.on(y.start, y.end);
    for k in 0..SHADES {
        let (low, high) = (edge(&y, k, SHADES), edge(&y, k + 1, SHADES));
        let share = (k as f64 + 0.5) / SHADES as f64;
        let shade = shades.of(scale.low + (scale.high - scale.low) * share);
        pen.fill(format!("M{left} {low}h14V{high}h-14z"), &shade, 1.0, 0.0);
    }
    let ticks = Ticks::new(&scale, true);
    upright_ticks(pen, &ticks, &scale, left + 14.0, 1.0);
    let below = (left + 14.0, y.start + 21.0);
    pen.text(below, &ticks.factor, TICK, 60.0, Start);
    let (right, room) = (x.end + 92.0, 0.5 * (x.end + 92.0 - x.start));
    pen.text((right, y.end - 12.0), label, TEXT, room, End);
}

/// Means over blocks of `wide` columns; NaN where no value is finite.
fn averages(rows: &[Vec<f64>], columns: usize, wide: usize) -> Vec<f64> {
    let mean = |from: usize| {
        let block = rows.iter().flat_map(|row| row.iter().skip(from).take(wide));
        let add = |(sum, count): (f64, f64), v: &f64| (sum + v, count + 1.0);
        let (sum, count) = block.filter(|v| v.abs() < 1e300).fold((0.0, 0.0), add);
        sum / count
    };
    (0..columns).step_by(wide).map(mean).collect()
}

/// Pixel of an edge between equal cells; whole pixels leave no seams.
fn edge(scale: &Scale, k: usize, of: usize) -> f64 {
    let share = (k as f64 / of.max(1) as f64).min(1.0);
    (scale.start + (scale.end - scale.start) * share).round()
}

/// Colours of values.
struct Shades {
    range: Scale,
    signed: bool,
}

impl Shades {
    fn new(cells: &[Vec<f64>]) -> Self {
        let finite = cells.iter().flatten().copied().filter(|v| v.is_finite());
        let mut range = Scale::new(false, finite, 0.0);
        let signed = range.low < -0.05 * range.high && range.high > -0.05 * range.low;
        if signed {
            range.high = range.high.max(-range.low);
            range.low = -range.high;
        }
        Self { range, signed }
    }

    fn of(&self, value: f64) -> String {
        let Scale { low, high, .. } = self.range;
        let steps = SHADES as f64;
        let share = ((value - low) / (high - low) * steps).round() / steps;
        if share.is_nan() {
            "#bbbbbb".into()
        } else if self.signed {
            ColorMap::RedBlue.map(1.0 - share)
        } else {
            ColorMap::Viridis.map(share)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_leave_out_what_is_not_finite() {
        let rows = [vec![1.0, f64::NAN, 5.0], vec![3.0, 8.0]];
        assert_eq!(averages(&rows, 3, 2), [4.0, 5.0]);
        assert!(averages(&[vec![f64::NAN]], 1, 1)[0].is_nan());
    }

    #[test]
    fn colours_of_both_signs_are_centred_at_zero() {
        let shades = Shades::new(&[vec![-1.0, 3.0]]);
        assert_eq!((shades.range.low, shades.range.high), (-3.0, 3.0));
        let shades = Shades::new(&[vec![1.0, 3.0]]);
        assert_eq!((shades.range.low, shades.range.high), (1.0, 3.0));
        assert_eq!(shades.of(f64::NAN), "#bbbbbb");
    }
}
