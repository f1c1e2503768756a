//! What the controls of a simulation cost.

use super::Stepwise;
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};

/// A simulation that counts its controls: behind the state x stands r = √(w·Σ_k |u_k|²), the norm of all
/// controls so far. An observed r makes their cost one row of J a sample, however many steps there are, with
/// ½r² the sum of their squares.
#[derive(Debug, Clone)]
pub struct CountedEffort<S> {
    physics: S,
    weight: f64,
}

impl<S: Stepwise> CountedEffort<S> {
    /// The given physics with the weight w of a squared control.
    pub fn new(physics: S, weight: f64) -> Self {
        Self { physics, weight }
    }

    /// r after a step.
    fn norm(&self, before: f64, control: MatRef<'_, f64>, sample: usize) -> f64 {
        let squares = control.row(sample).squared_norm_l2();
        (before * before + self.weight * squares).sqrt()
    }
}

impl<S: Stepwise> Stepwise for CountedEffort<S> {
    fn steps(&self) -> usize {
        self.physics.steps()
    }

    fn state_len(&self) -> usize {
        self.physics.state_len() + 1
    }

    fn control_len(&self) -> usize {
        self.physics.control_len()
    }

    fn name(&self) -> String {
        self.physics.name()
    }

    fn time(&self, step: usize) -> f64 {
        self.physics.time(step)
    }

    fn chunk(&self) -> usize {
        self.physics.chunk()
    }

    fn advance(&self, step: usize, x: MatRef<'_, f64>, u: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let d = self.physics.state_len();
        let moved = self.physics.advance(step, x.subcols(0, d), u)?;
        Ok(Mat::from_fn(x.nrows(), d + 1, |s, j| match j < d {
            true => moved[(s, j)],
            false => self.norm(x[(s, d)], u, s),
        }))
    }

    /// Of r' = √(r² + w·|u|²) the derivatives are r/r' and w·u/r', taken as 0 where there was no control
    /// yet.
    fn pull_back(
        &self,
        step: usize,
        (x, u): (MatRef<'_, f64>, MatRef<'_, f64>),
        rows: MatRef<'_, f64>,
    ) -> Result<(Mat<f64>, Mat<f64>)> {
        let (samples, d) = (x.nrows(), self.physics.state_len());
        let (of_state, w) = rows.split_at_col(d);
        let (moved, mut during) = self
            .physics
            .pull_back(step, (x.subcols(0, d), u), of_state)?;
        let mut before = Mat::zeros(rows.nrows(), d + 1);
        before.as_mut().subcols_mut(0, d).copy_from(&moved);
        for row in 0..rows.nrows() {
            let s = row % samples;
            let r = self.norm(x[(s, d)], u, s);
            if r > 0.0 {
                let w = w[(row, 0)] / r;
                before[(row, d)] = w * x[(s, d)];
                for j in 0..u.ncols() {
                    during[(row, j)] += w * self.weight * u[(s, j)];
                }
            }
        }
        Ok((before, during))
    }

    fn push_forward(
        &self,
        step: usize,
        (x, u): (MatRef<'_, f64>, MatRef<'_, f64>),
        (dx, du): (MatRef<'_, f64>, MatRef<'_, f64>),
    ) -> Result<Mat<f64>> {
        let d = self.physics.state_len();
        let at = (x.subcols(0, d), u);
        let moved = self
            .physics
            .push_forward(step, at, (dx.subcols(0, d), du))?;
        let change = |s: usize| {
            let r = self.norm(x[(s, d)], u, s);
            let controls: f64 = (0..u.ncols()).map(|j| u[(s, j)] * du[(s, j)]).sum();
            match r > 0.0 {
                true => (x[(s, d)] * dx[(s, d)] + self.weight * controls) / r,
                false => 0.0,
            }
        };
        Ok(Mat::from_fn(x.nrows(), d + 1, |s, j| match j < d {
            true => moved[(s, j)],
            false => change(s),
        }))
    }
}
