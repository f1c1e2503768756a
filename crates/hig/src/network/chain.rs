//! Chains of layers with joins.

use super::layer::Layer;
use crate::linalg::matrix::{self, MatMut, MatRef};
use faer::reborrow::ReborrowMut;

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

    /// Rows of the joined value as rows of the earlier value (of that width) and of the value here.
    pub(super) fn backward(
        self,
        rows: MatRef<'_, f64>,
        earlier: usize,
    ) -> (MatRef<'_, f64>, MatRef<'_, f64>) {
        match self {
            Self::Add => (rows, rows),
            Self::Concatenate => rows.split_at_col(earlier),
        }
    }

    /// Writes the joined value, or the joined tangent; none is zero, and `width` is that of the earlier
    /// one.
    pub(super) fn write(
        self,
        earlier: Option<MatRef<'_, f64>>,
        here: Option<MatRef<'_, f64>>,
        width: usize,
        mut target: MatMut<'_, f64>,
    ) {
        let set = |mut target: MatMut<'_, f64>, value: Option<MatRef<'_, f64>>| match value {
            Some(value) => target.copy_from(value),
            None => target.fill(0.0),
        };
        match self {
            Self::Add => {
                set(target.rb_mut(), earlier);
                for j in 0..target.ncols() {
                    let column = matrix::column_mut(target.rb_mut(), j);
                    match here {
                        Some(here) => matrix::add(column, matrix::column(here, j)),
                        None => column.iter_mut().for_each(|v| *v += 0.0),
                    }
                }
            }
            Self::Concatenate => {
                let (left, right) = target.split_at_col_mut(width);
                set(left, earlier);
                set(right, here);
            }
        }
    }
}
