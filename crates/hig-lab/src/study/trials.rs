//! One setting, many seeds: the trainings that a study is made of.

use crate::interrupt::{self, Interrupt};
use anyhow::Result;
use hig::step::Method;
use hig::systems::System;
use hig::trainer::{Budget, Evaluation, Flow, Observer, Saturation, Training, saturation, train};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use rayon::prelude::*;

/// A setting of which many seeds are trained.
#[derive(Debug)]
pub struct Case {
    /// A short name, unique in the study.
    pub name: String,
    /// The system.
    pub system: Box<dyn System>,
    /// The method.
    pub method: Box<dyn Method>,
    /// Batch size, order, …
    pub training: Training,
}

/// What one training of a case came to.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The seed of data, weights and order.
    pub seed: u64,
    /// Updates and training loss at the evaluations.
    pub curve: Vec<(usize, f64)>,
    /// Training loss at the end; infinite for a training that ended early because it diverged.
    pub loss: f64,
    /// Saturation at the end.
    pub saturation: Option<Saturation>,
    /// Root mean square distance by which the first update moved the test samples' y.
    pub first_jump: f64,
}

/// Trains every case with seeds 0, 1, …; trials of one case stand together, in order of seeds.
/// An interrupt leaves out the trials that were not finished.
pub fn run(cases: &[Case], seeds: usize, updates: usize, quiet: bool) -> Result<Vec<Vec<Trial>>> {
    let target = if quiet {
        ProgressDrawTarget::hidden()
    } else {
        ProgressDrawTarget::stderr()
    };
    let bar = ProgressBar::with_draw_target(Some((cases.len() * seeds) as u64), target);
    let template = "trainings {wide_bar:.cyan/blue} {pos}/{len}  {msg}  {eta} left";
    bar.set_style(ProgressStyle::with_template(template)?);
    let jobs: Vec<(usize, u64)> = (0..cases.len())
        .flat_map(|case| (0..seeds as u64).map(move |seed| (case, seed)))
        .collect();
    let trials: Vec<(usize, Option<Trial>)> = jobs
        .into_par_iter()
        .map(|(case, seed)| {
            if interrupt::asked() {
                return Ok((case, None));
            }
            let trial = cases[case].train(seed, updates)?;
            bar.set_message(format!("{} loss {:.1e}", cases[case].name, trial.loss));
            bar.inc(1);
            Ok((case, (!interrupt::asked()).then_some(trial)))
        })
        .collect::<hig::Result<_>>()?;
    bar.finish_and_clear();
    let mut by_case = vec![Vec::new(); cases.len()];
    for (case, trial) in trials {
        by_case[case].extend(trial);
    }
    Ok(by_case)
}

impl Case {
    fn train(&self, seed: u64, updates: usize) -> hig::Result<Trial> {
        let problem = self.system.problem(seed);
        let start = problem.network.initial_parameters(seed);
        let mut watcher = Watcher::default();
        let outcome = train(
            &problem,
            self.method.as_ref(),
            start,
            &self.training,
            Budget::updates(updates),
            seed,
            &mut [&mut watcher, &mut Interrupt],
        )?;
        let loss = match outcome.updates == updates {
            true => outcome.train_loss,
            false => f64::INFINITY,
        };
        Ok(Trial {
            seed,
            curve: watcher.curve,
            loss,
            saturation: saturation(&problem.network, &outcome.parameters, &problem.test),
            first_jump: watcher.first_jump,
        })
    }
}

#[derive(Default)]
struct Watcher {
    curve: Vec<(usize, f64)>,
    start: Option<hig::matrix::Mat<f64>>,
    first_jump: f64,
}

impl Observer for Watcher {
    fn evaluation(&mut self, now: &Evaluation<'_>) -> hig::Result<Flow> {
        self.curve.push((now.update, now.train_loss));
        if now.update <= 1 {
            let test = &now.problem.test;
            let y = now.problem.model().simulate(now.parameters, test);
            match &self.start {
                None => self.start = Some(y),
                Some(start) => {
                    self.first_jump = (&y - start).norm_l2() / (test.len() as f64).sqrt();
                }
            }
        }
        Ok(Flow::Continue)
    }
}
