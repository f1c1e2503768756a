//! Mini-batches of a data set, epoch after epoch.

use crate::data::{Dataset, Purpose, random};
use crate::error::{Error, Result};
use crate::files::Exchange;
use crate::problem::{Problem, Sampler};
use crate::settings::Rule;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

/// Order of the samples in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// A new random order each epoch, from the seed.
    Shuffled,
    /// As stored, every epoch.
    Fixed,
    /// New samples for every update, where the problem can draw them; an epoch is then as many
    /// samples as the training set has.
    Fresh,
}

crate::choices! {
    Order, "order" {
        Shuffled = "shuffled", "a new random order each epoch, from the seed";
        Fixed = "fixed", "as stored, every epoch";
        Fresh = "fresh", "new samples for every update, where the system can draw them";
    }
}

/// Any order, as a setting.
pub const ANY_ORDER: Rule<Order> = Rule::any();

/// An endless sequence of mini-batches; every epoch has each sample once, so that its last batch
/// may be smaller.
pub struct Batches<'a> {
    data: &'a Dataset,
    sampler: Option<&'a Sampler>,
    size: usize,
    order: Order,
    indices: Vec<usize>,
    place: usize,
    random: Pcg64,
    before: Option<Before>,
}

/// Where a sequence stood before its last batch.
struct Before {
    place: usize,
    random: Pcg64,
    /// The order, where that batch began a new one.
    indices: Option<Vec<usize>>,
}

impl<'a> Batches<'a> {
    /// Batches of `size` samples; a problem without sampler is shuffled where the order is fresh.
    pub fn new(problem: &'a Problem, size: usize, order: Order, seed: u64) -> Self {
        Self::of(&problem.train, problem, size, order, seed)
    }

    /// Batches of some of a problem's samples.
    pub(super) fn of(
        data: &'a Dataset,
        problem: &'a Problem,
        size: usize,
        order: Order,
        seed: u64,
    ) -> Self {
        Self {
            data,
            sampler: problem.sampler.as_ref(),
            size,
            order,
            indices: (0..data.len()).collect(),
            place: data.len(),
            random: random(seed, Purpose::Order),
            before: None,
        }
    }

    /// Goes back to where it stood before the last batch, once.
    pub fn take_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.place = before.place;
            self.random = before.random;
            self.indices = before.indices.unwrap_or(std::mem::take(&mut self.indices));
        }
    }

    /// Exchanges the place in the sequence, with the random numbers to come.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.counts("indices", &mut self.indices);
        state.count("place", &mut self.place);
        state.serial("random", &mut self.random);
    }

    /// Checks a place that came from elsewhere against the data.
    ///
    /// # Errors
    /// It is one of other data.
    pub fn check(&self) -> Result<()> {
        let samples = self.data.len();
        let mut sorted = self.indices.clone();
        sorted.sort_unstable();
        if !sorted.into_iter().eq(0..samples) || self.place > samples {
            return Err(Error::Shape {
                what: "order of the samples in a checkpoint".into(),
                found: format!("{} of {} samples", self.place, self.indices.len()),
                expected: format!("an order of the {samples} training samples"),
            });
        }
        Ok(())
    }

    /// The next batch.
    pub fn next_batch(&mut self) -> Dataset {
        let mut before = Before {
            place: self.place,
            random: self.random.clone(),
            indices: None,
        };
        if let (Order::Fresh, Some(draw)) = (self.order, self.sampler) {
            self.before = Some(before);
            return draw(self.size, &mut self.random);
        }
        if self.place == self.indices.len() {
            self.place = 0;
            if self.order != Order::Fixed {
                before.indices = Some(self.indices.clone());
                self.indices.shuffle(&mut self.random);
            }
        }
        let end = (self.place + self.size).min(self.indices.len());
        let batch = self.data.select(&self.indices[self.place..end]);
        self.place = end;
        self.before = Some(before);
        batch
    }
}
