//! One legend for all panels, at the foot of the page.

use super::Curve;
use super::palette::colour;
use super::pen::Pen;
use super::text::{TEXT, width};
use kuva::render::render::TextAnchor::Start;

/// One line of the legend.
struct Entry<'a> {
    label: &'a str,
    style: usize,
    band: bool,
}

/// Draws the names of the curves in centred rows below everything else.
pub fn draw<'a>(pen: &mut Pen, curves: impl Iterator<Item = &'a Curve>) {
    let entries = entries(curves);
    let room = pen.scene.width - 40.0;
    let columns = columns(&entries, room);
    let left = 20.0 + (room - columns.iter().sum::<f64>()) / 2.0;
    let top = pen.scene.height + 10.0;
    for (k, entry) in entries.iter().enumerate() {
        let x = left + columns[..k % columns.len()].iter().sum::<f64>();
        let y = top + 1.5 * TEXT * ((k / columns.len()) as f64 + 0.5);
        if entry.band {
            let shade = format!("M{x:.1} {:.1}h42v14h-42z", y - 7.0);
            pen.fill(shade, colour(entry.style), 0.2, 0.0);
        }
        pen.curve(vec![(x, y), (x + 42.0, y)], entry.style);
        pen.symbol((x + 21.0, y), 4.5, entry.style);
        let beside = (x + 49.0, y + 5.0);
        pen.text(beside, entry.label, TEXT, room - 50.0, Start);
        pen.scene.height = y + TEXT;
    }
}

/// One entry for each name and style, in the order in which they first occur.
fn entries<'a>(curves: impl Iterator<Item = &'a Curve>) -> Vec<Entry<'a>> {
    let mut list: Vec<Entry> = Vec::new();
    for curve in curves.filter(|curve| !curve.label.is_empty()) {
        let (label, style, band) = (&*curve.label, curve.style, curve.band.is_some());
        match list
            .iter_mut()
            .find(|e| (e.label, e.style) == (label, style))
        {
            Some(known) => known.band |= band,
            None => list.push(Entry { label, style, band }),
        }
    }
    list
}

/// Widths of the columns, in as few rows as fit.
fn columns(entries: &[Entry], room: f64) -> Vec<f64> {
    let widths = |count: usize| -> Vec<f64> {
        let column = |k| entries.iter().skip(k).step_by(count);
        let widths = |k| column(k).map(|e| width(e.label, TEXT) + 66.0);
        (0..count).map(|k| widths(k).fold(0.0, f64::max)).collect()
    };
    (1..=entries.len())
        .map(|rows| widths(entries.len().div_ceil(rows)))
        .find(|widths| widths.iter().sum::<f64>() < room)
        .unwrap_or_else(|| vec![room])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_curves_share_an_entry() {
        let curve = |label: &str, style, band: bool| Curve {
            label: label.into(),
            style,
            band: band.then(Default::default),
            ..Curve::default()
        };
        let curves = [
            curve("Adam", 1, false),
            curve("", 2, false),
            curve("Adam", 1, true),
            curve("Adam", 2, false),
        ];
        let entries = entries(curves.iter());
        let found: Vec<_> = entries.iter().map(|e| (e.style, e.band)).collect();
        assert_eq!(found, [(1, true), (2, false)]);
        assert_eq!(columns(&entries, 1000.0).len(), 2);
        assert_eq!(columns(&entries, 150.0).len(), 1);
    }
}
