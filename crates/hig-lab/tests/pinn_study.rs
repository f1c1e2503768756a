//! The study of fields that obey an equation, small.

mod common;

use common::*;
use std::fs;
use tempfile::TempDir;

#[test]
fn errors_over_time_stand_beside_the_published_ones() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let run = |cases: &[&str]| {
        let mut command = hig(&["study", "pinn", "--seeds", "1"]);
        command.args(cases.iter().flat_map(|case| ["--only", case]));
        command.args(["--scale", "0.004", "--out"]).arg(&out);
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run(&["heat-1d"]);
    assert!(
        text.contains("## heat-1d") && !text.contains("poisson"),
        "{text}"
    );
    let row = |start: &str| -> Vec<String> {
        let line = text.lines().find(|line| line.starts_with(start)).unwrap();
        line.split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(row("published")[1..5], ["27.0", "38.0", "96.0", "202.0"]);
    let table = fs::read_to_string(out.join("table.md")).unwrap();
    assert!(table.contains("1 seed from 100 on"), "{table}");
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    let rows: Vec<Vec<&str>> = summary.lines().map(|l| l.split(',').collect()).collect();
    assert_eq!(rows[0][..3], ["case", "method", "seed"]);
    let methods: Vec<&str> = rows[1..].iter().map(|row| row[1]).collect();
    assert_eq!(methods, ["lm", "gn-line-search", "adam"]);
    for row in &rows[1..] {
        assert_eq!((row[0], row[2]), ("heat-1d", "100"));
        // The error of what was returned, and the median that the table says of one seed.
        let end: f64 = row[7].parse().unwrap();
        assert!(end > 0.0 && end < 30.0, "{row:?}");
        let told = text.lines().find(|line| line.starts_with(row[1])).unwrap();
        assert!(told.contains(&format!("{end:.1e}")), "{told} {row:?}");
    }
    for kind in ["svg", "png"] {
        assert!(out.join(format!("figures/heat-1d.{kind}")).is_file());
    }
    // What was trained is kept: a second call says the same, and so does one that adds a case.
    assert_eq!(run(&["heat-1d"]), text);
    let both = run(&["heat-1d", "burgers-mild"]);
    assert!(both.contains("## burgers-mild"), "{both}");
    for method in methods {
        let of = |text: &str| -> String {
            let line = text.lines().find(|line| line.starts_with(method));
            line.unwrap().to_owned()
        };
        assert_eq!(of(&both), of(&text));
    }
    let all = fs::read_to_string(out.join("summary.csv")).unwrap();
    assert!(
        all.starts_with(&summary) && all.lines().count() == 7,
        "{all}"
    );
}
