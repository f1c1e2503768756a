//! Elementwise nonlinearities.

use crate::linalg::simd::vectorised;
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

    /// σ'(x) of many numbers, given y = σ(x) of each.
    pub(super) fn write_derivatives(self, x: &[f64], y: &[f64], target: &mut [f64]) {
        if self == Self::Tanh {
            vectorised(
                #[inline(always)]
                || {
                    for (d, y) in target.iter_mut().zip(y) {
                        *d = 1.0 - y * y;
                    }
                },
            );
            return;
        }
        for (d, (x, y)) in target.iter_mut().zip(x.iter().zip(y)) {
            *d = self.derivative(*x, *y);
        }
    }

    /// σ'(x), σ''(x) and σ'''(x), given x and y = σ(x); those of relu are 0 but for the first.
    #[inline(always)]
    pub fn three_derivatives(self, x: f64, y: f64) -> [f64; 3] {
        match self {
            Self::Tanh => {
                let slope = 1.0 - y * y;
                [slope, -2.0 * y * slope, slope * (6.0 * y * y - 2.0)]
            }
            Self::Sine => [x.cos(), -y, -x.cos()],
            Self::Gelu => {
                let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                let second = density * (2.0 - x * x);
                let third = density * x * (x * x - 4.0);
                [self.derivative(x, y), second, third]
            }
            Self::Relu | Self::Identity => [self.derivative(x, y), 0.0, 0.0],
        }
    }

    /// σ'(x), σ''(x) and σ'''(x) of many numbers, given y = σ(x) of each.
    #[inline(always)]
    pub(super) fn write_three(self, x: &[f64], y: &[f64], target: [&mut [f64]; 3]) {
        // The activation is told before the loop, which is compiled for each of them.
        match self {
            Self::Tanh => write_three(|x, y| Self::Tanh.three_derivatives(x, y), x, y, target),
            Self::Sine => write_three(|x, y| Self::Sine.three_derivatives(x, y), x, y, target),
            Self::Gelu => write_three(|x, y| Self::Gelu.three_derivatives(x, y), x, y, target),
            Self::Relu | Self::Identity => {
                write_three(|x, y| self.three_derivatives(x, y), x, y, target);
            }
        }
    }

    /// The fourth derivative of many numbers, given y = σ(x) of each.
    #[inline(always)]
    pub(super) fn write_fourth(self, x: &[f64], y: &[f64], target: &mut [f64]) {
        let pairs = target.iter_mut().zip(x.iter().zip(y));
        match self {
            Self::Tanh => pairs.for_each(|(t, (x, y))| *t = Self::Tanh.fourth_derivative(*x, *y)),
            _ => pairs.for_each(|(t, (x, y))| *t = self.fourth_derivative(*x, *y)),
        }
    }

    /// The fourth derivative of σ at x, given x and y = σ(x); that of relu is 0.
    #[inline(always)]
    pub fn fourth_derivative(self, x: f64, y: f64) -> f64 {
        match self {
            Self::Tanh => (1.0 - y * y) * y * (16.0 - 24.0 * y * y),
            Self::Sine => y,
            Self::Gelu => {
                let density = (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
                density * (x * x * (7.0 - x * x) - 4.0)
            }
            Self::Relu | Self::Identity => 0.0,
        }
    }
}

#[inline(always)]
fn write_three(
    of: impl Fn(f64, f64) -> [f64; 3],
    x: &[f64],
    y: &[f64],
    [first, second, third]: [&mut [f64]; 3],
) {
    let derivatives = first.iter_mut().zip(second).zip(third);
    for (((one, two), three), (x, y)) in derivatives.zip(x.iter().zip(y)) {
        [*one, *two, *three] = of(*x, *y);
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
