//! Many trainings that are told of trainings.

use super::Reporting;
use crate::console::terminal;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Trainings, possibly several at once, of which one bar tells.
#[derive(Debug)]
pub struct ManyTrainings {
    reporting: Reporting,
    bar: ProgressBar,
    count: usize,
    done: AtomicUsize,
}

impl ManyTrainings {
    /// `count` trainings.
    pub fn new(reporting: Reporting, count: usize) -> Self {
        let bar = ProgressBar::with_draw_target(Some(count as u64), ProgressDrawTarget::hidden());
        let bar = match reporting {
            Reporting::Bars => terminal::add(bar),
            _ => bar,
        };
        let template = "trainings {wide_bar:.cyan/blue} {pos}/{len}  {msg}  {eta} left";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed"));
        bar.tick();
        Self {
            reporting,
            bar,
            count,
            done: AtomicUsize::new(0),
        }
    }

    /// A training begins.
    pub fn begin(&self, name: &str, seed: u64) {
        self.bar.set_message(format!("{name}, seed {seed}"));
        tracing::info!("{name}, seed {seed}: begins");
    }

    /// A training has ended with a test loss, or had been there before.
    pub fn end(&self, name: &str, seed: u64, test_loss: f64, stop: &str) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        self.bar.inc(1);
        if self.reporting == Reporting::Lines {
            let count = self.count;
            crate::console::output::note!(
                "{done}/{count}  {name}, seed {seed}: test loss {test_loss:.2e} ({stop})"
            );
        }
        self.reporting.event("training", || {
            json!({
                "name": name,
                "seed": seed,
                "done": done,
                "of": self.count,
                "test_loss": test_loss,
                "stop": stop,
            })
        });
    }
}

impl Drop for ManyTrainings {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
