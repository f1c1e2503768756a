//! Sizes of text, and the room that it takes.

/// Size of the numbers at an axis.
pub const TICK: f64 = 14.0;
/// Size of labels and legend.
pub const TEXT: f64 = 15.0;
/// Size of the heading of a panel.
pub const TITLE: f64 = 17.0;

/// Estimated width in pixels, from rounded widths of the letters of DejaVu Sans.
pub fn width(text: &str, size: f64) -> f64 {
    let em = |c: char| match c {
        'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | '·' => 0.32,
        't' | 'f' | 'r' | ' ' | '(' | ')' | '-' => 0.41,
        '⁰'..='⁹' | '⁻' | '¹' | '²' | '³' => 0.41,
        's' | 'c' | 'z' | 'k' | 'v' | 'x' | 'y' | '–' => 0.58,
        'm' | 'w' | 'M' | 'W' | '−' | '+' | '=' | '×' | '→' => 0.90,
        c if c.is_uppercase() => 0.71,
        _ => 0.635,
    };
    size * text.chars().map(em).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn width_grows_with_size_and_letters() {
        assert_eq!(width("", TEXT), 0.0);
        assert!(width("iii", TEXT) < width("mmm", TEXT));
        assert!((width("loss", 20.0) - 2.0 * width("loss", 10.0)).abs() < 1e-9);
    }
}
