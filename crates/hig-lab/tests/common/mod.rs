//! What the command-line tests share.
#![allow(dead_code, reason = "each test file uses its own part")]

use assert_cmd::Command;
use std::fs;
use std::path::Path;

/// The program with arguments.
pub fn hig(arguments: &[&str]) -> Command {
    let mut command = Command::cargo_bin("hig").expect("the binary is built");
    command.args(arguments);
    command
}

/// The loss columns of a metrics file; seconds differ from run to run.
pub fn losses(folder: &Path, method: &str) -> Vec<String> {
    let text = fs::read_to_string(folder.join(method).join("metrics.csv")).unwrap();
    text.lines()
        .map(|line| {
            let cells: Vec<&str> = line.split(',').collect();
            [cells[0], cells[1], cells[3], cells[4]].join(",")
        })
        .collect()
}
