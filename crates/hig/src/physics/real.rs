//! The numbers that equations are written in.

use num_dual::DualNum;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A real number, a dual number, or several samples' numbers at once: what equations of motion are
/// generic over, so that the same text simulates, differentiates and vectorises.
///
/// `f64`, every dual number of `num_dual` and [`Lanes`](super::Lanes) are real numbers here.
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
    /// Sine.
    fn sin(self) -> Self;
    /// Cosine.
    fn cos(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Exponential.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Power with a whole exponent.
    fn powi(self, exponent: i32) -> Self;
}

impl<D: DualNum<Primitive = f64> + Copy> Real for D {
    #[inline(always)]
    fn constant(value: f64) -> Self {
        D::from(value)
    }
    #[inline(always)]
    fn sin(self) -> Self {
        DualNum::sin(&self)
    }
    #[inline(always)]
    fn cos(self) -> Self {
        DualNum::cos(&self)
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        DualNum::tanh(&self)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        DualNum::exp(&self)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        DualNum::ln(&self)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        DualNum::sqrt(&self)
    }
    #[inline(always)]
    fn powi(self, exponent: i32) -> Self {
        DualNum::powi(&self, exponent)
    }
}
