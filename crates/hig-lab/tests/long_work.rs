//! Commands that train many networks: chains of methods, sweeps, studies, reproductions.

mod common;

use common::{hig, losses};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn stdout(command: &mut assert_cmd::Command) -> String {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn trials(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder.join("trials")).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

#[test]
fn one_method_goes_on_from_the_weights_of_another() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let small = [
        "--set",
        "samples=64",
        "--set",
        "test_samples=32",
        "--set",
        "grid=4",
    ];
    let run = |out: &str, method: &str, updates: &str| {
        hig(&["run", "poisson", "--method", method, "--updates", updates])
            .args(small)
            .args(["--set", "batch=8", "--set", "evaluate_every=1", "--out"])
            .arg(path(out))
            .assert()
            .success();
    };
    run("chain", "adam:5+hig", "9");
    run("alone", "adam", "5");
    let chain = losses(&path("chain"), "adam-5+hig");
    let updates: Vec<&str> = chain
        .iter()
        .map(|row| row.split(',').next().unwrap())
        .collect();
    assert_eq!(
        updates[1..],
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
    );
    assert_eq!(chain[..7], losses(&path("alone"), "adam")[..]);
    let figure = fs::read_to_string(path("chain/figures/loss.svg")).unwrap();
    assert!(figure.contains("hig goes on"));
    assert!(figure.contains("l1 distance"));
    let text = fs::read_to_string(path("chain/config.toml")).unwrap();
    let configuration: toml::Table = text.parse().unwrap();
    let phases = &configuration["method"]["adam:5+hig"];
    assert_eq!(phases["hig"]["learning_rate"].as_float(), Some(0.01));
    assert_eq!(phases["adam"]["learning_rate"].as_float(), Some(3e-4));
}

#[test]
fn malformed_chains_are_refused() {
    for method in [
        "adam+hig",
        "adam:5+hig:7",
        "adam:0+hig",
        "adam:x+hig",
        "adam:5+",
        "+hig",
    ] {
        let output = hig(&["run", "toy", "--method", method]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{method}");
    }
    let output = hig(&["run", "toy", "--order", "fresh"]).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        message.contains("order = fresh") && message.contains("shuffled or fixed"),
        "{message}"
    );
}

#[test]
fn every_system_runs_with_its_own_comparison() {
    let folder = TempDir::new().unwrap();
    for system in ["nonlinear-oscillators", "poisson", "quantum-dipole"] {
        let out = folder.path().join(system);
        let text = stdout(
            hig(&["run", system, "--updates", "1", "--set", "samples=64"])
                .args(["--set", "test_samples=16", "--set", "batch=4", "--out"])
                .arg(&out),
        );
        assert!(
            text.contains("hig") && text.contains("sample.svg"),
            "{text}"
        );
    }
}

#[test]
fn a_sweep_trains_every_combination_and_goes_on_where_it_was() {
    let folder = TempDir::new().unwrap();
    let sweep = || {
        let mut command = hig(&["sweep", "toy", "--updates", "4", "--seeds", "1..3"]);
        command
            .args([
                "--set",
                "cutoff=1e-3,1e-5",
                "--set",
                "hidden=7;5,5",
                "--set",
                "lambda=0.5",
            ])
            .args(["--method", "hig", "--method", "gn", "--out"])
            .arg(folder.path());
        command
    };
    let text = stdout(&mut sweep());
    assert_eq!(
        text.lines().filter(|line| line.ends_with("0/3")).count(),
        8,
        "{text}"
    );
    let before = trials(folder.path());
    assert_eq!(before.len(), 2 * 2 * 2 * 3);
    let figure = fs::read_to_string(folder.path().join("figures/sweep.svg")).unwrap();
    assert!(figure.contains("hig hidden=5,5") && figure.contains("cutoff"));

    // One training is lost, one is damaged; the others must not run again.
    fs::remove_file(&before[0]).unwrap();
    fs::write(&before[1], "seed = 1").unwrap();
    let kept = fs::metadata(&before[2]).unwrap().modified().unwrap();
    let again = stdout(&mut sweep());
    let losses = |text: &str| -> Vec<String> {
        let cells = text.lines().filter(|line| line.ends_with("0/3"));
        cells
            .map(|line| line.split_whitespace().take(6).collect())
            .collect()
    };
    assert_eq!(losses(&again), losses(&text));
    assert_eq!(trials(folder.path()), before);
    assert_eq!(fs::metadata(&before[2]).unwrap().modified().unwrap(), kept);
}

