//! Which weights a training returns, and the samples by which the best are chosen.

use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::files::Exchange;
use crate::settings::Rule;
use rand::seq::SliceRandom;
use std::borrow::Cow;

/// The weights that a training returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// Those of the evaluation with the least loss of the held-out samples, or of the training samples
    /// where none are held out; the start is one of them.
    Best,
    /// Those after the last update.
    Last,
}

crate::choices! {
    Returned, "weights to return" {
        Best = "best", "those of the evaluation with the least loss, the start included";
        Last = "last", "those after the last update";
    }
}

/// Either, as a setting.
pub const EITHER: Rule<Returned> = Rule::any();

/// The losses of an evaluation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Losses {
    /// Updates done.
    pub update: usize,
    /// Mean loss of the training samples, without those that are held out.
    pub train: f64,
    /// Mean loss of the held-out samples; NaN where there are none.
    pub validation: f64,
    /// Mean loss of the test samples.
    pub test: f64,
}

impl Losses {
    /// Losses that nobody has evaluated.
    pub(crate) fn unknown(update: usize) -> Self {
        Self {
            update,
            train: f64::NAN,
            validation: f64::NAN,
            test: f64::NAN,
        }
    }

    pub(crate) fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.count("update", &mut self.update);
        state.number("train_loss", &mut self.train);
        state.number("validation_loss", &mut self.validation);
        state.number("test_loss", &mut self.test);
    }
}

/// The best parameters so far.
#[derive(Debug, Clone)]
pub(super) struct Best {
    pub parameters: Vec<f64>,
    pub losses: Losses,
    /// The loss by which they are the best.
    judged: f64,
}

impl Best {
    pub(super) fn unknown() -> Self {
        Self {
            parameters: Vec::new(),
            losses: Losses::unknown(0),
            judged: f64::NAN,
        }
    }

    /// Takes parameters that are better than all before, and answers whether they are. The first of
    /// several that are equally good stay.
    pub(super) fn hear(
        best: &mut Option<Self>,
        parameters: &[f64],
        losses: Losses,
        judged: f64,
    ) -> bool {
        let better = judged.is_finite() && best.as_ref().is_none_or(|best| judged < best.judged);
        if better {
            let parameters = parameters.to_vec();
            *best = Some(Self {
                parameters,
                losses,
                judged,
            });
        }
        better
    }

    pub(super) fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.over_parameters("parameters", &mut self.parameters);
        state.part("losses", |state| self.losses.exchange(state));
        state.number("judged", &mut self.judged);
    }
}

/// How many of some training samples a setting `validation` holds out.
///
/// # Errors
/// A number that is not whole, or that leaves none to train on.
pub(super) fn held_out(validation: f64, samples: usize) -> Result<usize> {
    let fraction = validation < 1.0;
    if !fraction && validation.fract() != 0.0 {
        let expected = "a fraction of the training samples below 1, or a whole number of them";
        return Err(Error::setting("validation", validation, expected));
    }
    let held = match fraction {
        true => (validation * samples as f64).round().max(1.0),
        false => validation,
    };
    if validation > 0.0 && held >= samples as f64 {
        let expected =
            format!("fewer than the {samples} training samples, some of which must remain");
        return Err(Error::setting("validation", validation, expected));
    }
    Ok(match validation > 0.0 {
        true => held as usize,
        false => 0,
    })
}

/// Training samples, parted into those that are trained on and those that are held out.
pub(super) struct Parted<'a> {
    pub trained: Cow<'a, Dataset>,
    pub held: Option<Dataset>,
    /// Where they stand among all of them; empty where none are held out.
    places: [Vec<usize>; 2],
}

impl<'a> Parted<'a> {
    /// Holds out a number of samples: the same ones whatever the seed of the training, so that methods
    /// that follow each other, with seeds of their own, train on none of them.
    pub(super) fn of(samples: &'a Dataset, held: usize) -> Self {
        if held == 0 {
            return Self {
                trained: Cow::Borrowed(samples),
                held: None,
                places: [Vec::new(), Vec::new()],
            };
        }
        let mut indices: Vec<usize> = (0..samples.len()).collect();
        indices.shuffle(&mut random(0, Purpose::Validation));
        let (out, rest) = indices.split_at_mut(held);
        out.sort_unstable();
        rest.sort_unstable();
        Self {
            trained: Cow::Owned(samples.select(rest)),
            held: Some(samples.select(out)),
            places: [rest.to_vec(), out.to_vec()],
        }
    }

    /// Where one that is trained on stands among all samples.
    pub(super) fn place_of_trained(&self, sample: usize) -> usize {
        self.places[0].get(sample).copied().unwrap_or(sample)
    }

    /// Where one that is held out stands among all samples.
    pub(super) fn place_of_held(&self, sample: usize) -> usize {
        self.places[1].get(sample).copied().unwrap_or(sample)
    }
}
