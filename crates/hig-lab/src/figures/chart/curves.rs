//! Curves with their bands and symbols.

use super::palette::colour;
use super::pen::{Pen, Point, polygon};
use super::scale::Scale;
use super::thin::{runs, shares, thin};
use super::{Chart, Curve};

/// Draws bands, then lines, then symbols; about `keep` vertices for each line.
pub fn draw(pen: &mut Pen, chart: &Chart, x: Scale, y: Scale, keep: usize) {
    for curve in &chart.curves {
        band(pen, curve, x, y, keep);
    }
    let mut marks = Vec::new();
    for curve in &chart.curves {
        let pixels = curve.x.iter().zip(&curve.y);
        let runs = runs(pixels.map(|(&a, &b)| Some((x.place(a)?, y.place(b)?))));
        let total: usize = runs.iter().map(Vec::len).sum();
        for run in runs {
            let line = thin(&run, part(keep, run.len(), total));
            let spots = if total <= 12 || line.len() == 1 {
                line.clone()
            } else if chart.curves.len() > 1 {
                spread(&line, curve.style)
            } else {
                Vec::new()
            };
            marks.extend(spots.into_iter().map(|spot| (spot, curve.style)));
            pen.curve(line, curve.style);
        }
    }
    for (spot, style) in marks {
        pen.symbol(spot, 4.5, style);
    }
    for curve in &chart.curves {
        departures(pen, curve, x, y);
    }
}

/// Arrows at the upper edge of a cut axis where a curve leaves it.
fn departures(pen: &mut Pen, curve: &Curve, x: Scale, y: Scale) {
    if !y.cut {
        return;
    }
    let pairs = curve.x.windows(2).zip(curve.y.windows(2));
    let leaving = pairs.filter(|(_, y_)| y.place(y_[0]).is_some() && y.is_above(y_[1]));
    for at in leaving.filter_map(|(x_, _)| x.place(x_[0])) {
        let arrow = [
            (at - 5.0, y.end + 9.0),
            (at + 5.0, y.end + 9.0),
            (at, y.end),
        ];
        pen.fill(polygon(arrow), colour(curve.style), 1.0, 0.0);
    }
}

fn band(pen: &mut Pen, curve: &Curve, x: Scale, y: Scale, keep: usize) {
    let Some((low, high)) = &curve.band else {
        return;
    };
    let edges = curve.x.iter().zip(low.iter().zip(high));
    let runs = runs(edges.map(|(&at, (&low, &high))| {
        let at = x.place(at)?;
        Some(((at, y.clamp(low)?), (at, y.clamp(high)?)))
    }));
    let total: usize = runs.iter().map(Vec::len).sum();
    for run in runs {
        let part = part(keep, run.len(), total);
        let (low, high): (Vec<_>, Vec<_>) = run.into_iter().unzip();
        let back = thin(&high, part).into_iter().rev();
        let shape = polygon(thin(&low, part).into_iter().chain(back));
        pen.fill(shape, colour(curve.style), 0.2, 0.0);
    }
}

/// Vertices for one of several runs.
fn part(keep: usize, length: usize, total: usize) -> usize {
    (keep * length / total).max(8)
}

/// About six vertices along a line; those of different styles are shifted against each other.
fn spread(line: &[Point], style: usize) -> Vec<Point> {
    let shift = (0.35 + 0.381_966 * style as f64).fract();
    let mut last = 0;
    let mut spots = Vec::new();
    for (point, share) in line.iter().zip(shares(line)) {
        let slot = (6.0 * share + shift) as usize;
        if slot > last {
            spots.push(*point);
        }
        last = slot;
    }
    spots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_of_two_styles_stand_apart() {
        let line: Vec<Point> = (0..600).map(|k| (f64::from(k), 0.0)).collect();
        let [first, second] = [0, 1].map(|style| spread(&line, style));
        assert!((5..=6).contains(&first.len()), "{first:?}");
        let apart = |p: &Point| second.iter().all(|q| (p.0 - q.0).abs() > 20.0);
        assert!(first.iter().all(apart), "{first:?} {second:?}");
    }
}
