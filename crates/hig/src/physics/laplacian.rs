//! The Laplacian on a square grid, and the Poisson problem that it solves exactly.

use super::{LinearRecord, Record, Simulator, Widths};
use crate::error::Result;
use crate::linalg::matrix::{self, Mat, MatRef};
use std::f64::consts::PI;

/// The five-point Laplacian of a field on a square grid with zero boundary, y = Δu.
#[derive(Debug, Clone)]
pub struct Laplacian {
    grid: usize,
    spacing: f64,
    /// Orthonormal sine modes of one side; its own inverse.
    sines: Mat<f64>,
}

impl Laplacian {
    /// On `grid` × `grid` points with the given spacing.
    pub fn new(grid: usize, spacing: f64) -> Self {
        let sides = (grid + 1) as f64;
        let sines = Mat::from_fn(grid, grid, |i, k| {
            let phase = PI * ((i + 1) * (k + 1)) as f64 / sides;
            (2.0 / sides).sqrt() * phase.sin()
        });
        Self {
            grid,
            spacing,
            sines,
        }
    }

    /// Eigenvalue of the sine mode with k + 1 and l + 1 half waves along the sides.
    fn eigenvalue(&self, k: usize, l: usize) -> f64 {
        let sides = (self.grid + 1) as f64;
        let cosine = |m: usize| (PI * (m + 1) as f64 / sides).cos();
        (2.0 * cosine(k) + 2.0 * cosine(l) - 4.0) / (self.spacing * self.spacing)
    }

    /// Δu of every sample (samples × grid²; grid point (i, j) is column i·grid + j).
    pub fn apply(&self, fields: MatRef<'_, f64>) -> Mat<f64> {
        let (g, scale) = (self.grid, 1.0 / (self.spacing * self.spacing));
        let mut result = Mat::zeros(fields.nrows(), g * g);
        for i in 0..g {
            for j in 0..g {
                let here = i * g + j;
                let column = result.col_as_slice_mut(here);
                let mut add = |from: usize, weight: f64| {
                    for (t, v) in column.iter_mut().zip(fields.col(from).iter()) {
                        *t += weight * v;
                    }
                };
                add(here, -4.0 * scale);
                if i > 0 {
                    add(here - g, scale);
                }
                if i + 1 < g {
                    add(here + g, scale);
                }
                if j > 0 {
                    add(here - 1, scale);
                }
                if j + 1 < g {
                    add(here + 1, scale);
                }
            }
        }
        result
    }

    /// The field whose Laplacian is given, for every sample: exact, by the discrete sine transform.
    pub fn solve(&self, right_hand_sides: MatRef<'_, f64>) -> Mat<f64> {
        let g = self.grid;
        let mut fields = Mat::zeros(right_hand_sides.nrows(), g * g);
        for s in 0..right_hand_sides.nrows() {
            let values = Mat::from_fn(g, g, |i, j| right_hand_sides[(s, i * g + j)]);
            let mut modes = self.transform(&values);
            for k in 0..g {
                for l in 0..g {
                    modes[(k, l)] /= self.eigenvalue(k, l);
                }
            }
            let field = self.transform(&modes);
            for i in 0..g {
                for j in 0..g {
                    fields[(s, i * g + j)] = field[(i, j)];
                }
            }
        }
        fields
    }

    /// The orthonormal sine transform of a field along both sides (grid × grid), its own inverse: the
    /// amplitudes of the modes sin(πki / (grid + 1))·sin(πlj / (grid + 1)).
    pub fn transform(&self, values: &Mat<f64>) -> Mat<f64> {
        let half = matrix::product(self.sines.as_ref(), values.as_ref());
        matrix::product(half.as_ref(), self.sines.as_ref())
    }
}

impl Simulator for Laplacian {
    fn widths(&self) -> Widths {
        Widths {
            state: 0,
            control: self.grid * self.grid,
            output: self.grid * self.grid,
        }
    }

    fn has_products(&self) -> bool {
        true
    }

    fn record(&self, _: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        let laplacian = self.clone();
        let record = LinearRecord::symmetric(control, move |fields| laplacian.apply(fields));
        Ok(Box::new(record))
    }

    fn simulate(&self, _: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(self.apply(control))
    }

    fn inverse(
        &self,
        _: MatRef<'_, f64>,
        _: MatRef<'_, f64>,
        y: MatRef<'_, f64>,
    ) -> Result<Option<Mat<f64>>> {
        Ok(Some(self.solve(y)))
    }
}
