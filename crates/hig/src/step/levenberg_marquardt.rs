//! Levenberg-Marquardt with damping by gain ratio (Marquardt 1963, doi 10.1137/0111030; Madsen,
//! Nielsen and Tingleff 2004, "Methods for non-linear least squares problems", algorithm 3.16).
//!
//! With A = √C·J, where C is the loss's [`curvature`](crate::loss::Loss::curvature) in y, a trial is
//! Δθ = -η·(AᵀA + μ·1)⁻¹·Jᵀg. A is decomposed once a batch; another μ costs a direction and a
//! forward pass.

use super::whitened::{rayleigh, whitened};
use super::{Method, Step, Update, finite_gradient};
use crate::diagnostics;
use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::matrix::dot;
use crate::objective::{Consumes, Linearization};
use crate::settings::{AT_LEAST_ONE, GROUP, POSITIVE, Settings};
use crate::spectral::{Decomposition, DecompositionSettings, Request};
use crate::spectral::{Filter, Treatment};

crate::settings! {
    /// Levenberg-Marquardt: damped Gauss-Newton steps, accepted where they lower the loss of the batch.
    pub struct LevenbergMarquardt {
        /// Fraction η of the damped step that is tried; 1 is the full step whatever the batch size.
        pub learning_rate: f64 = 1.0, POSITIVE;
        /// First damping μ, as a fraction of the largest eigenvalue of the Gauss-Newton matrix.
        pub damping: f64 = 1e-3, POSITIVE;
        /// Dampings tried on one batch before it is left with no update.
        pub trials: usize = 10, AT_LEAST_ONE;
        /// How its Jacobian is decomposed.
        pub decomposition: DecompositionSettings = DecompositionSettings::default(), GROUP;
    }
}

impl Method for LevenbergMarquardt {
    fn name(&self) -> &'static str {
        "lm"
    }

    fn about(&self) -> &'static str {
        "Levenberg-Marquardt with damping by gain ratio (Madsen, Nielsen, Tingleff 2004)"
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate
    }

    fn start(&self) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Damped {
            settings: self.clone(),
            request: Request::new(&self.decomposition),
            damping: None,
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

struct Damped {
    settings: LevenbergMarquardt,
    request: Request,
    /// μ, once a first batch has set its scale.
    damping: Option<f64>,
}

fn filter(damping: f64) -> Filter {
    Filter {
        exponent: 1.0,
        treatment: Treatment::Damp { damping },
    }
}

impl Step for Damped {
    fn limit_memory(&mut self, numbers: usize) {
        self.request.memory = numbers;
    }

    fn consumes(&self, rows: usize, columns: usize) -> Consumes {
        self.request.consumes(&filter(1.0), rows, columns)
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.optional_number("damping", &mut self.damping);
    }

    fn step(&mut self, at: &Linearization<'_>, learning_rate: f64) -> Result<Update> {
        let gradient = finite_gradient(at)?;
        if gradient.iter().all(|g| *g == 0.0) {
            return Ok(Update::still(gradient.len()));
        }
        let (whitened, cotangent) = whitened(at)?;
        let least = self
            .damping
            .unwrap_or_else(|| self.settings.damping * rayleigh(&gradient, &cotangent));
        let least = filter(least.max(f64::MIN_POSITIVE));
        let parts = self.request.decompose(&whitened, &cotangent, &least)?;
        let top = parts.largest().powi(2);
        // Less is lost in the rounding of the largest eigenvalue, more in that of the parameters.
        let bounded = |damping: f64| damping.clamp(f64::EPSILON * top, top / f64::EPSILON);
        let mut damping = bounded(self.damping.unwrap_or(self.settings.damping * top));
        let mut growth = 2.0;
        for _ in 0..self.settings.trials {
            let step = parts.direction(&whitened, &filter(damping));
            let delta: Vec<f64> = step.iter().map(|d| -learning_rate * d).collect();
            // With B·d = Jᵀg - μ·d the model's decrease needs no product with B.
            let (slope, square) = (dot(&step, &gradient), dot(&step, &step));
            let predicted =
                learning_rate * (slope - 0.5 * learning_rate * (slope - damping * square));
            let decrease = at.loss() - at.loss_after(&delta);
            let gain = decrease / predicted;
            // A trial that is not finite has a gain of NaN or an infinity.
            if predicted > 0.0 && gain > 0.0 && gain.is_finite() {
                let factor = 1.0 - (2.0 * gain - 1.0).powi(3);
                self.damping = Some(bounded(damping * factor.max(1.0 / 3.0)));
                return Ok(update(delta, damping, gain, parts));
            }
            damping = bounded(damping * growth);
            growth *= 2.0;
        }
        self.damping = Some(damping);
        Ok(update(vec![0.0; gradient.len()], damping, 0.0, parts))
    }
}

fn update(delta: Vec<f64>, damping: f64, gain: f64, parts: Decomposition) -> Update {
    let participation = parts.participation(&filter(damping));
    Update {
        delta,
        diagnostics: vec![
            diagnostics::DAMPING.of(damping),
            diagnostics::GAIN_RATIO.of(gain),
            diagnostics::PARTICIPATION.of(participation),
        ],
        spectrum: parts.into_singular_values(),
    }
}