#[test]
fn shards_of_a_sweep_are_joined_to_the_table_of_a_whole_one() {
    let folder = TempDir::new().unwrap();
    let sweep = |out: &str, more: &[&str]| {
        let mut command = hig(&["sweep", "toy", "--updates", "4", "--seeds", "1..3"]);
        let set = ["--set", "cutoff=1e-3,1e-5", "--set", "samples=16"];
        command.args(set).args(["--set", "batch=8", "--out"]);
        command.arg(folder.path().join(out)).args(more);
        command
    };
    let losses = |text: &str| -> Vec<String> {
        let cells = text.lines().filter(|line| line.ends_with("0/3"));
        let cells = cells.map(|line| line.split_whitespace().take(6).collect());
        cells.collect()
    };
    // Four shards have six trainings, each one or two.
    for number in 1..=4 {
        let text = stdout(&mut sweep("shards", &["--shard", &format!("{number}/4")]));
        let count = if number <= 2 { 2 } else { 1 };
        assert!(
            text.starts_with(&format!("{count} of 6 trainings")),
            "{text}"
        );
        let own = folder.path().join(format!("shards/shards/{number}-of-4"));
        assert_eq!(trials(&own).len(), count);
        assert!(!own.join("table.md").exists());
    }
    let modified = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    let last = trials(&folder.path().join("shards/shards/4-of-4"));
    let before = modified(&last[0]);
    let joined = stdout(&mut sweep("shards", &[]));
    assert_eq!(losses(&joined), losses(&stdout(&mut sweep("whole", &[]))));
    assert_eq!(losses(&joined).len(), 2);
    // Nothing was trained again.
    assert_eq!(modified(&last[0]), before);
    assert!(trials(&folder.path().join("shards")).is_empty());

    // What a shard lacks is trained by who joins, and a damaged file is none.
    fs::write(&last[0], "seed = 1").unwrap();
    assert_eq!(losses(&stdout(&mut sweep("shards", &[]))), losses(&joined));
    assert_eq!(trials(&folder.path().join("shards")).len(), 1);

    // Anew: the shards go with the other results.
    stdout(&mut sweep("shards", &["--force"]));
    assert!(!folder.path().join("shards/shards").exists());
    assert_eq!(trials(&folder.path().join("shards")).len(), 6);

    for wrong in ["0/4", "5/4", "1", "a/b", "1/0", "1/100000"] {
        let output = sweep("wrong", &["--shard", wrong]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains("such as 3/8"), "{text}");
        assert!(!folder.path().join("wrong").exists());
    }
}

#[test]
fn a_sweep_takes_what_a_file_says() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("e.toml");
    let text = "[run]\nsystem = \"toy\"\nseed = 7\nmethods = [\"gn\", \"adam:2+hig\"]\n\
                [budget]\nupdates = 4\n[system]\nsamples = 32\n[training]\nbatch = 8\n\
                [method.hig]\nlearning_rate = 0.3\n";
    std::fs::write(&file, text).unwrap();
    let losses = |more: &[&str], out: &str| {
        let mut command = hig(&["sweep"]);
        command.args(more).args(["--seeds", "1,2", "--out"]);
        let text = stdout(command.arg(folder.path().join(out)));
        let numbers = |line: &str| {
            line.split_whitespace()
                .take(5)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let rows = text.lines().filter(|line| line.ends_with("0/2"));
        rows.map(numbers).collect::<Vec<_>>()
    };
    let file = file.to_str().unwrap();
    let by_file = losses(&[file, "--set", "cutoff=1e-3,1e-5"], "file");
    assert_eq!(by_file.len(), 4);
    // A setting of one method cannot be given to the other's trainings.
    let own = [("gn", ""), ("adam:2+hig", "--set hig.learning_rate=0.3")];
    let by_options = own.map(|(method, more)| {
        let words = format!(
            "toy --method {method} {more} --updates 4 --set samples=32 --set batch=8 \
             --set cutoff=1e-3,1e-5"
        );
        losses(&words.split_whitespace().collect::<Vec<_>>(), method)
    });
    let by_options = by_options.concat();
    assert_eq!(by_file, by_options);
    // Options go before the file.
    let shorter = losses(&[file, "--method", "gn", "--updates", "2"], "shorter");
    assert_eq!(shorter.len(), 1);

    std::fs::write(
        folder.path().join("given.toml"),
        "[run]\nsystem = \"toy\"\nweights = \"w.safetensors\"\n",
    )
    .unwrap();
    let given = folder.path().join("given.toml");
    let output = hig(&["sweep"]).arg(&given).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(
        message.contains("every seed draws its own weights") && message.contains(":3:"),
        "{message}"
    );
}

