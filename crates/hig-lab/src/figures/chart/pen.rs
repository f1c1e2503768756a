//! Lines, shapes and text on a page.

use super::palette::{self, INK};
use super::text::width;
use kuva::render::color::Color;
use kuva::render::render::{PathData, Primitive, Scene, TextAnchor};
use std::f64::consts::TAU;

/// Place on the page, in pixels from the upper left corner.
pub type Point = (f64, f64);

/// Draws on a page, which may grow downwards.
pub struct Pen {
    /// The page and what is on it.
    pub scene: Scene,
}

impl Pen {
    /// Pen on an empty page without height.
    pub fn new(page_width: f64) -> Self {
        let mut scene = Scene::new(page_width, 0.0);
        scene.font_family = Some("DejaVu Sans, Verdana, Liberation Sans, Arial, sans-serif".into());
        Self { scene }
    }

    /// Line in the colour and the dashes of a style.
    pub fn curve(&mut self, points: Vec<Point>, style: usize) {
        let (colour, dashes) = (palette::colour(style), palette::dashes(style));
        self.scene.add(line(points, colour.into(), 1.8, dashes));
    }

    /// Thin straight line.
    pub fn rule(&mut self, from: Point, to: Point, colour: &str) {
        self.scene.add(line(vec![from, to], colour.into(), 1.0, ""));
    }

    /// Fills an SVG path; a visible `edge` is white.
    pub fn fill(&mut self, d: String, colour: &str, opacity: f64, edge: f64) {
        self.scene.add(Primitive::Path(Box::new(PathData {
            d,
            fill: Some(Color::from(colour)),
            stroke: Color::from(if edge > 0.0 { "white" } else { "none" }),
            stroke_width: edge,
            opacity: Some(opacity),
            stroke_dasharray: None,
        })));
    }

    /// Symbol of a style; stars are drawn larger so that all look alike in size.
    pub fn symbol(&mut self, (x, y): Point, radius: f64, style: usize) {
        let symbol = palette::symbol(style);
        let radius = radius * if symbol.inner < 1.0 { 1.35 } else { 1.0 };
        let shape = polygon((0..symbol.corners).map(|k| {
            let angle = TAU * (symbol.turn + f64::from(k) / f64::from(symbol.corners));
            let reach = radius * if k % 2 == 1 { symbol.inner } else { 1.0 };
            (x + reach * angle.cos(), y + reach * angle.sin())
        }));
        self.fill(shape, palette::colour(style), 1.0, 0.7);
    }

    /// Text on a baseline, smaller if it would be wider than `room`.
    pub fn text(&mut self, (x, y): Point, text: &str, size: f64, room: f64, anchor: TextAnchor) {
        let size = size * (room / width(text, size)).min(1.0);
        self.scene.add(Primitive::Text {
            x,
            y,
            content: text.to_owned(),
            size: size.max(8.0) as u32,
            anchor,
            rotate: None,
            bold: false,
            color: Some(Color::from(INK)),
        });
    }
}

/// Open line; solid if `dashes` is empty.
pub fn line(points: Vec<Point>, stroke: Color, width: f64, dashes: &str) -> Primitive {
    Primitive::PolyLine {
        points,
        stroke,
        stroke_width: width,
        stroke_dasharray: (!dashes.is_empty()).then(|| dashes.to_owned()),
    }
}

/// SVG path around the corners.
pub fn polygon(corners: impl IntoIterator<Item = Point>) -> String {
    let corners = corners.into_iter().map(|(x, y)| format!("{x:.1} {y:.1}"));
    format!("M{}Z", corners.collect::<Vec<_>>().join("L"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kuva::render::render::TextAnchor::Start;

    #[test]
    fn polygons_are_closed() {
        let corners = [(0.0, 0.0), (1.25, 0.0), (0.0, 2.0)];
        assert_eq!(polygon(corners), "M0.0 0.0L1.2 0.0L0.0 2.0Z");
    }

    #[test]
    fn text_shrinks_to_the_room() {
        let mut pen = Pen::new(100.0);
        pen.text((0.0, 0.0), "iteration", 15.0, 1000.0, Start);
        pen.text((0.0, 0.0), "iteration", 15.0, 50.0, Start);
        let size = |shape: &Primitive| match shape {
            Primitive::Text { size, .. } => *size,
            _ => 0,
        };
        let sizes: Vec<_> = pen.scene.elements.iter().map(size).collect();
        assert_eq!(sizes[0], 15);
        assert!((8..15).contains(&sizes[1]));
    }
}
