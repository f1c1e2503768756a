//! The tables of a run folder, and the page that is made of them.
#![no_main]

use hig_lab::page::run_json;
use hig_lab::run_folder::outcome::State;
use hig_lab::run_folder::tables::Columns;
use hig_lab::run_folder::{Method, Run, metrics, spectrum, steps, summary, timing, warnings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let history = metrics::parse(bytes).unwrap_or_default();
    let outcomes = summary::parse(bytes).unwrap_or_default();
    let outcome = outcomes.into_iter().next().map(|(_, outcome)| outcome);
    let ended = outcome.as_ref().map(|outcome| outcome.reason);
    let method = Method {
        name: "adam:5+hig".into(),
        state: State::of(ended, history.evaluations() > 0, false),
        outcome,
        history,
        diagnostics: Columns::of(bytes).unwrap_or_default(),
        steps: steps::parse(bytes).unwrap_or_default(),
        spectrum: spectrum::parse(bytes).unwrap_or_default(),
        timing: timing::parse(bytes).unwrap_or_default(),
        warnings: warnings::parse(bytes).unwrap_or_default(),
        phases: Vec::new(),
        pictures: None,
    };
    let _ = method.test_loss();
    let history = &method.history;
    let _ = history
        .best_test_loss()
        .and_then(|loss| history.seconds_to(loss));
    let run = Run {
        methods: vec![method],
        ..Run::default()
    };
    assert!(run_json(&run).starts_with('{'));
});
