//! Any differentiable function of one sample as a simulator.

use super::{Dual, Real, Record, Simulator, Widths};
use crate::error::Result;
use crate::linalg::matrix::{Mat, MatRef};

/// A differentiable map of one sample, y = P(state, control), written once for any number type.
pub trait SampleFunction: Send + Sync {
    /// Widths of state, control and y.
    fn widths(&self) -> Widths;

    /// Writes y.
    fn evaluate<T: Real>(&self, state: &[f64], control: &[T], y: &mut [T]);

    /// A control that produces `y`, where the function has an exact inverse.
    fn inverse(&self, _state: &[f64], _y: &[f64]) -> Option<Vec<f64>> {
        None
    }
}

/// A [`SampleFunction`] with derivatives from dual numbers, eight directions at a time.
#[derive(Debug, Clone)]
pub struct Differentiated<F>(pub F);

impl<F: SampleFunction> Simulator for Differentiated<F> {
    fn widths(&self) -> Widths {
        self.0.widths()
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        const DIRECTIONS: usize = 8;
        let widths = self.widths();
        let samples = control.nrows();
        let y = self.simulate(state, control)?;
        let mut rows = Mat::zeros(samples * widths.output, widths.control);
        let mut value = vec![Dual::<DIRECTIONS>::constant(0.0); widths.output];
        let mut start = vec![0.0; state.ncols()];
        let mut point = vec![Dual::<DIRECTIONS>::constant(0.0); widths.control];
        for s in 0..samples {
            write_row(state, s, &mut start);
            for first in (0..widths.control).step_by(DIRECTIONS) {
                let last = widths.control.min(first + DIRECTIONS);
                Dual::write_point(control.row(s).iter().copied(), first, &mut point);
                self.0.evaluate(&start, &point, &mut value);
                for (i, v) in value.iter().enumerate() {
                    for j in first..last {
                        rows[(i * samples + s, j)] = v.slopes[j - first];
                    }
                }
            }
        }
        Ok(Box::new(StoredRows { y, rows }))
    }

    fn simulate(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        let mut y = Mat::zeros(control.nrows(), self.widths().output);
        let mut value = vec![0.0; y.ncols()];
        let mut start = vec![0.0; state.ncols()];
        let mut point = vec![0.0; control.ncols()];
        for s in 0..control.nrows() {
            write_row(state, s, &mut start);
            write_row(control, s, &mut point);
            self.0.evaluate(&start, &point, &mut value);
            for (i, v) in value.iter().enumerate() {
                y[(s, i)] = *v;
            }
        }
        Ok(y)
    }

    fn inverse(
        &self,
        state: MatRef<'_, f64>,
        _control: MatRef<'_, f64>,
        y: MatRef<'_, f64>,
    ) -> Result<Option<Mat<f64>>> {
        let mut controls = Mat::zeros(y.nrows(), self.widths().control);
        for s in 0..y.nrows() {
            let start: Vec<f64> = state.row(s).iter().copied().collect();
            let goal: Vec<f64> = y.row(s).iter().copied().collect();
            let Some(inverse) = self.0.inverse(&start, &goal) else {
                return Ok(None);
            };
            for (j, u) in inverse.iter().enumerate() {
                controls[(s, j)] = *u;
            }
        }
        Ok(Some(controls))
    }
}

fn write_row(matrix: MatRef<'_, f64>, row: usize, target: &mut [f64]) {
    let values = matrix.row(row).iter();
    target.iter_mut().zip(values).for_each(|(t, v)| *t = *v);
}

struct StoredRows {
    y: Mat<f64>,
    rows: Mat<f64>,
}

impl Record for StoredRows {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(super::rows_transposed_times(&self.rows, cotangent))
    }

    fn rows(&self) -> Result<Mat<f64>> {
        Ok(self.rows.clone())
    }

    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(super::rows_times(&self.rows, tangent))
    }
}
