//! Elementwise nonlinearities.

use super::layer::Layer;
use crate::linalg::matrix::{Mat, MatRef};
use crate::linalg::simd;
use crate::settings::Rule;

/// An elementwise nonlinearity σ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// tanh x.
    Tanh,
    /// max(0, x); the derivative at 0 is taken as 0.
    Relu,
    /// sin x (Sitzmann et al. 2020, arXiv 2006.09661, without their frequency factor).
    Sine,
    /// x·Φ(x) with the normal distribution Φ, in its exact form (Hendrycks and Gimpel 2016,
    /// arXiv 1606.08415).
    Gelu,
    /// x.
    Identity,
}

impl Activation {
    /// σ(x).
    pub fn apply(self, x: f64) -> f64 {
        match self {
            Self::Tanh => x.tanh(),
            Self::Relu => x.max(0.0),
            Self::Sine => x.sin(),
            Self::Gelu => x * normal_distribution(x),
            Self::Identity => x,
        }
    }

    /// σ'(x), given x and y = σ(x).
    pub fn derivative(self, x: f64, y: f64) -> f64 {
        match self {
            Self::Tanh => 1.0 - y * y,
            Self::Relu => f64::from(x > 0.0),
            Self::Sine => x.cos(),
            Self::Gelu => {
                let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                normal_distribution(x) + x * density
            }
            Self::Identity => 1.0,
        }
    }
}

fn normal_distribution(x: f64) -> f64 {
    0.5 * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2)
}

crate::choices! {
    Activation, "activation" {
        Tanh = "tanh", "tanh x";
        Relu = "relu", "max(0, x)";
        Sine = "sine", "sin x";
        Gelu = "gelu", "x·Φ(x) with the normal distribution Φ";
        Identity = "identity", "x, no nonlinearity";
    }
}

/// Any activation, as a setting.
pub const ANY_ACTIVATION: Rule<Activation> = Rule::any();

impl Layer for Activation {
    fn outputs(&self, inputs: usize) -> Result<usize, String> {
        Ok(inputs)
    }

    fn forward(&self, _: &[f64], input: &Mat<f64>) -> Mat<f64> {
        let mut output = input.clone();
        for j in 0..output.ncols() {
            let column = output.col_as_slice_mut(j);
            if *self == Self::Tanh {
                simd::tanh(column);
                continue;
            }
            for v in column {
                *v = self.apply(*v);
            }
        }
        output
    }

    fn backward(
        &self,
        _: &[f64],
        input: &Mat<f64>,
        output: &Mat<f64>,
        rows: &Mat<f64>,
    ) -> Mat<f64> {
        self.scaled(input, output, rows.as_ref())
    }

    fn jvp(
        &self,
        _: &[f64],
        _: &[f64],
        input: &Mat<f64>,
        output: &Mat<f64>,
        tangent: Option<Mat<f64>>,
    ) -> Option<Mat<f64>> {
        tangent.map(|t| self.scaled(input, output, t.as_ref()))
    }

    fn activation(&self) -> Option<Activation> {
        Some(*self)
    }
}

impl Activation {
    /// Multiplies each row of a sample by that sample's derivatives.
    fn scaled(self, input: &Mat<f64>, output: &Mat<f64>, rows: MatRef<'_, f64>) -> Mat<f64> {
        let samples = input.nrows();
        let mut scaled = rows.to_owned();
        let mut slope = vec![0.0; samples];
        for j in 0..scaled.ncols() {
            let (x, y) = (input.col_as_slice(j), output.col_as_slice(j));
            for (d, (x, y)) in slope.iter_mut().zip(x.iter().zip(y)) {
                *d = self.derivative(*x, *y);
            }
            for component in scaled.col_as_slice_mut(j).chunks_exact_mut(samples) {
                for (v, d) in component.iter_mut().zip(&slope) {
                    *v *= d;
                }
            }
        }
        scaled
    }
}
