//! Mini-batches of a data set, epoch after epoch.

use crate::data::{Dataset, Purpose, random};
use crate::settings::{Rule, SettingType, Value};
use rand::seq::SliceRandom;
use rand_pcg::Pcg64;

/// Order of the samples in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// A new random order each epoch, from the seed.
    Shuffled,
    /// As stored, every epoch.
    Fixed,
}

impl SettingType for Order {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "shuffled" => Some(Self::Shuffled),
            "fixed" => Some(Self::Fixed),
            _ => None,
        }
    }
    fn value(&self) -> Value {
        let name = match self {
            Self::Shuffled => "shuffled",
            Self::Fixed => "fixed",
        };
        Value::Word(name.into())
    }
}

/// Any order, as a setting.
pub const ANY_ORDER: Rule<Order> = Rule {
    text: "shuffled or fixed",
    holds: |_| true,
};

/// An endless sequence of mini-batches; every epoch has each sample once, so that its last batch
/// may be smaller.
#[derive(Debug)]
pub struct Batches<'a> {
    data: &'a Dataset,
    size: usize,
    order: Order,
    indices: Vec<usize>,
    place: usize,
    random: Pcg64,
}

impl<'a> Batches<'a> {
    /// Batches of `size` samples of `data`.
    pub fn new(data: &'a Dataset, size: usize, order: Order, seed: u64) -> Self {
        Self {
            data,
            size,
            order,
            indices: (0..data.len()).collect(),
            place: data.len(),
            random: random(seed, Purpose::Order),
        }
    }

    /// The next batch.
    pub fn next_batch(&mut self) -> Dataset {
        if self.place == self.indices.len() {
            self.place = 0;
            if self.order == Order::Shuffled {
                self.indices.shuffle(&mut self.random);
            }
        }
        let end = (self.place + self.size).min(self.indices.len());
        let batch = self.data.select(&self.indices[self.place..end]);
        self.place = end;
        batch
    }
}
