//! What a candidate is judged by: the loss of the batch together with that of earlier batches.
//!
//! A network that can fit a batch outright has little to learn from that batch's own loss after the
//! step. Earlier samples cost a forward pass, and the step is no longer fitted to them.

use crate::data::Dataset;
use crate::linearization::Linearization;
use std::collections::VecDeque;

/// The batches before this one.
pub struct Evidence {
    past: VecDeque<Dataset>,
    capacity: usize,
}

impl Evidence {
    /// Of at most `capacity` earlier batches.
    pub fn new(capacity: usize) -> Self {
        Self {
            past: VecDeque::new(),
            capacity,
        }
    }

    /// Mean loss of all samples of the batch and the earlier ones at other parameters.
    pub fn loss(&self, at: &Linearization<'_>, parameters: &[f64]) -> f64 {
        let sets = self.past.iter().chain([at.batch()]);
        let (mut sum, mut samples) = (0.0, 0);
        for set in sets {
            sum += set.len() as f64 * at.model().loss(parameters, set);
            samples += set.len();
        }
        sum / samples as f64
    }

    /// The part of the batch in all samples.
    pub fn share(&self, at: &Linearization<'_>) -> f64 {
        let past: usize = self.past.iter().map(Dataset::len).sum();
        let batch = at.batch().len();
        batch as f64 / (batch + past) as f64
    }

    /// Keeps a batch for the judgement of later ones.
    pub fn keep(&mut self, batch: &Dataset) {
        if self.capacity == 0 {
            return;
        }
        self.past.truncate(self.capacity - 1);
        self.past.push_front(batch.clone());
    }
}
