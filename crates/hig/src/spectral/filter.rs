//! The spectral filter f(σ): what a step does with each singular value of J.

use crate::settings::Rule;

/// How small singular values are treated.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Treatment {
    /// f = 0 for σ ≤ τ·σ_max, the method's own way (the comparison is strict: σ > τ·σ_max is kept).
    Truncate {
        /// τ, relative to the largest singular value.
        cutoff: f64,
    },
    /// σ is raised to at least τ·σ_max; offered to show why truncation is better.
    Clamp {
        /// τ, relative to the largest singular value.
        cutoff: f64,
    },
    /// Tikhonov damping: K + λ·1 in place of K, f(σ) = σ·(σ² + λ)^(-(1+κ)/2).
    Damp {
        /// λ, in the units of σ².
        damping: f64,
    },
}

/// f(σ) = σ^(-κ) with a treatment of small σ.
///
/// | κ | step |
/// | --- | --- |
/// | -1 | gradient descent |
/// | 0 | orthogonalised gradient |
/// | 1/2 | half-inverse gradient (Schnell, Holl, Thuerey 2022, arXiv 2203.10131, equation 5) |
/// | 1 | Gauss-Newton |
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Filter {
    /// κ.
    pub exponent: f64,
    /// What happens to small singular values.
    pub treatment: Treatment,
}

impl Filter {
    /// σ^(-κ), truncated at τ·σ_max.
    pub fn truncated(exponent: f64, cutoff: f64) -> Self {
        let treatment = Treatment::Truncate { cutoff };
        Self {
            exponent,
            treatment,
        }
    }

    /// f(σ) for a spectrum whose largest singular value is `largest`.
    ///
    /// A zero σ gives 0 under truncation and damping; where `largest` is 0 everything does.
    ///
    /// ```
    /// use hig::spectral::Filter;
    /// let half = Filter::truncated(0.5, 1e-3);
    /// assert_eq!(half.weight(0.25, 1.0), 2.0);
    /// assert_eq!(half.weight(1e-3, 1.0), 0.0);
    /// ```
    pub fn weight(&self, sigma: f64, largest: f64) -> f64 {
        if largest <= 0.0 {
            return 0.0;
        }
        match self.treatment {
            Treatment::Truncate { cutoff } if sigma <= cutoff * largest => 0.0,
            Treatment::Truncate { .. } => sigma.powf(-self.exponent),
            Treatment::Clamp { cutoff } => match sigma.max(cutoff * largest) {
                0.0 => 0.0,
                raised => raised.powf(-self.exponent),
            },
            Treatment::Damp { damping: 0.0 } if sigma == 0.0 => 0.0,
            Treatment::Damp { damping } => {
                let damped = root_of_sum(sigma, damping);
                (sigma / damped) * damped.powf(-self.exponent)
            }
        }
    }

    /// f(σ) over σ in a unit, which damping keeps finite where σ is 0 or lost in rounding; 0 where
    /// nothing does.
    pub(super) fn ratio(&self, sigma: f64, largest: f64, unit: f64) -> f64 {
        match self.treatment {
            Treatment::Damp { damping } if damping > 0.0 && largest > 0.0 => match unit {
                1.0 => (sigma * sigma + damping).powf(-0.5 * (1.0 + self.exponent)),
                _ => {
                    let damped = root_of_sum(sigma, damping);
                    damped.powf(-self.exponent) / (damped / unit)
                }
            },
            _ if sigma == 0.0 => 0.0,
            _ => self.weight(sigma, largest) / (sigma / unit),
        }
    }

    /// The smallest σ/σ_max that matters: singular values below get no weight.
    pub fn floor(&self) -> f64 {
        match self.treatment {
            Treatment::Truncate { cutoff } => cutoff,
            Treatment::Clamp { .. } | Treatment::Damp { .. } => 0.0,
        }
    }
}

/// √(σ² + λ), where σ² may be out of the range of numbers.
fn root_of_sum(sigma: f64, damping: f64) -> f64 {
    let sum = sigma * sigma + damping;
    match sum.is_normal() {
        true => sum.sqrt(),
        false => sigma.hypot(damping.sqrt()),
    }
}

/// The name of a treatment, as a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TreatmentKind {
    /// [`Treatment::Truncate`].
    Truncate,
    /// [`Treatment::Clamp`].
    Clamp,
    /// [`Treatment::Damp`].
    Damp,
}

crate::choices! {
    TreatmentKind, "treatment" {
        Truncate = "truncate", "singular values up to the cut-off get no weight";
        Clamp = "clamp", "singular values below the cut-off are raised to it";
        Damp = "damp", "λ is added to the squared singular values";
    }
}

/// Any treatment, as a setting.
pub const ANY_TREATMENT: Rule<TreatmentKind> = Rule::any();
