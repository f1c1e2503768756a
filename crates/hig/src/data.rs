//! Samples: what the network reads, where the physics starts, and what should come out.

use crate::error::{Error, Result};
use crate::files::Tensors;
use crate::linalg::matrix::{self, Mat};
use rand::SeedableRng;
use rand_pcg::Pcg64;
use std::path::Path;

/// A set of samples; every matrix has one row per sample.
#[derive(Debug, Clone)]
pub struct Dataset {
    /// What the network reads (samples × network inputs).
    pub input: Mat<f64>,
    /// Where the simulation starts (samples × state length of the physics, which may be 0).
    pub state: Mat<f64>,
    /// What the simulation should end with, ŷ (samples × dim(y)).
    pub target: Mat<f64>,
}

impl Dataset {
    /// Number of samples.
    pub fn len(&self) -> usize {
        self.input.nrows()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The samples with the given indices, in that order.
    pub fn select(&self, indices: &[usize]) -> Self {
        Self {
            input: matrix::gather_rows(&self.input, indices),
            state: matrix::gather_rows(&self.state, indices),
            target: matrix::gather_rows(&self.target, indices),
        }
    }

    /// Checks the widths against network and physics, and that every number is finite.
    ///
    /// # Errors
    /// The first matrix that does not fit, by name.
    pub fn check(&self, inputs: usize, states: usize, outputs: usize) -> Result<()> {
        if self.is_empty() {
            return Err(Error::Shape {
                what: "input".into(),
                found: "0 samples".into(),
                expected: "at least 1 sample".into(),
            });
        }
        for (name, values, width) in [
            ("input", &self.input, inputs),
            ("state", &self.state, states),
            ("target", &self.target, outputs),
        ] {
            if (values.nrows(), values.ncols()) != (self.len(), width) {
                return Err(Error::Shape {
                    what: name.into(),
                    found: format!("{} x {}", values.nrows(), values.ncols()),
                    expected: format!("{} x {width} (samples x width)", self.len()),
                });
            }
            matrix::check_finite(name, values)?;
        }
        Ok(())
    }

    /// Checks that every number is finite.
    ///
    /// # Errors
    /// The first number that is not, by the matrix with its row, the sample, and column.
    pub fn check_finite(&self) -> Result<()> {
        matrix::check_finite("input", &self.input)?;
        matrix::check_finite("state", &self.state)?;
        matrix::check_finite("target", &self.target)
    }

    /// Reads `input`, `target` and, where the initial state differs from the input, `state` from a
    /// safetensors file; rows are samples. Without `state` the input is the state (`states` is its
    /// width; where that is 0 the physics needs none).
    ///
    /// # Errors
    /// Unreadable file, missing tensor, wrong type.
    pub fn load(path: &Path, states: usize) -> Result<Self> {
        Self::from_tensors(&Tensors::load(path)?, states)
    }

    /// The samples in tensors that are named as in the file of [`load`](Self::load).
    ///
    /// # Errors
    /// Missing tensor, or one that is no matrix.
    pub fn from_tensors(tensors: &Tensors, states: usize) -> Result<Self> {
        let input = tensors.matrix("input")?;
        let target = tensors.matrix("target")?;
        let state = if tensors.contains("state") {
            tensors.matrix("state")?
        } else if states == 0 {
            Mat::zeros(input.nrows(), 0)
        } else {
            input.clone()
        };
        Ok(Self {
            input,
            state,
            target,
        })
    }

    /// Writes the samples so that [`load`](Self::load) reads the same bits.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.to_tensors().save(path)
    }

    /// The samples as [`from_tensors`](Self::from_tensors) reads them.
    pub fn to_tensors(&self) -> Tensors {
        let mut tensors = Tensors::default();
        tensors.insert_matrix("input", &self.input);
        tensors.insert_matrix("target", &self.target);
        if self.state.ncols() > 0 && !same_bits(&self.state, &self.input) {
            tensors.insert_matrix("state", &self.state);
        }
        tensors
    }
}

/// Comparing with == would panic for different shapes and take -0.0 for 0.0.
fn same_bits(a: &Mat<f64>, b: &Mat<f64>) -> bool {
    let bits = |m: &Mat<f64>| matrix::stack(m.as_ref()).into_iter().map(f64::to_bits);
    a.ncols() == b.ncols() && bits(a).eq(bits(b))
}

/// What a stream of random numbers is for. Each purpose has its own stream of the seed, so that a
/// longer test set does not change the initial weights.
#[derive(Debug, Clone, Copy)]
pub enum Purpose {
    /// Training samples.
    Train = 1,
    /// Test samples.
    Test = 2,
    /// Initial weights.
    Weights = 3,
    /// Order of the samples in an epoch.
    Order = 4,
    /// Training samples that are held out.
    Validation = 5,
    /// Combinations of the rows of a sample.
    Sketch = 6,
    /// Measurements: where they are taken, and their noise.
    Measurements = 7,
}

/// The random stream of a seed for one purpose.
pub fn random(seed: u64, purpose: Purpose) -> Pcg64 {
    const STREAM: u64 = 0x9e37_79b9_7f4a_7c15;
    Pcg64::seed_from_u64(seed ^ (purpose as u64).wrapping_mul(STREAM))
}
