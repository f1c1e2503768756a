//! How the losses of single samples make one loss of a batch.

use crate::linalg::{Mat, stack};

/// How the samples of a batch make one loss. A published learning rate belongs to one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reduction {
    /// The mean over the batch.
    #[default]
    Mean,
    /// The sum over the batch.
    Sum,
}

impl Reduction {
    /// What each of so many samples counts.
    pub fn weight(self, samples: usize) -> f64 {
        match self {
            Self::Mean => 1.0 / samples as f64,
            Self::Sum => 1.0,
        }
    }

    /// The loss of a batch from those of its samples.
    pub fn loss(self, of_samples: &[f64]) -> f64 {
        let sum: f64 = of_samples.iter().sum();
        match self {
            Self::Mean => sum / of_samples.len() as f64,
            Self::Sum => sum,
        }
    }

    /// The loss of a batch from the mean over that many samples.
    pub fn of_mean(self, mean: f64, samples: usize) -> f64 {
        match self {
            Self::Mean => mean,
            Self::Sum => mean * samples as f64,
        }
    }

    /// The gradient or the curvature of a batch's loss, stacked, from those of its samples' losses
    /// (samples × dim(y)).
    pub fn rows(self, of_samples: &Mat<f64>) -> Vec<f64> {
        let weight = self.weight(of_samples.nrows());
        let mut rows = stack(of_samples.as_ref());
        rows.iter_mut().for_each(|v| *v *= weight);
        rows
    }
}
