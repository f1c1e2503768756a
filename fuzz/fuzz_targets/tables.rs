//! The tables of a run folder, and the page that is made of them.
#![no_main]

use hig_lab::run_folder::tables::series;
use hig_lab::run_folder::{Columns, Method, Run, State, run_json, spectrum, summary, warnings};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let columns = Columns::of(bytes).unwrap_or_default();
    let outcomes = summary::parse_summary(bytes).unwrap_or_default();
    let outcome = outcomes.into_iter().next().map(|(_, outcome)| outcome);
    let method = Method {
        name: "adam:5+hig".into(),
        state: State::of(outcome.as_ref(), columns.rows() > 0, false),
        outcome,
        metrics: columns.clone(),
        diagnostics: columns,
        steps: series::parse(bytes, "quantity", "value").unwrap_or_default(),
        spectrum: spectrum::parse(bytes).unwrap_or_default(),
        timing: series::parse(bytes, "part", "seconds").unwrap_or_default(),
        warnings: warnings::parse(bytes).unwrap_or_default(),
        phases: Vec::new(),
        pictures: None,
    };
    let _ = method.last("test_loss", "test_loss");
    let _ = method
        .best_test_loss()
        .and_then(|loss| method.seconds_to(loss));
    let run = Run {
        methods: vec![method],
        ..Run::default()
    };
    assert!(run_json(&run).starts_with('{'));
});
