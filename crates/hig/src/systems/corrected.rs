//! What becomes of a coarse solver in the long run, with a network's corrections and without them.

use super::Picture;
use super::picture::Lines;
use crate::linalg::matrix::Mat;

/// States at the start and after each step (samples × state each).
pub(super) struct Rollouts {
    /// Of a finer solver, as the coarse one would have them.
    pub reference: Vec<Mat<f64>>,
    pub corrected: Vec<Mat<f64>>,
    pub alone: Vec<Mat<f64>>,
}

impl Rollouts {
    /// |found - reference| over |reference| after each step, each over all samples.
    fn errors<'a>(&'a self, found: &'a [Mat<f64>]) -> impl Iterator<Item = f64> + 'a {
        let pairs = found.iter().zip(&self.reference);
        pairs.map(|(found, known)| (found - known).norm_l2() / known.norm_l2())
    }

    /// The mean of the errors over all steps.
    pub fn measures(&self) -> Vec<(&'static str, f64)> {
        let steps = self.reference.len().saturating_sub(1).max(1) as f64;
        let mean = |found| self.errors(found).skip(1).sum::<f64>() / steps;
        vec![
            ("corrected_error", mean(&self.corrected)),
            ("uncorrected_error", mean(&self.alone)),
        ]
    }

    /// The errors over time, for steps of a length.
    pub fn picture(&self, dt: f64) -> Picture {
        let times: Vec<f64> = (0..self.reference.len()).map(|k| k as f64 * dt).collect();
        let line = |label: &str, found| {
            let errors = self.errors(found).collect();
            (label.to_owned(), times.clone(), errors)
        };
        Picture::Lines(Lines {
            title: "distance from the reference".into(),
            x: "time".into(),
            y: "relative error".into(),
            lines: vec![
                line("corrected", &self.corrected),
                line("alone", &self.alone),
            ],
            points: Vec::new(),
        })
    }
}
