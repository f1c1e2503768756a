//! A learning rate η that stays the same, and what the first updates say of it.
//!
//! Along a direction d the quadratic model of the batch's loss, L - t·gᵀJd + t²/2·(Jd)ᵀC(Jd), is least at
//! the full step α* = gᵀJd / (Jd)ᵀC(Jd), and above L beyond 2·α*: a training whose η is larger raises the
//! loss of its own batches. The same along d for the samples of the next batch is shorter where a batch does
//! not determine the parameters, down to nothing; a training that goes further raises the loss of all samples
//! that its batch does not hold, however well it fits the batch.

use super::line_search::quadratic_model;
use crate::diagnostics;
use crate::error::{Error, Result};
use crate::files::Exchange;
use crate::linalg::median;
use crate::objective::Linearized;
use crate::settings::{Allowed, End, Interval, Rule, SettingType, Value, Word};

/// η of a method that takes its steps as they come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LearningRate {
    /// A number.
    Fixed(f64),
    /// A part of the full step of other samples, as the first updates find it.
    Auto,
}

impl LearningRate {
    /// The number; 1 where one is found, which a schedule then multiplies.
    pub fn factor(self) -> f64 {
        match self {
            Self::Fixed(rate) => rate,
            Self::Auto => 1.0,
        }
    }
}

impl From<f64> for LearningRate {
    fn from(rate: f64) -> Self {
        Self::Fixed(rate)
    }
}

const AUTO: Word = Word {
    name: "auto",
    meaning: "three tenths of the full step of other samples, by the first eight updates",
};

/// A finite number above 0, or `auto`.
pub const ANY_LEARNING_RATE: Rule<LearningRate> = Rule::new(Allowed::NumberOr(
    Interval {
        least: End::excluded(0.0),
        most: None,
    },
    &[AUTO],
));

impl SettingType for LearningRate {
    fn parse(text: &str) -> Option<Self> {
        match text == AUTO.name {
            true => Some(Self::Auto),
            false => f64::parse(text).map(Self::Fixed),
        }
    }
    fn value(&self) -> Value {
        match self {
            Self::Fixed(rate) => rate.value(),
            Self::Auto => Value::Word(AUTO.name.into()),
        }
    }
}

/// Updates whose full steps are looked at.
const FIRST: usize = 8;

/// The part of the full step of other samples that `auto` takes.
pub(crate) const PART: f64 = 0.3;

/// The least that the full step of other samples counts, as a part of the batch's own; what the first update
/// takes, when there is no other batch yet.
const LEAST: f64 = 0.03;

/// The full steps of the first updates.
#[derive(Debug, Default)]
pub(super) struct FullSteps {
    /// Updates that were looked at.
    updates: usize,
    /// α* of the batches, where there was one.
    own: Vec<f64>,
    /// The full step of the last batch, α*·d, as the next one sees it.
    last: Option<Vec<f64>>,
    /// Slope and bend of the models of next batches along such steps, summed.
    others: (f64, f64),
}

impl FullSteps {
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.count("updates", &mut self.updates);
        state.vector("own", &mut self.own);
        state.optional_over_parameters("last", &mut self.last);
        state.number("slope", &mut self.others.0);
        state.number("bend", &mut self.others.1);
    }

    /// Looks at a batch and the direction (length p) of one of the first updates; `rows` says whether the rows
    /// of J are there, which are then cheaper than a forward pass.
    ///
    /// # Errors
    /// A loss that cannot tell its curvature; a simulator that fails.
    pub fn look(&mut self, at: &dyn Linearized, direction: &[f64], rows: bool) -> Result<()> {
        if self.updates == FIRST {
            return Ok(());
        }
        self.updates += 1;
        let model = |v: &[f64]| {
            let image = if rows { at.jvp(v) } else { at.tangent(v) };
            quadratic_model(at, &image?)
        };
        if let Some(last) = self.last.take() {
            let (slope, bend) = model(&last)?;
            if slope.is_finite() && bend.is_finite() {
                self.others.0 += slope;
                self.others.1 += bend;
            }
        }
        let (slope, bend) = model(direction)?;
        let length = slope / bend;
        if length.is_finite() && length > 0.0 {
            self.own.push(length);
            let more = self.updates < FIRST;
            self.last = more.then(|| direction.iter().map(|d| length * d).collect());
        }
        Ok(())
    }

    /// The median of α* on the batches themselves.
    fn own(&self) -> Option<f64> {
        median(self.own.iter().copied())
    }

    /// α* on the samples of other batches, between a small part of the batches' own and all of it.
    fn others(&self) -> Option<f64> {
        let (slope, bend) = self.others;
        let part = if bend > 0.0 { slope / bend } else { LEAST };
        self.own().map(|own| own * part.clamp(LEAST, 1.0))
    }

    /// η of `auto`, of which `scheduled` is the factor.
    ///
    /// # Errors
    /// No update had a full step.
    pub fn rate(&self, scheduled: f64) -> Result<f64> {
        match self.others() {
            Some(others) => Ok(PART * others * scheduled),
            None => Err(Error::setting(
                "learning_rate",
                AUTO.name,
                "a number: along the first direction the loss does not fall, so that it tells no length",
            )),
        }
    }

    /// What is told of it.
    pub fn told(&self) -> impl Iterator<Item = (&'static str, f64)> {
        let own = self.own().map(|own| diagnostics::FULL_STEP.of(own));
        let others = self
            .others()
            .map(|others| diagnostics::FULL_STEP_OF_OTHERS.of(others));
        own.into_iter().chain(others)
    }
}
