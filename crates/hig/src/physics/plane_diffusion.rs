//! Diffusion of periodic fields in a plane, solved exactly, with an inverse that knows what it cannot know.

use super::{Diffusion, Record, Simulator, Widths};
use crate::error::Result;
use crate::linalg::matrix::{self, Mat, MatRef};
use std::f64::consts::TAU;
use std::sync::Arc;

/// The solution of ∂u/∂t = ν·Δu after a time t, for fields on a square of equidistant points that is periodic along both
/// sides, of which the mean is known.
///
/// The control is a field but for its mean, which diffusion leaves as it is: the state is any field that has it.
/// A value stands at `row · points + column`.
///
/// The [`inverse`](Simulator::inverse) divides each Fourier mode of what is wanted by exp(-νt·w²), as far as the
/// mode is more than what is uncertain of it: it multiplies by s/(s² + ε²) with s = exp(-νt·w²), the linear
/// estimate of least mean square error (Wiener 1949) of modes of size 1 behind noise of size ε, a fraction of the root mean
/// square of what is wanted.
#[derive(Debug, Clone)]
pub struct PlaneDiffusion(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    along: Diffusion,
    points: usize,
    /// An orthonormal basis of waves along a side (points × points), a wave a column.
    waves: Mat<f64>,
    /// What is left of each of them.
    left: Vec<f64>,
    uncertainty: f64,
}

impl PlaneDiffusion {
    /// On so many points along a side, with νt in squares of their distance; `uncertainty` is that of the inverse,
    /// relative to what is wanted.
    pub fn new(points: usize, diffused: f64, uncertainty: f64) -> Self {
        // Wave numbers 0, 1, 1, 2, 2, …: cosines, and sines behind them.
        let number = |wave: usize| wave.div_ceil(2);
        let value = |place: usize, wave: usize| {
            let phase = TAU * (number(wave) * place % points) as f64 / points as f64;
            let alone = wave == 0 || 2 * number(wave) == points;
            let size = (if alone { 1.0 } else { 2.0 } / points as f64).sqrt();
            size * match wave % 2 == 1 || wave == 0 {
                true => phase.cos(),
                false => phase.sin(),
            }
        };
        let left = |wave: usize| {
            let number = TAU * number(wave) as f64 / points as f64;
            (-diffused * number * number).exp()
        };
        Self(Arc::new(Parts {
            along: Diffusion::new(points, diffused),
            points,
            waves: Mat::from_fn(points, points, value),
            left: (0..points).map(left).collect(),
            uncertainty,
        }))
    }

    /// The diffused fields (samples × points²).
    pub fn apply(&self, fields: MatRef<'_, f64>) -> Mat<f64> {
        let along = |fields: MatRef<'_, f64>| self.0.along.apply(fields);
        self.on_both_sides(fields, &along)
    }

    /// A map of fields on a line (fields × points), along both sides.
    fn on_both_sides(
        &self,
        fields: MatRef<'_, f64>,
        along: &dyn Fn(MatRef<'_, f64>) -> Mat<f64>,
    ) -> Mat<f64> {
        let (samples, n) = (fields.nrows(), self.0.points);
        let mut rows = Mat::zeros(samples, n * n);
        for row in 0..n {
            let columns = rows.as_mut().subcols_mut(row * n, n);
            { columns }.copy_from(along(fields.subcols(row * n, n)));
        }
        // The same numbers, of which those of a column of points stand beside each other.
        let mut down = Mat::zeros(samples, n * n);
        for column in 0..n {
            let line = Mat::from_fn(samples, n, |s, row| rows[(s, row * n + column)]);
            let line = along(line.as_ref());
            for row in 0..n {
                let target = down.col_as_slice_mut(row * n + column);
                target.copy_from_slice(line.col_as_slice(row));
            }
        }
        down
    }

    /// Fields without their means.
    fn without_means(mut fields: Mat<f64>) -> Mat<f64> {
        for (s, mean) in means(fields.as_ref()).into_iter().enumerate() {
            for j in 0..fields.ncols() {
                fields[(s, j)] -= mean;
            }
        }
        fields
    }

    /// Fields (samples × points²) with the means of others.
    pub fn with_means(&self, others: MatRef<'_, f64>, fields: MatRef<'_, f64>) -> Mat<f64> {
        let mut fields = Self::without_means(fields.to_owned());
        for (s, mean) in means(others).into_iter().enumerate() {
            for j in 0..fields.ncols() {
                fields[(s, j)] += mean;
            }
        }
        fields
    }

    /// What is to be added to fields so that the diffused ones change as wanted (samples × points²), as far as that
    /// can be known.
    fn inverted(&self, wanted: MatRef<'_, f64>) -> Mat<f64> {
        let Parts {
            waves,
            left,
            points,
            uncertainty,
            ..
        } = &*self.0;
        let to_modes = |lines: MatRef<'_, f64>| matrix::product(lines, waves.as_ref());
        let mut modes = self.on_both_sides(wanted, &to_modes);
        for s in 0..modes.nrows() {
            let squares: f64 = (0..modes.ncols()).map(|j| modes[(s, j)].powi(2)).sum();
            let noise = uncertainty * uncertainty * squares / modes.ncols() as f64;
            for j in 0..modes.ncols() {
                let left = left[j / points] * left[j % points];
                // Where nothing is wanted, nothing is done.
                let divisor = (left * left + noise).max(f64::MIN_POSITIVE);
                modes[(s, j)] *= left / divisor;
            }
        }
        let from_modes = |lines: MatRef<'_, f64>| matrix::product(lines, waves.transpose());
        self.on_both_sides(modes.as_ref(), &from_modes)
    }
}

/// The mean of each row.
fn means(fields: MatRef<'_, f64>) -> Vec<f64> {
    let width = fields.ncols() as f64;
    let mean = |s: usize| fields.row(s).iter().sum::<f64>() / width;
    (0..fields.nrows()).map(mean).collect()
}

impl Simulator for PlaneDiffusion {
    fn widths(&self) -> Widths {
        let area = self.0.points * self.0.points;
        Widths {
            state: area,
            control: area,
            output: area,
        }
    }

    fn name(&self) -> String {
        "the diffusion".into()
    }

    fn has_products(&self) -> bool {
        true
    }

    fn simulate(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(self.apply(self.with_means(state, control).as_ref()))
    }

    fn record(&self, state: MatRef<'_, f64>, control: MatRef<'_, f64>) -> Result<Box<dyn Record>> {
        Ok(Box::new(Diffused {
            y: self.simulate(state, control)?,
            physics: self.clone(),
        }))
    }

    fn inverse(
        &self,
        state: MatRef<'_, f64>,
        control: MatRef<'_, f64>,
        y: MatRef<'_, f64>,
    ) -> Result<Option<Mat<f64>>> {
        let wanted = y - self.simulate(state, control)?;
        Ok(Some(control + self.inverted(wanted.as_ref())))
    }
}

/// A batch of diffused fields. Diffusion is symmetric and leaves means alone.
struct Diffused {
    y: Mat<f64>,
    physics: PlaneDiffusion,
}

impl Record for Diffused {
    fn y(&self) -> &Mat<f64> {
        &self.y
    }

    fn vjp(&self, cotangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        Ok(PlaneDiffusion::without_means(self.physics.apply(cotangent)))
    }

    fn vjps(&self, cotangents: MatRef<'_, f64>) -> Result<Mat<f64>> {
        self.vjp(cotangents)
    }

    fn jvp(&self, tangent: MatRef<'_, f64>) -> Result<Mat<f64>> {
        self.vjp(tangent)
    }
}
