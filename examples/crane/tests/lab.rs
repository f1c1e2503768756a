//! A crate's own system in the lab: listed, run, resumed, swept, refused.
#![forbid(unsafe_code)]

use assert_cmd::Command;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// What the program says, and its exit code.
fn crane(folder: &Path, arguments: &str) -> (String, String, i32) {
    let mut command = Command::cargo_bin("crane").expect("the binary is built");
    let command = command
        .args(arguments.split_whitespace())
        .current_dir(folder);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (text(output.stdout), text(output.stderr), code)
}

/// The loss columns of a method's metrics; seconds differ from run to run.
fn losses(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("hig/metrics.csv")).unwrap();
    let row = |line: &str| {
        let cells: Vec<&str> = line.split(',').collect();
        [cells[0], cells[1], cells[3], cells[4]].join(",")
    };
    text.lines().map(row).collect()
}

#[test]
fn it_is_one_of_the_systems_everywhere() {
    let folder = TempDir::new().unwrap();
    let (text, errors, code) = crane(folder.path(), "list");
    assert_eq!(code, 0, "{errors}");
    for name in ["crane", "a crane that brings its load to rest", "cart-pole"] {
        assert!(text.contains(name), "{text}");
    }
    let (text, errors, code) = crane(folder.path(), "init crane");
    assert_eq!(code, 0, "{errors}");
    assert!(
        text.contains("rope") || folder.path().join("crane.toml").exists(),
        "{text}"
    );
    // Its settings are checked as those of any other.
    let (_, errors, code) = crane(folder.path(), "run crane --set rope=-1 --updates 1");
    assert!(
        code == 2 && errors.contains("rope") && errors.contains("above 0"),
        "{errors}"
    );
    let (_, errors, code) = crane(folder.path(), "run cran --updates 1");
    assert!(code == 2 && errors.contains("crane"), "{errors}");
}

#[test]
fn it_is_run_drawn_resumed_and_swept() {
    let folder = TempDir::new().unwrap();
    let small = "--set samples=24 --set steps=6 --set batch=8 --quiet";
    let run = |updates: usize, out: &str| {
        let arguments = format!("run crane --method hig --updates {updates} --out {out} {small}");
        let (_, errors, code) = crane(folder.path(), &arguments);
        assert_eq!(code, 0, "{errors}");
    };
    run(6, "whole");
    run(3, "part");
    let (_, errors, code) = crane(folder.path(), "resume part --updates 6 --quiet");
    assert_eq!(code, 0, "{errors}");
    let (whole, part) = (folder.path().join("whole"), folder.path().join("part"));
    assert_eq!(losses(&whole), losses(&part));
    // Its pictures are among the figures.
    assert!(whole.join("figures/sample.svg").is_file());
    let sweep = "sweep crane --method hig --set rope=1,2 --updates 2 --out swept";
    let (_, errors, code) = crane(folder.path(), &format!("{sweep} {small}"));
    assert_eq!(code, 0, "{errors}");
    assert!(folder.path().join("swept").join("summary.csv").is_file());
}
