//! Transforms between real fields on evenly spaced points of circles and the modes that tell them.

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use rustfft::{Fft, FftPlanner};
use std::fmt;
use std::sync::Arc;

/// The mode that is not there.
pub(super) const ZERO: Complex<f64> = Complex::new(0.0, 0.0);

/// The transforms along a circle. Neither scales: there and back multiplies by the number of points.
#[derive(Clone)]
pub(super) struct Circle {
    pub points: usize,
    forward: Arc<dyn RealToComplex<f64>>,
    backward: Arc<dyn ComplexToReal<f64>>,
}

impl Circle {
    pub fn new(points: usize) -> Self {
        let mut planner = RealFftPlanner::new();
        Self {
            points,
            forward: planner.plan_fft_forward(points),
            backward: planner.plan_fft_inverse(points),
        }
    }

    /// Number of modes that tell the others.
    pub fn modes(&self) -> usize {
        self.points / 2 + 1
    }

    /// Numbers that both transforms need besides.
    pub fn scratch_len(&self) -> usize {
        (self.forward.get_scratch_len()).max(self.backward.get_scratch_len())
    }

    /// Modes from values, which it spoils.
    pub fn forward(
        &self,
        values: &mut [f64],
        modes: &mut [Complex<f64>],
        scratch: &mut [Complex<f64>],
    ) {
        let done = self.forward.process_with_scratch(values, modes, scratch);
        done.expect("the lengths are those of the plan");
    }

    /// Values from modes, which it spoils.
    pub fn backward(
        &self,
        modes: &mut [Complex<f64>],
        values: &mut [f64],
        scratch: &mut [Complex<f64>],
    ) {
        // Of a real field they are real, up to rounding.
        modes[0].im = 0.0;
        if self.points.is_multiple_of(2) {
            modes[self.points / 2].im = 0.0;
        }
        let done = self.backward.process_with_scratch(modes, values, scratch);
        done.expect("the lengths are those of the plan");
    }
}

impl fmt::Debug for Circle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "circle of {} points", self.points)
    }
}

/// The transforms of square fields that are periodic along both sides, of the modes below a third of the
/// points along a side. A value stands at `row · points + column`, and a mode at `wave number across ·
/// points + wave number down`, of which the second counts back from the end where it is negative.
#[derive(Clone)]
pub(super) struct Torus {
    rows: Circle,
    /// Wave numbers across, from 0.
    kept: usize,
    forward: Arc<dyn Fft<f64>>,
    backward: Arc<dyn Fft<f64>>,
}

/// Memory for the transforms of a [`Torus`].
pub(super) struct TorusMemory {
    row: Vec<f64>,
    half: Vec<Complex<f64>>,
    columns: Vec<Complex<f64>>,
    scratch: Vec<Complex<f64>>,
}

impl Torus {
    pub fn new(points: usize) -> Self {
        let mut planner = FftPlanner::new();
        Self {
            rows: Circle::new(points),
            kept: points.div_ceil(3),
            forward: planner.plan_fft_forward(points),
            backward: planner.plan_fft_inverse(points),
        }
    }

    /// Points along a side.
    pub fn points(&self) -> usize {
        self.rows.points
    }

    /// Number of modes that are kept.
    pub fn modes(&self) -> usize {
        self.kept * self.points()
    }

    /// The wave numbers of a mode across and down; none where it is not kept.
    pub fn waves(&self, mode: usize) -> Option<(f64, f64)> {
        let (n, across, down) = (self.points(), mode / self.points(), mode % self.points());
        if 3 * down < n {
            Some((across as f64, down as f64))
        } else if 3 * (n - down) < n {
            Some((across as f64, -((n - down) as f64)))
        } else {
            None
        }
    }

    pub fn memory(&self) -> TorusMemory {
        let columns =
            (self.forward.get_inplace_scratch_len()).max(self.backward.get_inplace_scratch_len());
        TorusMemory {
            row: vec![0.0; self.points()],
            half: vec![ZERO; self.rows.modes()],
            columns: vec![ZERO; self.modes()],
            scratch: vec![ZERO; columns.max(self.rows.scratch_len())],
        }
    }

    /// The modes of values.
    pub fn forward(&self, values: &[f64], modes: &mut [Complex<f64>], memory: &mut TorusMemory) {
        let (
            n,
            TorusMemory {
                row, half, scratch, ..
            },
        ) = (self.points(), memory);
        for (y, values) in values.chunks_exact(n).enumerate() {
            row.copy_from_slice(values);
            let own = &mut scratch[..self.rows.scratch_len()];
            self.rows.forward(row, half, own);
            for (k, mode) in half[..self.kept].iter().enumerate() {
                modes[k * n + y] = *mode;
            }
        }
        self.forward.process_with_scratch(modes, scratch);
        // Those with |wave number down| of a third of the points or more.
        let most = n.div_ceil(3);
        for column in modes.chunks_exact_mut(n) {
            column[most..=n - most].fill(ZERO);
        }
    }

    /// The values of modes; there and back is the projection on the modes that are kept.
    pub fn backward(&self, modes: &[Complex<f64>], values: &mut [f64], memory: &mut TorusMemory) {
        let (n, scale) = (self.points(), 1.0 / (self.points() * self.points()) as f64);
        let TorusMemory {
            half,
            columns,
            scratch,
            ..
        } = memory;
        for (target, mode) in columns.iter_mut().zip(modes) {
            *target = mode * scale;
        }
        self.backward.process_with_scratch(columns, scratch);
        for (y, values) in values.chunks_exact_mut(n).enumerate() {
            half.fill(ZERO);
            for (k, mode) in half[..self.kept].iter_mut().enumerate() {
                *mode = columns[k * n + y];
            }
            let own = &mut scratch[..self.rows.scratch_len()];
            self.rows.backward(half, values, own);
        }
    }
}

impl fmt::Debug for Torus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "torus of {0} x {0} points", self.points())
    }
}
