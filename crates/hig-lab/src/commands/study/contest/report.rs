//! Tables and CSV of the contests.

use super::score::{Score, ratio};
use super::{ADAPTIVE, Contest, Entry};
use crate::commands::statistics::quantile;
use crate::console::table;
use crate::run_folder::trial::Trial;

/// The first line of `summary.csv`.
pub const CSV_HEADER: &str = "case,method,learning_rate,seed,updates,seconds,train_loss,test_loss,returned_test_loss,seconds_to_hig,stop\n";

/// A contest as a table with heading.
pub fn section(contest: &Contest) -> String {
    let best = contest.best_competitor().loss();
    let row = |entry: &Entry| {
        let updates: Vec<f64> = entry
            .trials
            .iter()
            .map(|t| last(&t.history.updates))
            .collect();
        let losses = entry.losses();
        let ended = entry.trials.iter().map(Trial::test_loss);
        let diverged = ended.filter(|loss| !loss.is_finite()).count();
        vec![
            entry.label.clone(),
            entry.rate.clone(),
            spread(&losses),
            format!("{:.0}", quantile(&updates, 0.5)),
            seconds(quantile(&contest.seconds_to_authors(entry), 0.5)),
            contest.sooner(entry).map_or("-".into(), number),
            number(ratio(entry.loss(), contest.authors().loss())),
            number(ratio(entry.loss(), best)),
            format!("{diverged}/{}", losses.len()),
        ]
    };
    let rows: Vec<Vec<String>> = contest.entries.iter().map(row).collect();
    let header = [
        "method",
        "η",
        "test loss, median [range]",
        "updates",
        "seconds to hig's end",
        "times sooner",
        "loss / hig's",
        "loss / best competitor's",
        "diverged",
    ];
    let text = table::layout(&header, &rows);
    let found = contest.entries.iter().filter_map(|e| e.found.as_deref());
    let found: Vec<&str> = found.collect();
    format!(
        "## {}, {} s\n\n```text\n{text}```\n\nBest of those tried: {}.\n",
        contest.name,
        contest.seconds,
        found.join("; ")
    )
}

/// What the system of a contest measures beside the loss, at the end of each training; nothing where it
/// measures nothing.
pub fn measures(contest: &Contest) -> String {
    // By name: a trial that was kept has them in another order.
    let first = contest.shown().map_or(&[][..], |trial| &trial.measures);
    let mut names: Vec<&str> = first.iter().map(|(name, _)| name.as_str()).collect();
    if names.is_empty() {
        return String::new();
    }
    names.sort_unstable();
    let row = |entry: &Entry| {
        let of_name = |name: &&str| {
            let measures = entry.trials.iter().flat_map(|trial| &trial.measures);
            let values = measures.filter(|(measure, _)| measure.as_str() == *name);
            let values: Vec<f64> = values.map(|(_, value)| *value).collect();
            match values.is_empty() {
                true => "-".into(),
                false => spread(&values),
            }
        };
        let mut row = vec![entry.label.clone()];
        row.extend(names.iter().map(of_name));
        row
    };
    let rows: Vec<Vec<String>> = contest.entries.iter().map(row).collect();
    let header: Vec<&str> = ["method"]
        .into_iter()
        .chain(names.iter().copied())
        .collect();
    let text = table::layout(&header, &rows);
    format!("\nMeasured at the end, median [range]:\n\n```text\n{text}```\n")
}

/// All contests against the goals of `adaptive-hig`.
pub fn verdict(contests: &[Contest]) -> String {
    let met =
        |value: f64, holds: bool| format!("{} {}", number(value), if holds { "yes" } else { "no" });
    let row = |contest: &Contest| {
        let score = Score::of(contest);
        vec![
            contest.name.to_owned(),
            loss(score.adaptive.loss()),
            format!("{} ({})", loss(score.best.loss()), score.best.label),
            number(score.to_best),
            format!("{} ({})", loss(score.fixed.loss()), score.fixed.label),
            met(score.to_fixed, score.to_fixed <= 1.5),
            met(score.to_adam, score.to_adam <= 1.0),
            met(score.worst, score.worst <= 1.5),
            score.sooner.map_or("-".into(), number),
        ]
    };
    let rows: Vec<Vec<String>> = contests.iter().map(row).collect();
    let header = [
        "case",
        "adaptive-hig",
        "best competitor",
        "/ it",
        "best fixed κ at its best η",
        "/ it (≤ 1.5)",
        "/ tuned adam (≤ 1)",
        "worst seed / hig (≤ 1.5)",
        "times sooner than hig",
    ];
    let text = table::layout(&header, &rows);
    format!("## Goals of adaptive-hig\n\n```text\n{text}```\n")
}

