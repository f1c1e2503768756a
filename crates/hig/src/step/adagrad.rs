//! AdaGrad (Duchi, Hazan and Singer 2011, Journal of Machine Learning Research 12, 2121-2159,
//! figure 1, diagonal matrices).

use super::{Method, Step, Update, check_squares, clipped_gradient};
use crate::error::Result;
use crate::files::Exchange;
use crate::objective::{Consumes, Linearized};
use crate::settings::{NON_NEGATIVE, POSITIVE, Settings};

crate::settings! {
    /// AdaGrad: s ← s + g²; Δθ = -η·g / (√s + δ), component by component.
    ///
    /// The paper leaves η and δ open.
    pub struct AdaGrad {
        /// Learning rate η.
        pub learning_rate: f64 = 1e-2, POSITIVE;
        /// δ, added to the root of the sum of squared gradients.
        pub epsilon: f64 = 1e-10, POSITIVE;
        /// The largest norm of a gradient; a longer one is shortened to it. 0 is any.
        pub clip: f64 = 0.0, NON_NEGATIVE;
    }
}

impl Method for AdaGrad {
    fn name(&self) -> &'static str {
        "adagrad"
    }

    fn about(&self) -> &'static str {
        "AdaGrad (Duchi, Hazan, Singer 2011)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::Gradient
    }

    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Sums {
            epsilon: self.epsilon,
            clip: self.clip,
            squares: Vec::new(),
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

struct Sums {
    epsilon: f64,
    clip: f64,
    squares: Vec<f64>,
}

impl Step for Sums {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.vector("squares", &mut self.squares);
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let gradient = clipped_gradient(at, self.clip)?;
        self.squares.resize(gradient.len(), 0.0);
        let pairs = gradient.iter().zip(&mut self.squares);
        let delta = pairs.map(|(g, sum)| {
            *sum += g * g;
            -learning_rate * g / (sum.sqrt() + self.epsilon)
        });
        let delta = delta.collect();
        check_squares(&self.squares)?;
        Ok(Update {
            delta,
            ..Update::default()
        })
    }
}
