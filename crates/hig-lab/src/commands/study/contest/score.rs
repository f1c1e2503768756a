//! What a contest says of each method, and of the goals of `adaptive-hig`.
//!
//! Losses are test losses of what a training returned.
//! Speed is the time until a method reaches, on the same seed, the loss that HIG with its authors'
//! settings ends with. HIG's own time for that may be shorter than the budget, and it is what the
//! other methods are compared with.

use super::{ADAPTIVE, AUTHORS, Contest, Entry};
use crate::commands::statistics::quantile;
use crate::run_folder::trial::Trial;

/// What `adaptive-hig` came to in a contest.
#[derive(Debug)]
pub struct Score<'a> {
    /// The method itself.
    pub adaptive: &'a Entry,
    /// The other method with the lowest median loss.
    pub best: &'a Entry,
    /// The fixed exponent with the lowest median loss, at the best of the rates that were tried.
    pub fixed: &'a Entry,
    /// How many times sooner than HIG it reaches what HIG ends with.
    pub sooner: Option<f64>,
    /// Its loss over HIG's on the seed where that is largest.
    pub worst: f64,
    /// Its median loss over that of the best competitor.
    pub to_best: f64,
    /// The same over that of the best fixed exponent.
    pub to_fixed: f64,
    /// The same over that of Adam at its best rate.
    pub to_adam: f64,
}

impl<'a> Score<'a> {
    /// The score of a contest.
    pub fn of(contest: &'a Contest) -> Self {
        let adaptive = contest.entry(ADAPTIVE);
        let authors = contest.entry(AUTHORS);
        let best = contest.best_competitor();
        let fixed = contest.lowest(|label| label.contains('κ'));
        let adam = contest.lowest(|label| label.starts_with("adam"));
        let pairs = adaptive.losses().into_iter().zip(authors.losses());
        Self {
            adaptive,
            best,
            fixed,
            sooner: contest.sooner(adaptive),
            worst: pairs.map(|(a, h)| ratio(a, h)).fold(0.0, f64::max),
            to_best: ratio(adaptive.loss(), best.loss()),
            to_fixed: ratio(adaptive.loss(), fixed.loss()),
            to_adam: ratio(adaptive.loss(), adam.loss()),
        }
    }
}

impl Contest {
    fn entry(&self, label: &str) -> &Entry {
        let found = self.entries.iter().find(|entry| entry.label == label);
        found.expect("every contest has all methods")
    }

    /// The training of `adaptive-hig` on the first seed, whose choices are shown.
    pub fn shown(&self) -> Option<&Trial> {
        self.entry(ADAPTIVE).trials.first()
    }

    /// The method other than `adaptive-hig` with the lowest median loss.
    pub fn best_competitor(&self) -> &Entry {
        self.lowest(|label| label != ADAPTIVE)
    }

    /// The method with the lowest median loss of those whose label is asked for.
    fn lowest(&self, asked: impl Fn(&str) -> bool) -> &Entry {
        let found = self.entries.iter().filter(|e| asked(&e.label));
        let best = found.min_by(|a, b| a.loss().total_cmp(&b.loss()));
        best.expect("every contest has such competitors")
    }

    /// HIG with the authors' settings.
    pub fn authors(&self) -> &Entry {
        self.entry(AUTHORS)
    }

    /// For each training of a method, the seconds to the loss that HIG ends with on that seed;
    /// infinite where it does not get there.
    pub fn seconds_to_authors(&self, entry: &Entry) -> Vec<f64> {
        let pairs = entry.trials.iter().zip(self.authors().losses());
        pairs
            .map(|(trial, loss)| trial.history.seconds_to(loss).unwrap_or(f64::INFINITY))
            .collect()
    }

    /// HIG's median time to its own end over a method's to the same; none where HIG ends above its
    /// start, so that nothing takes any time.
    pub fn sooner(&self, entry: &Entry) -> Option<f64> {
        let time = |entry: &Entry| quantile(&self.seconds_to_authors(entry), 0.5);
        let (own, authors) = (time(entry), time(self.authors()));
        (authors > 0.0).then(|| authors / own)
    }
}

/// a/b of two losses; one that is not finite is larger than every other.
pub fn ratio(a: f64, b: f64) -> f64 {
    match (a.is_finite(), b.is_finite()) {
        (false, false) => 1.0,
        (false, true) => f64::INFINITY,
        (true, false) => 0.0,
        (true, true) => a / b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_folder::history::History;

    fn entry(label: &str, trainings: &[&[(f64, f64)]]) -> Entry {
        let trial = |curve: &&[(f64, f64)]| Trial {
            stop: "budget used".into(),
            returned: curve.last().map(|(_, loss)| (1, *loss, *loss)),
            history: History {
                seconds: curve.iter().map(|(s, _)| *s).collect(),
                test_loss: curve.iter().map(|(_, l)| *l).collect(),
                ..History::default()
            },
            ..Trial::default()
        };
        Entry {
            label: label.into(),
            rate: "1".into(),
            found: None,
            trials: trainings.iter().map(trial).collect(),
        }
    }

    #[test]
    fn the_score_compares_seed_by_seed() {
        let contest = Contest {
            name: "toy",
            seconds: 8.0,
            tried: Vec::new(),
            entries: vec![
                entry(
                    "adaptive-hig",
                    &[
                        &[(0.0, 1.0), (0.25, 0.125), (8.0, 0.0625)],
                        &[(0.0, 1.0), (0.5, 0.25), (8.0, 0.25)],
                        &[(0.0, 1.0), (1.0, 0.25), (8.0, 0.5)],
                    ],
                ),
                entry(
                    "hig",
                    &[
                        &[(0.0, 1.0), (4.0, 0.125), (8.0, 0.125)],
                        &[(0.0, 1.0), (4.0, 0.5), (8.0, 0.5)],
                        &[(0.0, 1.0), (4.0, 0.5), (8.0, 0.25)],
                    ],
                ),
                entry(
                    "hig κ=1, best η",
                    &[&[(8.0, 0.5)], &[(8.0, 2.0)], &[(8.0, 1.0)]],
                ),
                entry("adam", &[&[(8.0, 0.5)], &[(8.0, 0.125)], &[(8.0, 0.125)]]),
            ],
        };
        let score = Score::of(&contest);
        assert_eq!(score.best.label, "adam");
        // Adaptive: 0.25, 0.5, 1 s; HIG: 4, 4, 8 s.
        assert_eq!(score.sooner, Some(8.0));
        assert_eq!((score.to_best, score.to_adam), (2.0, 2.0));
        assert_eq!((score.fixed.loss(), score.to_fixed), (1.0, 0.25));
        assert_eq!(score.worst, 2.0);
        assert_eq!(contest.sooner(score.best), Some(0.5));
    }

    #[test]
    fn a_training_that_diverged_is_worse_than_any_other() {
        assert_eq!(ratio(f64::INFINITY, 1.0), f64::INFINITY);
        assert_eq!(ratio(1.0, f64::INFINITY), 0.0);
        assert_eq!(ratio(f64::INFINITY, f64::INFINITY), 1.0);
    }
}
