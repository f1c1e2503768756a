//! Equations that a field obeys, written once for any number type.

use crate::error::Result;
use crate::linalg::{Mat, MatRef};
use crate::network::{Derivative, Jets};
use crate::physics::{Differentiated, Dual, Real, Record, SampleFunction, Simulator, Widths};

/// An equation of a field u(x) and its derivatives, of which the *residuals* are 0 where it is met.
///
/// ```
/// use hig::network::Jets;
/// use hig::objective::{Equation, Field};
/// use hig::physics::Real;
///
/// /// ∂u/∂t + u·∂u/∂x = ν·∂²u/∂x² for u(t, x).
/// struct Burgers {
///     viscosity: f64,
/// }
///
/// impl Equation for Burgers {
///     fn derivatives(&self) -> Jets {
///         Jets::of(2).with_gradient().with_second(1, 1)
///     }
///
///     fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
///         residuals[0] = u.first(0) + u.value() * u.first(1) - u.second(1, 1) * self.viscosity;
///     }
/// }
/// ```
pub trait Equation: Send + Sync {
    /// The derivatives that it names, and the number of coordinates.
    fn derivatives(&self) -> Jets;

    /// How many residuals there are at a point.
    fn count(&self) -> usize {
        1
    }

    /// Writes the residuals at the point x.
    fn residuals<T: Real>(&self, x: &[f64], u: &Field<'_, T>, residuals: &mut [T]);
}

/// The field itself: what is given at a point is its value there.
#[derive(Debug, Clone, Copy)]
pub struct Given {
    /// Number of coordinates.
    pub coordinates: usize,
}

impl Equation for Given {
    fn derivatives(&self) -> Jets {
        Jets::of(self.coordinates)
    }

    fn residuals<T: Real>(&self, _: &[f64], u: &Field<'_, T>, residuals: &mut [T]) {
        residuals[0] = u.value();
    }
}

/// A field at a point, with the derivatives that its equation names: a component of what the network
/// answers, the first unless another is asked for.
#[derive(Debug)]
pub struct Field<'a, T> {
    jets: &'a Jets,
    /// Component by component of the jet, the outputs of the network in each.
    numbers: &'a [T],
    output: usize,
}

impl<'a, T: Real> Field<'a, T> {
    /// From the numbers of a jet: component by component, the outputs of the network in each.
    pub fn new(jets: &'a Jets, numbers: &'a [T]) -> Self {
        Self {
            jets,
            numbers,
            output: 0,
        }
    }

    /// Another output of the network, from 0.
    ///
    /// # Panics
    /// If the network has no such output.
    #[must_use]
    pub fn of(&self, output: usize) -> Self {
        assert!(output < self.outputs(), "the network has no such output");
        Self { output, ..*self }
    }

    /// u.
    #[inline(always)]
    pub fn value(&self) -> T {
        self.numbers[self.output]
    }

    /// ∂u/∂xᵢ.
    ///
    /// # Panics
    /// If the equation does not name it among its [`derivatives`](Equation::derivatives); so do the
    /// others.
    #[inline(always)]
    pub fn first(&self, i: usize) -> T {
        self.get(Derivative::First(i))
    }

    /// ∂²u/∂xᵢ∂xⱼ.
    ///
    /// # Panics
    /// As [`first`](Self::first).
    #[inline(always)]
    pub fn second(&self, i: usize, j: usize) -> T {
        self.get(Derivative::Second(i.min(j), i.max(j)))
    }

    /// Σ ∂²u/∂xᵢ² over a range of coordinates.
    ///
    /// # Panics
    /// As [`first`](Self::first).
    #[inline(always)]
    pub fn laplacian(&self, of: std::ops::Range<usize>) -> T {
        self.get(Derivative::Laplacian(of.start, of.end))
    }

    fn get(&self, derivative: Derivative) -> T {
        let Some(place) = self.jets.place(derivative) else {
            panic!("the equation does not name {derivative:?} among its derivatives");
        };
        self.numbers[place * self.outputs() + self.output]
    }

    fn outputs(&self) -> usize {
        self.numbers.len() / self.jets.count()
    }
}

impl<T> Clone for Field<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Field<'_, T> {}

/// An equation, whatever its type.
pub(super) trait AnyEquation: Send + Sync {
    fn rows(&self) -> usize;
    /// The residuals at points (b × coordinates) and their derivatives in the jets (b × C·outputs).
    fn record(
        &self,
        points: MatRef<'_, f64>,
        jets: MatRef<'_, f64>,
        outputs: usize,
    ) -> Result<Box<dyn Record>>;
    /// The residuals alone.
    fn evaluate(
        &self,
        points: MatRef<'_, f64>,
        jets: MatRef<'_, f64>,
        outputs: usize,
    ) -> Result<Mat<f64>>;
    /// Their second derivative along a curve of jets, with its velocity and its acceleration.
    fn second_along(
        &self,
        points: MatRef<'_, f64>,
        jets: [MatRef<'_, f64>; 3],
        outputs: usize,
    ) -> Mat<f64>;
}

impl<E: Equation> AnyEquation for E {
    fn rows(&self) -> usize {
        self.count()
    }

    fn record(
        &self,
        points: MatRef<'_, f64>,
        jets: MatRef<'_, f64>,
        outputs: usize,
    ) -> Result<Box<dyn Record>> {
        Differentiated(OfJet::new(self, outputs)).record(points, jets)
    }

    fn evaluate(
        &self,
        points: MatRef<'_, f64>,
        jets: MatRef<'_, f64>,
        outputs: usize,
    ) -> Result<Mat<f64>> {
        Differentiated(OfJet::new(self, outputs)).simulate(points, jets)
    }

    fn second_along(
        &self,
        points: MatRef<'_, f64>,
        [jets, velocity, acceleration]: [MatRef<'_, f64>; 3],
        outputs: usize,
    ) -> Mat<f64> {
        let equation = OfJet::new(self, outputs);
        let mut second = Mat::zeros(points.nrows(), self.count());
        let mut residuals = vec![Dual::fixed(Dual::fixed(0.0)); self.count()];
        for s in 0..points.nrows() {
            let x: Vec<f64> = points.row(s).iter().copied().collect();
            let number = |value, slope| Dual {
                value,
                slopes: [slope],
            };
            let numbers: Vec<Dual<1, Dual<1>>> = (0..jets.ncols())
                .map(|j| {
                    let v = velocity[(s, j)];
                    Dual {
                        value: number(jets[(s, j)], v),
                        slopes: [number(v, acceleration[(s, j)])],
                    }
                })
                .collect();
            SampleFunction::evaluate(&equation, &x, &numbers, &mut residuals);
            for (k, residual) in residuals.iter().enumerate() {
                second[(s, k)] = residual.slopes[0].slopes[0];
            }
        }
        second
    }
}

/// The residuals as a map from points and jets that differentiates itself.
struct OfJet<'a, E> {
    equation: &'a E,
    jets: Jets,
    outputs: usize,
}

impl<'a, E: Equation> OfJet<'a, E> {
    fn new(equation: &'a E, outputs: usize) -> Self {
        Self {
            equation,
            jets: equation.derivatives(),
            outputs,
        }
    }
}

impl<E: Equation> SampleFunction for OfJet<'_, E> {
    fn widths(&self) -> Widths {
        Widths {
            state: self.jets.inputs(),
            control: self.jets.count() * self.outputs,
            output: self.equation.count(),
        }
    }

    fn evaluate<T: Real>(&self, x: &[f64], numbers: &[T], y: &mut [T]) {
        self.equation
            .residuals(x, &Field::new(&self.jets, numbers), y);
    }
}
