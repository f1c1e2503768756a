//! Charts as plain data, written as SVG and PNG.
//!
//! The crate `kuva` supplies text, shapes and the two file formats. Axes, legend and dashes are
//! laid out here: its log axis stops at 1e-10, its legend swatch is too short to show a dash
//! pattern, and its PNG output restarts the pattern at every vertex and coarsens rotated text.

mod axes;
mod compose;
mod curves;
mod dashes;
mod heat_map;
mod legend;
mod markers;
mod numbers;
pub mod palette;
mod pen;
mod save;
mod scale;
mod text;
mod thin;
mod ticks;

pub use save::save;

/// Curves and single points over common axes.
#[derive(Clone, Debug, Default)]
pub struct Chart {
    /// Heading above the panel; may be empty.
    pub title: String,
    /// Horizontal axis.
    pub x: Axis,
    /// Vertical axis.
    pub y: Axis,
    /// Lines, drawn in this order, each with an entry in the legend.
    pub curves: Vec<Curve>,
    /// Single points with their label beside them, drawn last.
    pub points: Vec<Marker>,
}

/// Label (with the unit) and kind of an axis.
#[derive(Clone, Debug, Default)]
pub struct Axis {
    /// Quantity and unit, such as `time (s)`.
    pub label: String,
    /// Whether equal steps are equal ratios; values that are not positive are then left out.
    pub log: bool,
    /// Whether curves are cut where they leave the range of their starts by [`DECADES`].
    pub cut: bool,
}

/// Decades above the largest start of a curve that a cut axis shows: a training that diverges by more has
/// nothing to tell, and would shrink the others to a line.
pub const DECADES: f64 = 3.0;

impl Axis {
    /// Axis with equal steps.
    pub fn linear(label: impl Into<String>) -> Self {
        let label = label.into();
        Self {
            label,
            log: false,
            cut: false,
        }
    }

    /// Axis in decades; shows at most the 20 decades below the largest value.
    pub fn log(label: impl Into<String>) -> Self {
        let label = label.into();
        Self {
            label,
            log: true,
            cut: false,
        }
    }

    /// The same for losses of trainings, of which some may diverge: a curve ends with an arrow where it
    /// leaves the range of the curves' starts by three decades.
    pub fn loss(label: impl Into<String>) -> Self {
        Self {
            cut: true,
            ..Self::log(label)
        }
    }
}

/// Line through `(x[i], y[i])`, in axis units; values that cannot be shown leave a gap.
#[derive(Clone, Debug, Default)]
pub struct Curve {
    /// Name in the legend.
    pub label: String,
    /// Abscissae.
    pub x: Vec<f64>,
    /// Ordinates, one for each abscissa.
    pub y: Vec<f64>,
    /// Lower and upper edge of a translucent band, one value for each abscissa.
    pub band: Option<(Vec<f64>, Vec<f64>)>,
    /// Index that fixes colour, dashes and symbol; eight differ in colour, 64 in all.
    pub style: usize,
}

/// Single labelled point, in axis units.
#[derive(Clone, Debug, Default)]
pub struct Marker {
    /// Text beside the point.
    pub label: String,
    /// Abscissa.
    pub x: f64,
    /// Ordinate.
    pub y: f64,
    /// Index that fixes colour and symbol, as for curves.
    pub style: usize,
}

/// Field over a rectangle as coloured cells; values of both signs get colours centred at zero.
#[derive(Clone, Debug, Default)]
pub struct HeatMap {
    /// Heading above the panel; may be empty.
    pub title: String,
    /// Label of the horizontal axis.
    pub x: String,
    /// Label of the vertical axis.
    pub y: String,
    /// First and last edge of the columns, in axis units.
    pub x_range: (f64, f64),
    /// First and last edge of the rows, in axis units.
    pub y_range: (f64, f64),
    /// Rows from the bottom up, of equal length; cells that are not finite stay grey.
    pub values: Vec<Vec<f64>>,
    /// Label (with the unit) of the colour bar.
    pub bar: String,
}

/// One cell of a figure.
#[derive(Clone, Debug)]
pub enum Panel {
    /// Curves and points.
    Chart(Chart),
    /// Coloured cells.
    HeatMap(HeatMap),
}
