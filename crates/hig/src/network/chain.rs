//! Chains of layers with joins.

use super::layer::Layer;
use crate::linalg::matrix::Mat;

/// Layers one behind the other, to be made a [`Network`](super::Network).
///
/// A piece of a chain may be a chain itself, whose output is joined with its input:
///
/// ```
/// use hig::network::{Activation, Chain, Dense, Initializer, Network};
/// let block = Chain::new()
///     .then(Dense { inputs: 8, outputs: 8 })
///     .then(Activation::Tanh);
/// let chain = Chain::new()
///     .then(Dense { inputs: 3, outputs: 8 })
///     .residual(block)
///     .then(Dense { inputs: 8, outputs: 2 });
/// let network = Network::new(3, chain, Initializer::Glorot)?;
/// assert_eq!(network.parameter_count(), 32 + 72 + 18);
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Chain(pub(super) Vec<Node>);

/// A piece of a chain.
#[derive(Debug)]
pub(super) enum Node {
    Layer(Box<dyn Layer>),
    /// Joins the value here with the value that many nodes before.
    Join(Join, usize),
}

/// How two values become one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// Their sum.
    Add,
    /// The features of the earlier one, then those of the later one.
    Concatenate,
}

impl Chain {
    /// The empty chain, which changes nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a layer.
    #[must_use]
    pub fn then(mut self, layer: impl Layer + 'static) -> Self {
        self.0.push(Node::Layer(Box::new(layer)));
        self
    }

    /// Appends another chain.
    #[must_use]
    pub fn append(mut self, chain: Chain) -> Self {
        self.0.extend(chain.0);
        self
    }

    /// Appends x + f(x); f must keep the width.
    #[must_use]
    pub fn residual(self, f: Chain) -> Self {
        self.joined(Join::Add, f)
    }

    /// Appends (x, f(x)), the features of x before those of f(x). On grids of one size these are
    /// the channels of x before those of f(x).
    #[must_use]
    pub fn skip(self, f: Chain) -> Self {
        self.joined(Join::Concatenate, f)
    }

    fn joined(self, join: Join, f: Chain) -> Self {
        let length = f.0.len();
        let mut chain = self.append(f);
        chain.0.push(Node::Join(join, length));
        chain
    }
}

impl Join {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Add => "residual",
            Self::Concatenate => "skip",
        }
    }

    /// Width of the joined value.
    pub(super) fn outputs(self, earlier: usize, here: usize) -> Result<usize, String> {
        match self {
            Self::Add if earlier != here => {
                Err(format!("x + f(x) needs width {earlier}, that of x, from f"))
            }
            Self::Add => Ok(here),
            Self::Concatenate => Ok(earlier.saturating_add(here)),
        }
    }

    /// The joined value.
    pub(super) fn forward(self, earlier: &Mat<f64>, here: &Mat<f64>) -> Mat<f64> {
        match self {
            Self::Add => earlier + here,
            Self::Concatenate => {
                let mut joined = Mat::zeros(here.nrows(), earlier.ncols() + here.ncols());
                let (left, right) = joined.as_mut().split_at_col_mut(earlier.ncols());
                { left }.copy_from(earlier);
                { right }.copy_from(here);
                joined
            }
        }
    }

    /// Takes rows of the joined value to rows of the earlier value (of that width) and of the value
    /// here.
    pub(super) fn backward(self, rows: &Mat<f64>, earlier: usize) -> (Mat<f64>, Mat<f64>) {
        match self {
            Self::Add => (rows.clone(), rows.clone()),
            Self::Concatenate => {
                let (left, right) = rows.as_ref().split_at_col(earlier);
                (left.to_owned(), right.to_owned())
            }
        }
    }

    /// The tangent of the joined value; none is zero, of the given widths.
    pub(super) fn jvp(
        self,
        earlier: Option<&Mat<f64>>,
        here: Option<&Mat<f64>>,
        shape: (usize, usize, usize),
    ) -> Option<Mat<f64>> {
        if earlier.is_none() && here.is_none() {
            return None;
        }
        let (samples, left, right) = shape;
        let or_zero = |tangent: Option<&Mat<f64>>, width: usize| {
            tangent.map_or_else(|| Mat::zeros(samples, width), Mat::clone)
        };
        Some(self.forward(&or_zero(earlier, left), &or_zero(here, right)))
    }
}
