//! Equations as lists of operations, as those have them who write an equation in another language.

use super::equation::{Equation, Field};
use crate::error::{Error, Result};
use crate::network::{Derivative, Jets};
use crate::physics::Real;

/// An operation of a [`Formula`]; operands are the places of earlier ones.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Operation {
    /// A number.
    Constant(f64),
    /// A coordinate of the point.
    Coordinate(usize),
    /// A derivative of a field, or its value, by its number.
    Field(Derivative, usize),
    /// A function of one operand.
    Of(Function, usize),
    /// A power of an operand.
    Power(usize, f64),
    /// Two operands.
    Both(Pair, usize, usize),
}

/// Functions of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    /// -x.
    Negative,
    /// sin x.
    Sine,
    /// cos x.
    Cosine,
    /// tanh x.
    Tanh,
    /// e^x.
    Exponential,
    /// ln x.
    Logarithm,
    /// √x.
    Root,
    /// |x|.
    Absolute,
    /// The sign of x.
    Sign,
}

/// Functions of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pair {
    /// x + y.
    Sum,
    /// x - y.
    Difference,
    /// x·y.
    Product,
    /// x/y.
    Quotient,
    /// √(x² + y²).
    Length,
    /// The angle of the point with the ordinate x and the abscissa y.
    Angle,
    /// The larger.
    Larger,
    /// The smaller.
    Smaller,
}

crate::choices! {
    Function, "function" {
        Negative = "negative", "-x";
        Sine = "sin", "sin x";
        Cosine = "cos", "cos x";
        Tanh = "tanh", "tanh x";
        Exponential = "exp", "e^x";
        Logarithm = "log", "ln x";
        Root = "sqrt", "√x";
        Absolute = "abs", "|x|";
        Sign = "sign", "the sign of x";
    }
}

crate::choices! {
    Pair, "function" {
        Sum = "add", "x + y";
        Difference = "subtract", "x - y";
        Product = "multiply", "x·y";
        Quotient = "divide", "x/y";
        Length = "hypot", "√(x² + y²)";
        Angle = "arctan2", "the angle of the point (y, x)";
        Larger = "maximum", "the larger";
        Smaller = "minimum", "the smaller";
    }
}

impl Function {
    fn apply<T: Real>(self, x: T) -> T {
        match self {
            Self::Negative => -x,
            Self::Sine => x.sin(),
            Self::Cosine => x.cos(),
            Self::Tanh => x.tanh(),
            Self::Exponential => x.exp(),
            Self::Logarithm => x.ln(),
            Self::Root => x.sqrt(),
            Self::Absolute => x.abs(),
            Self::Sign => x.signum(),
        }
    }
}

impl Pair {
    fn apply<T: Real>(self, x: T, y: T) -> T {
        match self {
            Self::Sum => x + y,
            Self::Difference => x - y,
            Self::Product => x * y,
            Self::Quotient => x / y,
            Self::Length => x.hypot(y),
            Self::Angle => x.atan2(y),
            Self::Larger => x.max(y),
            Self::Smaller => x.min(y),
        }
    }
}

fn power<T: Real>(x: T, exponent: f64) -> T {
    match exponent.fract() == 0.0 && exponent.abs() <= 64.0 {
        true => x.powi(exponent as i32),
        false => x.powf(exponent),
    }
}

fn refused<R>(what: &str, found: usize, expected: String) -> Result<R> {
    Err(Error::setting(what, found, expected))
}

/// An equation as a list of operations, each of numbers that stand before it.
///
/// ```
/// use hig::linalg::Mat;
/// use hig::network::Derivative;
/// use hig::objective::{Formula, Operation, Pair};
///
/// // u·∂u/∂x - x of a field of one coordinate.
/// let operations = vec![
///     Operation::Field(Derivative::Value, 0),
///     Operation::Field(Derivative::First(0), 0),
///     Operation::Both(Pair::Product, 0, 1),
///     Operation::Coordinate(0),
///     Operation::Both(Pair::Difference, 2, 3),
/// ];
/// let burgers = Formula::new(1, 1, operations, vec![4])?;
/// assert_eq!(burgers.of_point(&[2.0], &[3.0, 5.0]), [3.0 * 5.0 - 2.0]);
/// # Ok::<(), hig::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Formula {
    jets: Jets,
    operations: Vec<Operation>,
    /// Whether an operation depends on the field; what does not is not differentiated.
    varies: Vec<bool>,
    residuals: Vec<usize>,
}

