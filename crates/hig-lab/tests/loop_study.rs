//! The study of networks that are called inside simulations, small.

mod common;

use common::hig;
use std::fs;
use tempfile::TempDir;

#[test]
fn a_contest_and_the_spectrum_of_its_batch_are_told() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let run = || {
        let arguments = ["study", "loop", "--only", "parameter-estimation"];
        let mut command = hig(&arguments);
        command.args(["--seeds", "2", "--scale", "0.002", "--quiet", "--out"]);
        let output = command.arg(&out).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run();
    assert!(text.contains("## parameter-estimation, 0.01 s"), "{text}");
    assert!(!text.contains("cart-pole"), "{text}");
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    for method in ["adaptive-hig", "lm", "adam, best η", "hig κ=1/2, best η"] {
        let of_method =
            |line: &&str| line.starts_with(&format!("parameter-estimation,\"{method}\""));
        assert_eq!(summary.lines().filter(of_method).count(), 2, "{method}");
    }
    // Degrees of freedom grow as λ falls, up to the rows.
    let (_, counted) = text
        .split_once("## Degrees of freedom at the start")
        .unwrap();
    let row = counted
        .lines()
        .find(|line| line.starts_with("parameter-estimation"))
        .unwrap();
    let numbers: Vec<f64> = row
        .split_whitespace()
        .skip(1)
        .map(|n| n.parse().unwrap())
        .collect();
    let (rows, parameters, freedom) = (numbers[0], numbers[1], &numbers[3..]);
    assert!(freedom.is_sorted() && freedom[0] >= 0.5, "{row}");
    assert!(freedom[2] <= rows.min(parameters), "{row}");
    let table = fs::read_to_string(out.join("table.md")).unwrap();
    assert!(
        table.contains("2 seeds from 100 on") && table.contains(row),
        "{table}"
    );
    for name in ["parameter-estimation", "spectra"] {
        assert!(out.join(format!("figures/{name}.svg")).is_file(), "{name}");
    }
    // What was trained is kept: a second call says the same.
    assert_eq!(run(), text);
}
