//! The spectral family Δθ = -η·V·f(Σ)·Uᵀ·g: gradient descent, half-inverse gradients, Gauss-Newton.

use super::learning_rate::{ANY_LEARNING_RATE, FullSteps, LearningRate};
use super::{Method, Registered, Step, Update, finite_gradient};
use crate::error::{Error, Result};
use crate::files::Exchange;
use crate::objective::{Consumes, Linearized, ParameterView};
use crate::settings::{EXPONENT, FRACTION, GROUP, NO_SETTING, NON_NEGATIVE, SettingType, Settings};
use crate::spectral::{ANY_TREATMENT, Filter, Treatment, TreatmentKind};
use crate::spectral::{Combinations, DecompositionSettings, Request};

crate::settings! {
    /// A step of the spectral family. Gradient descent, HIG and GN are its settings.
    pub struct Spectral {
        /// Which of the family's methods it is.
        pub registered: Registered = HALF_INVERSE, NO_SETTING;
        /// Learning rate η, for g of the batch-mean loss: a full Gauss-Newton step on the sum of squares is η = batch / 2. `auto` finds one in the first updates.
        pub learning_rate: LearningRate = LearningRate::Fixed(1.0), ANY_LEARNING_RATE;
        /// κ in f(σ) = σ^(-κ): -1 gradient descent, 0 orthogonalised, 0.5 HIG, 1 Gauss-Newton.
        pub exponent: f64 = 0.5, EXPONENT;
        /// What happens to small singular values.
        pub treatment: TreatmentKind = TreatmentKind::Truncate, ANY_TREATMENT;
        /// τ: singular values up to this fraction of the largest are truncated (or clamped).
        pub cutoff: f64 = 1e-6, FRACTION;
        /// λ of treatment = damp, in the units of σ².
        pub damping: f64 = 1e-6, NON_NEGATIVE;
        /// How its Jacobian is decomposed.
        pub decomposition: DecompositionSettings = DecompositionSettings::default(), GROUP;
    }
}

const GRADIENT_DESCENT: Registered = Registered {
    name: "gd",
    about: "gradient descent as a member of the spectral family (exponent -1)",
};

const HALF_INVERSE: Registered = Registered {
    name: "hig",
    about: "half-inverse gradients (Schnell, Holl, Thuerey 2022, arXiv 2203.10131)",
};

const GAUSS_NEWTON: Registered = Registered {
    name: "gn",
    about: "Gauss-Newton with truncation (exponent 1)",
};

impl Spectral {
    /// Half-inverse gradients, κ = 1/2.
    pub fn half_inverse() -> Self {
        Self::default()
    }

    /// Gauss-Newton, κ = 1.
    pub fn gauss_newton() -> Self {
        Self {
            registered: GAUSS_NEWTON,
            exponent: 1.0,
            ..Self::default()
        }
    }

    /// Gradient descent, κ = -1 and nothing truncated.
    pub fn gradient_descent() -> Self {
        Self {
            registered: GRADIENT_DESCENT,
            exponent: -1.0,
            cutoff: 0.0,
            learning_rate: LearningRate::Fixed(1e-2),
            ..Self::default()
        }
    }

    /// The filter that these settings describe.
    pub fn filter(&self) -> Filter {
        let cutoff = self.cutoff;
        Filter {
            exponent: self.exponent,
            treatment: match self.treatment {
                TreatmentKind::Truncate => Treatment::Truncate { cutoff },
                TreatmentKind::Clamp => Treatment::Clamp { cutoff },
                TreatmentKind::Damp => Treatment::Damp {
                    damping: self.damping,
                },
            },
        }
    }

    /// κ = -1 with nothing truncated is the gradient itself: no spectrum is needed.
    fn is_gradient(&self) -> bool {
        self.exponent == -1.0
            && match self.treatment {
                TreatmentKind::Truncate => self.cutoff == 0.0,
                TreatmentKind::Clamp => false,
                TreatmentKind::Damp => true,
            }
    }
}

impl Method for Spectral {
    fn name(&self) -> &'static str {
        self.registered.name
    }

    fn about(&self) -> &'static str {
        self.registered.about
    }

    fn learning_rate(&self) -> f64 {
        self.learning_rate.factor()
    }

    fn consumes(&self, rows: usize, columns: usize, memory: usize) -> Consumes {
        match (self.is_gradient(), self.learning_rate) {
            (true, LearningRate::Fixed(_)) => Consumes::Gradient,
            (true, LearningRate::Auto) => Consumes::Products { vectors: 1 },
            (false, _) => {
                let request = self.decomposition.request(memory);
                request.consumes(&self.filter(), rows, columns)
            }
        }
    }

    fn sketch(&self) -> Combinations {
        self.decomposition.sketch
    }

    fn start_within(&self, memory: usize) -> Result<Box<dyn Step>> {
        self.check()?;
        if self.is_gradient() && self.sketch() != Combinations::Fixed(0) {
            let expected = "0 for gradient descent, which decomposes no rows";
            return Err(Error::setting("sketch", self.sketch().value(), expected));
        }
        Ok(Box::new(Running {
            filter: self.filter(),
            request: self.decomposition.request(memory),
            is_gradient: self.is_gradient(),
            rate: self.learning_rate,
            full: FullSteps::default(),
        }))
    }

    fn boxed(&self) -> Box<dyn Method> {
        Box::new(self.clone())
    }
}

/// The settings at work.
struct Running {
    filter: Filter,
    request: Request,
    is_gradient: bool,
    rate: LearningRate,
    full: FullSteps,
}

impl Step for Running {
    fn begin(&mut self, seed: u64, _: &[ParameterView]) {
        self.request.begin(seed);
    }

    fn exchange(&mut self, state: &mut Exchange<'_>) {
        self.request.exchange(state);
        state.part("full_steps", |state| self.full.exchange(state));
    }

    fn step(&mut self, at: &dyn Linearized, learning_rate: f64) -> Result<Update> {
        let (direction, rows, mut diagnostics, spectrum) = if self.is_gradient {
            (finite_gradient(at)?, false, Vec::new(), Vec::new())
        } else {
            let rows = self.request.rows(at)?;
            let jacobian = rows.jacobian();
            let parts = self
                .request
                .decompose(jacobian, &rows.residual, &self.filter)?;
            let direction = parts.direction(&self.filter)?;
            let mut diagnostics = parts.diagnostics(&self.filter);
            diagnostics.extend(rows.diagnostics());
            let all = !rows.are_sketched();
            (direction, all, diagnostics, parts.into_singular_values())
        };
        let learning_rate = match self.rate {
            LearningRate::Auto if direction.iter().all(|d| *d == 0.0) => 0.0,
            LearningRate::Auto => {
                self.full.look(at, &direction, rows)?;
                self.full.rate(learning_rate)?
            }
            // The gradient alone is all that such a step asks for.
            LearningRate::Fixed(_) if self.is_gradient => learning_rate,
            LearningRate::Fixed(_) => {
                // Where the loss has no curvature there is no full step to compare with.
                if at.curvature().is_ok() {
                    self.full.look(at, &direction, rows)?;
                }
                learning_rate
            }
        };
        diagnostics.extend(self.full.told());
        Ok(Update {
            delta: direction.iter().map(|v| -learning_rate * v).collect(),
            diagnostics,
            spectrum,
        })
    }
}
