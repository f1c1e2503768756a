//! Colour, dashes and symbol of a style.

/// Colour of axes and text.
pub const INK: &str = "#222222";

/// Okabe-Ito, the yellow darkened because the original is too faint on white.
const COLOURS: [&str; 8] = [
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#B3A500",
];

/// Lengths of dashes and gaps, by pattern; empty for a solid line.
pub const DASHES: [&str; 8] = [
    "",
    "9 4",
    "2.5 3.5",
    "11 4 2.5 4",
    "17 5",
    "5.5 3.5",
    "11 4 2 3 2 4",
    "17 4 6 4",
];

/// Symbols, by pattern.
pub const SYMBOLS: [Symbol; 8] = [
    Symbol::new(16, 0.0, 1.0),
    Symbol::new(4, 0.125, 1.0),
    Symbol::new(3, 0.75, 1.0),
    Symbol::new(4, 0.0, 1.0),
    Symbol::new(10, 0.75, 0.45),
    Symbol::new(3, 0.25, 1.0),
    Symbol::new(8, 0.125, 0.35),
    Symbol::new(8, 0.0, 0.35),
];

/// Polygon, or star with every second corner drawn in.
pub struct Symbol {
    /// Number of corners.
    pub corners: u32,
    /// Direction of the first corner, in turns.
    pub turn: f64,
    /// Distance of every second corner relative to the others; 1 unless a star.
    pub inner: f64,
}

impl Symbol {
    const fn new(corners: u32, turn: f64, inner: f64) -> Self {
        Self {
            corners,
            turn,
            inner,
        }
    }
}

/// Colour of a style.
pub fn colour(style: usize) -> &'static str {
    COLOURS[style % 8]
}

/// Lengths of dashes and gaps; empty for a solid line.
pub fn dashes(style: usize) -> &'static str {
    DASHES[pattern(style)]
}

/// Symbol of a style.
pub fn symbol(style: usize) -> &'static Symbol {
    &SYMBOLS[pattern(style)]
}

/// Index of dashes and symbol: moves on when the colours begin again.
fn pattern(style: usize) -> usize {
    (style + style / 8) % 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn sixty_four_styles_differ() {
        let looks: BTreeSet<_> = (0..64).map(|s| (colour(s), dashes(s))).collect();
        assert_eq!(looks.len(), 64);
    }
}
