//! What a training does that it should not, in plain words, with what to try.
//!
//! One file a cause; `causes` registers them. A cause sees every update and every evaluation and says
//! what it finds. It is told once, and again only after it has been gone for a while. A warning that is
//! none does more harm than one that is missing: thresholds are far above what the systems of the
//! library do with the settings of their sources.
//!
//! [`Warner`] is the observer that hands them on; [`Watch`] is what it is made of, for those who have
//! seen the evaluation already.

mod deficient;
mod duplicates;
mod explosion;
mod few_directions;
mod hand_over;
mod overfitting;
mod plateau;
mod rank;
mod saturation;
mod sensitive;
mod setup;
mod still;
mod warner;
mod wording;
mod wrong_rate;

pub use warner::Warner;
pub use wording::Wording;

use crate::diagnostics::Diagnostic;
use crate::files::{Exchange, SavedState};
use crate::objective::Saturation;
use crate::settings::Setting;
use crate::trainer::{Evaluation, Losses, Outcome, Progress, Rescheduled};
use setup::Setup;

/// All causes. To add one, write its file and add its line.
fn causes() -> Vec<Box<dyn Cause>> {
    vec![
        Box::new(wrong_rate::WrongRate),
        Box::new(explosion::Explosion::default()),
        Box::new(saturation::Saturated::default()),
        Box::new(sensitive::Sensitive),
        Box::new(rank::Collapse::default()),
        Box::new(deficient::Deficient::default()),
        Box::new(duplicates::Duplicates::default()),
        Box::new(few_directions::FewDirections::default()),
        Box::new(hand_over::HandOver::default()),
        Box::new(still::Still::default()),
        Box::new(plateau::Plateau::default()),
        Box::new(overfitting::Overfitting::default()),
    ]
}

/// Evaluations without a finding after which a cause is gone: more than any cause takes to be found.
const GONE: usize = 10;

/// Times that a cause is told in one training: more would only say the same again.
const MOST: usize = 3;

/// What a training is warned of.
#[derive(Debug, Clone, PartialEq)]
pub struct Warning {
    /// Updates done when it was raised.
    pub update: usize,
    /// Name of the cause.
    pub name: String,
    /// What happens, with numbers.
    pub message: String,
    /// What to try.
    pub advice: String,
}

impl std::fmt::Display for Warning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.message, self.advice)
    }
}

impl From<&Rescheduled> for Warning {
    fn from(told: &Rescheduled) -> Self {
        Self {
            update: told.update,
            name: "schedule".into(),
            message: told.to_string(),
            advice: "for a schedule over the whole budget, train anew with it".into(),
        }
    }
}

/// Something worth a warning.
#[derive(Debug, Clone, PartialEq)]
struct Finding {
    /// What happens, with numbers.
    message: String,
    /// What to try.
    advice: String,
}

/// A training at an evaluation.
struct View<'a> {
    now: &'a Evaluation<'a>,
    saturation: Option<Saturation>,
    setup: &'a Setup,
    /// Whether the loss has exploded, which explains much of what else is found.
    exploded: bool,
}

impl View<'_> {
    /// A number that the last step told.
    fn told(&self, quantity: Diagnostic) -> Option<f64> {
        let told = self.now.diagnostics.iter();
        told.clone()
            .find(|(name, _)| *name == quantity.name)
            .map(|(_, v)| *v)
    }
}

/// Something that can go wrong.
trait Cause: Send {
    /// Its name in files.
    fn name(&self) -> &'static str;

