//! Elementwise nonlinearities.

use crate::error::Error;
use crate::settings::{SettingType, Value};
use std::str::FromStr;

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
    /// All activations with their names.
    pub const ALL: [(&'static str, Self); 5] = [
        ("tanh", Self::Tanh),
        ("relu", Self::Relu),
        ("sine", Self::Sine),
        ("gelu", Self::Gelu),
        ("identity", Self::Identity),
    ];

    /// The name in settings.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(_, a)| *a == self)
            .map_or("", |(n, _)| n)
    }

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

impl FromStr for Activation {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, activation)| *activation)
            .ok_or_else(|| Error::unknown("activation", name, Self::ALL.map(|(n, _)| n)))
    }
}

impl SettingType for Activation {
    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
    fn value(&self) -> Value {
        Value::Word(self.name().into())
    }
}

/// Any activation, as a setting.
pub const ANY_ACTIVATION: crate::settings::Rule<Activation> = crate::settings::Rule {
    text: "tanh, relu, sine, gelu or identity",
    holds: |_| true,
};
