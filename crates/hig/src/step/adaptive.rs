//! Half-inverse gradients that look for their own exponent, damping and length.
//!
//! With A = √C·J and r = g/√C (see [`whitened`](super::whitened)) a candidate is
//!
//! ```text
//! Δθ = -η·β·α*·d,   d = V·f(Σ)·Uᵀ·r,   f(σ) = σ·(σ² + λ)^(-(1+κ)/2),   α* = (r·Ad) / |Ad|²
//! ```
//!
//! where α* minimises the quadratic model of the loss along d, so that β means the same for every κ
//! and batch size. A is decomposed once; each candidate (κ, λ) costs a backward and a forward pass,
//! another β a forward pass. The search begins where the last update ended, and every candidate
//! begins with a part of that update (`Drift`).

mod evidence;
mod place;

use super::decomposition::{ANY_ROUTE, Decomposition, Request, Route};
use super::whitened::whitened;
use super::{Method, Step, Update};
use crate::error::Result;
use crate::linearization::{Consumes, Linearization};
use crate::matrix::dot;
use crate::settings::{ANY_COUNT, AT_LEAST_ONE, FRACTION, POSITIVE, Rule, Settings};
use evidence::Evidence;
use place::{Axis, Place};
use rayon::prelude::*;

crate::settings! {
    /// Half-inverse gradients with a search for exponent, damping and length along one decomposition.
    pub struct AdaptiveHalfInverse {
        /// Factor η of every candidate; 1 is the length that the quadratic model finds best.
        pub learning_rate: f64 = 1.0, POSITIVE;
        /// κ of the first candidate.
        pub exponent: f64 = 0.5, FAMILY;
        /// λ of the first candidate, as a fraction of the largest σ².
        pub damping: f64 = 1e-3, DAMPING;
        /// The least λ, as a fraction of the largest σ².
        pub least_damping: f64 = 1e-13, DAMPING;
        /// Earlier batches by whose loss a candidate is judged, together with that of its own batch.
        pub memory: usize = 1, ANY_COUNT;
        /// μ: the part of the last update that every candidate begins with, as in SPRING (arXiv 2401.10190).
        pub momentum: f64 = 0.5, FRACTION;
        /// Rounds of candidates on one batch before it is left with no update.
        pub trials: usize = 5, AT_LEAST_ONE;
        /// How the Jacobian is decomposed: auto, gram (n × n), normal (p × p normal equations), lanczos (no matrix) or svd.
        pub route: Route = Route::Auto, ANY_ROUTE;
        /// Relative accuracy asked of the step on the Gram routes.
        pub accuracy: f64 = 1e-3, POSITIVE;
        /// Estimated relative error of the step at which Lanczos stops.
        pub tolerance: f64 = 0.1, POSITIVE;
    }
}

const FAMILY: Rule<f64> = Rule {
    text: "between 0 (orthogonalised) and 1 (Gauss-Newton)",
    holds: |v| (0.0..=1.0).contains(v),
};

const DAMPING: Rule<f64> = Rule {
    text: "above 0 and at most 1",
    holds: |v| *v > 0.0 && *v <= 1.0,
};

