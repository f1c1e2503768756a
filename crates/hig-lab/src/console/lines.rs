//! Lines for files and pipes, where a bar would be noise.

use super::pace::{Pace, time};
use hig::Result;
use hig::trainer::{Evaluation, Flow, Observer, Progress};
use std::time::{Duration, Instant};

/// A line from time to time.
#[derive(Debug)]
pub struct Lines<F> {
    method: String,
    every: Duration,
    told: Instant,
    pace: Pace,
    tell: F,
}

impl<F: FnMut(String)> Lines<F> {
    /// Lines of one method, at least `every` apart.
    pub fn new(method: &str, every: Duration, tell: F) -> Self {
        Self {
            method: method.to_owned(),
            every,
            told: Instant::now(),
            pace: Pace::new(),
            tell,
        }
    }
}

impl<F: FnMut(String)> Observer for Lines<F> {
    fn progress(&mut self, now: &Progress<'_>) -> Result<Flow> {
        let left = self.pace.left(now);
        if self.told.elapsed() >= self.every {
            self.told = Instant::now();
            let Pace { loss, best, .. } = self.pace;
            (self.tell)(format!(
                "{:<6} {:>3.0} %  {} updates  loss {loss:.2e}  best {best:.2e}  {:.0} updates/s  {} left",
                self.method,
                100.0 * now.budget_used.min(1.0),
                now.update,
                Pace::rate(now),
                time(left),
            ));
        }
        Ok(Flow::Continue)
    }

    fn evaluation(&mut self, now: &Evaluation<'_>) -> Result<Flow> {
        self.pace.evaluation(now);
        Ok(Flow::Continue)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_share_loss_rate_and_time_left() {
        let mut told = Vec::new();
        let mut lines = Lines::new("hig", Duration::ZERO, |line| told.push(line));
        // It goes on at update 10 and uses a quarter of its budget in two seconds.
        for (update, seconds, budget_used) in [(10, 30.0, 0.5), (20, 32.0, 0.75)] {
            let now = Progress {
                parameters: &[],
                update,
                epoch: 0.0,
                seconds,
                batch_loss: 1.0,
                budget_used,
                unchanged: false,
            };
            lines.progress(&now).unwrap();
        }
        assert_eq!(told.len(), 2);
        assert!(told[0].contains(" 50 %  10 updates") && told[0].ends_with("? left"));
        assert!(
            told[1].ends_with("1 updates/s  2 seconds left"),
            "{}",
            told[1]
        );
    }

    #[test]
    fn lines_are_apart() {
        let mut told = Vec::new();
        let mut lines = Lines::new("hig", Duration::from_secs(3600), |line| told.push(line));
        let now = Progress {
            parameters: &[],
            update: 1,
            epoch: 0.0,
            seconds: 1.0,
            batch_loss: 1.0,
            budget_used: 0.1,
            unchanged: false,
        };
        lines.progress(&now).unwrap();
        assert!(told.is_empty());
    }
}