impl Formula {
    /// From the number of coordinates and of fields, the operations, and the places of those that are residuals.
    ///
    /// # Errors
    /// No residual; an operand that does not stand before its operation; a coordinate or field that there is not.
    pub fn new(
        coordinates: usize,
        fields: usize,
        operations: Vec<Operation>,
        residuals: Vec<usize>,
    ) -> Result<Self> {
        let mut jets = Jets::of(coordinates);
        let mut varies: Vec<bool> = Vec::with_capacity(operations.len());
        for (place, operation) in operations.iter().enumerate() {
            let operands = match *operation {
                Operation::Of(_, x) | Operation::Power(x, _) => vec![x],
                Operation::Both(_, x, y) => vec![x, y],
                Operation::Constant(_) | Operation::Coordinate(_) | Operation::Field(..) => vec![],
            };
            if let Some(later) = operands.iter().find(|operand| **operand >= place) {
                let expected = format!("an operation before number {place}");
                return refused("operand", *later, expected);
            }
            let known = |i: usize| match i < coordinates {
                true => Ok(()),
                false => refused("coordinate", i, format!("below {coordinates}")),
            };
            varies.push(match *operation {
                Operation::Constant(_) => false,
                Operation::Coordinate(i) => {
                    known(i)?;
                    false
                }
                Operation::Field(derivative, field) => {
                    if field >= fields {
                        return refused("field", field, format!("below {fields}"));
                    }
                    jets = match derivative {
                        Derivative::Value => jets,
                        Derivative::First(i) => {
                            known(i)?;
                            jets.with_first(i)
                        }
                        Derivative::Second(i, j) => {
                            known(i)?;
                            known(j)?;
                            jets.with_second(i, j)
                        }
                        Derivative::Laplacian(from, to) => {
                            if from >= to {
                                return refused("end of a Laplacian", to, format!("above {from}"));
                            }
                            known(to - 1)?;
                            jets.with_laplacian(from..to)
                        }
                    };
                    true
                }
                Operation::Of(..) | Operation::Power(..) | Operation::Both(..) => {
                    operands.iter().any(|operand| varies[*operand])
                }
            });
        }
        if residuals.is_empty() {
            return refused("residuals", 0, "at least 1".into());
        }
        if let Some(place) = residuals.iter().find(|place| **place >= operations.len()) {
            let expected = format!("the number of an operation, below {}", operations.len());
            return refused("residual", *place, expected);
        }
        Ok(Self {
            jets,
            operations,
            varies,
            residuals,
        })
    }

    /// The residuals at a point, from the numbers of the field's jet there: component by component of
    /// [`derivatives`](Equation::derivatives), the fields in each.
    pub fn of_point(&self, x: &[f64], numbers: &[f64]) -> Vec<f64> {
        let mut residuals = vec![0.0; self.residuals.len()];
        self.residuals(x, &Field::new(&self.jets, numbers), &mut residuals);
        residuals
    }

    /// Whether the field is among what it depends on.
    pub fn varies(&self) -> bool {
        self.residuals.iter().any(|place| self.varies[*place])
    }
}

impl Equation for Formula {
    fn derivatives(&self) -> Jets {
        self.jets.clone()
    }

    fn count(&self) -> usize {
        self.residuals.len()
    }

    fn residuals<T: Real>(&self, x: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        let count = self.operations.len();
        // What does not depend on the field stands in the first, the rest in the second.
        let (mut known, mut values) = (vec![0.0; count], vec![T::constant(0.0); count]);
        for (place, operation) in self.operations.iter().enumerate() {
            if !self.varies[place] {
                known[place] = match *operation {
                    Operation::Constant(value) => value,
                    Operation::Coordinate(i) => x[i],
                    Operation::Of(function, a) => function.apply(known[a]),
                    Operation::Power(a, exponent) => power(known[a], exponent),
                    Operation::Both(pair, a, b) => pair.apply(known[a], known[b]),
                    Operation::Field(..) => continue,
                };
                continue;
            }
            let lifted = |place: usize| match self.varies[place] {
                true => values[place],
                false => T::constant(known[place]),
            };
            values[place] = match *operation {
                Operation::Field(derivative, field) => {
                    let u = u.of(field);
                    match derivative {
                        Derivative::Value => u.value(),
                        Derivative::First(i) => u.first(i),
                        Derivative::Second(i, j) => u.second(i, j),
                        Derivative::Laplacian(from, to) => u.laplacian(from..to),
                    }
                }
                Operation::Of(function, a) => function.apply(values[a]),
                Operation::Power(a, exponent) => power(values[a], exponent),
                Operation::Both(pair, a, b) if !self.varies[b] => match pair {
                    Pair::Sum => values[a] + known[b],
                    Pair::Difference => values[a] - known[b],
                    Pair::Product => values[a] * known[b],
                    Pair::Quotient => values[a] / known[b],
                    _ => pair.apply(values[a], lifted(b)),
                },
                Operation::Both(Pair::Product, a, b) if !self.varies[a] => values[b] * known[a],
                Operation::Both(Pair::Sum, a, b) if !self.varies[a] => values[b] + known[a],
                Operation::Both(pair, a, b) => pair.apply(lifted(a), lifted(b)),
                Operation::Constant(_) | Operation::Coordinate(_) => continue,
            };
        }
        for (residual, place) in residuals.iter_mut().zip(&self.residuals) {
            *residual = match self.varies[*place] {
                true => values[*place],
                false => T::constant(known[*place]),
            };
        }
    }
}
