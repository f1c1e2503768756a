//! A progress bar in the terminal.

use super::pace::{Pace, time};
use crate::console::terminal;
use hig::Result;
use hig::trainer::{Evaluation, Flow, Observer, Progress};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

const TICKS: u64 = 10_000;

/// A bar with loss, best loss, rate and time left.
#[derive(Debug)]
pub struct Bar {
    bar: ProgressBar,
    pace: Pace,
    shown: Instant,
}

impl Bar {
    /// A bar for one method.
    pub fn new(method: &str) -> Self {
        let bar = terminal::add(ProgressBar::new(TICKS));
        let template = "{prefix:<6} {wide_bar:.cyan/blue} {percent:>3} %  {msg}";
        bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed"));
        bar.set_prefix(method.to_owned());
        Self {
            bar,
            pace: Pace::new(),
            shown: Instant::now(),
        }
    }
}

impl Observer for Bar {
    fn progress(&mut self, now: &Progress<'_>) -> Result<Flow> {
        // Formatting at every update would cost as much as a small update itself.
        if self.shown.elapsed() >= Duration::from_millis(50) {
            self.shown = Instant::now();
            let left = time(self.pace.left(now));
            let Pace { loss, best, .. } = self.pace;
            let rate = Pace::rate(now);
            self.bar.set_message(format!(
                "loss {loss:.2e}  best {best:.2e}  {rate:.0} updates/s  {left} left"
            ));
            let position = now.budget_used.min(1.0) * TICKS as f64;
            self.bar.set_position(position as u64);
        }
        Ok(Flow::Continue)
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        self.pace.evaluation(now);
        Ok(Flow::Continue)
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
