//! Every way to make a step.

use hig::Result;
use hig::objective::Linearization;
use hig::settings::Settings;
use hig::spectral::{DecompositionSettings, TreatmentKind};
use hig::step::{Method, Spectral, methods};

pub const ROUTES: [&str; 4] = ["gram", "normal", "lanczos", "svd"];
pub const TREATMENTS: [&str; 3] = ["truncate", "clamp", "damp"];
pub const EXPONENTS: [f64; 4] = [-1.0, 0.0, 0.5, 1.0];

/// Every registered method, on every route and with every treatment that it has.
pub fn everything() -> Vec<Box<dyn Method>> {
    let mut all = Vec::new();
    for method in methods() {
        if !method.has("route") {
            all.push(method);
            continue;
        }
        for route in ROUTES {
            let mut routed = method.boxed();
            routed.set("route", route).unwrap();
            if !method.has("treatment") {
                all.push(routed);
                continue;
            }
            for treatment in TREATMENTS {
                let mut treated = routed.boxed();
                treated.set("treatment", treatment).unwrap();
                // Clamped directions of zeros have the weight of rounding over this.
                treated.set("cutoff", "1e-2").unwrap();
                treated.set("damping", "1e-2").unwrap();
                all.push(treated);
            }
        }
    }
    all
}

/// The spectral family with cut-offs at which the Gram routes are good to ten digits.
pub fn family(exponent: f64, damping: f64) -> Vec<Spectral> {
    let mut all = Vec::new();
    for route in ROUTES {
        for treatment in TREATMENTS {
            let mut method = Spectral {
                learning_rate: 1.0.into(),
                exponent,
                cutoff: 1e-2,
                damping,
                decomposition: DecompositionSettings::accurate(1e-12),
                ..Spectral::default()
            };
            method.set("route", route).unwrap();
            method.set("treatment", treatment).unwrap();
            // Clamping weighs directions that are rounding on the Gram routes.
            if method.treatment != TreatmentKind::Clamp || route == "svd" {
                all.push(method);
            }
        }
    }
    all
}

/// A method with its settings that were asked for, to be read in a failure.
pub fn told(method: &dyn Method) -> String {
    let settings = method.settings();
    let asked = settings
        .iter()
        .filter(|s| ["route", "treatment"].contains(&s.name))
        .map(|s| format!(" {}", s.value));
    method.name().to_owned() + &asked.collect::<String>()
}

/// The first update of a method on a batch.
pub fn first(method: &dyn Method, at: &Linearization<'_>) -> Result<Vec<f64>> {
    let mut step = method.start()?;
    Ok(step.step(at, method.learning_rate())?.delta)
}
