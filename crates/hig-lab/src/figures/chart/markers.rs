//! Single points with their label beside them.

use super::Marker;
use super::pen::{Pen, polygon};
use super::scale::Scale;
use super::text::{TICK, width};
use kuva::render::render::TextAnchor::Start;

/// Height of a label's ground, above and below its base line.
const ABOVE: f64 = 13.0;
const BELOW: f64 = 5.0;

/// Draws the points that can be shown.
pub fn draw(pen: &mut Pen, markers: &[Marker], x: Scale, y: Scale) {
    let place = |m: &Marker| Some((x.place(m.x)?, y.place(m.y)?));
    let places: Vec<Option<(f64, f64)>> = markers.iter().map(place).collect();
    let shown = || {
        let pairs = markers.iter().zip(&places);
        pairs.filter_map(|(marker, at)| at.map(|at| (marker, at)))
    };
    for (marker, (at, height)) in shown().filter(|(marker, _)| !marker.label.is_empty()) {
        let room = width(&marker.label, TICK);
        let others: Vec<(f64, f64)> = places.iter().flatten().copied().collect();
        let (left, base) = beside((at, height), room, (x.end, y.end), &others);
        let (from, to, top) = (left - 2.0, left + room + 2.0, base - ABOVE);
        let low = base + BELOW;
        let shade = polygon([(from, top), (to, top), (to, low), (from, low)]);
        pen.fill(shade, "white", 0.75, 0.0);
        pen.text((left, base), &marker.label, TICK, room, Start);
    }
    for (marker, at) in shown() {
        pen.symbol(at, 7.0, marker.style);
    }
}

/// Start of a label of this width beside its point: to the right unless it would leave the panel there, above unless
/// it would leave the panel or cover another point, otherwise below.
fn beside(
    (x, y): (f64, f64),
    room: f64,
    (right, top): (f64, f64),
    others: &[(f64, f64)],
) -> (f64, f64) {
    let inside = x + room + 14.0 <= right;
    let left = if inside { x + 10.0 } else { x - room - 12.0 };
    let [above, below] = [y - 10.0, y + 21.0];
    let covered = |base: f64| {
        let within = |(u, v): &&(f64, f64)| {
            let beside = *u > left - 8.0 && *u < left + room + 8.0;
            beside && *v > base - ABOVE - 6.0 && *v < base + BELOW + 6.0
        };
        others.iter().filter(within).count()
    };
    let down = y - 24.0 < top || covered(above) > covered(below);
    (left, if down { below } else { above })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_inside() {
        let end = (100.0, 0.0);
        assert_eq!(beside((50.0, 50.0), 20.0, end, &[]), (60.0, 40.0));
        assert_eq!(beside((95.0, 5.0), 20.0, end, &[]), (63.0, 26.0));
    }

    #[test]
    fn labels_leave_other_points_to_be_seen() {
        let end = (100.0, 0.0);
        let at = (50.0, 50.0);
        assert_eq!(beside(at, 20.0, end, &[at, (70.0, 38.0)]), (60.0, 71.0));
        assert_eq!(beside(at, 20.0, end, &[at, (70.0, 68.0)]), (60.0, 40.0));
    }
}
