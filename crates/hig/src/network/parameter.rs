//! The parameter arrays of a layer.

/// A parameter array of a layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name within the layer, `weight` or `bias`, or that of an unknown of the physics.
    pub name: &'static str,
    /// Extents; row-major.
    pub shape: Vec<usize>,
    /// What it holds at the start.
    pub initial: Initial,
}

/// Initial values of a parameter array.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Initial {
    /// Random weights by the network's [`Initializer`](super::Initializer).
    Weights {
        /// Numbers that make one output (fan-in).
        inputs: usize,
        /// Outputs that one number goes to (fan-out).
        outputs: usize,
    },
    /// One value everywhere.
    Constant(f64),
}

impl Parameter {
    /// Random weights of the given shape, fan-in and fan-out.
    pub fn weight(shape: Vec<usize>, inputs: usize, outputs: usize) -> Self {
        Self {
            name: "weight",
            shape,
            initial: Initial::Weights { inputs, outputs },
        }
    }

    /// A vector that starts with one value everywhere.
    pub fn constant(name: &'static str, length: usize, value: f64) -> Self {
        Self {
            name,
            shape: vec![length],
            initial: Initial::Constant(value),
        }
    }

    /// How many numbers it holds, or the largest number that there is.
    pub fn count(&self) -> usize {
        let extents = self.shape.iter();
        extents.fold(1, |count, extent| count.saturating_mul(*extent))
    }

    /// The same as a real number, for which no extent is too large.
    pub fn size(&self) -> f64 {
        self.shape.iter().map(|extent| *extent as f64).product()
    }
}
