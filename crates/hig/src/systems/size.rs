//! How large a system's arrays are, told by its settings before any of them is made.

use super::System;
use crate::error::{Error, Result};
use crate::settings::{Setting, Value};
use crate::trainer::NUMBERS_PER_GIB;

/// How many numbers a system's samples and parameters are, of which there is one copy each.
///
/// It is a real number, for which no setting is too large.
///
/// # Errors
/// As [`System::network`].
pub fn size(system: &dyn System) -> Result<f64> {
    Ok(system.data_size() + system.network()?.size())
}

/// The numbers of training and test samples with `width` numbers each.
pub(super) fn of_samples(train: usize, test: usize, width: f64) -> f64 {
    (train as f64 + test as f64) * width
}

/// The most time steps of one simulation.
const MOST_STEPS: usize = 1_000_000;

/// Refuses more time steps than a network is ever called in one simulation.
///
/// # Errors
/// The number of steps.
pub(super) fn check_calls(steps: usize) -> Result<()> {
    if steps <= MOST_STEPS {
        return Ok(());
    }
    let expected = format_args!("at most {MOST_STEPS}: the network is called at every step");
    Err(Error::setting("steps", steps, expected))
}

/// Refuses a count that so many times over is more steps than one simulation ever takes.
///
/// # Errors
/// The setting of that name.
pub(super) fn check_multiple(name: &str, count: usize, times: usize) -> Result<()> {
    let most = MOST_STEPS / times.max(1);
    if count <= most {
        return Ok(());
    }
    let expected = format_args!("at most {most}, as one simulation has {times} time steps");
    Err(Error::setting(name, count, expected))
}

/// Refuses settings with which samples and parameters would not fit into memory.
///
/// # Errors
/// The setting that makes them as large as they are.
pub fn check_memory(system: &dyn System, gibibytes: f64) -> Result<()> {
    let numbers = size(system)?;
    let needed = numbers / NUMBERS_PER_GIB;
    if needed <= gibibytes {
        return Ok(());
    }
    let settings = system.settings();
    let helps = |setting: &&Setting| least_size(system, setting) < numbers;
    let most = |a: &&Setting, b: &&Setting| least_size(system, a).total_cmp(&least_size(system, b));
    let found = settings.iter().filter(helps).min_by(most);
    let (field, value) = found.map_or(("", String::new()), |s| (s.name, s.value.to_string()));
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

/// The least size that the system has where one of its settings is smaller and the others are as they
/// are; infinity where that changes nothing.
fn least_size(system: &dyn System, setting: &Setting) -> f64 {
    let with = |text: String| {
        let mut smaller = system.boxed();
        smaller.set(setting.name, &text).ok()?;
        size(smaller.as_ref()).ok()
    };
    let sizes = smaller(&setting.value).into_iter().filter_map(with);
    sizes.fold(f64::INFINITY, f64::min)
}

/// Half of a count, a quarter and so on; several counts together.
fn smaller(value: &Value) -> Vec<String> {
    let halvings = |counts: &[usize]| {
        let most = counts
            .iter()
            .max()
            .map_or(0, |most| most.checked_ilog2().unwrap_or(0));
        let halved = |times: u32| counts.iter().map(|v| (v >> times).max(1)).collect();
        (1..=most)
            .map(|times| Value::Counts(halved(times)).to_string())
            .collect()
    };
    match value {
        Value::Count(count) => halvings(&[*count]),
        Value::Counts(counts) => halvings(counts),
        Value::Number(_) | Value::Flag(_) | Value::Word(_) => Vec::new(),
    }
}
