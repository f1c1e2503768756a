//! Sizes that no machine has the memory for: refused with a reason, before anything is made.

mod common;

use common::hig;
use std::fs::{self, File};
use std::path::Path;
use tempfile::TempDir;

/// The message of a refusal, in a folder in which nothing may be left behind.
fn refusal(folder: &Path, arguments: &str) -> String {
    let arguments: Vec<&str> = arguments.split_whitespace().collect();
    let output = hig(&arguments).current_dir(folder).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(!folder.join("runs").exists(), "{arguments:?} left a folder");
    message
}

#[test]
fn counts_that_fit_into_no_memory_are_refused_with_what_would_be_right() {
    let folder = TempDir::new().unwrap();
    for (arguments, wanted) in [
        (
            "run toy --set samples=1000000000000000",
            ["samples = 1000000000000000", "22351741.8 GiB"],
        ),
        (
            "run poisson --set hidden=1000000000000,9",
            ["hidden = 1000000000000,9", "smaller"],
        ),
        (
            "run quantum-dipole --set steps=99999999999999999999",
            [
                "steps = 99999999999999999999",
                "at most 9223372036854775807",
            ],
        ),
        (
            "run toy --set samples=1000000000 --set memory_limit=10",
            ["samples = 1000000000", "22.4 GiB, more than 10 GiB"],
        ),
        (
            "run toy --seed 9223372036854775808",
            ["seed = 9223372036854775808", "at most 9223372036854775807"],
        ),
        (
            "run toy --updates 9223372036854775808",
            [
                "updates = 9223372036854775808",
                "at most 9223372036854775807",
            ],
        ),
        (
            "sweep toy --set samples=1000000000000000",
            ["samples = 1000000000000000", "smaller"],
        ),
        (
            "sweep toy --seeds 0..18446744073709551615",
            ["seeds = 0..18446744073709551615", "at most 10000 seeds"],
        ),
        (
            "study chapter --seeds 1000000000000000",
            ["seeds = 1000000000000000", "at most 10000"],
        ),
        (
            "reproduce chapter --seeds 1000000000000000",
            ["seeds = 1000000000000000", "1 to 10000"],
        ),
    ] {
        let message = refusal(folder.path(), arguments);
        for part in wanted {
            assert!(message.contains(part), "{arguments}: {message}");
        }
    }
    let axes = " --set cutoff=1,2,3,4,5,6,7,8,9,10".repeat(20);
    let message = refusal(folder.path(), &format!("sweep toy{axes}"));
    assert!(message.contains("combinations"), "{message}");
}

#[test]
fn a_size_in_a_file_is_underlined() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("large.toml");
    fs::write(
        &path,
        "run.system = \"toy\"\nsystem.hidden = [7, 1000000000000]\n",
    )
    .unwrap();
    let message = refusal(folder.path(), "run large.toml");
    assert!(
        message.contains("hidden = 7,1000000000000 is not possible"),
        "{message}"
    );
    assert!(message.contains("large.toml:2:17"), "{message}");
}

#[test]
fn the_largest_seed_makes_a_run_that_can_be_made_again() {
    let folder = TempDir::new().unwrap();
    let small = "--method adam --updates 1 --set samples=8 --set test_samples=8 --set batch=4";
    let commands = [
        format!("run toy --seed 9223372036854775807 --quiet --out first {small}"),
        "resume first --quiet --updates 2".to_owned(),
        "run first/config.toml --quiet --out second".to_owned(),
        format!("sweep toy --seeds 9223372036854775807 --quiet --out swept {small}"),
    ];
    for command in &commands {
        let arguments: Vec<&str> = command.split_whitespace().collect();
        let output = hig(&arguments).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{command}: {output:?}");
    }
}

#[test]
fn files_of_a_terabyte_are_refused_unread() {
    let folder = TempDir::new().unwrap();
    for name in ["large.toml", "large.safetensors"] {
        let file = File::create(folder.path().join(name)).unwrap();
        file.set_len(1 << 40).unwrap();
    }
    for (arguments, part) in [
        ("run large.toml", "expected at most"),
        (
            "run toy --weights large.safetensors",
            "not a safetensors file",
        ),
        ("run toy --data large.safetensors", "not a safetensors file"),
    ] {
        let message = refusal(folder.path(), arguments);
        assert!(message.contains("large."), "{message}");
        assert!(message.contains(part), "{message}");
    }
}
