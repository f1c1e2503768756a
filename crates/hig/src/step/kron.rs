//! Half-inverse gradients layer by layer, in Kronecker factors.
//!
//! The Gauss-Newton matrix JᵀCJ is replaced by a block for each layer, A ⊗ B for one with a weight (see
//! [`LayerMoments`](crate::network::LayerMoments)), averaged over batches. With A = U_A·Λ_A·U_Aᵀ, B = U_B·Λ_B·U_Bᵀ
//! and the gradient ∂L/∂W of a layer the direction is
//!
//! ```text
//! D = U_B·[(U_Bᵀ·∂L/∂W·U_A) ∘ (λ_B·λ_Aᵀ + λ)^(-(1+κ)/2)]·U_Aᵀ,   m = μ·m' + D,   ΔW = -η·α·m
//! ```
//!
//! which is the spectral filter σ·(σ² + λ)^(-(1+κ)/2) of the half-inverse gradient on that matrix. κ = 1 is
//! KFAC (Martens and Grosse 2015, arXiv 1503.05671), κ = 0 has the normalisation of Shampoo (Gupta, Koren and Singer
//! 2018, arXiv 1802.09568).
//!
//! - B comes of one random probe a sample, sent back through physics and network.
//! - α follows what each new batch says of the last step ([`Length`]).
//! - λ falls with the loss, as in Levenberg-Marquardt methods whose damping is a power of the residual (Fan and Yuan
//!   2005, doi 10.1007/s00607-004-0083-1).
//! - Where new batches find things far worse than at the parameters kept, training goes back to these
//!   ([`Ward`]).

mod factor;
mod layers;
mod leading;
mod length;
mod ward;

use super::line_search::quadratic_model;
use super::{Method, Step, Update, finite_gradient, no_layers};
use crate::data::{Purpose, random};
use crate::diagnostics;
use crate::error::{Error, Result};
use crate::files::Exchange;
use crate::linalg::Mat;
use crate::objective::{Consumes, Linearized, ParameterView, residual};
use crate::settings::{AT_LEAST_ONE, End, FRACTION, POSITIVE, Rule, Settings};
use layers::{Layers, Power};
use length::Length;
use rand::RngExt;
use rand_pcg::Pcg64;
use ward::{Verdict, Ward};

crate::settings! {
    /// Half-inverse gradients layer by layer, in Kronecker factors, with a length that new batches find.
    pub struct KroneckerHalfInverse {
        /// Fraction η of the length that is found.
        pub learning_rate: f64 = 1.0, POSITIVE;
        /// κ of the filter on each layer's eigenvalues.
        pub exponent: f64 = 0.5, FAMILY;
        /// First damping λ as a fraction of the largest eigenvalue of a layer; it falls with the loss.
        pub damping: f64 = 3e-3, DAMPING;
        /// μ: the part of the last direction that is followed again.
        pub momentum: f64 = 0.9, FRACTION;
        /// The most updates from one renewal of the factors to the next.
        pub renewal: usize = 10, AT_LEAST_ONE;
        /// Change of a factor, in the basis in which it was diagonal, from which it is decomposed anew.
        pub change: f64 = 0.3, POSITIVE;
    }
}

const FAMILY: Rule<f64> = Rule::between(
    End::meaning(-1.0, "gradient descent"),
    End::meaning(1.0, "KFAC"),
);

const DAMPING: Rule<f64> = Rule::between(End::excluded(0.0), End::included(1.0));

