//! What the source of a system recommends for a method.

use super::{Compared, System};
use crate::error::Result;
use crate::objective::Consumes;
use crate::settings::Settings;
use crate::step::{self, Method};
use crate::trainer::Training;

/// The method that is compared on every system, beside those that the system's source names.
pub const ALSO_COMPARED: &str = "adaptive-hig";

/// The methods that are compared on a system by default.
pub fn compared(system: &dyn System) -> Vec<&'static str> {
    let source = system.comparison().into_iter().map(|(name, _)| name);
    source
        .filter(|name| *name != ALSO_COMPARED)
        .chain([ALSO_COMPARED])
        .collect()
}

/// How methods are compared where a sample has many rows, and the physics between costs most.
pub(super) fn sketched(batch: &'static str, sketch: &'static str) -> Compared {
    let sketched = [("batch", batch), ("sketch", sketch)];
    let with_rate = || [&sketched[..], &[("learning_rate", "auto")]].concat();
    vec![
        ("adam", vec![("batch", batch), ("learning_rate", "1e-3")]),
        ("gn", with_rate()),
        ("hig", with_rate()),
        (ALSO_COMPARED, sketched.to_vec()),
    ]
}

/// A method and how to train with it, with the settings that the system's source recommends. One
/// without a recommendation has its defaults, and trains as is recommended for a method that asks for
/// as much: Adam for one that needs a gradient only, otherwise half-inverse gradients or, where nothing is
/// recommended for them, Levenberg-Marquardt.
///
/// # Errors
/// No such method; the message suggests the nearest.
pub fn recommended(system: &dyn System, name: &str) -> Result<(Box<dyn Method>, Training)> {
    let (mut method, mut training) = (step::method(name)?, Training::default());
    let comparison = system.comparison();
    let settings_of = |name: &str| comparison.iter().find(|(known, _)| *known == name);
    if let Some((_, settings)) = settings_of(name) {
        for (setting, value) in settings {
            match training.has(setting) {
                true => training.set(setting, value)?,
                false => method.set(setting, value)?,
            }
        }
        return Ok((method, training));
    }
    let consumes = method.consumes(1, 1, usize::MAX);
    let gradient = consumes <= Consumes::LayerMoments;
    let alike = match gradient {
        true => settings_of("adam"),
        false => settings_of("hig").or_else(|| settings_of("lm")),
    };
    for (setting, value) in alike.into_iter().flat_map(|(_, settings)| settings) {
        if training.has(setting) {
            training.set(setting, value)?;
        }
    }
    Ok((method, training))
}
