//! A fixed learning rate that is wrong by far.

use super::{Cause, Finding, Setup, View};
use crate::diagnostics;
use crate::files::Exchange;
use crate::step::PART;

/// Multiple of the full step beyond which the quadratic model of a batch's loss rises above where it
/// began, whatever the direction.
const LARGE: f64 = 2.0;

/// Part of the full step below which a training crawls: the settings of the systems' sources are between
/// a two hundred and fiftieth and the whole of it.
const SMALL: f64 = 1e-3;

#[derive(Debug)]
pub struct WrongRate;

impl WrongRate {
    fn finding(rate: f64, (full, others): (f64, f64), setup: &Setup) -> Option<Finding> {
        let ratio = rate / full;
        let why = if ratio > LARGE {
            "beyond twice that length a step raises the loss of its own batch"
        } else if ratio < SMALL {
            "steps are so short that they change little"
        } else {
            return None;
        };
        let message = format!(
            "learning_rate = {rate} is {ratio:.1e} times the full step of the first batches, at which \
             the quadratic model of their loss is least; {why}"
        );
        let proposed = format!("learning_rate = {:.1e}", PART * others);
        let found = setup.setting("learning_rate", "auto");
        Some(Finding {
            message,
            advice: format!(
                "try {proposed}, {PART} of the full step on samples of other batches, or {found}, which \
                 finds that by itself"
            ),
        })
    }
}

impl Cause for WrongRate {
    fn name(&self) -> &'static str {
        "learning-rate"
    }

    fn exchange(&mut self, _: &mut Exchange<'_>) {}

    fn look(&mut self, view: &View<'_>) -> Option<Finding> {
        let full = view.told(diagnostics::FULL_STEP)?;
        let others = view.told(diagnostics::FULL_STEP_OF_OTHERS)?;
        let rate = view.setup.number("learning_rate")?;
        Self::finding(rate, (full, others), view.setup)
    }
}
