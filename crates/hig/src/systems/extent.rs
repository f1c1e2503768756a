//! How large a system's arrays are, told by its settings before any of them is made.

use super::System;
use crate::error::{Error, Result};
use crate::trainer::NUMBERS_PER_GIB;

/// An array, by what its size is the product of.
///
/// The factors are real numbers, for which no setting is too large.
#[derive(Debug, Clone, PartialEq)]
pub struct Extent {
    /// What the array holds.
    pub of: Content,
    /// Factors with the setting that each comes from; an empty name where it comes from none.
    pub factors: Vec<(&'static str, f64)>,
}

/// What an array holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// Input, state and target of training or test samples.
    Samples,
    /// Weights, biases and gains of a layer.
    Parameters,
}

impl Extent {
    /// How many numbers.
    pub fn numbers(&self) -> f64 {
        self.factors.iter().map(|(_, factor)| factor).product()
    }
}

/// Training and test samples, each of some numbers that are a product themselves.
pub(super) fn samples(
    training: usize,
    test: usize,
    numbers: &[(&'static str, f64)],
) -> [Extent; 2] {
    [("samples", training), ("test_samples", test)].map(|(name, count)| Extent {
        of: Content::Samples,
        factors: [&[(name, count as f64)], numbers].concat(),
    })
}

/// A layer that makes each of its outputs from all of its inputs and a bias.
pub(super) fn layer(inputs: (&'static str, f64), outputs: (&'static str, f64)) -> Extent {
    Extent {
        of: Content::Parameters,
        factors: vec![(inputs.0, inputs.1 + 1.0), outputs],
    }
}

/// The layers of [`Network::mlp`](crate::network::Network::mlp).
pub(super) fn mlp(
    inputs: (&'static str, f64),
    hidden: &[usize],
    outputs: (&'static str, f64),
) -> Vec<Extent> {
    let hidden = hidden.iter().map(|width| ("hidden", *width as f64));
    let widths: Vec<_> = [inputs]
        .into_iter()
        .chain(hidden)
        .chain([outputs])
        .collect();
    let pairs = widths.windows(2);
    pairs.map(|pair| layer(pair[0], pair[1])).collect()
}

/// Refuses settings with which samples and parameters would not fit into memory.
///
/// # Errors
/// The setting that makes the largest array as large as it is.
pub fn check_memory(system: &dyn System, gibibytes: f64) -> Result<()> {
    let extents = system.extents();
    let needed = extents.iter().map(Extent::numbers).sum::<f64>() / NUMBERS_PER_GIB;
    if needed <= gibibytes {
        return Ok(());
    }
    let by_numbers = |a: &&Extent, b: &&Extent| a.numbers().total_cmp(&b.numbers());
    let largest = extents.iter().max_by(by_numbers);
    let named = largest.into_iter().flat_map(|extent| &extent.factors);
    let named = named.filter(|(name, _)| !name.is_empty());
    let field = named.max_by(|a, b| a.1.total_cmp(&b.1));
    let field = field.map_or("", |(name, _)| name);
    let settings = system.settings();
    let setting = settings.iter().find(|setting| setting.name == field);
    let value = setting.map_or_else(String::new, |setting| setting.value.to_string());
    Err(Error::setting(
        field,
        value,
        format_args!(
            "smaller, or memory_limit larger: samples and parameters of {} would take {needed:.1} \
             GiB, more than {gibibytes} GiB",
            system.name()
        ),
    ))
}
