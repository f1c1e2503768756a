//! The dual numbers of another library, as numbers that equations can be evaluated at.

use hig::physics::Real;
use num_dual::{Dual64, DualNum};
use std::ops::{Add, Div, Mul, Neg, Sub};

/// v + s·ε of `num_dual`.
#[derive(Debug, Clone, Copy)]
pub struct Oracle(pub Dual64);

impl Oracle {
    pub fn new(value: f64, slope: f64) -> Self {
        Self(Dual64::new(value, slope))
    }
}

impl Neg for Oracle {
    type Output = Self;
    fn neg(self) -> Self {
        Self(-self.0)
    }
}

macro_rules! operators {
    ($($trait:ident $method:ident $op:tt),*) => { $(
        impl $trait for Oracle {
            type Output = Self;
            fn $method(self, other: Self) -> Self {
                Self(self.0 $op other.0)
            }
        }
        impl $trait<f64> for Oracle {
            type Output = Self;
            fn $method(self, other: f64) -> Self {
                Self(self.0 $op other)
            }
        }
    )* };
}

operators!(Add add +, Sub sub -, Mul mul *, Div div /);

macro_rules! functions {
    ($($name:ident($($argument:ident: $type:ty),*)),* $(,)?) => { $(
        fn $name(self, $($argument: $type),*) -> Self {
            Self(DualNum::$name(&self.0, $($argument),*))
        }
    )* };
}

impl Real for Oracle {
    fn constant(value: f64) -> Self {
        Self(Dual64::from_re(value))
    }
    functions! {
        sin(), cos(), tanh(), exp(), ln(), sqrt(), powi(exponent: i32), powf(exponent: f64),
    }
    fn abs(self) -> Self {
        if self.0.re < 0.0 { -self } else { self }
    }
    fn signum(self) -> Self {
        Self::constant(Real::signum(self.0.re))
    }
    fn hypot(self, other: Self) -> Self {
        (self * self + other * other).sqrt()
    }
    fn atan2(self, other: Self) -> Self {
        Self(DualNum::atan2(&self.0, other.0))
    }
    fn max(self, other: Self) -> Self {
        if self.0.re > other.0.re { self } else { other }
    }
    fn min(self, other: Self) -> Self {
        if self.0.re < other.0.re { self } else { other }
    }
    fn chain(self, derivative: Self) -> Self {
        self * derivative
    }
}
