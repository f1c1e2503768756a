//! SPRING: subsampled projected-increment natural gradient (Goldshlager, Abrahamsen and Lin 2024,
//! arXiv 2401.10190), for a loss whose Gauss-Newton matrix takes the place of the Fisher matrix.
//!
//! With A = √C·J and r = g/√C (see [`whitened`](crate::objective::whitened)) the quadratic model of the batch's
//! loss is least where A·φ = r for Δθ = -φ. Of all φ, SPRING takes
//!
//! ```text
//! φ_k = argmin |A·φ - r|² + λ·|φ - μ·φ_(k-1)|²
//!     = μ·φ_(k-1) + Aᵀ·(A·Aᵀ + λ)⁻¹·(r - μ·A·φ_(k-1)),     Δθ = -φ_k·min(η, limit / |φ_k|)
//! ```
//!
//! so that it keeps what earlier batches asked for in the directions that this batch says nothing
//! about. The paper's λ = 0.001 and |Δθ|² ≤ 0.001 belong to its wave functions; here both are
//! relative, λ to the largest σ² of A and the limit to |θ|. The defaults are those that did well on
//! all systems of this crate in trials of one or two seconds; μ = 0.98, near the paper's 0.99, ended
//! far above μ = 0.8 on most of them.

use super::geodesic::Geodesic;
use super::{Method, Step, Update};
use crate::diagnostics::{ACCELERATION, MOMENTUM, PARTICIPATION, RANK, STEP_LENGTH};
use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::matrix::norm;
use crate::objective::{Consumes, Jacobian, Linearized, ParameterView, rayleigh};
use crate::settings::{FLAG, FRACTION, GROUP, POSITIVE, Settings};
use crate::spectral::{Combinations, Decomposition, DecompositionSettings, Request, Solve};
use crate::spectral::{Filter, Treatment};

crate::settings! {
    /// SPRING: damped Gauss-Newton that corrects a part of its last step, with a limit on its length.
    pub struct Spring {
        /// Fraction η of the step that is taken; 1 is the full step whatever the batch size.
        pub learning_rate: f64 = 0.5, POSITIVE;
        /// λ as a fraction of the largest σ².
        pub damping: f64 = 1e-8, POSITIVE;
        /// μ: the part of the last φ that the next one is closest to.
        pub momentum: f64 = 0.8, FRACTION;
        /// The longest Δθ, as a fraction of |θ|, or of 1 where |θ| is smaller.
        pub norm_limit: f64 = 0.03, POSITIVE;
        /// Whether steps follow the path to second order (geodesic acceleration).
        pub geodesic: bool = false, FLAG;
        /// How its Jacobian is decomposed.
        pub decomposition: DecompositionSettings = DecompositionSettings::default(), GROUP;
    }
}

impl Spring {
    /// For a spectrum whose largest singular value is `largest`.
    fn filter(&self, largest: f64) -> Filter {
        let damping = self.damping * largest * largest;
        Filter {
            exponent: 1.0,
            treatment: Treatment::Damp {
                damping: damping.max(f64::MIN_POSITIVE),
            },
        }
    }
}

impl Method for Spring {
    fn name(&self) -> &'static str {
        "spring"
    }

    fn about(&self) -> &'static str {
        "SPRING: damped Gauss-Newton with projected momentum (Goldshlager et al. 2024, arXiv 2401.10190)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn consumes(&self, rows: usize, columns: usize, memory: usize) -> Consumes {
        let request = self.decomposition.request(memory);
        request.consumes(&self.filter(1.0), rows, columns)
    }

    fn sketch(&self) -> Combinations {
        self.decomposition.sketch
    }

    fn start_within(&self, memory: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Running::new(self.clone(), memory)))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// What finds the momentum of a batch once it is decomposed.
