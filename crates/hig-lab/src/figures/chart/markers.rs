//! Single points with their label beside them.

use super::Marker;
use super::pen::{Pen, polygon};
use super::scale::Scale;
use super::text::{TICK, width};
use kuva::render::render::TextAnchor::Start;

/// Draws the points that can be shown.
pub fn draw(pen: &mut Pen, markers: &[Marker], x: Scale, y: Scale) {
    for marker in markers {
        let (Some(at), Some(height)) = (x.place(marker.x), y.place(marker.y)) else {
            continue;
        };
        pen.symbol((at, height), 7.0, marker.style);
        let room = width(&marker.label, TICK);
        let (left, base) = beside(at, height, room, x.end, y.end);
        let (from, to, top) = (left - 2.0, left + room + 2.0, base - 13.0);
        let low = top + 18.0;
        let shade = polygon([(from, top), (to, top), (to, low), (from, low)]);
        pen.fill(shade, "white", 0.75, 0.0);
        pen.text((left, base), &marker.label, TICK, room, Start);
    }
}

/// Start of a label of this width: above and to the right of its point, unless it would leave
/// the panel there.
fn beside(x: f64, y: f64, room: f64, right: f64, top: f64) -> (f64, f64) {
    let inside = x + room + 14.0 <= right;
    let left = if inside { x + 10.0 } else { x - room - 12.0 };
    let below = y - 24.0 < top;
    (left, if below { y + 21.0 } else { y - 10.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_stay_inside() {
        assert_eq!(beside(50.0, 50.0, 20.0, 100.0, 0.0), (60.0, 40.0));
        assert_eq!(beside(95.0, 5.0, 20.0, 100.0, 0.0), (63.0, 26.0));
    }
}