impl Method for AdaptiveHalfInverse {
    fn name(&self) -> &'static str {
        "adaptive-hig"
    }

    fn about(&self) -> &'static str {
        "half-inverse gradients with a search for exponent, damping and length"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn start(&self) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Searching {
            settings: self.clone(),
            request: Request::new(self.route, self.accuracy, self.tolerance),
            place: Place {
                exponent: self.exponent,
                damping: self.damping.max(self.least_damping),
                length: 1.0,
            },
            largest: None,
            axis: Axis::Damping,
            evidence: Evidence::new(self.memory),
            last: None,
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The part of the last update that a candidate begins with. What it does to the batch by the model
/// is taken off r, so that a candidate mends only what is left (SPRING, arXiv 2401.10190, where
/// κ = 1 and β = 1).
struct Drift {
    step: Vec<f64>,
    /// The decrease of the model by it.
    decrease: f64,
}

impl Drift {
    /// None for a step without; `cotangent` becomes what is left of it.
    fn new(
        scaled: &Linearization<'_>,
        cotangent: &mut [f64],
        last: Option<&Vec<f64>>,
        momentum: f64,
    ) -> Option<Self> {
        let step: Vec<f64> = last?.iter().map(|l| momentum * l).collect();
        let image = scaled.jvp(&step);
        let decrease = -dot(cotangent, &image) - 0.5 * dot(&image, &image);
        for (c, i) in cotangent.iter_mut().zip(&image) {
            *c += i;
        }
        Some(Self { step, decrease })
    }
}

/// A candidate direction, of its best length in the quadratic model.
struct Ray {
    place: Place,
    direction: Vec<f64>,
    /// The decrease of the model for the whole of it.
    decrease: f64,
}

impl Ray {
    fn new(at: &Linearization<'_>, parts: &Decomposition, place: Place) -> Self {
        let largest = parts.singular_values()[0];
        let filter = place.filter(largest);
        let (slope, square) = parts.line(&filter);
        let best = slope / square;
        let mut direction = parts.direction(at, &filter);
        direction.iter_mut().for_each(|d| *d *= -best);
        Self {
            place,
            direction,
            decrease: 0.5 * best * slope,
        }
    }

    fn step(&self, length: f64, drift: Option<&Drift>) -> Vec<f64> {
        let step = self.direction.iter().map(|d| length * d);
        match drift {
            Some(drift) => step.zip(&drift.step).map(|(s, d)| s + d).collect(),
            None => step.collect(),
        }
    }

    /// The decrease of the model at a length.
    fn predicted(&self, length: f64) -> f64 {
        self.decrease * length * (2.0 - length)
    }
}

/// A candidate with the loss it was found to have.
#[derive(Clone, Copy)]
struct Found {
    ray: usize,
    place: Place,
    loss: f64,
}

struct Searching {
    settings: AdaptiveHalfInverse,
    request: Request,
    place: Place,
    /// The largest singular value of the last batch.
    largest: Option<f64>,
    /// What the candidates of this batch differ in.
    axis: Axis,
    evidence: Evidence,
    /// The last update, where there is momentum.
    last: Option<Vec<f64>>,
}

/// The part of the model's decrease that the loss must show (Nocedal and Wright 2006, equation 3.4).
const SUFFICIENT_DECREASE: f64 = 1e-4;

/// How often a length is doubled or halved on one batch.
const STRETCHES: usize = 4;

impl Searching {
    /// The best candidate that lowers the loss enough, with the number that do.
    fn search(
        &mut self,
        at: &Linearization<'_>,
        scaled: &Linearization<'_>,
        parts: &Decomposition,
        drift: Option<&Drift>,
        rate: f64,
    ) -> (Option<(Found, Vec<f64>)>, usize) {
        let evidence = &self.evidence;
        let loss_after = |step: &[f64]| {
            let pairs = at.parameters().iter().zip(step);
            evidence.loss(at, &pairs.map(|(p, s)| p + s).collect::<Vec<f64>>())
        };
        let before = evidence.loss(at, at.parameters());
        let unit = evidence.share(at) / at.model().reduction.scale(at.batch().len());
        let mut place = self.place;
        let mut accepted = 0;
        for _ in 0..self.settings.trials {
            let places = place.neighbours(self.axis, parts_floor(&self.settings, &self.place));
            let rays: Vec<Ray> = places
                .into_par_iter()
                .map(|place| Ray::new(scaled, parts, place))
                .collect();
            let judge = |ray: usize, place: Place| {
                let length = rate * place.length;
                let loss = loss_after(&rays[ray].step(length, drift));
                let drifted = drift.map_or(0.0, |drift| drift.decrease);
                let predicted = (drifted + rays[ray].predicted(length)).max(0.0);
                let enough = before - loss > SUFFICIENT_DECREASE * unit * predicted;
                (enough && loss.is_finite()).then_some(Found { ray, place, loss })
            };
            let judged: Vec<Option<Found>> = (0..rays.len())
                .into_par_iter()
                .map(|i| judge(i, rays[i].place))
                .collect();
            accepted += judged.iter().flatten().count();
            let best = judged.into_iter().flatten().reduce(lower);
            if let Some(mut best) = best {
                for factor in [2.0, 0.5] {
                    let before = best.loss;
                    for _ in 0..STRETCHES {
                        let place = best.place.stretched(factor);
                        match judge(best.ray, place) {
                            Some(found) if found.loss < best.loss => best = found,
                            _ => break,
                        }
                        accepted += 1;
                    }
                    if best.loss < before {
                        break;
                    }
                }
                let step = rays[best.ray].step(rate * best.place.length, drift);
                self.place = best.place;
                return (Some((best, step)), accepted);
            }
            place = place.retreat();
        }
        // What failed may have been the part of the last update, which the next batch goes without.
        if drift.is_none() {
            self.place = place;
        }
        (None, 0)
    }
}

fn lower(a: Found, b: Found) -> Found {
    if b.loss < a.loss { b } else { a }
}

/// No candidate of this batch may have a smaller λ than it was decomposed for.
fn parts_floor(settings: &AdaptiveHalfInverse, place: &Place) -> f64 {
    place.least_damping(settings.least_damping)
}

impl Step for Searching {
    fn limit_memory(&mut self, numbers: usize) {
        self.request.memory = numbers;
    }

    fn consumes(&self, rows: usize, columns: usize) -> Consumes {
        self.request
            .consumes(&self.place.filter(1.0), rows, columns)
    }

    fn step(&mut self, at: &Linearization<'_>, learning_rate: f64) -> Result<Update> {
        let gradient = at.gradient();
        let still = vec![0.0; gradient.len()];
        if gradient == still {
            return Ok(Update {
                delta: still,
                ..Update::default()
            });
        }
        let (scaled, mut cotangent) = whitened(at);
        // The Rayleigh quotient of the gradient tells the scale, from below, before anything is decomposed.
        let quotient = dot(&gradient, &gradient) / dot(&cotangent, &cotangent);
        let largest = self.largest.unwrap_or(quotient.sqrt());
        let momentum = self.settings.momentum;
        let drift = Drift::new(&scaled, &mut cotangent, self.last.as_ref(), momentum);
        let least = Place {
            damping: parts_floor(&self.settings, &self.place),
            ..self.place
        };
        let parts = self
            .request
            .decompose(&scaled, &cotangent, &least.filter(largest))?;
        self.largest = parts.singular_values().first().copied();
        let (found, accepted) = self.search(at, &scaled, &parts, drift.as_ref(), learning_rate);
        self.last = match &found {
            Some((_, step)) if momentum > 0.0 => Some(step.clone()),
            _ => None,
        };
        self.evidence.keep(at.batch());
        self.axis = self.axis.other();
        let length = found.as_ref().map_or(0.0, |(found, _)| found.place.length);
        Ok(Update {
            delta: found.map_or(still, |(_, step)| step),
            diagnostics: vec![
                ("kappa", self.place.exponent),
                ("damping", self.place.damping),
                ("step_length", length),
                ("accepted", accepted as f64),
                ("rank", parts.rank(self.place.damping.sqrt()) as f64),
            ],
        })
    }
}
