//! What there is to see of a system, as plain data for whoever draws it.

/// One picture of one simulated sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Heading.
    pub title: String,
    /// Label of the horizontal axis, with units.
    pub x: String,
    /// Label of the vertical axis, with units.
    pub y: String,
    /// Lines: label, abscissas, ordinates.
    pub lines: Vec<(String, Vec<f64>, Vec<f64>)>,
    /// Single points such as targets: label, abscissa, ordinate.
    pub points: Vec<(String, f64, f64)>,
}
