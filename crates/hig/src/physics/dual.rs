//! Dual numbers: values with their derivatives, by forward-mode differentiation.

use super::Real;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// A number v + Σₖ sₖ·εₖ with εᵢ·εₖ = 0: a value and its derivatives in N directions.
///
/// A function written for any [`Real`] and evaluated at
/// [`variable`](Self::variable)s returns its value and its gradient. T may itself be a dual number,
/// which gives second derivatives, or [`Lanes`](super::Lanes). Values are bit for bit those of T's
/// own arithmetic. [`Real`] says which derivative is taken where there is none or an infinite one.
///
/// ```
/// use hig::physics::{Dual, Real};
///
/// let (x, y): (Dual<2>, Dual<2>) = (Dual::variable(5.0, 0), Dual::variable(3.0, 1));
/// let z = x * x * y.sqrt();
/// assert_eq!(z.value, 25.0 * 3.0_f64.sqrt());
/// assert_eq!(z.slopes[0], 10.0 * 3.0_f64.sqrt());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dual<const N: usize, T = f64> {
    /// v.
    pub value: T,
    /// s, the derivative in each direction.
    pub slopes: [T; N],
}

impl<const N: usize, T: Real> Dual<N, T> {
    /// A value that depends on nothing.
    #[inline(always)]
    pub fn fixed(value: T) -> Self {
        let slopes = [T::constant(0.0); N];
        Self { value, slopes }
    }

    /// The variable of direction `index`: derivative 1 in it and 0 in all others.
    ///
    /// # Panics
    /// `index` is not below N.
    #[inline(always)]
    pub fn variable(value: T, index: usize) -> Self {
        let mut variable = Self::fixed(value);
        variable.slopes[index] = T::constant(1.0);
        variable
    }

    /// A function of one number: its value here, and its derivative by which the slopes are multiplied.
    #[inline(always)]
    fn through(self, value: T, derivative: T) -> Self {
        let slopes = self.slopes.map(|s| s.chain(derivative));
        Self { value, slopes }
    }

    /// A function of two numbers from its value and its two partial derivatives.
    #[inline(always)]
    fn through_both(self, other: Self, value: T, derivatives: (T, T)) -> Self {
        let (first, second) = derivatives;
        let slope = |a: T, b: T| a.chain(first) + b.chain(second);
        self.zip(other, value, slope)
    }

    #[inline(always)]
    fn zip(self, other: Self, value: T, slope: impl Fn(T, T) -> T) -> Self {
        let slopes = std::array::from_fn(|k| slope(self.slopes[k], other.slopes[k]));
        Self { value, slopes }
    }
}

impl<const N: usize> Dual<N> {
    /// A point of which the N numbers from number `first` on are the variables.
    pub(super) fn point(values: impl IntoIterator<Item = f64>, first: usize) -> Vec<Self> {
        values
            .into_iter()
            .enumerate()
            .map(Self::seed(first))
            .collect()
    }

    /// Writes the same.
    pub(super) fn write_point(
        values: impl IntoIterator<Item = f64>,
        first: usize,
        target: &mut [Self],
    ) {
        let point = values.into_iter().enumerate().map(Self::seed(first));
        target.iter_mut().zip(point).for_each(|(t, p)| *t = p);
    }

    fn seed(first: usize) -> impl Fn((usize, f64)) -> Self {
        move |(j, value)| match j.checked_sub(first) {
            Some(k) if k < N => Self::variable(value, k),
            _ => Self::fixed(value),
        }
    }
}

impl<const N: usize, T: Real> Neg for Dual<N, T> {
    type Output = Self;
    #[inline(always)]
    fn neg(self) -> Self {
        Self {
            value: -self.value,
            slopes: self.slopes.map(|s| -s),
        }
    }
}

impl<const N: usize, T: Real> Add for Dual<N, T> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self.zip(other, self.value + other.value, |a, b| a + b)
    }
}

impl<const N: usize, T: Real> Sub for Dual<N, T> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self.zip(other, self.value - other.value, |a, b| a - b)
    }
}

impl<const N: usize, T: Real> Mul for Dual<N, T> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: Self) -> Self {
        let value = self.value * other.value;
        self.through_both(other, value, (other.value, self.value))
    }
}

impl<const N: usize, T: Real> Div for Dual<N, T> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: Self) -> Self {
        let inverse = T::constant(1.0) / other.value;
        self.zip(other, self.value / other.value, |a, b| {
            (a.chain(other.value) - b.chain(self.value))
                .chain(inverse)
                .chain(inverse)
        })
    }
}

