//! The observer that hands warnings on as they come.

use super::{Warning, Watch, Wording};
use crate::error::Result;
use crate::settings::Settings;
use crate::step::Method;
use crate::trainer::{Evaluation, Flow, Observer, Outcome, Progress, Training};

/// Test samples by which saturated neurons are noticed, at most: a mean over neurons needs no more, and
/// an evaluation takes hardly longer.
const SAMPLES: usize = 256;

/// Watches a training, and hands each [`Warning`] once to a callback while the training goes on.
///
/// ```
/// use hig::step::Spectral;
/// use hig::systems::{System, Toy};
/// use hig::trainer::{Budget, Flow, Training, train};
/// use hig::warnings::{Warner, Wording};
///
/// let problem = Toy::default().problem(0);
/// let start = problem.initial_parameters(0);
/// let method = Spectral { cutoff: 1e-12, learning_rate: 30.0.into(), ..Spectral::half_inverse() };
/// let training = Training { batch: 256, ..Training::default() };
/// let mut told = Vec::new();
/// let mut warner = Warner::new(&method, &training, Wording::default(), |warning| {
///     told.push(warning.name.clone());
///     Ok(Flow::Continue)
/// });
/// train(&problem, &method, start, &training, Budget::updates(30), 0, &mut [&mut warner])?;
/// assert!(told.contains(&"explosion".to_owned()));
/// # Ok::<(), hig::Error>(())
/// ```
pub struct Warner<F> {
    watch: Watch,
    tell: F,
}

impl<F: FnMut(&Warning) -> Result<Flow>> Warner<F> {
    /// Of a training with a method; advice is given in a user's words. The callback may end the training.
    pub fn new(method: &dyn Method, training: &Training, wording: Wording, tell: F) -> Self {
        let settings = [method.settings(), training.settings()].concat();
        Self {
            watch: Watch::new(settings, wording),
            tell,
        }
    }

    /// Every warning is told before the first failure or wish to stop is obeyed.
    fn hand_on(&mut self, warnings: &[Warning]) -> Result<Flow> {
        let answers: Vec<Result<Flow>> = warnings.iter().map(&mut self.tell).collect();
        let flows: Vec<Flow> = answers.into_iter().collect::<Result<_>>()?;
        Ok(match flows.contains(&Flow::Stop) {
            true => Flow::Stop,
            false => Flow::Continue,
        })
    }
}

impl<F: FnMut(&Warning) -> Result<Flow>> Observer for Warner<F> {
    fn progress(&mut self, now: &Progress<'_>) -> Result<Flow> {
        self.watch.update(now);
        Ok(Flow::Continue)
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        let objective = &now.problem.objective;
        let test = &now.problem.test;
        let few: Vec<usize> = (0..test.len().min(SAMPLES)).collect();
        let saturation = objective.saturation(now.parameters, &test.select(&few))?;
        let warnings = self.watch.evaluation(now, saturation);
        self.hand_on(&warnings)
    }

    fn end(&mut self, outcome: &Outcome) -> Result<()> {
        let warnings = self.watch.end(outcome);
        self.hand_on(&warnings).map(|_| ())
    }
}
