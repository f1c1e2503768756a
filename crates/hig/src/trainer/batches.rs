//! Mini-batches of a data set, epoch after epoch.

use super::Training;
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

/// What becomes of the samples at the end of an order that are too few for a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LastBatch {
    /// The batch is filled from the next order, and holds no sample twice.
    Filled,
    /// They are left out until the next order.
    Dropped,
    /// They are a smaller batch.
    Short,
}

crate::choices! {
    LastBatch, "last_batch" {
        Filled = "filled", "filled from the next order: every batch has the same size, every sample is seen equally often";
        Dropped = "dropped", "left out: every batch has the same size, some samples are not seen in an epoch";
        Short = "short", "a smaller batch, whose step has the learning rate of a whole one";
    }
}

/// Any of them, as a setting.
pub const ANY_LAST_BATCH: Rule<LastBatch> = Rule::any();

/// An endless sequence of mini-batches: the samples in one order after another, each of which has every
/// sample once.
pub struct Batches<'a> {
    data: &'a Dataset,
    sampler: Option<&'a Sampler>,
    size: usize,
    order: Order,
    last: LastBatch,
    indices: Vec<usize>,
    place: usize,
    random: Pcg64,
    /// Updates for which fresh samples are kept, those that are, and what they are drawn from.
    renew: usize,
    fresh: Option<Fresh>,
    fresh_samples: Option<Dataset>,
    before: Option<Before>,
    /// The samples of the last batch; none where they were drawn for it.
    chosen: Vec<usize>,
}

/// Where a sequence stood before its last batch.
struct Before {
    place: usize,
    random: Pcg64,
    /// The order, where that batch began a new one.
    indices: Option<Vec<usize>>,
    fresh: Option<Fresh>,
}

/// What fresh samples are drawn from.
#[derive(Clone)]
struct Fresh {
    /// θ at that time.
    at: Vec<f64>,
    random: Pcg64,
    /// Batches that they have been.
    age: usize,
}

impl<'a> Batches<'a> {
    /// Batches as a training has them; a problem without sampler is shuffled where the order is fresh,
    /// and a batch of more samples than there are has all of them.
    pub fn new(problem: &'a Problem, training: &Training, seed: u64) -> Self {
        Self::of(&problem.train, problem, training, seed)
    }

    /// Batches of some of a problem's samples.
    pub(super) fn of(
        data: &'a Dataset,
        problem: &'a Problem,
        training: &Training,
        seed: u64,
    ) -> Self {
        Self {
            data,
            sampler: problem.sampler.as_ref(),
            size: training.batch,
            order: training.order,
            renew: training.renew,
            fresh: None,
            fresh_samples: None,
            last: training.last_batch,
            indices: (0..data.len()).collect(),
            place: data.len(),
            random: random(seed, Purpose::Order),
            before: None,
            chosen: Vec::new(),
        }
    }

    /// Goes back to where it stood before the last batch, once.
    pub fn take_back(&mut self) {
        if let Some(before) = self.before.take() {
            self.fresh = before.fresh;
            self.fresh_samples = None;
            self.place = before.place;
            self.random = before.random;
            self.indices = before.indices.unwrap_or(std::mem::take(&mut self.indices));
        }
    }

    /// Where in the data a sample of the last batch stands; none where it was drawn for that batch.
    pub fn place_of(&self, sample: usize) -> Option<usize> {
        self.chosen.get(sample).copied()
    }

    /// Exchanges the place in the sequence, with the random numbers to come.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.counts("indices", &mut self.indices);
        state.count("place", &mut self.place);
        state.serial("random", &mut self.random);
        if self.order == Order::Fresh && self.renew > 1 {
            state.part("fresh", |state| {
                let now = self.fresh.take();
                let mut fresh = now.unwrap_or_else(|| Fresh {
                    at: Vec::new(),
                    random: self.random.clone(),
                    age: 0,
                });
                state.vector("at", &mut fresh.at);
                state.serial("random", &mut fresh.random);
                state.count("age", &mut fresh.age);
                self.fresh = (fresh.age > 0).then_some(fresh);
                self.fresh_samples = None;
            });
        }
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

    /// The samples that are an epoch: those of the data, but for those at the end of every order that
    /// are dropped.
    pub fn epoch(&self) -> usize {
        let samples = self.data.len();
        match (self.order, self.sampler, self.last) {
            (Order::Fresh, Some(_), _) | (_, _, LastBatch::Filled | LastBatch::Short) => samples,
            (_, _, LastBatch::Dropped) => samples - samples % self.size.min(samples).max(1),
        }
    }

    /// The next batch, for θ.
    pub fn next_batch(&mut self, at: &[f64]) -> Dataset {
        let mut before = Before {
            place: self.place,
            random: self.random.clone(),
            indices: None,
            fresh: self.fresh.clone(),
        };
        if let (Order::Fresh, Some(draw)) = (self.order, self.sampler) {
            self.before = Some(before);
            self.chosen.clear();
            if self.renew <= 1 {
                return draw(at, self.size, &mut self.random);
            }
            if self.fresh.as_ref().is_none_or(|f| f.age >= self.renew) {
                let (at, random) = (at.to_vec(), self.random.clone());
                let samples = draw(&at, self.size, &mut self.random);
                self.fresh = Some(Fresh { at, random, age: 0 });
                self.fresh_samples = Some(samples);
            }
            let fresh = self.fresh.as_mut().expect("there are some now");
            fresh.age += 1;
            // After a checkpoint they are drawn once more, the same.
            let again = || draw(&fresh.at, self.size, &mut fresh.random.clone());
            return self.fresh_samples.get_or_insert_with(again).clone();
        }
        let size = self.size.min(self.indices.len());
        let left = &self.indices[self.place..];
        let first = match self.last {
            _ if left.len() >= size => &left[..size],
            LastBatch::Filled | LastBatch::Short => left,
            LastBatch::Dropped => &[],
        };
        let mut chosen = first.to_vec();
        self.place += chosen.len();
        let missing = match self.last {
            LastBatch::Short if !chosen.is_empty() => 0,
            _ => size - chosen.len(),
        };
        if missing > 0 {
            if self.order != Order::Fixed {
                before.indices = Some(self.indices.clone());
                self.indices.shuffle(&mut self.random);
                self.put_off(&chosen, missing);
            }
            chosen.extend(&self.indices[..missing]);
            self.place = missing;
        }
        self.before = Some(before);
        let batch = self.data.select(&chosen);
        self.chosen = chosen;
        batch
    }

    /// Exchanges samples among the `first` of an order that a batch has already with later ones.
    fn put_off(&mut self, chosen: &[usize], first: usize) {
        if chosen.is_empty() {
            return;
        }
        let mut taken = vec![false; self.indices.len()];
        chosen.iter().for_each(|i| taken[*i] = true);
        let (head, tail) = self.indices.split_at_mut(first);
        let twice = head.iter_mut().filter(|i| taken[**i]);
        let others = tail.iter_mut().filter(|i| !taken[**i]);
        twice.zip(others).for_each(|(a, b)| std::mem::swap(a, b));
    }
}
