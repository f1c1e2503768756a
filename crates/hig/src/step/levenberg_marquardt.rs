//! Levenberg-Marquardt with damping by gain ratio (see [`gain_ratio`](super::gain_ratio)).
//!
//! With A = √C·J, where C is the loss's [curvature](Linearized::curvature) in y, a trial is
//! Δθ = -η·(AᵀA + μ·1)⁻¹·Jᵀg. A is [decomposed](crate::spectral::Decomposition) once a batch, so that another
//! μ costs a direction and a forward pass; or, where that takes long, A·Aᵀ or AᵀA is made once and
//! [factored](crate::spectral::DampedSystem) for every μ. With [geodesic acceleration](super::geodesic) it costs one of each more, and a trial whose
//! path bends too much is refused, as its source has it. Where the model promised more than a trial brings, the
//! residuals that it led to [correct](super::corrections) it before another μ is tried.

use super::corrections::tried;
use super::gain_ratio::{Damping, gain_ratio};
use super::geodesic::Geodesic;
use super::{Method, Step, Update, finite_gradient};
use crate::diagnostics;
use crate::error::Result;
use crate::files::Exchange;
use crate::linalg::matrix::dot;
use crate::objective::{Consumes, Linearized, ParameterView, rayleigh};
use crate::settings::{ANY_COUNT, AT_LEAST_ONE, FLAG, GROUP, POSITIVE, Settings};
use crate::spectral::{ANY_FACTORIZATION, Combinations, DampedSystem, DecompositionSettings};
use crate::spectral::{Factorization, Filter, Request, Rows, Treatment};
use std::borrow::Cow;

crate::settings! {
    /// Levenberg-Marquardt: damped Gauss-Newton steps, accepted where they lower the loss of the batch.
    pub struct LevenbergMarquardt {
        /// Fraction η of the damped step that is tried; 1 is the full step whatever the batch size.
        pub learning_rate: f64 = 1.0, POSITIVE;
        /// First damping μ, as a fraction of the largest eigenvalue of the Gauss-Newton matrix.
        pub damping: f64 = 1e-3, POSITIVE;
        /// Dampings tried on one batch before it is left with no update.
        pub trials: usize = 10, AT_LEAST_ONE;
        /// Whether steps follow the path to second order (geodesic acceleration), and are shorter where it bends too much.
        pub geodesic: bool = true, FLAG;
        /// Corrections of a trial at most, by the residuals that it leads to; 0 tries every step as it is.
        pub corrections: usize = 6, ANY_COUNT;
        /// How a damped system is solved: auto, spectral or cholesky.
        pub factorization: Factorization = Factorization::Auto, ANY_FACTORIZATION;
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

    fn consumes(&self, rows: usize, columns: usize, memory: usize) -> Consumes {
        let request = self.decomposition.request(memory);
        request.consumes(&filter(1.0), rows, columns)
    }

    fn sketch(&self) -> Combinations {
        self.decomposition.sketch
    }

    fn start_within(&self, memory: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        Ok(Box::new(Damped {
            settings: self.clone(),
            request: self.decomposition.request(memory),
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
    fn begin(&mut self, seed: u64, _: &[ParameterView]) {
        self.request.begin(seed);
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        self.request.exchange(state);
        state.optional_number("damping", &mut self.damping);
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let gradient = finite_gradient(at)?;
        if gradient.iter().all(|g| *g == 0.0) {
            return Ok(Update::still(gradient.len()));
        }
        let rows = self.request.whitened_rows(at)?;
        let model_gradient = match rows.are_sketched() {
            true => Cow::Owned(rows.jacobian().vjp(&rows.residual)?),
            false => Cow::Borrowed(&gradient),
        };
        let least = self
            .damping
            .unwrap_or_else(|| self.settings.damping * rayleigh(&gradient, &rows.residual));
        let mut system = self.request.damped(
            rows.jacobian(),
            &rows.residual,
            least.max(f64::MIN_POSITIVE),
            self.settings.factorization,
        )?;
        let top = system.largest_square();
        let first = self.damping.unwrap_or(self.settings.damping * top);
        let mut damping = Damping::new(first, system.bounds());
        for _ in 0..self.settings.trials {
            let Some(solve) = system.at(damping.now())? else {
                damping.refuse();
                continue;
            };
            let step = solve.direction()?;
            let straight = step.iter().map(|d| -learning_rate * d).collect();
            let path = match self.settings.geodesic {
                true => Geodesic::of(at, &rows, &solve, 1.0, straight)?,
                false => Geodesic::straight(straight),
            };
            if !path.is_followed(1.0) {
                // Where the path bends too much the source shortens the step.
                damping.refuse();
                continue;
            }
            // With B·d = Jᵀg - μ·d the model's decrease needs no product with B.
            let (slope, square) = (dot(&step, &model_gradient), dot(&step, &step));
            let promised =
                learning_rate * (slope - 0.5 * learning_rate * (slope - damping.now() * square));
            let most = self.settings.corrections;
            let trial = tried(at, &rows, &solve, &path, (promised, most))?;
            if let Some(gain) = gain_ratio(trial.decrease, promised, 0.0) {
                self.damping = Some(damping.accept(gain));
                let corrections = trial.corrections as f64;
                let told = [damping.now(), gain, path.ratio(), corrections];
                return Ok(update(trial.delta, told, &rows, system));
            }
            damping.refuse();
        }
        self.damping = Some(damping.now());
        let still = vec![0.0; gradient.len()];
        Ok(update(still, [damping.now(), 0.0, 0.0, 0.0], &rows, system))
    }
}

/// An update with its damping, gain ratio, acceleration and number of corrections.
fn update(
    delta: Vec<f64>,
    [damping, gain, acceleration, corrections]: [f64; 4],
    rows: &Rows<'_>,
    system: DampedSystem<'_>,
) -> Update {
    let told = [
        diagnostics::DAMPING.of(damping),
        diagnostics::GAIN_RATIO.of(gain),
        diagnostics::ACCELERATION.of(acceleration),
        diagnostics::CORRECTIONS.of(corrections),
    ];
    let participation = system.participation(damping);
    let participation = participation.map(|p| diagnostics::PARTICIPATION.of(p));
    let told = told.into_iter().chain(participation);
    Update {
        delta,
        diagnostics: told.chain(rows.diagnostics()).collect(),
        spectrum: system.into_singular_values(),
    }
}
