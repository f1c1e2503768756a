//! The numbers that equations are written in.

use crate::linalg::simd;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A real number, a dual number, or several samples' numbers at once: what equations of motion are
/// generic over, so that the same text simulates, differentiates and vectorises.
///
/// `f64`, [`Dual`](super::Dual) and [`Lanes`](super::Lanes) are real numbers here.
///
/// Where a function has no derivative, dual numbers take the one that JAX takes: each method says
/// which. NaN in is NaN out, in values and in derivatives. A quantity that does not change has
/// derivative 0 whatever it goes through, also where the function's own derivative is infinite.
pub trait Real:
    Copy
    + Neg<Output = Self>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Add<f64, Output = Self>
    + Sub<f64, Output = Self>
    + Mul<f64, Output = Self>
    + Div<f64, Output = Self>
{
    /// A constant.
    fn constant(value: f64) -> Self;
    /// Sine, within 2 units in the last place.
    fn sin(self) -> Self;
    /// Cosine, within 2 units in the last place.
    fn cos(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Exponential.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Square root. Its derivative at 0 is infinite, except for a quantity whose own derivative is 0
    /// there: √(v·v) at v = 0 has derivative 0.
    fn sqrt(self) -> Self;
    /// Power with a whole exponent; the derivative of x⁰ is 0 everywhere.
    fn powi(self, exponent: i32) -> Self;
    /// Power with any exponent; NaN where x is negative and the exponent not whole. The derivative
    /// of x⁰ is 0 everywhere; that of x^a with 0 < a < 1 is infinite at 0.
    fn powf(self, exponent: f64) -> Self;
    /// Absolute value; its derivative at 0 is 0.
    fn abs(self) -> Self;
    /// 1, 0 or -1, the sign; 0 at ±0, other than `f64::signum`. Its derivative is 0 everywhere.
    fn signum(self) -> Self;
    /// √(self² + other²) without overflow on the way; its derivatives at (0, 0) are 0.
    fn hypot(self, other: Self) -> Self;
    /// The angle in (-π, π] of the point with abscissa `other` and ordinate `self`; its derivatives at
    /// (0, 0) are 0.
    fn atan2(self, other: Self) -> Self;
    /// The larger; where both are equal, each has half of the derivative. NaN where one is NaN, other
    /// than `f64::max`.
    fn max(self, other: Self) -> Self;
    /// The smaller; where both are equal, each has half of the derivative. NaN where one is NaN, other
    /// than `f64::min`.
    fn min(self, other: Self) -> Self;
    /// This derivative times that of an outer function, as the chain rule multiplies them: the
    /// product, but 0 where this one is 0 and the other infinite.
    fn chain(self, derivative: Self) -> Self;
}

impl Real for f64 {
    #[inline(always)]
    fn constant(value: f64) -> Self {
        value
    }
    #[inline(always)]
    fn sin(self) -> Self {
        match f64::abs(self) <= simd::TURNS {
            true => simd::sin_cos(self).0,
            false => f64::sin(self),
        }
    }
    #[inline(always)]
    fn cos(self) -> Self {
        match f64::abs(self) <= simd::TURNS {
            true => simd::sin_cos(self).1,
            false => f64::cos(self),
        }
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        simd::tanh_one(self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        f64::exp(self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        f64::ln(self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        f64::sqrt(self)
    }
    #[inline(always)]
    fn powi(self, exponent: i32) -> Self {
        f64::powi(self, exponent)
    }
    #[inline(always)]
    fn powf(self, exponent: f64) -> Self {
        f64::powf(self, exponent)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        f64::abs(self)
    }
    #[inline(always)]
    fn signum(self) -> Self {
        if self > 0.0 {
            1.0
        } else if self < 0.0 {
            -1.0
        } else {
            self
        }
    }
    #[inline(always)]
    fn hypot(self, other: Self) -> Self {
        f64::hypot(self, other)
    }
    #[inline(always)]
    fn atan2(self, other: Self) -> Self {
        f64::atan2(self, other)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        if self > other || self.is_nan() {
            self
        } else {
            other
        }
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        if self < other || self.is_nan() {
            self
        } else {
            other
        }
    }
    #[inline(always)]
    fn chain(self, derivative: Self) -> Self {
        if self == 0.0 && derivative.is_infinite() {
            0.0
        } else {
            self * derivative
        }
    }
}
