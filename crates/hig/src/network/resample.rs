//! Coarser and finer grids, without parameters.

use super::grid::Grid;
use super::layer::{Layer, Values};
use crate::linalg::Scratch;
use crate::linalg::matrix::{self, Accum, MatMut, MatRef};
use faer::reborrow::ReborrowMut;

/// The mean of every square of `size` × `size` grid points.
#[derive(Debug, Clone, Copy)]
pub struct AveragePool2d {
    /// The grid of the input.
    pub grid: Grid,
    /// Points along a side that become one.
    pub size: usize,
}

/// Every grid point repeated `size` × `size` times (nearest neighbour).
#[derive(Debug, Clone, Copy)]
pub struct Upsample2d {
    /// The grid of the input.
    pub grid: Grid,
    /// Points along a side that one becomes.
    pub size: usize,
}

impl AveragePool2d {
    /// The grid of the output.
    pub fn output(&self) -> Grid {
        Grid {
            height: self.grid.height / self.size.max(1),
            width: self.grid.width / self.size.max(1),
            ..self.grid
        }
    }

    fn weight(&self) -> f64 {
        1.0 / (self.size * self.size) as f64
    }
}

impl Upsample2d {
    /// The grid of the output.
    pub fn output(&self) -> Grid {
        Grid {
            height: self.grid.height * self.size,
            width: self.grid.width * self.size,
            ..self.grid
        }
    }
}

/// For each feature of a fine grid the feature of the coarse grid that it lies in.
fn coarse_features(fine: Grid, size: usize) -> impl Iterator<Item = usize> {
    let width = fine.width / size;
    let points = fine.height / size * width;
    (0..fine.features()).map(move |feature| {
        let (channel, point) = (feature / fine.points(), feature % fine.points());
        let (y, x) = (point / fine.width, point % fine.width);
        channel * points + y / size * width + x / size
    })
}

/// Sums each square of the fine grid, times a weight.
fn gather(
    fine: Grid,
    size: usize,
    weight: f64,
    values: MatRef<'_, f64>,
    mut target: MatMut<'_, f64>,
    accumulate: Accum,
) {
    if accumulate == Accum::Replace {
        target.fill(0.0);
    }
    for (from, to) in coarse_features(fine, size).enumerate() {
        let target = matrix::column_mut(target.rb_mut(), to);
        for (t, v) in target.iter_mut().zip(matrix::column(values, from)) {
            *t += weight * v;
        }
    }
}

/// Repeats each point of the coarse grid, times a weight.
fn spread(
    fine: Grid,
    size: usize,
    weight: f64,
    values: MatRef<'_, f64>,
    mut target: MatMut<'_, f64>,
    accumulate: Accum,
) {
    for (to, from) in coarse_features(fine, size).enumerate() {
        let values = matrix::column(values, from).iter().map(|v| weight * v);
        let target = matrix::column_mut(target.rb_mut(), to);
        matrix::write(target, accumulate, values);
    }
}

impl Layer for AveragePool2d {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        self.grid.expect(inputs)?;
        let Grid { height, width, .. } = self.grid;
        if self.size == 0 || height % self.size != 0 || width % self.size != 0 {
            return Err(format!(
                "its size {} must divide {height} x {width}",
                self.size
            ));
        }
        Ok(self.output().features())
    }

    fn forward(&self, _: &[f64], input: MatRef<'_, f64>, output: MatMut<'_, f64>, _: &mut Scratch) {
        gather(
            self.grid,
            self.size,
            self.weight(),
            input,
            output,
            Accum::Replace,
        );
    }

    fn backward(
        &self,
        _: &[f64],
        _: Values<'_>,
        rows: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        spread(
            self.grid,
            self.size,
            self.weight(),
            rows,
            target,
            Accum::Replace,
        );
    }

    fn jvp_input(
        &self,
        _: &[f64],
        _: Values<'_>,
        tangent: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        accumulate: Accum,
        _: &mut Scratch,
    ) {
        gather(
            self.grid,
            self.size,
            self.weight(),
            tangent,
            target,
            accumulate,
        );
    }

    fn is_affine(&self) -> bool {
        true
    }
}

impl Layer for Upsample2d {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        self.grid.expect(inputs)?;
        if self.size == 0 {
            return Err("its size must be at least 1".into());
        }
        Ok(self.output().features())
    }

    fn forward(&self, _: &[f64], input: MatRef<'_, f64>, output: MatMut<'_, f64>, _: &mut Scratch) {
        spread(self.output(), self.size, 1.0, input, output, Accum::Replace);
    }

    fn backward(
        &self,
        _: &[f64],
        _: Values<'_>,
        rows: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        _: &mut Scratch,
    ) {
        gather(self.output(), self.size, 1.0, rows, target, Accum::Replace);
    }

    fn jvp_input(
        &self,
        _: &[f64],
        _: Values<'_>,
        tangent: MatRef<'_, f64>,
        target: MatMut<'_, f64>,
        accumulate: Accum,
        _: &mut Scratch,
    ) {
        spread(self.output(), self.size, 1.0, tangent, target, accumulate);
    }

    fn is_affine(&self) -> bool {
        true
    }
}
