//! L-BFGS (Liu and Nocedal 1989, doi 10.1007/BF01589116): a quasi-Newton step with a line search on
//! the loss of the batch.
//!
//! Written here because the crates either own the loop (`argmin`) or pair the gradients of
//! consecutive calls (`lbfgs`), which on mini-batches belong to different losses; here both gradients
//! of a pair are of one batch (Schraudolph, Yu and Günter 2007, "A stochastic quasi-Newton method
//! for online convex optimization").

use super::line_search::falls_enough;
use super::{Method, Step, Update, finite_gradient};
use crate::diagnostics::STEP_LENGTH;
use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::matrix::{self, dot, power_of_two};
use crate::objective::{Consumes, Linearized};
use crate::settings::{AT_LEAST_ONE, POSITIVE, Settings};
use std::collections::VecDeque;

crate::settings! {
    /// L-BFGS: Δθ = -η·t·H·g, with the inverse Hessian H of the last pairs and t from a line search on the batch.
    pub struct Lbfgs {
        /// Fraction η of the step found by the line search that is taken.
        pub learning_rate: f64 = 1.0, POSITIVE;
        /// Pairs of steps and changes of gradient that are kept.
        pub history: usize = 10, AT_LEAST_ONE;
        /// Step lengths that a line search tries at most, each one forward pass and most one backward pass.
        pub trials: usize = 20, AT_LEAST_ONE;
    }
}