    /// Sees an update.
    fn update(&mut self, _: &Progress<'_>) {}

    /// Exchanges everything that it remembers, so that a training that goes on is told of as one that never
    /// was stopped.
    fn exchange(&mut self, state: &mut Exchange<'_>);

    /// What an evaluation shows.
    fn look(&mut self, view: &View<'_>) -> Option<Finding>;

    /// What the end of a training shows that no evaluation did.
    fn end(&mut self, _: &Outcome, _: &Setup) -> Option<Finding> {
        None
    }
}

/// A cause with what was said of it.
struct Watched {
    cause: Box<dyn Cause>,
    raised: usize,
    active: bool,
    /// Evaluations without a finding.
    calm: usize,
}

impl Watched {
    /// The finding if it is to be told.
    fn hear(&mut self, found: Option<Finding>) -> Option<Finding> {
        let Some(found) = found else {
            self.calm += 1;
            self.active &= self.calm < GONE;
            return None;
        };
        self.calm = 0;
        let new = !self.active && self.raised < MOST;
        self.active = true;
        self.raised += usize::from(new);
        new.then_some(found)
    }
}

/// Watches one training.
pub struct Watch {
    setup: Setup,
    watched: Vec<Watched>,
    /// The update that was evaluated last, and the state before that.
    before: (usize, SavedState),
}

impl Watch {
    /// Of a training that begins with a method of these settings, those of its [`Training`] included, or
    /// goes on with it; advice is given in a user's words.
    ///
    /// [`Training`]: crate::trainer::Training
    pub fn new(settings: Vec<Setting>, wording: Wording) -> Self {
        let watched = |cause: Box<dyn Cause>| Watched {
            raised: 0,
            active: false,
            calm: 0,
            cause,
        };
        Self {
            setup: Setup::of(settings, wording),
            watched: causes().into_iter().map(watched).collect(),
            before: (0, SavedState::default()),
        }
    }

    /// Another method goes on, with its settings: what was said stays said, what was measured begins anew.
    pub fn go_on_with(&mut self, settings: Vec<Setting>) {
        self.setup = self.setup.another(settings);
        for (watched, cause) in self.watched.iter_mut().zip(causes()) {
            watched.cause = cause;
        }
    }

    /// Exchanges what is remembered of a training.
    pub fn exchange(&mut self, state: &mut Exchange<'_>) {
        state.part("warnings", |state| {
            for watched in &mut self.watched {
                state.part(watched.cause.name(), |state| {
                    state.count("raised", &mut watched.raised);
                    state.flag("active", &mut watched.active);
                    state.count("calm", &mut watched.calm);
                    watched.cause.exchange(state);
                });
            }
        });
    }

    /// What is remembered of the first updates, of which there may have been one more, for
    /// [`Watch::exchange`].
    pub fn state(&mut self, update: usize) -> SavedState {
        match &self.before {
            // The evaluation is made again.
            (evaluated, before) if *evaluated > update => before.clone(),
            _ => SavedState::of(|state| self.exchange(state)),
        }
    }

    /// Sees an update.
    pub fn update(&mut self, now: &Progress<'_>) {
        for watched in &mut self.watched {
            watched.cause.update(now);
        }
    }

    /// What an evaluation shows for the first time, with how far neurons are saturated on the test
    /// samples where that is known.
    pub fn evaluation(
        &mut self,
        now: &Evaluation<'_>,
        saturation: Option<Saturation>,
    ) -> Vec<Warning> {
        self.before = (now.update, SavedState::of(|state| self.exchange(state)));
        let mut view = View {
            now,
            saturation,
            setup: &self.setup,
            exploded: false,
        };
        let mut warnings = Vec::new();
        for watched in &mut self.watched {
            let found = watched.cause.look(&view);
            let told = watched.hear(found);
            view.exploded |= watched.active && watched.cause.name() == explosion::NAME;
            warnings.extend(told.map(|found| warning(now.update, watched.cause.name(), found)));
        }
        warnings
    }

    /// What the end shows for the first time.
    pub fn end(&mut self, outcome: &Outcome) -> Vec<Warning> {
        let mut warnings = Vec::new();
        for watched in &mut self.watched {
            let found = watched.cause.end(outcome, &self.setup);
            let told = found.and_then(|found| watched.hear(Some(found)));
            warnings
                .extend(told.map(|found| warning(outcome.updates, watched.cause.name(), found)));
        }
        warnings
    }
}

fn warning(update: usize, name: &str, found: Finding) -> Warning {
    let Finding { message, advice } = found;
    Warning {
        update,
        name: name.to_owned(),
        message,
        advice,
    }
}

/// The last few of a row of numbers.
#[derive(Debug)]
struct Recent {
    most: usize,
    values: std::collections::VecDeque<f64>,
}

impl Recent {
    fn new(most: usize) -> Self {
        let values = std::collections::VecDeque::with_capacity(most);
        Self { most, values }
    }

    fn push(&mut self, value: f64) {
        if self.values.len() == self.most {
            self.values.pop_front();
        }
        self.values.push_back(value);
    }

    fn exchange(&mut self, name: &str, state: &mut Exchange<'_>) {
        let mut values = self.values.iter().copied().collect();
        state.vector(name, &mut values);
        self.values = values.into();
        self.values.truncate(self.most);
    }

    /// All of them, once there are enough.
    fn full(&self) -> Option<impl Iterator<Item = f64> + Clone> {
        (self.values.len() == self.most).then(|| self.values.iter().copied())
    }
}
