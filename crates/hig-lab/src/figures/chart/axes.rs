//! Grid, axes and their labels.

use super::palette::INK;
use super::pen::Pen;
use super::scale::Scale;
use super::text::{TEXT, TICK};
use super::ticks::Ticks;
use kuva::render::render::TextAnchor::{End, Middle, Start};

/// Draws both axes with a grid; `labels` are those of x and y.
pub fn draw(pen: &mut Pen, labels: [&str; 2], x: Scale, y: Scale) {
    let (along, up) = (Ticks::new(&x, false), Ticks::new(&y, true));
    for (unit, colour) in grid(&along) {
        let at = x.pixel(unit);
        pen.rule((at, y.start), (at, y.end), colour);
    }
    for (unit, colour) in grid(&up) {
        let at = y.pixel(unit);
        pen.rule((x.start, at), (x.end, at), colour);
    }
    for (unit, label) in &along.labelled {
        let at = x.pixel(*unit);
        pen.rule((at, y.start), (at, y.start + 5.0), INK);
        pen.text((at, y.start + 21.0), label, TICK, 200.0, Middle);
    }
    upright_ticks(pen, &up, &y, x.start, -1.0);
    pen.rule((x.start, y.start), (x.start, y.end), INK);
    pen.rule((x.start, y.start), (x.end, y.start), INK);
    let room = x.end - x.start;
    let (above, below) = (y.end - 12.0, y.start + 45.0);
    let middle = (x.start + room / 2.0, below);
    pen.text(middle, labels[0], TEXT, room - 90.0, Middle);
    pen.text((x.start - 2.0, above), labels[1], TEXT, 0.65 * room, Start);
    pen.text((x.end, below), &along.factor, TICK, 80.0, End);
    pen.text((x.start - 8.0, above), &up.factor, TICK, 80.0, End);
}

/// Labels beside a vertical edge at `x`; `side` is -1 on the left and 1 on the right.
pub fn upright_ticks(pen: &mut Pen, ticks: &Ticks, scale: &Scale, x: f64, side: f64) {
    let anchor = || if side > 0.0 { Start } else { End };
    for (unit, label) in &ticks.labelled {
        let y = scale.pixel(*unit);
        pen.rule((x, y), (x + 5.0 * side, y), INK);
        pen.text((x + 8.0 * side, y + 5.0), label, TICK, 200.0, anchor());
    }
}

/// Position and colour of the lines across an axis, the faint ones first.
fn grid(ticks: &Ticks) -> impl Iterator<Item = (f64, &'static str)> {
    let faint = ticks.faint.iter().map(|&unit| (unit, "#f0f0f0"));
    faint.chain(ticks.labelled.iter().map(|t| (t.0, "#d9d9d9")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labelled_lines_cover_faint_ones() {
        let ticks = Ticks {
            labelled: vec![(0.0, "10⁰".into())],
            faint: vec![0.0, 0.3],
            factor: String::new(),
        };
        let lines: Vec<_> = grid(&ticks).collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[2], (0.0, "#d9d9d9"));
    }
}