impl Method for Lbfgs {
    fn name(&self) -> &'static str {
        "lbfgs"
    }

    fn about(&self) -> &'static str {
        "L-BFGS with a line search on the batch (Liu and Nocedal 1989)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::Gradient
    }

    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(QuasiNewton {
            settings: self.clone(),
            pairs: VecDeque::new(),
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

struct QuasiNewton {
    settings: Lbfgs,
    /// Newest first.
    pairs: VecDeque<Pair>,
}

/// A step s and the change y of the gradient along it, with s·y > 0.
#[derive(Default)]
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    product: f64,
}

impl Pair {
    /// None where the curvature along s is negative or lost in rounding.
    fn new(step: Vec<f64>, change: Vec<f64>) -> Option<Self> {
        let product = dot(&step, &change);
        let least = f64::EPSILON.sqrt() * matrix::norm(&step) * matrix::norm(&change);
        (product > least).then_some(Self {
            step,
            change,
            product,
        })
    }
}

impl QuasiNewton {
    /// H·g by the two-loop recursion, with H₀ = (s·y / y·y)·1 of the newest pair.
    fn apply(&self, gradient: &[f64]) -> Vec<f64> {
        let mut q = gradient.to_vec();
        let mut weights = Vec::with_capacity(self.pairs.len());
        for pair in &self.pairs {
            let weight = dot(&pair.step, &q) / pair.product;
            add(&mut q, -weight, &pair.change);
            weights.push(weight);
        }
        if let Some(newest) = self.pairs.front() {
            let length = matrix::norm(&newest.change);
            let scale = match length * length {
                square if square.is_normal() => {
                    newest.product / dot(&newest.change, &newest.change)
                }
                _ => newest.product / length / length,
            };
            q.iter_mut().for_each(|v| *v *= scale);
        }
        for (pair, weight) in self.pairs.iter().zip(weights).rev() {
            let correction = weight - dot(&pair.change, &q) / pair.product;
            add(&mut q, correction, &pair.step);
        }
        q
    }
}

impl Step for QuasiNewton {
    fn exchange(&mut self, state: &mut Exchange<'_>) {
        let mut pairs = Vec::from(std::mem::take(&mut self.pairs));
        state.several("pairs", &mut pairs, Pair::default, |state, pair| {
            state.over_parameters("step", &mut pair.step);
            state.over_parameters("change", &mut pair.change);
            state.number("product", &mut pair.product);
        });
        self.pairs = pairs.into();
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let gradient = finite_gradient(at)?;
        let mut direction = self.apply(&gradient);
        if dot(&direction, &gradient) <= 0.0 {
            // Only rounding does this to a positive definite H.
            self.pairs.clear();
            direction.clone_from(&gradient);
        }
        // Without pairs the direction has the size of the gradient, whose square may be out of range.
        let unit = match self.pairs.len() {
            0 => power_of_two(matrix::norm(&gradient)),
            _ => 1.0,
        };
        direction.iter_mut().for_each(|v| *v /= -unit);
        let first = match self.pairs.len() {
            0 => 1.0 / matrix::norm(&direction),
            _ => 1.0,
        };
        let start = Point {
            length: 0.0,
            loss: at.loss(),
            slope: dot(&direction, &gradient),
        };
        matrix::check_finite_vector("slope of the loss along the step", &[start.slope])?;
        let found = search(at, &direction, start, first, self.settings.trials)?;
        let Some((length, ahead)) = found else {
            self.pairs.clear();
            return Ok(update(vec![0.0; gradient.len()], 0.0));
        };
        let step: Vec<f64> = direction.iter().map(|d| length * d).collect();
        let delta = step.iter().map(|s| learning_rate * s).collect();
        let change = ahead.iter().zip(&gradient).map(|(a, g)| a - g).collect();
        if let Some(pair) = Pair::new(step, change) {
            self.pairs.truncate(self.settings.history - 1);
            self.pairs.push_front(pair);
        }
        Ok(update(delta, length / unit))
    }
}

fn update(delta: Vec<f64>, length: f64) -> Update {
    Update {
        delta,
        diagnostics: vec![STEP_LENGTH.of(length)],
        ..Update::default()
    }
}

// β of Liu and Nocedal, section 4.
const CURVATURE: f64 = 0.9;
// Differences of the loss below this, relative, are rounding (Hager and Zhang 2005, section 3).
const ROUNDING: f64 = 1e-15;

/// A place on the line: how far, the loss there and its slope.
#[derive(Clone, Copy)]
struct Point {
    length: f64,
    loss: f64,
    slope: f64,
}

impl Point {
    /// The minimum of the parabola through this point, its slope and the loss at `high`, but not at
    /// the very ends.
    fn between(self, high: Self) -> f64 {
        let width = high.length - self.length;
        let excess = high.loss - self.loss - self.slope * width;
        let inside = match -0.5 * self.slope * width / excess {
            fraction if fraction > 0.0 => fraction.min(0.9),
            _ => 0.0,
        };
        self.length + width * inside.max(0.1)
    }

    /// Where the slope, drawn as a line through `previous` and here, becomes zero.
    fn beyond(self, previous: Self) -> f64 {
        let rise = (self.slope - previous.slope) / (self.length - previous.length);
        let further = match -self.slope / rise {
            further if further > 0.0 => further,
            _ => f64::INFINITY,
        };
        self.length + further.clamp(0.1 * self.length, 9.0 * self.length)
    }
}

/// A length that meets the Wolfe conditions with the gradient there, by a bracket that shrinks; the
/// last that meets the first condition where the trials do not suffice.
fn search(
    at: &dyn Linearized,
    direction: &[f64],
    start: Point,
    first: f64,
    trials: usize,
) -> Result<Option<(f64, Vec<f64>)>> {
    let (mut low, mut high, mut length, mut best) = (start, None, first, None);
    if start.slope >= 0.0 || !first.is_finite() {
        return Ok(None);
    }
    for _ in 0..trials {
        let mut moved = at.parameters().to_vec();
        add(&mut moved, length, direction);
        let there = at.moved(&moved)?;
        let promised = -length * start.slope;
        // A loss without a gradient is no decrease either.
        let gradient = match falls_enough(start.loss, there.loss(), promised, ROUNDING) {
            true => Some(there.gradient()?),
            false => None,
        };
        let point = Point {
            length,
            loss: there.loss(),
            slope: gradient.as_ref().map_or(f64::NAN, |g| dot(g, direction)),
        };
        if !point.slope.is_finite() {
            high = Some(point);
            length = low.between(point);
            continue;
        }
        best = gradient.map(|gradient| (length, gradient));
        if point.slope >= CURVATURE * start.slope {
            break;
        }
        length = match high {
            Some(high) => point.between(high),
            None => point.beyond(low),
        };
        low = point;
    }
    Ok(best)
}

fn add(target: &mut [f64], factor: f64, vector: &[f64]) {
    for (t, v) in target.iter_mut().zip(vector) {
        *t += factor * v;
    }
}
