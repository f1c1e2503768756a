//! Adadelta (Zeiler 2012, arXiv 1212.5701, algorithm 1).

use super::{Method, Step, Update, check_squares, clipped_gradient};
use crate::error::Result;
use crate::files::Exchange;
use crate::objective::{Consumes, Linearized};
use crate::settings::{FRACTION, NON_NEGATIVE, POSITIVE, Settings};

crate::settings! {
    /// Adadelta: Δθ = -η·g·RMS(Δ)/RMS(g), with RMS(v) = √(mean of v² + ε) over decaying means and Δ the steps before η.
    pub struct Adadelta {
        /// Factor η on the step; the paper has none.
        pub learning_rate: f64 = 1.0, POSITIVE;
        /// Decay ρ of both means.
        pub rho: f64 = 0.95, FRACTION;
        /// ε inside both roots; it sets the size of the first steps.
        pub epsilon: f64 = 1e-6, POSITIVE;
        /// The largest norm of a gradient; a longer one is shortened to it. 0 is any.
        pub clip: f64 = 0.0, NON_NEGATIVE;
    }
}

impl Method for Adadelta {
    fn name(&self) -> &'static str {
        "adadelta"
    }

    fn about(&self) -> &'static str {
        "Adadelta (Zeiler 2012, arXiv 1212.5701)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::Gradient
    }

    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Means {
            settings: self.clone(),
            gradients: Vec::new(),
            steps: Vec::new(),
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// Decaying means of squares.
struct Means {
    settings: Adadelta,
    gradients: Vec<f64>,
    steps: Vec<f64>,
}

impl Step for Means {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.vector("gradients", &mut self.gradients);
        state.vector("steps", &mut self.steps);
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let Adadelta { rho, epsilon, .. } = self.settings;
        let gradient = clipped_gradient(at, self.settings.clip)?;
        self.gradients.resize(gradient.len(), 0.0);
        self.steps.resize(gradient.len(), 0.0);
        let means = self.gradients.iter_mut().zip(&mut self.steps);
        let delta = gradient.iter().zip(means).map(|(g, (squares, steps))| {
            *squares = rho * *squares + (1.0 - rho) * g * g;
            let step = -((*steps + epsilon) / (*squares + epsilon)).sqrt() * g;
            *steps = rho * *steps + (1.0 - rho) * step * step;
            learning_rate * step
        });
        let delta = delta.collect();
        check_squares(&self.gradients)?;
        Ok(Update {
            delta,
            ..Update::default()
        })
    }
}
