//! Eight samples at once, for loops that the compiler vectorises.

use super::Real;
use crate::linalg::matrix::{Mat, MatRef};
use crate::linalg::simd;
use rayon::prelude::*;
use std::ops::{Add, AddAssign, Div, Mul, Neg, Sub};

/// The same quantity of [`Lanes::COUNT`] samples; arithmetic is elementwise.
#[derive(Debug, Clone, Copy, PartialEq)]
#[repr(align(64))]
pub struct Lanes(pub [f64; Lanes::COUNT]);

impl Lanes {
    /// Samples in one value.
    pub const COUNT: usize = 8;
    /// Zero in every lane.
    pub const ZERO: Self = Self([0.0; Self::COUNT]);

    #[inline(always)]
    fn map(self, f: impl Fn(f64) -> f64) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i])))
    }

    #[inline(always)]
    fn zip(self, other: Self, f: impl Fn(f64, f64) -> f64) -> Self {
        Self(std::array::from_fn(|i| f(self.0[i], other.0[i])))
    }

    /// Whether all of them are angles for [`simd::sin_cos`].
    #[inline(always)]
    fn turns(self) -> bool {
        self.0
            .iter()
            .fold(true, |all, x| all & (x.abs() <= simd::TURNS))
    }

    /// Number of groups that hold `samples` samples.
    pub fn groups(samples: usize) -> usize {
        samples.div_ceil(Self::COUNT)
    }

    /// Reads one group of samples, all columns; lanes beyond the last sample repeat the last one.
    pub fn load(batch: MatRef<'_, f64>, group: usize) -> Vec<Self> {
        let first = group * Self::COUNT;
        let count = Self::COUNT.min(batch.nrows() - first);
        let column = |column: faer::ColRef<'_, f64>| {
            let value = |i: usize| column[first + i.min(count - 1)];
            Self(std::array::from_fn(value))
        };
        batch.col_iter().map(column).collect()
    }

    /// Writes one group of samples into column `column` of a batch whose first row is `first`.
    pub fn store(
        self,
        batch: &mut Mat<f64>,
        first: usize,
        samples: usize,
        group: usize,
        column: usize,
    ) {
        let start = group * Self::COUNT;
        let count = Self::COUNT.min(samples - start);
        batch.col_as_slice_mut(column)[first + start..][..count].copy_from_slice(&self.0[..count]);
    }
}

macro_rules! elementwise {
    ($($trait:ident $method:ident $op:tt),*) => { $(
        impl $trait for Lanes {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: Self) -> Self {
                self.zip(other, |a, b| a $op b)
            }
        }
        impl $trait<f64> for Lanes {
            type Output = Self;
            #[inline(always)]
            fn $method(self, other: f64) -> Self {
                self.map(|a| a $op other)
            }
        }
    )* };
}

elementwise!(Add add +, Sub sub -, Mul mul *, Div div /);

impl Neg for Lanes {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        self.map(|a| -a)
    }
}

impl AddAssign for Lanes {
    #[inline(always)]
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Real for Lanes {
    #[inline(always)]
    fn constant(value: f64) -> Self {
        Self([value; Self::COUNT])
    }
    #[inline(always)]
    fn sin(self) -> Self {
        match self.turns() {
            true => self.map(|x| simd::sin_cos(x).0),
            false => self.map(Real::sin),
        }
    }
    #[inline(always)]
    fn cos(self) -> Self {
        match self.turns() {
            true => self.map(|x| simd::sin_cos(x).1),
            false => self.map(Real::cos),
        }
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        self.map(Real::tanh)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        self.map(Real::exp)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.map(Real::ln)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        self.map(Real::sqrt)
    }
    #[inline(always)]
    fn powi(self, exponent: i32) -> Self {
        self.map(|a| Real::powi(a, exponent))
    }
    #[inline(always)]
    fn powf(self, exponent: f64) -> Self {
        self.map(|a| Real::powf(a, exponent))
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.map(Real::abs)
    }
    #[inline(always)]
    fn signum(self) -> Self {
        self.map(Real::signum)
    }
    #[inline(always)]
    fn hypot(self, other: Self) -> Self {
        self.zip(other, Real::hypot)
    }
    #[inline(always)]
    fn atan2(self, other: Self) -> Self {
        self.zip(other, Real::atan2)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        self.zip(other, Real::max)
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        self.zip(other, Real::min)
    }
    #[inline(always)]
    fn chain(self, derivative: Self) -> Self {
        self.zip(derivative, Real::chain)
    }
}

/// The values of all groups, `count` vectors of length `width` each, as rows `vector · samples + sample`.
pub(super) fn stored(
    groups: impl IntoIterator<Item = impl IntoIterator<Item = Lanes>>,
    samples: usize,
    count: usize,
    width: usize,
) -> Mat<f64> {
    let mut rows = Mat::zeros(count * samples, width);
    for (group, values) in groups.into_iter().enumerate() {
        for (place, value) in values.into_iter().enumerate() {
            let (i, j) = (place / width, place % width);
            value.store(&mut rows, i * samples, samples, group, j);
        }
    }
    rows
}

// Below this many group-steps a batch is done before a second thread has woken up.
const WORTH_THREADS: usize = 256;

/// Calls `work` for each group of samples, on several threads where that pays. Groups are
/// independent, so that the result does not depend on the number of threads.
pub(super) fn over_groups<R: Send>(
    samples: usize,
    steps: usize,
    work: impl Fn(usize) -> R + Sync + Send,
) -> Vec<R> {
    let groups = Lanes::groups(samples);
    if groups * steps < WORTH_THREADS {
        (0..groups).map(work).collect()
    } else {
        (0..groups).into_par_iter().map(work).collect()
    }
}