impl<const N: usize, T: Real> Add<f64> for Dual<N, T> {
    type Output = Self;
    #[inline(always)]
    fn add(self, other: f64) -> Self {
        Self {
            value: self.value + other,
            ..self
        }
    }
}

impl<const N: usize, T: Real> Sub<f64> for Dual<N, T> {
    type Output = Self;
    #[inline(always)]
    fn sub(self, other: f64) -> Self {
        Self {
            value: self.value - other,
            ..self
        }
    }
}

impl<const N: usize, T: Real> Mul<f64> for Dual<N, T> {
    type Output = Self;
    #[inline(always)]
    fn mul(self, other: f64) -> Self {
        self.through(self.value * other, T::constant(other))
    }
}

impl<const N: usize, T: Real> Div<f64> for Dual<N, T> {
    type Output = Self;
    #[inline(always)]
    fn div(self, other: f64) -> Self {
        Self {
            value: self.value / other,
            slopes: self.slopes.map(|s| s / other),
        }
    }
}

impl<const N: usize, T: Real> Real for Dual<N, T> {
    #[inline(always)]
    fn constant(value: f64) -> Self {
        Self::fixed(T::constant(value))
    }
    #[inline(always)]
    fn sin(self) -> Self {
        self.through(self.value.sin(), self.value.cos())
    }
    #[inline(always)]
    fn cos(self) -> Self {
        self.through(self.value.cos(), -self.value.sin())
    }
    #[inline(always)]
    fn tanh(self) -> Self {
        let t = self.value.tanh();
        self.through(t, T::constant(1.0) - t * t)
    }
    #[inline(always)]
    fn exp(self) -> Self {
        let e = self.value.exp();
        self.through(e, e)
    }
    #[inline(always)]
    fn ln(self) -> Self {
        self.through(self.value.ln(), T::constant(1.0) / self.value)
    }
    #[inline(always)]
    fn sqrt(self) -> Self {
        let root = self.value.sqrt();
        self.through(root, T::constant(0.5) / root)
    }
    #[inline(always)]
    fn powi(self, exponent: i32) -> Self {
        let value = self.value.powi(exponent);
        if exponent == 0 {
            return Self::fixed(value);
        }
        let below = self.value.powi(exponent.saturating_sub(1));
        self.through(value, below * f64::from(exponent))
    }
    #[inline(always)]
    fn powf(self, exponent: f64) -> Self {
        let value = self.value.powf(exponent);
        if exponent == 0.0 {
            return Self::fixed(value);
        }
        self.through(value, self.value.powf(exponent - 1.0) * exponent)
    }
    #[inline(always)]
    fn abs(self) -> Self {
        self.through(self.value.abs(), self.value.signum())
    }
    #[inline(always)]
    fn signum(self) -> Self {
        Self::fixed(self.value.signum())
    }
    #[inline(always)]
    fn hypot(self, other: Self) -> Self {
        let length = self.value.hypot(other.value);
        let divisor = positive(length);
        let derivatives = (self.value / divisor, other.value / divisor);
        self.through_both(other, length, derivatives)
    }
    #[inline(always)]
    fn atan2(self, other: Self) -> Self {
        let divisor = positive(self.value.hypot(other.value));
        let derivatives = (
            other.value / divisor / divisor,
            -(self.value / divisor / divisor),
        );
        self.through_both(other, self.value.atan2(other.value), derivatives)
    }
    #[inline(always)]
    fn max(self, other: Self) -> Self {
        let sign = (self.value - other.value).signum();
        let derivatives = ((sign + 1.0) * 0.5, (-sign + 1.0) * 0.5);
        self.through_both(other, self.value.max(other.value), derivatives)
    }
    #[inline(always)]
    fn min(self, other: Self) -> Self {
        let sign = (self.value - other.value).signum();
        let derivatives = ((-sign + 1.0) * 0.5, (sign + 1.0) * 0.5);
        self.through_both(other, self.value.min(other.value), derivatives)
    }
    #[inline(always)]
    fn chain(self, derivative: Self) -> Self {
        let value = self.value.chain(derivative.value);
        self.through_both(derivative, value, (derivative.value, self.value))
    }
}

/// A length to divide by: 0 becomes the smallest normal number, so that 0/0 is 0.
#[inline(always)]
fn positive<T: Real>(length: T) -> T {
    length.max(T::constant(f64::MIN_POSITIVE))
}
