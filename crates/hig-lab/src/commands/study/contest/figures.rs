//! Loss over wall-clock time, and what `adaptive-hig` chose on the way.

use super::{ADAPTIVE, Contest};
use crate::commands::statistics::interpolated;
use crate::commands::study::over_time::{band, grid};
use crate::figures::chart::{Axis, Chart, Curve, Panel};
use crate::figures::styles;
use crate::run_folder::trial::Trial;

/// Test loss over training time of all methods, median and range of the seeds.
pub fn over_time(contest: &Contest) -> Panel {
    let trials = contest.entries.iter().flat_map(|entry| &entry.trials);
    let times = trials.flat_map(|t| t.history.seconds.iter().copied());
    let grid = grid(times, contest.seconds);
    let labels: Vec<&str> = contest.entries.iter().map(|e| e.label.as_str()).collect();
    let curves = contest.entries.iter().zip(styles::of_labels(&labels));
    Panel::Chart(Chart {
        title: format!("{}: median and range of the seeds", contest.name),
        x: Axis::log("training time (s)"),
        y: Axis::loss("test loss"),
        curves: curves
            .map(|(entry, style)| band((&entry.label, style), &entry.trials, &grid, loss_at))
            .collect(),
        points: Vec::new(),
    })
}

/// A training that ends within its last update stays where it is, one that diverged is lost.
fn loss_at(trial: &Trial, time: f64) -> f64 {
    let between = interpolated(&trial.history.seconds, &trial.history.test_loss, time);
    between.unwrap_or_else(|| trial.test_loss())
}

/// What `adaptive-hig` told of its updates on the first seed, a panel a quantity.
pub fn choices(contest: &Contest) -> Vec<Panel> {
    let Some(trial) = contest.shown() else {
        return Vec::new();
    };
    let panel = |(name, values): (&String, &Vec<f64>)| {
        let name = name.replace('_', " ");
        Panel::Chart(Chart {
            title: format!("{}, seed {}: {name}", contest.name, trial.seed),
            x: Axis::log("updates"),
            y: axis(&name, values),
            curves: vec![Curve {
                label: ADAPTIVE.into(),
                x: trial.history.updates.clone(),
                y: values.clone(),
                style: styles::of_labels(&[ADAPTIVE])[0],
                ..Curve::default()
            }],
            points: Vec::new(),
        })
    };
    trial.diagnostics.iter().map(panel).collect()
}

/// In decades where the positive values cover more than one.
fn axis(name: &str, values: &[f64]) -> Axis {
    let positive = || values.iter().copied().filter(|v| *v > 0.0);
    let (low, high) = (
        positive().fold(f64::INFINITY, f64::min),
        positive().fold(0.0, f64::max),
    );
    match high > 10.0 * low {
        true => Axis::log(name),
        false => Axis::linear(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run_folder::history::History;

    #[test]
    fn every_seed_is_read_at_the_same_times() {
        let trial = |seconds: Vec<f64>, test_loss: Vec<f64>, stop: &str| Trial {
            history: History {
                seconds,
                test_loss,
                ..History::default()
            },
            stop: stop.into(),
            ..Trial::default()
        };
        let ended = trial(vec![0.0, 1.0, 3.0], vec![1.0, 1e-2, 1e-4], "budget used");
        assert_eq!(loss_at(&ended, 1.0), 1e-2);
        assert!((loss_at(&ended, 2.0) / 1e-3 - 1.0).abs() < 1e-12);
        assert_eq!(loss_at(&ended, 3.5), 1e-4);
        let lost = trial(vec![0.0, 1.0], vec![1.0, 7.0], "loss is NaN after update 1");
        assert_eq!(loss_at(&lost, 0.0), 1.0);
        assert_eq!(loss_at(&lost, 2.0), f64::INFINITY);
    }
}