#[test]
fn a_sweep_refuses_a_bad_cell_before_training_any() {
    let folder = TempDir::new().unwrap();
    for (set, expected) in [
        ("cutoff=1e-3,2", "cutoff = 2"),
        ("batch=16,1000", "batch = 1000"),
        ("cutof=1", "did you mean `cutoff`"),
        ("cutoff", "KEY=VALUES"),
    ] {
        let output = hig(&["sweep", "toy", "--set", set, "--out"])
            .arg(folder.path().join("out"))
            .output()
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{set}: {message}");
        assert!(message.contains(expected), "{set}: {message}");
    }
    let output = hig(&["sweep", "toy", "--seeds", "5..1"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(!folder.path().join("out").exists());
}

#[test]
fn an_exhibit_of_the_paper_stands_beside_its_published_values() {
    let folder = TempDir::new().unwrap();
    let text = stdout(
        hig(&[
            "reproduce",
            "paper",
            "--only",
            "truncation",
            "--only",
            "exponent",
        ])
        .args(["--scale", "0.01", "--seeds", "2", "--out"])
        .arg(folder.path()),
    );
    assert!(
        text.contains("best of five η") && text.contains("1e-10"),
        "{text}"
    );
    let report = fs::read_to_string(folder.path().join("results.md")).unwrap();
    assert!(report.contains("cores, commit") && report.contains("figures/truncation.png"));
    let race = stdout(
        hig(&["reproduce", "paper", "--only", "linear-oscillators"])
            .args(["--scale", "0.002", "--seeds", "1", "--out"])
            .arg(folder.path()),
    );
    assert!(
        race.contains("4.8e-5") && race.contains("not within the budget"),
        "{race}"
    );
    let output = hig(&["reproduce", "paper", "--only", "posson"])
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("did you mean `poisson`"), "{message}");
}

#[test]
fn a_study_keeps_its_trainings() {
    let folder = TempDir::new().unwrap();
    let study = |seeds: &str| {
        let mut command = hig(&[
            "study",
            "chapter",
            "--updates",
            "3",
            "--seeds",
            seeds,
            "--out",
        ]);
        command.arg(folder.path());
        stdout(&mut command)
    };
    study("2");
    let before = trials(folder.path());
    let kept = fs::metadata(&before[0]).unwrap().modified().unwrap();
    study("3");
    assert_eq!(trials(folder.path()).len() * 2, before.len() * 3);
    assert_eq!(fs::metadata(&before[0]).unwrap().modified().unwrap(), kept);
}

#[test]
fn what_a_sweep_is_given_twice_is_refused() {
    let folder = TempDir::new().unwrap();
    for (arguments, expected) in [
        (
            &["--seeds", "1,1"][..],
            "a list of different seeds; 1 is there twice",
        ),
        (
            &["--method", "hig", "--method", "hig"],
            "method `hig` is named twice",
        ),
        (&["--set", "cutoff=1e-3,1e-3"], "1e-3 is there twice"),
        (
            &["--set", "cutoff=1e-3", "--set", "cutoff=1e-4"],
            "--set cutoff: it is there twice",
        ),
    ] {
        let mut command = hig(&["sweep", "toy", "--updates", "1"]);
        command.args(arguments).current_dir(folder.path());
        let output = command.output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_sweep_of_many_settings_is_kept_and_gone_on_from() {
    let folder = TempDir::new().unwrap();
    let settings = "lambda=0.5 samples=16 test_samples=8 hidden=5 activation=sine initializer=lecun \
                    batch=8 order=shuffled evaluate_every=1 schedule=cosine final_fraction=0.015625 \
                    memory_limit=1.5 learning_rate=0.5 exponent=0.5 treatment=truncate \
                    cutoff=1e-5,1e-6 damping=1e-6 route=svd accuracy=1e-9";
    assert!(settings.len() > 255);
    let settings = settings.split_whitespace();
    let sweep = || {
        let mut command = hig(&[
            "sweep",
            "toy",
            "--updates",
            "2",
            "--seeds",
            "1,2",
            "--quiet",
        ]);
        for set in settings.clone() {
            command.args(["--set", set]);
        }
        command.arg("--out").arg(folder.path());
        command
    };
    stdout(&mut sweep());
    let kept = trials(folder.path());
    assert_eq!(kept.len(), 4);
    let times = || {
        let files = kept.iter().map(|path| fs::metadata(path).unwrap());
        files
            .map(|file| file.modified().unwrap())
            .collect::<Vec<_>>()
    };
    let before = times();
    stdout(&mut sweep());
    assert_eq!(times(), before);
}
