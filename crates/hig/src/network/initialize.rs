//! Random initial weights.

use crate::settings::Rule;
use rand::RngExt;
use rand_distr::{Distribution, StandardNormal, Uniform};
use rand_pcg::Pcg64;

/// Distribution of a layer's initial weights, by its fan-in (numbers that make one output) and fan-out
/// (outputs that one number goes to); for a dense layer its inputs and outputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Initializer {
    /// Uniform in ±√(6 / (inputs + outputs)) (Glorot and Bengio 2010, equation 16).
    Glorot,
    /// Normal with variance 2 / inputs (He et al. 2015, arXiv 1502.01852, equation 10).
    He,
    /// Normal with variance 1 / inputs (LeCun et al. 1998, "Efficient BackProp", section 4.6).
    Lecun,
    /// Uniform in ±1 / √inputs, and so are the biases of such layers (the default of PyTorch's linear and
    /// convolutional layers).
    Uniform,
    /// Uniform in ±√(3 / inputs), of variance 1 / inputs, and so are the biases: √3 times as wide as
    /// [`Uniform`](Self::Uniform), so that the kinks of a tanh network's first layers lie all over a domain of
    /// size 1. For fields that obey an equation.
    Wide,
}

impl Initializer {
    /// Draws `count` weights of a layer with that fan-in and fan-out.
    pub fn draw(self, count: usize, inputs: usize, outputs: usize, random: &mut Pcg64) -> Vec<f64> {
        let normal = |variance: f64, random: &mut Pcg64| -> Vec<f64> {
            let numbers = random.sample_iter::<f64, _>(StandardNormal);
            numbers.take(count).map(|z| z * variance.sqrt()).collect()
        };
        let within = |bound: f64, random: &mut Pcg64| -> Vec<f64> {
            let uniform = Uniform::new_inclusive(-bound, bound).expect("finite bounds");
            (0..count).map(|_| uniform.sample(random)).collect()
        };
        match self {
            Self::Glorot => within((6.0 / (inputs + outputs) as f64).sqrt(), random),
            Self::Uniform => within(1.0 / (inputs as f64).sqrt(), random),
            Self::Wide => within((3.0 / inputs as f64).sqrt(), random),
            Self::He => normal(2.0 / inputs as f64, random),
            Self::Lecun => normal(1.0 / inputs as f64, random),
        }
    }

    /// Whether biases are drawn as the weights before them are.
    pub(super) fn draws_biases(self) -> bool {
        matches!(self, Self::Uniform | Self::Wide)
    }
}

crate::choices! {
    Initializer, "initializer" {
        Glorot = "glorot", "uniform in ±√(6 / (inputs + outputs))";
        He = "he", "normal with variance 2 / inputs";
        Lecun = "lecun", "normal with variance 1 / inputs";
        Uniform = "uniform", "uniform in ±1 / √inputs, biases too";
        Wide = "wide", "uniform in ±√(3 / inputs), biases too";
    }
}

/// Any initializer, as a setting.
pub const ANY_INITIALIZER: Rule<Initializer> = Rule::any();
