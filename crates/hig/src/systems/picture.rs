//! What there is to see of a system, as plain data for whoever draws it.

/// One picture of one simulated sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Picture {
    /// Lines and points over an axis.
    Lines(Lines),
    /// A field over a plane.
    Field(Field),
}

/// Lines and points over an axis.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Lines {
    /// Heading.
    pub title: String,
    /// Label of the horizontal axis, with units.
    pub x: String,
    /// Label of the vertical axis, with units.
    pub y: String,
    /// Label, abscissas and ordinates of each line.
    pub lines: Vec<(String, Vec<f64>, Vec<f64>)>,
    /// Label, abscissa and ordinate of single points such as targets.
    pub points: Vec<(String, f64, f64)>,
}

/// Abscissas and ordinates of a line for values that hold during one time step each.
pub fn held(dt: f64, values: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let edges = (0..values.len()).flat_map(|k| [k as f64 * dt, (k + 1) as f64 * dt]);
    let held = values.iter().flat_map(|u| [*u, *u]);
    (edges.collect(), held.collect())
}

/// A field over a plane.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Field {
    /// Heading.
    pub title: String,
    /// Label of the horizontal axis, with units.
    pub x: String,
    /// Label of the vertical axis, with units.
    pub y: String,
    /// Left and right edge.
    pub x_range: (f64, f64),
    /// Lower and upper edge.
    pub y_range: (f64, f64),
    /// Rows of values, from the bottom up.
    pub values: Vec<Vec<f64>>,
    /// What the colours mean, with units.
    pub quantity: String,
}
