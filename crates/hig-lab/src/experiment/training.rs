//! The loop that trains a chain of methods, each from the weights that the one before it ends with. It
//! is the only one: a run, a run that is resumed, and each training of a sweep, a study or a
//! reproduction come to the same bits.

use crate::method_chain::Phase;
use hig::Problem;
use hig::trainer::{self, Budget, Observer, Start, Stop, train};

/// A chain of methods on a problem.
#[derive(Clone, Copy)]
pub struct Training<'a> {
    /// Data, network, physics, loss.
    pub problem: &'a Problem,
    /// The methods in order.
    pub phases: &'a [Phase],
    /// How long all of them train together.
    pub budget: Budget,
    /// Seed of the order of samples.
    pub seed: u64,
}

/// Those who watch the training of a chain.
pub trait Watching {
    /// The method at a place of the chain begins, or goes on, after some updates.
    fn begin(&mut self, place: usize, updates: usize);

    /// Who watches every update and evaluation.
    fn observers(&mut self) -> Vec<&mut dyn Observer>;
}

/// The end of the training of a chain.
#[derive(Debug)]
pub struct Trained {
    /// Weights, losses, and why it ended.
    pub outcome: trainer::Outcome,
    /// The place of the last method at work.
    pub place: usize,
}

impl Training<'_> {
    /// Trains from a start, with the method at a place of the chain first.
    ///
    /// # Errors
    /// Everything that can be known before the first update of a method. What happens later ends up in
    /// [`trainer::Outcome::stop`].
    pub fn run(
        &self,
        mut start: Start,
        first: usize,
        watching: &mut dyn Watching,
    ) -> hig::Result<Trained> {
        let mut place = first;
        loop {
            let phase = &self.phases[place];
            watching.begin(place, start.updates);
            tracing::debug!("{}: {:?}, {:?}", phase.name, phase.method, phase.training);
            let outcome = train(
                self.problem,
                phase.method.as_ref(),
                start,
                &phase.training,
                self.budget_of(phase),
                self.seed_of(place),
                &mut watching.observers(),
            )?;
            let last = place + 1 == self.phases.len();
            if last || self.is_over(&outcome) {
                return Ok(Trained { outcome, place });
            }
            start = Start::from(&outcome);
            place += 1;
        }
    }

    /// A method ends with the budget of the chain, or earlier where the next one takes over.
    pub fn budget_of(&self, phase: &Phase) -> Budget {
        let limits = [phase.until, self.budget.updates];
        Budget {
            updates: limits.into_iter().flatten().min(),
            ..self.budget
        }
    }

    /// The seed itself for the first method, so that one alone trains as [`train`] does with it. A later
    /// method must not see the same samples in the same order again.
    fn seed_of(&self, place: usize) -> u64 {
        self.seed.wrapping_add(place as u64)
    }

    fn is_over(&self, outcome: &trainer::Outcome) -> bool {
        let used = self
            .budget
            .used(outcome.updates, outcome.epochs, outcome.seconds);
        used >= 1.0 || !matches!(outcome.stop, Stop::Budget)
    }
}
