//! The evaluations of a training, in memory: what `metrics.csv` keeps of it.

use hig::trainer::Evaluation;

/// The evaluations of a training, one number each in every series. A series that a file lacks is
/// empty.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// Updates done.
    pub updates: Vec<f64>,
    /// Passes over the training samples.
    pub epochs: Vec<f64>,
    /// Seconds of training.
    pub seconds: Vec<f64>,
    /// Mean loss of the training samples.
    pub train_loss: Vec<f64>,
    /// Mean loss of the test samples.
    pub test_loss: Vec<f64>,
}

impl History {
    /// Takes an evaluation.
    pub fn push(&mut self, now: &Evaluation<'_>) {
        self.updates.push(now.update as f64);
        self.epochs.push(now.epoch);
        self.seconds.push(now.seconds);
        self.train_loss.push(now.train_loss);
        self.test_loss.push(now.test_loss);
    }

    /// Number of evaluations.
    pub fn evaluations(&self) -> usize {
        self.updates.len()
    }

    /// The series.
    pub fn series(&self) -> [&[f64]; 5] {
        let Self {
            updates,
            epochs,
            seconds,
            train_loss,
            test_loss,
        } = self;
        [updates, epochs, seconds, train_loss, test_loss].map(Vec::as_slice)
    }

    /// The series, to be changed.
    pub fn series_mut(&mut self) -> [&mut Vec<f64>; 5] {
        let Self {
            updates,
            epochs,
            seconds,
            train_loss,
            test_loss,
        } = self;
        [updates, epochs, seconds, train_loss, test_loss]
    }

    /// The first evaluations only.
    pub fn truncate(&mut self, count: usize) {
        for series in self.series_mut() {
            series.truncate(count);
        }
    }

    /// The place of the last evaluation up to an update.
    pub fn place(&self, update: usize) -> Option<usize> {
        self.updates.iter().rposition(|u| *u <= update as f64)
    }

    /// The lowest test loss.
    pub fn best_test_loss(&self) -> Option<f64> {
        let losses = self.test_loss.iter().copied();
        losses.filter(|loss| !loss.is_nan()).min_by(f64::total_cmp)
    }

    /// Seconds of training until an evaluation found a test loss no larger than `loss`.
    pub fn seconds_to(&self, loss: f64) -> Option<f64> {
        let place = self.test_loss.iter().position(|l| *l <= loss)?;
        self.seconds.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn evaluations_are_found_by_update_and_by_loss() {
        let mut history = History {
            updates: vec![0.0, 2.0, 5.0],
            seconds: vec![0.0, 0.5, 0.75],
            test_loss: vec![f64::NAN, 3.0, 4.0],
            ..History::default()
        };
        let places = [0, 1, 2, 4, 5, 9].map(|update| history.place(update).unwrap());
        assert_eq!(places, [0, 0, 1, 1, 2, 2]);
        assert_eq!(history.best_test_loss(), Some(3.0));
        assert_eq!(history.seconds_to(4.0), Some(0.5));
        assert_eq!(history.seconds_to(2.0), None);
        history.truncate(1);
        assert_eq!((history.evaluations(), history.best_test_loss()), (1, None));
        assert_eq!(History::default().place(0), None);
    }
}
