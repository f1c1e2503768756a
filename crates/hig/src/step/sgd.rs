//! Stochastic gradient descent, with heavy-ball momentum where asked
//! (Polyak 1964, doi 10.1016/0041-5553(64)90137-5; in the form of Sutskever et al. 2013, equation 1).

use super::{Method, Registered, Step, Update, clipped_gradient};
use crate::error::Result;
use crate::files::Exchange;
use crate::objective::{Consumes, Linearized};
use crate::settings::{FRACTION, NO_SETTING, NON_NEGATIVE, POSITIVE, Settings};

crate::settings! {
    /// Stochastic gradient descent: velocity ← μ·velocity - η·gradient; Δθ = velocity.
    pub struct Sgd {
        /// Whether it is gradient descent without or with momentum.
        pub registered: Registered = PLAIN, NO_SETTING;
        /// Learning rate η.
        pub learning_rate: f64 = 1e-2, POSITIVE;
        /// Momentum μ; 0 is plain gradient descent.
        pub momentum: f64 = 0.0, FRACTION;
        /// The largest norm of a gradient; a longer one is shortened to it. 0 is any.
        pub clip: f64 = 0.0, NON_NEGATIVE;
    }
}

const PLAIN: Registered = Registered {
    name: "sgd",
    about: "stochastic gradient descent, with momentum where asked",
};

const HEAVY_BALL: Registered = Registered {
    name: "momentum",
    about: "gradient descent with heavy-ball momentum (Polyak 1964)",
};

impl Sgd {
    /// Heavy-ball momentum, μ = 0.9.
    pub fn with_momentum() -> Self {
        Self {
            registered: HEAVY_BALL,
            momentum: 0.9,
            ..Self::default()
        }
    }
}

impl Method for Sgd {
    fn name(&self) -> &'static str {
        self.registered.name
    }

    fn about(&self) -> &'static str {
        self.registered.about
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::Gradient
    }

    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Descent {
            momentum: self.momentum,
            clip: self.clip,
            velocity: Vec::new(),
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

struct Descent {
    momentum: f64,
    clip: f64,
    velocity: Vec<f64>,
}

impl Step for Descent {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.vector("velocity", &mut self.velocity);
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let gradient = clipped_gradient(at, self.clip)?;
        self.velocity.resize(gradient.len(), 0.0);
        for (v, g) in self.velocity.iter_mut().zip(&gradient) {
            *v = self.momentum * *v - learning_rate * g;
        }
        Ok(Update {
            delta: self.velocity.clone(),
            ..Update::default()
        })
    }
}
