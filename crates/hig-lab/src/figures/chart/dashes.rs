//! Dashed lines as single dashes.

use super::pen::line;
use kuva::render::render::Primitive;

/// Replaces a dashed line by its dashes, the pattern running on across vertices. PNG lines have
/// round ends, hence the shorter dashes.
pub fn cut_dashes(shape: Primitive) -> Vec<Primitive> {
    let (points, colour, width, dash) = match shape {
        Primitive::PolyLine {
            points,
            stroke,
            stroke_width,
            stroke_dasharray: Some(dash),
        } => (points, stroke, stroke_width, dash),
        other => return vec![other],
    };
    let lengths = dash.split(' ').filter_map(|n| n.parse::<f64>().ok());
    let rounded = lengths.zip([-width, width].into_iter().cycle());
    let pattern: Vec<f64> = rounded.map(|(n, cap)| (n + cap).max(0.2)).collect();
    let mut dashes = vec![vec![points[0]]];
    let (mut k, mut left) = (0, pattern[0]);
    for pair in points.windows(2) {
        let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
        let length = (bx - ax).hypot(by - ay);
        let mut done = 0.0;
        while length - done > left {
            done += left;
            let part = done / length;
            let cut = (ax + (bx - ax) * part, ay + (by - ay) * part);
            match dashes.last_mut() {
                Some(last) if k % 2 == 0 => last.push(cut),
                _ => dashes.push(vec![cut]),
            }
            k += 1;
            left = pattern[k % pattern.len()];
        }
        left -= length - done;
        if let (0, Some(last)) = (k % 2, dashes.last_mut()) {
            last.push((bx, by));
        }
    }
    let solid = |points| line(points, colour.clone(), width, "");
    dashes.into_iter().map(solid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuva::render::color::Color;

    #[test]
    fn dashes_run_on_across_vertices() {
        let points = (0..=100).map(|k| (f64::from(k), 0.0)).collect();
        let dashes = cut_dashes(Primitive::PolyLine {
            points,
            stroke: Color::None,
            stroke_width: 1.0,
            stroke_dasharray: Some("7 3".into()),
        });
        assert_eq!(dashes.len(), 10);
        let Primitive::PolyLine { points, .. } = &dashes[1] else {
            panic!("not a line");
        };
        assert_eq!((points[0].0, points[points.len() - 1].0), (10.0, 16.0));
    }
}
