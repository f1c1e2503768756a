//! Adam (Kingma and Ba 2015, arXiv 1412.6980, algorithm 1).

use super::{Method, Step, Update, check_squares, clipped_gradient};
use crate::error::Result;
use crate::files::Exchange;
use crate::objective::{Consumes, Linearized};
use crate::settings::{FRACTION, NON_NEGATIVE, POSITIVE, Settings};

crate::settings! {
    /// Adam: gradient descent with bias-corrected moments.
    pub struct Adam {
        /// Learning rate η.
        pub learning_rate: f64 = 1e-3, POSITIVE;
        /// Decay of the mean of gradients.
        pub beta1: f64 = 0.9, FRACTION;
        /// Decay of the mean of squared gradients.
        pub beta2: f64 = 0.999, FRACTION;
        /// Added to the root of the second moment.
        pub epsilon: f64 = 1e-8, POSITIVE;
        /// The largest norm of a gradient; a longer one is shortened to it. 0 is any.
        pub clip: f64 = 0.0, NON_NEGATIVE;
    }
}

impl Method for Adam {
    fn name(&self) -> &'static str {
        "adam"
    }

    fn about(&self) -> &'static str {
        "Adam (Kingma and Ba 2015, arXiv 1412.6980)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::Gradient
    }

    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Moments::new(self.clone())))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// Adam's state, for any gradient; [`ScaleInvariant`](super::ScaleInvariant) uses it too.
#[derive(Debug)]
pub(super) struct Moments {
    settings: Adam,
    updates: usize,
    first: Vec<f64>,
    second: Vec<f64>,
}

impl Moments {
    pub(super) fn new(settings: Adam) -> Self {
        Self {
            settings,
            updates: 0,
            first: Vec::new(),
            second: Vec::new(),
        }
    }

    pub(super) fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.count("updates", &mut self.updates);
        state.vector("first", &mut self.first);
        state.vector("second", &mut self.second);
    }

    /// The update for a gradient.
    ///
    /// # Errors
    /// The squares of the gradients overflow.
    pub(super) fn apply(&mut self, gradient: &[f64], learning_rate: f64) -> Result<Vec<f64>> {
        let Adam {
            beta1,
            beta2,
            epsilon,
            ..
        } = self.settings;
        self.first.resize(gradient.len(), 0.0);
        self.second.resize(gradient.len(), 0.0);
        self.updates += 1;
        let updates = i32::try_from(self.updates).unwrap_or(i32::MAX);
        let correction1 = 1.0 - beta1.powi(updates);
        let correction2 = 1.0 - beta2.powi(updates);
        let moments = self.first.iter_mut().zip(&mut self.second);
        let delta = gradient.iter().zip(moments).map(|(g, (m, v))| {
            *m = beta1 * *m + (1.0 - beta1) * g;
            *v = beta2 * *v + (1.0 - beta2) * g * g;
            -learning_rate * (*m / correction1) / ((*v / correction2).sqrt() + epsilon)
        });
        let delta = delta.collect();
        check_squares(&self.second)?;
        Ok(delta)
    }
}

impl Step for Moments {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        Self::exchange(self, state);
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        Ok(Update {
            delta: self.apply(&clipped_gradient(at, self.settings.clip)?, learning_rate)?,
            ..Update::default()
        })
    }
}
