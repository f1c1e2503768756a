//! Features on a rectangular grid.

/// Features on a grid: feature `channel · (height · width) + y · width + x`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grid {
    /// Channels, numbers at each grid point.
    pub channels: usize,
    /// Grid points from top to bottom.
    pub height: usize,
    /// Grid points from left to right.
    pub width: usize,
}

/// What lies beyond the edge of a grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundary {
    /// Zeros.
    Zero,
    /// The opposite side.
    Periodic,
}

impl Grid {
    /// Number of grid points, or the largest number that there is.
    pub fn points(&self) -> usize {
        self.height.saturating_mul(self.width)
    }

    /// Number of features, or the largest number that there is.
    pub fn features(&self) -> usize {
        self.channels.saturating_mul(self.points())
    }

    /// The same grid with another number of channels.
    pub fn with_channels(self, channels: usize) -> Self {
        Self { channels, ..self }
    }

    /// Refuses an input that is not on this grid.
    pub(super) fn expect(&self, inputs: usize) -> Result<(), String> {
        let Self {
            channels,
            height,
            width,
        } = self;
        if self.features() == 0 {
            let shape = format!("{channels} x {height} x {width}");
            return Err(format!("its grid needs extents of at least 1, not {shape}"));
        }
        let meaning = format!("{channels} x {height} x {width}, channels x height x width");
        super::layer::expect_width(inputs, self.features(), &meaning)
    }
}