impl Method for KroneckerHalfInverse {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "half-inverse gradients layer by layer in Kronecker factors, at the price of few gradients"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, _: usize, _: usize, _: usize) -> Consumes {
        Consumes::LayerMoments
    }

    fn start_within(&self, _: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Factored {
            settings: self.clone(),
            layers: Layers::default(),
            length: Length::default(),
            ward: None,
            buffer: None,
            updates: 0,
            since_renewal: 0,
            led_to: 0.0,
            probes: random(0, Purpose::Sketch),
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

const NAME: &str = "kron-hig";

/// Probes of a sample for the first factors, which must stand for those of many batches, and for later ones.
const FIRST_PROBES: usize = 8;
const PROBES: usize = 1;

/// Renewals that the averages of the factors look back over.
const SPAN: f64 = 20.0;

/// Updates that pass, for each one between two renewals, before there may be so many of them.
const PATIENCE: usize = 4;

struct Factored {
    settings: KroneckerHalfInverse,
    layers: Layers,
    length: Length,
    ward: Option<Ward>,
    /// m of the last update.
    buffer: Option<Vec<f64>>,
    updates: usize,
    since_renewal: usize,
    /// The sum of the parameters that the last update led to.
    led_to: f64,
    /// The stream of the probes' signs.
    probes: Pcg64,
}

impl Factored {
    /// Whether the factors are due to be renewed: often at first.
    fn is_due(&self) -> bool {
        let most = self.settings.renewal.min(1 + self.updates / PATIENCE);
        self.layers.is_empty() || self.since_renewal >= most
    }

    /// λ as a part of the largest eigenvalue.
    fn damping(&self) -> f64 {
        let fallen = self.ward.as_ref().map_or(1.0, Ward::fallen);
        self.settings.damping * fallen
    }

    fn power(&self) -> Power {
        let damping = self.damping() * self.layers.largest();
        Power {
            damping: damping.max(f64::MIN_POSITIVE),
            exponent: self.settings.exponent,
        }
    }

    /// Asks a batch for its share of the factors: how many bases were found anew.
    fn renew(&mut self, at: &dyn Linearized) -> Result<usize> {
        let count = match self.layers.is_empty() {
            true => FIRST_PROBES,
            false => PROBES,
        };
        let (roots, _) = residual(at)?;
        let signs = &mut self.probes;
        let probes = Mat::from_fn(roots.len(), count, |i, _| match signs.random() {
            true => roots[i],
            false => -roots[i],
        });
        let moments = at.layer_moments(probes.as_ref())?;
        let moments = moments.ok_or_else(|| no_layers(NAME))?;
        self.since_renewal = 0;
        self.layers.learn(moments, SPAN)?;
        self.layers.renew(self.damping(), self.settings.change)
    }

    /// Judges a batch by the parameters that are kept: whether training goes back to them.
    fn judge(&mut self, given: &dyn Linearized, due: bool) -> Result<bool> {
        let (parameters, loss) = (given.parameters(), given.loss());
        let ward = self.ward.get_or_insert_with(|| Ward::new(parameters));
        if self.buffer.is_none() || !(due || ward.stands_out(given.mean_loss())) {
            return Ok(false);
        }
        match Ward::judge(loss, given.loss_at(&ward.kept)?) {
            Verdict::Keep if due => ward.kept.copy_from_slice(parameters),
            Verdict::Keep | Verdict::GoOn => {}
            Verdict::GoBack => {
                self.length.cut();
                self.buffer = None;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Hears what a batch says of the last step: ρ, where it says something.
    fn hear(
        &mut self,
        at: &dyn Linearized,
        gradient: &[f64],
        (rate, due): (f64, bool),
    ) -> Result<Option<f64>> {
        let Some(last) = &self.buffer else {
            return Ok(None);
        };
        let square = dot(last, last);
        if due || self.length.must_measure() {
            let (_, curvature) = quadratic_model(at, &at.tangent(last)?)?;
            self.length.measure(curvature, square);
        }
        Ok(self.length.hear(dot(gradient, last), square, rate))
    }
}

/// The sum of f(a, b) over two vectors of one length, in lanes: one after the other each addition would wait
/// for the last.
#[inline(always)]
fn sum_of(a: &[f64], b: &[f64], f: impl Fn(f64, f64) -> f64) -> f64 {
    const LANES: usize = 8;
    let ((left, of_a), (right, of_b)) = (a.as_chunks::<LANES>(), b.as_chunks::<LANES>());
    let mut sums = [0.0; LANES];
    for (left, right) in left.iter().zip(right) {
        for ((sum, a), b) in sums.iter_mut().zip(left).zip(right) {
            *sum += f(*a, *b);
        }
    }
    let rest = of_a.iter().zip(of_b).map(|(a, b)| f(*a, *b));
    sums.iter().sum::<f64>() + rest.sum::<f64>()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    sum_of(a, b, |a, b| a * b)
}

impl Step for Factored {
    fn begin(&mut self, seed: u64, _: &[ParameterView]) {
        self.probes = random(seed, Purpose::Sketch);
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.part("layers", |state| self.layers.exchange(state));
        state.part("length", |state| self.length.exchange(state));
        let fresh = || Ward::new(&[]);
        let part = |state: &mut Exchange<'_>, ward: &mut Ward| ward.exchange(state);
        state.optional("ward", &mut self.ward, fresh, part);
        state.optional_over_parameters("buffer", &mut self.buffer);
        state.count("updates", &mut self.updates);
        state.count("since_renewal", &mut self.since_renewal);
        state.number("led_to", &mut self.led_to);
        state.serial("probes", &mut self.probes);
    }

    fn takes_back(&self) -> bool {
        self.buffer.is_some()
    }

    fn step(&mut self, given: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let parameters = given.parameters();
        let due = self.is_due();
        if sum_of(parameters, parameters, |p, _| p).to_bits() != self.led_to.to_bits() {
            self.buffer = None;
            self.ward = None;
        }
        let back = self.judge(given, due)?;
        let kept = match &self.ward {
            Some(ward) if back => Some(ward.kept.clone()),
            _ => None,
        };
        let moved = kept.as_ref().map(|kept| given.moved(kept)).transpose()?;
        let at = moved.as_deref().unwrap_or(given);
        let gradient = finite_gradient(at)?;
        if let Some(ward) = &mut self.ward {
            ward.hear(at.mean_loss());
        }
        let ratio = self.hear(at, &gradient, (learning_rate, due))?;
        let bases = if due { self.renew(at)? } else { 0 };
        self.since_renewal += 1;
        self.updates += 1;
        let momentum = self.settings.momentum;
        let direction = self.layers.direction(&gradient, self.power());
        if due {
            let (_, curvature) = quadratic_model(at, &at.tangent(&direction)?)?;
            let slope = dot(&gradient, &direction);
            self.length
                .hear_own(slope, curvature, 1.0 / (1.0 - momentum));
        }
        let began_with = self.buffer.as_ref().map_or(0.0, |_| momentum);
        let direction = match self.buffer.take() {
            Some(mut followed) => {
                let pairs = followed.iter_mut().zip(&direction);
                pairs.for_each(|(m, d)| *m = momentum * *m + d);
                followed
            }
            None => direction,
        };
        let length = learning_rate * self.length.now().unwrap_or(0.0);
        let delta: Vec<f64> = match &kept {
            Some(kept) => {
                let targets = kept.iter().zip(parameters).zip(&direction);
                targets.map(|((k, p), m)| (k - p) - length * m).collect()
            }
            None => direction.iter().map(|m| -length * m).collect(),
        };
        let asked = !back && learning_rate > 0.0;
        if asked && delta.iter().all(|d| *d == 0.0) && gradient.iter().any(|g| *g != 0.0) {
            return Err(Error::Decomposition {
                matrix: "moments of the layers",
                size: gradient.len(),
                reason: "squares of inputs and derivatives are beyond the range of numbers".into(),
            });
        }
        self.led_to = sum_of(parameters, &delta, |p, d| p + d);
        self.buffer = Some(direction);
        let mut told = vec![
            diagnostics::KAPPA.of(self.settings.exponent),
            diagnostics::CUTOFF.of(self.damping().sqrt()),
            diagnostics::MOMENTUM.of(began_with),
            diagnostics::STEP_LENGTH.of(length),
            diagnostics::BASES.of(bases as f64),
        ];
        told.extend(ratio.map(|ratio| diagnostics::LENGTH_RATIO.of(ratio)));
        Ok(Update {
            delta,
            diagnostics: told,
            ..Update::default()
        })
    }
}
