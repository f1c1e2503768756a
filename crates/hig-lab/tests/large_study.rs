//! The study of large networks and fields, small.

mod common;

use common::*;
use std::fs;
use tempfile::TempDir;

#[test]
fn methods_stand_beside_tuned_adam_in_equal_seconds() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let run = || {
        let mut command = hig(&["study", "large", "--only", "poisson", "--seeds", "2"]);
        command.args(["--scale", "0.01", "--out"]).arg(&out);
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        String::from_utf8(output.stdout).unwrap()
    };
    let text = run();
    assert!(text.contains("## poisson, 0.1 s"), "{text}");
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    let rows: Vec<Vec<&str>> = summary.lines().map(|l| l.split(',').collect()).collect();
    assert_eq!(rows[0][..4], ["case", "method", "found", "seed"]);
    // Ten methods, each on both seeds that nothing was tuned on.
    let table = fs::read_to_string(out.join("table.md")).unwrap();
    for method in [
        "kron-hig ",
        "kron-hig κ=1 (KFAC)",
        "kron-hig κ=0 (Shampoo's)",
        "adaptive-hig ",
        "adaptive-hig, sketched",
        "hig, sketched",
        "adam, best η",
        "adam with cosine, best η",
        "soap, best η",
        "lbfgs",
    ] {
        let lines = table.lines().filter(|line| line.starts_with(method));
        assert_eq!(lines.count(), 1, "{method}: {table}");
        let name = method.trim_end();
        let seeds = [100, 101].map(|seed| {
            summary
                .lines()
                .filter(|line| line.starts_with(&format!("poisson,\"{name}\"")))
                .filter(|line| line.contains(&format!(",{seed},")))
                .count()
        });
        assert_eq!(seeds, [1, 1], "{method}: {summary}");
    }
    let line = |start: &str| table.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(line("adam, best η").contains("learning_rate="));
    assert!(line("hig, sketched").contains("sketch=8 batch=128"));
    for kind in ["svg", "png"] {
        assert!(out.join(format!("figures/poisson.{kind}")).is_file());
    }
    // What was trained is kept: a second call says the same.
    assert_eq!(run(), text);
}
