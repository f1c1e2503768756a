//! How far a quantum state is from the wanted one.

use super::Loss;
use crate::linalg::matrix::{Mat, MatRef};

/// 1 - |⟨ŷ|y⟩|² of a sample, for states of unit norm.
///
/// A state stands in a row as the real and imaginary parts of its components, interleaved:
/// re₀, im₀, re₁, … with Σ|y_j|² = 1. The loss is 0 where y is ŷ up to a phase and 1 where the two
/// are orthogonal (1 minus the fidelity of pure states, Nielsen and Chuang, "Quantum Computation
/// and Quantum Information", section 9.2.2, there as a square root).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Infidelity;

/// Real and imaginary part of ⟨ŷ|y⟩ = Σ_j ŷ_j*·y_j for one sample.
fn overlap(y: MatRef<'_, f64>, target: MatRef<'_, f64>, sample: usize) -> (f64, f64) {
    (0..y.ncols() / 2).fold((0.0, 0.0), |(re, im), j| {
        let (a, b) = (y[(sample, 2 * j)], y[(sample, 2 * j + 1)]);
        let (c, d) = (target[(sample, 2 * j)], target[(sample, 2 * j + 1)]);
        (re + c * a + d * b, im + c * b - d * a)
    })
}

impl Loss for Infidelity {
    fn values(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Vec<f64> {
        let losses = (0..y.nrows()).map(|s| {
            let (re, im) = overlap(y, target, s);
            1.0 - (re * re + im * im)
        });
        losses.collect()
    }

    fn cotangents(&self, y: MatRef<'_, f64>, target: MatRef<'_, f64>) -> Mat<f64> {
        let mut cotangents = Mat::zeros(y.nrows(), y.ncols());
        for s in 0..y.nrows() {
            let (re, im) = overlap(y, target, s);
            for j in 0..y.ncols() / 2 {
                let (c, d) = (target[(s, 2 * j)], target[(s, 2 * j + 1)]);
                cotangents[(s, 2 * j)] = -2.0 * (re * c - im * d);
                cotangents[(s, 2 * j + 1)] = -2.0 * (re * d + im * c);
            }
        }
        cotangents
    }

    /// 2: the curvature along the unit sphere at the optimum.
    fn curvature(&self, y: MatRef<'_, f64>, _: MatRef<'_, f64>) -> Mat<f64> {
        Mat::full(y.nrows(), y.ncols(), 2.0)
    }
}
