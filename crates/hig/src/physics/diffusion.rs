//! Diffusion of a periodic field on a line, solved exactly.

use super::{LinearRecord, Record, Simulator, Widths};
use crate::error::Result;
use crate::linalg::matrix::{self, Mat, MatRef};
use std::f64::consts::TAU;

/// The solution of ∂u/∂t = ν·∂²u/∂x² after a time t, for fields on equidistant points of a circle:
/// the Fourier mode of wave number w is multiplied by exp(-νt·w²).
///
/// It is linear and smooths, so that its inverse is ill-posed: of neighbouring points, half a wave
/// apart, exp(-π²·νt) is left.
#[derive(Debug, Clone)]
pub struct Diffusion {
    /// The response to a unit field at one point, from each point (points × points; symmetric).
    response: Mat<f64>,
}

impl Diffusion {
    /// On so many points, with νt in squares of their distance.
    pub fn new(points: usize, diffused: f64) -> Self {
        let modes = points as i64;
        let response_at = |distance: i64| -> f64 {
            // Modes come in pairs ±k, of which the sines cancel.
            let mode = |k: i64| {
                let folded = k.min(modes - k) as f64 * TAU / points as f64;
                let phase = TAU * (k * distance % modes) as f64 / points as f64;
                (-diffused * folded * folded).exp() * phase.cos()
            };
            (0..modes).map(mode).sum::<f64>() / points as f64
        };
        let responses: Vec<f64> = (0..modes).map(response_at).collect();
        Self {
            response: Mat::from_fn(points, points, |i, j| responses[i.abs_diff(j)]),
        }
    }

    /// The diffused fields (samples × points).
    pub fn apply(&self, fields: MatRef<'_, f64>) -> Mat<f64> {
        matrix::product(fields, self.response.as_ref())
    }
}

impl Simulator for Diffusion {
    fn widths(&self) -> Widths {
        let points = self.response.nrows();
        Widths {
            state: 0,
            control: points,
            output: points,
        }
    }

    fn has_products(&self) -> bool {
        true
    }

    fn record(&self, _: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        let map = self.clone();
        let record = LinearRecord::symmetric(control, move |fields| map.apply(fields));
        Ok(Box::new(record))
    }

    fn simulate(&self, _: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(self.apply(control))
    }
}
