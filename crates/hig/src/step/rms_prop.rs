//! RMSProp (Tieleman and Hinton 2012, Neural Networks for Machine Learning, lecture 6e).

use super::{Method, Step, Update, check_squares, clipped_gradient};
use crate::error::Result;
use crate::files::Exchange;
use crate::objective::{Consumes, Linearized};
use crate::settings::{FRACTION, NON_NEGATIVE, POSITIVE, Settings};

crate::settings! {
    /// RMSProp: s ← ρ·s + (1 - ρ)·g²; Δθ = -η·g / (√s + ε), component by component.
    ///
    /// The lecture leaves η open and has no ε.
    pub struct RmsProp {
        /// Learning rate η.
        pub learning_rate: f64 = 1e-3, POSITIVE;
        /// Decay ρ of the mean of squared gradients.
        pub decay: f64 = 0.9, FRACTION;
        /// ε, added to the root of the mean.
        pub epsilon: f64 = 1e-8, POSITIVE;
        /// The largest norm of a gradient; a longer one is shortened to it. 0 is any.
        pub clip: f64 = 0.0, NON_NEGATIVE;
    }
}

impl Method for RmsProp {
    fn name(&self) -> &'static str {
        "rmsprop"
    }

    fn about(&self) -> &'static str {
        "RMSProp (Tieleman and Hinton 2012, lecture 6e)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::Gradient
    }

    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Mean {
            settings: self.clone(),
            squares: Vec::new(),
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

struct Mean {
    settings: RmsProp,
    squares: Vec<f64>,
}

impl Step for Mean {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.vector("squares", &mut self.squares);
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let RmsProp { decay, epsilon, .. } = self.settings;
        let gradient = clipped_gradient(at, self.settings.clip)?;
        self.squares.resize(gradient.len(), 0.0);
        let pairs = gradient.iter().zip(&mut self.squares);
        let delta = pairs.map(|(g, mean)| {
            *mean = decay * *mean + (1.0 - decay) * g * g;
            -learning_rate * g / (mean.sqrt() + epsilon)
        });
        let delta = delta.collect();
        check_squares(&self.squares)?;
        Ok(Update {
            delta,
            ..Update::default()
        })
    }
}