/// Parts of a training that are told apart, as fractions of its evaluations.
const PARTS: [(f64, f64); 3] = [(0.0, 0.2), (0.2, 0.6), (0.6, 1.0)];

/// What `adaptive-hig` chose on the first seed: means over the parts of its training.
pub fn choices(contests: &[Contest]) -> String {
    let means = |values: &[f64]| {
        let told: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        let place = |part: f64| (part * told.len() as f64) as usize;
        let mean = |(first, end): (f64, f64)| {
            let part = &told[place(first)..place(end)];
            number(part.iter().sum::<f64>() / part.len() as f64)
        };
        PARTS.map(mean).join(", ")
    };
    let trials: Vec<_> = contests
        .iter()
        .filter_map(|contest| Some((contest.name, contest.shown()?)))
        .collect();
    let Some((_, first)) = trials.first() else {
        return String::new();
    };
    let quantities: Vec<&str> = first.diagnostics.keys().map(String::as_str).collect();
    let row = |(case, trial): &(&str, &Trial)| {
        let told = |quantity: &&str| {
            let found = trial.diagnostics.get(*quantity);
            found.map_or("-".into(), |values| means(values))
        };
        let mut row = vec![(*case).to_owned()];
        row.extend(quantities.iter().map(told));
        row
    };
    let rows: Vec<Vec<String>> = trials.iter().map(row).collect();
    let header: Vec<&str> = ["case"].into_iter().chain(quantities.clone()).collect();
    let text = table::layout(&header, &rows);
    format!(
        "## What {ADAPTIVE} chose on the first seed\n\n\
         Means over the first fifth, the next two fifths and the rest of the evaluations.\n\n\
         ```text\n{text}```\n"
    )
}

/// All trainings of a contest, those that looked for HIG's best η after the others.
pub fn csv(contest: &Contest) -> String {
    let entries = contest.entries.iter().chain(&contest.tried);
    let rows = entries.map(|entry| {
        let reached = contest.seconds_to_authors(entry);
        let trials = entry.trials.iter().zip(reached);
        let row =
            |(t, reached): (_, f64)| csv_row(contest.name, &entry.label, &entry.rate, t, reached);
        trials.map(row).collect::<String>()
    });
    rows.collect()
}

/// One training; the seconds are left out where they are not finite.
pub fn csv_row(case: &str, label: &str, rate: &str, trial: &Trial, reached: f64) -> String {
    let reached = match reached.is_finite() {
        true => format!("{reached:.6}"),
        false => String::new(),
    };
    format!(
        "{case},\"{label}\",{rate},{},{},{:.6},{:e},{:e},{:e},{reached},\"{}\"\n",
        trial.seed,
        last(&trial.history.updates),
        last(&trial.history.seconds),
        trial.train_loss(),
        trial.test_loss(),
        trial.returned_test_loss(),
        trial.stop.replace('"', "'")
    )
}

fn last(values: &[f64]) -> f64 {
    values.last().copied().unwrap_or(f64::NAN)
}

/// The median with the range.
pub fn spread(losses: &[f64]) -> String {
    let at = |q| loss(quantile(losses, q));
    format!("{} [{}, {}]", at(0.5), at(0.0), at(1.0))
}

fn loss(value: f64) -> String {
    match value.is_finite() {
        true => format!("{value:.2e}"),
        false => "∞".into(),
    }
}

fn seconds(value: f64) -> String {
    match value.is_finite() {
        true => format!("{value:.3}"),
        false => "never".into(),
    }
}

/// Three digits.
pub fn number(value: f64) -> String {
    match value {
        v if !v.is_finite() => "∞".into(),
        v if v != 0.0 && !(1e-2..1e4).contains(&v) => format!("{v:.1e}"),
        v => {
            // Three digits, and no more zeros than they need.
            let digits = (2 - v.abs().max(1e-2).log10().floor() as i32).max(0) as usize;
            let text = format!("{v:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').into(),
                false => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.5, 12.0, 1234.0, 0.0123, 1e-4, 2e5, f64::INFINITY].map(number);
        assert_eq!(
            shown,
            ["0", "0.5", "12", "1234", "0.0123", "1.0e-4", "2.0e5", "∞"]
        );
    }
}
