//! One setting at a time: batch size, exponent, truncation, pre-training.

use super::race::{Runner, race, spread};
use super::{Context, Exhibit};
use crate::commands::statistics::quantile;
use crate::experiment::trials::{Case, Plan};
use crate::figures::chart::{Axis, Chart, Curve, Panel};
use crate::figures::styles;
use crate::method_chain::recommended;
use crate::run_folder::trial::Trial;
use anyhow::Result;
use hig::systems::{LinearOscillators, System};
use hig::trainer::Budget;

/// HIG on the linear oscillators with batches of 8 to 256, for equal time.
pub fn batch_size(context: &Context<'_>) -> Result<Exhibit> {
    let budget = Budget::seconds(context.seconds(5.0, 30.0));
    let settings: [&'static [&'static str]; 6] = [
        &["batch=8"],
        &["batch=16"],
        &["batch=32"],
        &["batch=64"],
        &["batch=128"],
        &["batch=256"],
    ];
    let runners = settings.map(|set| Runner {
        method: "hig",
        set,
        budget,
    });
    let title = "the role of the batch size, linear oscillators, η = 1";
    race(context, "linear-oscillators", title, &runners, &[])
}

/// Adam, then HIG from its weights, on the Poisson problem.
pub fn pre_training(context: &Context<'_>) -> Result<Exhibit> {
    let budget = Budget::seconds(context.seconds(20.0, 150.0));
    let runners = ["adam", "hig", "adam:500+hig", "adam:5000+hig"].map(|method| Runner {
        method,
        set: &[],
        budget,
    });
    let title = "pre-training with Adam, Poisson problem";
    race(context, "poisson", title, &runners, &[])
}

/// The exponent from -1 to 1, each with the best of several learning rates.
pub fn exponent(context: &Context<'_>) -> Result<Exhibit> {
    const EXPONENTS: [&str; 9] = [
        "-1", "-0.75", "-0.5", "-0.25", "0", "0.25", "0.5", "0.75", "1",
    ];
    const RATES: [&str; 5] = ["0.01", "0.1", "1", "4", "16"];
    let mut cases = Vec::new();
    for exponent in EXPONENTS {
        for rate in RATES {
            let settings = [("exponent", exponent), ("learning_rate", rate)];
            cases.push(case(context, "hig", &settings, 256)?);
        }
    }
    let trials = train(context, &cases)?;
    let mut curve = Curve {
        label: "best learning rate".into(),
        band: Some((Vec::new(), Vec::new())),
        style: styles::of_labels(&["hig"])[0],
        ..Curve::default()
    };
    let mut rows = Vec::new();
    for (i, exponent) in EXPONENTS.iter().enumerate() {
        let of_rate = |j: usize| losses(&trials[i * RATES.len() + j]);
        let best = (0..RATES.len())
            .min_by(|a, b| {
                let at = |j: &usize| quantile(&of_rate(*j), 0.5);
                at(a).total_cmp(&at(b))
            })
            .unwrap_or(0);
        let losses = of_rate(best);
        push(&mut curve, exponent.parse()?, &losses);
        rows.push(vec![(*exponent).into(), RATES[best].into(), spread(losses)]);
    }
    Ok(Exhibit {
        title: "the exponent κ, linear oscillators, 256 updates, best of five η".into(),
        panels: vec![panel(Axis::linear("exponent κ"), vec![curve])],
        header: vec!["κ", "best η", "test loss, median [range]"],
        rows,
    })
}

/// The cut-off τ over the decades where singular values lie.
pub fn truncation(context: &Context<'_>) -> Result<Exhibit> {
    const CUTOFFS: [&str; 9] = [
        "1e-1", "1e-2", "1e-3", "1e-4", "1e-5", "1e-6", "1e-7", "1e-8", "1e-10",
    ];
    let methods = ["hig", "gn"];
    let mut cases = Vec::new();
    for method in methods {
        for cutoff in CUTOFFS {
            cases.push(case(context, method, &[("cutoff", cutoff)], 256)?);
        }
    }
    let trials = train(context, &cases)?;
    let mut curves = Vec::new();
    let mut rows: Vec<Vec<String>> = CUTOFFS
        .iter()
        .map(|cutoff| vec![(*cutoff).to_owned()])
        .collect();
    for (m, method) in methods.iter().enumerate() {
        let mut curve = Curve {
            label: (*method).into(),
            band: Some((Vec::new(), Vec::new())),
            style: styles::of_labels(&[method])[0],
            ..Curve::default()
        };
        for (i, cutoff) in CUTOFFS.iter().enumerate() {
            let losses = losses(&trials[m * CUTOFFS.len() + i]);
            push(&mut curve, cutoff.parse()?, &losses);
            rows[i].push(spread(losses));
        }
        curves.push(curve);
    }
    Ok(Exhibit {
        title: "the cut-off τ, linear oscillators, 256 updates, η = 1".into(),
        panels: vec![panel(Axis::log("cut-off τ"), curves)],
        header: vec![
            "τ",
            "hig: test loss, median [range]",
            "gn: test loss, median [range]",
        ],
        rows,
    })
}

fn case(
    context: &Context<'_>,
    method: &str,
    settings: &[(&str, &str)],
    updates: usize,
) -> Result<Case> {
    let system = LinearOscillators::default();
    let mut phase = recommended(&system, method)?;
    let mut name = method.to_owned();
    for (key, value) in settings {
        phase.set(key, value)?;
        name += &format!(" {key}={value}");
    }
    let updates = (updates as f64 * context.options.scale).ceil() as usize;
    Ok(Case {
        name,
        system: system.boxed(),
        chain: phase.into(),
        budget: Budget::updates(updates),
    })
}

fn train(context: &Context<'_>, cases: &[Case]) -> Result<Vec<Vec<Trial>>> {
    Plan {
        cases,
        seeds: &context.seeds(),
        parallel: true,
        cache: context.trials.clone(),
        others: Vec::new(),
        shard: None,
        reporting: context.options.output.console.reporting(),
    }
    .run()
}

fn losses(trials: &[Trial]) -> Vec<f64> {
    match trials {
        [] => vec![f64::NAN],
        trials => trials.iter().map(Trial::test_loss).collect(),
    }
}

fn push(curve: &mut Curve, x: f64, losses: &[f64]) {
    curve.x.push(x);
    curve.y.push(quantile(losses, 0.5));
    if let Some((low, high)) = &mut curve.band {
        low.push(quantile(losses, 0.0));
        high.push(quantile(losses, 1.0));
    }
}

fn panel(x: Axis, curves: Vec<Curve>) -> Panel {
    Panel::Chart(Chart {
        title: "median and range of the seeds".into(),
        x,
        y: Axis::log("test loss"),
        curves,
        points: Vec::new(),
    })
}
