//! What TensorBoard is told of an evaluation.

use crate::run_folder::events::Value;
use crate::run_folder::spans::Seconds;
use hig::objective::Saturation;
use hig::timing::PARTS;
use hig::trainer::Evaluation;

/// The losses, what stands in `diagnostics.csv` but for y, in `steps.csv` and in `timing.csv`, and how
/// the spectrum is distributed.
pub fn scalars(
    now: &Evaluation<'_>,
    saturation: Option<Saturation>,
    measures: &[(&str, f64)],
    seconds: &Seconds,
) -> Vec<(String, Value)> {
    let mut values = vec![
        ("loss/train".to_owned(), Value::Scalar(now.train_loss)),
        ("loss/test".to_owned(), Value::Scalar(now.test_loss)),
    ];
    if !now.validation_loss.is_nan() {
        let validation = Value::Scalar(now.validation_loss);
        values.push(("loss/validation".to_owned(), validation));
    }
    let mut tell = |group: &str, name: &str, value: f64| {
        values.push((format!("{group}/{name}"), Value::Scalar(value)));
    };
    if let Some(saturation) = saturation {
        tell("diagnostics", "activation_mean", saturation.mean);
        tell("diagnostics", "activation_deviation", saturation.deviation);
    }
    for (name, value) in measures {
        tell("diagnostics", name, *value);
    }
    for (name, value) in now.diagnostics {
        tell("step", name, *value);
    }
    for (part, seconds) in PARTS.iter().zip(seconds) {
        tell("seconds", part, *seconds);
    }
    if !now.spectrum.is_empty() {
        // On an axis of its own the largest value would be all that is seen.
        let exponents = now.spectrum.iter().map(|sigma| sigma.log10()).collect();
        let name = "spectrum/log10_singular_value".to_owned();
        values.push((name, Value::Histogram(exponents)));
    }
    values
}