pub(super) trait Adaptation: Send {
    /// As [`Step::exchange`].
    fn exchange(&mut self, state: &mut Exchange<'_>);

    /// μ for a batch of so many rows, by the decomposition of its A, of which something is not 0.
    ///
    /// # Errors
    /// A simulator that fails.
    fn momentum(&mut self, rows: usize, parts: &Decomposition<'_>) -> Result<f64>;
}

pub(super) struct Running {
    settings: Spring,
    request: Request,
    /// In place of the momentum of the settings.
    adaptation: Option<Box<dyn Adaptation>>,
    /// The largest singular value of the last batch.
    largest: Option<f64>,
    /// φ of the last batch, whatever part of it was taken.
    last: Option<Vec<f64>>,
}

impl Running {
    pub(super) fn new(settings: Spring, memory: usize) -> Self {
        Self {
            request: settings.decomposition.request(memory),
            settings,
            adaptation: None,
            largest: None,
            last: None,
        }
    }

    /// The same with a momentum that is found for every batch.
    pub(super) fn adapting(self, adaptation: Box<dyn Adaptation>) -> Self {
        Self {
            adaptation: Some(adaptation),
            ..self
        }
    }
}

/// Takes from r (length n) what μ·φ of the last batch explains of it; returns that μ·φ.
fn correct(
    residual: &mut [f64],
    jacobian: &dyn Jacobian,
    momentum: f64,
    last: &[f64],
) -> Result<Vec<f64>> {
    let phi: Vec<f64> = last.iter().map(|v| momentum * v).collect();
    let image = jacobian.jvp(&phi)?;
    residual.iter_mut().zip(&image).for_each(|(r, i)| *r -= i);
    Ok(phi)
}

impl Step for Running {
    fn begin(&mut self, seed: u64, _: &[ParameterView]) {
        self.request.begin(seed);
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        self.request.exchange(state);
        state.optional_number("largest", &mut self.largest);
        state.optional_over_parameters("last", &mut self.last);
        if let Some(adaptation) = &mut self.adaptation {
            adaptation.exchange(state);
        }
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let momentum = self.settings.momentum;
        let mut rows = self.request.whitened_rows(at)?;
        let mut last = self.last.take();
        let mut phi = vec![0.0; at.columns()];
        if let Some(last) = last.take_if(|_| momentum > 0.0) {
            let mut residual = std::mem::take(&mut rows.residual);
            phi = correct(&mut residual, rows.jacobian(), momentum, &last)?;
            rows.residual = residual;
        }
        let (mut diagnostics, mut spectrum) = (Vec::new(), Vec::new());
        let limit = self.settings.norm_limit * norm(at.parameters()).max(1.0);
        // An infinite or NaN length is for the trainer to refuse.
        let shortened = |phi: &[f64]| match limit / norm(phi) {
            fraction if fraction < learning_rate => fraction,
            _ => learning_rate,
        };
        let straight = |phi: &[f64]| -> Vec<f64> {
            let length = shortened(phi);
            phi.iter().map(|p| -length * p).collect()
        };
        let mut path = None;
        let (scaled, residual) = (rows.jacobian(), &rows.residual);
        let slope = scaled.vjp(residual)?;
        if slope.iter().any(|s| *s != 0.0) {
            let scale = || rayleigh(&slope, residual).sqrt();
            let largest = self.largest.unwrap_or_else(scale);
            let least = self.settings.filter(largest);
            let parts = self.request.decompose(scaled, residual, &least)?;
            let largest = parts.largest();
            self.largest = Some(largest);
            let filter = self.settings.filter(largest);
            let mut increment = parts.direction(&filter)?;
            if let Some(adaptation) = &mut self.adaptation {
                let momentum = adaptation.momentum(residual.len(), &parts)?;
                if let Some(last) = last.filter(|_| momentum > 0.0) {
                    let mut residual = residual.clone();
                    let near = correct(&mut residual, scaled, momentum, &last)?;
                    if let Some(found) = parts.direction_of(&filter, &residual)? {
                        (phi, increment) = (near, found);
                    }
                }
                diagnostics.push(MOMENTUM.of(momentum));
            }
            phi.iter_mut().zip(&increment).for_each(|(p, i)| *p += i);
            if self.settings.geodesic {
                let solve = Solve::filtered(&parts, &filter);
                path = Some(Geodesic::of(at, &rows, &solve, 1.0, straight(&phi))?);
            }
            let rank = parts.rank(self.settings.damping.sqrt());
            diagnostics.push(RANK.of(rank as f64));
            diagnostics.extend(rows.diagnostics());
            diagnostics.push(PARTICIPATION.of(parts.participation(&filter)));
            spectrum = parts.into_singular_values();
        }
        let path = path.unwrap_or_else(|| Geodesic::straight(straight(&phi)));
        diagnostics.push(STEP_LENGTH.of(shortened(&phi)));
        diagnostics.push(ACCELERATION.of(path.ratio()));
        let mut delta = path.change(1.0);
        let bent = norm(&delta);
        if path.ratio() > 0.0 && bent > limit {
            delta.iter_mut().for_each(|d| *d *= limit / bent);
        }
        self.last = Some(phi);
        Ok(Update {
            delta,
            diagnostics,
            spectrum,
        })
    }
}
