//! Where the program writes to: files of every kind, and standard output.
#![cfg(unix)]

mod common;

use common::hig;
use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, symlink};
use std::path::Path;
use std::process::{Command, Output};
use tempfile::TempDir;

/// The program with words and paths, in a folder.
fn output(folder: &Path, words: &str) -> Output {
    let mut command = hig(&words.split_whitespace().collect::<Vec<_>>());
    command.current_dir(folder).output().unwrap()
}

fn done(folder: &Path, words: &str) -> Vec<u8> {
    let output = output(folder, words);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{words}: {message}");
    output.stdout
}

fn trained() -> TempDir {
    let folder = TempDir::new().unwrap();
    done(
        folder.path(),
        "run toy --method adam --updates 3 --quiet --out run",
    );
    folder
}

fn make_fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn a_named_file_is_written_where_its_name_leads() {
    let folder = trained();
    let path = |name: &str| folder.path().join(name);
    let expected = done(folder.path(), "export run");
    fs::write(path("target"), "old").unwrap();
    symlink("target", path("link")).unwrap();
    done(folder.path(), "export run --out link");
    assert!(path("link").is_symlink());
    assert_eq!(fs::read(path("target")).unwrap(), expected);

    make_fifo(&path("fifo"));
    let fifo = path("fifo");
    let reader = std::thread::spawn(move || fs::read(fifo).unwrap());
    done(folder.path(), "export run --out fifo");
    assert_eq!(reader.join().unwrap(), expected);
    assert!(fs::metadata(path("fifo")).unwrap().file_type().is_fifo());

    for command in ["export run --out /dev/null", "report run --out /dev/null"] {
        done(folder.path(), command);
        let null = fs::metadata("/dev/null").unwrap().file_type();
        assert!(null.is_char_device(), "{command} has replaced the device");
    }
}

#[test]
fn a_dash_is_standard_output() {
    let folder = trained();
    let path = |name: &str| folder.path().join(name);
    assert_eq!(
        done(folder.path(), "export run --out -"),
        done(folder.path(), "export run")
    );
    done(folder.path(), "report run --out page.html");
    let page = done(folder.path(), "report run --out -");
    assert_eq!(fs::read(path("page.html")).unwrap(), page);
    let run = "run toy --method adam --updates 1 --quiet --force --out other";
    for option in ["--save-weights", "--save-data"] {
        done(folder.path(), &format!("{run} {option} file"));
        let told = done(folder.path(), &format!("{run} {option} -"));
        assert_eq!(told, fs::read(path("file")).unwrap(), "{option}");
    }
    assert!(!path("-").exists());
    let both = output(
        folder.path(),
        &format!("{run} --save-weights - --save-data -"),
    );
    assert_eq!(both.status.code(), Some(2));
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_standard_output_is_told_in_one_line() {
    let folder = trained();
    for words in [
        "list",
        "list --json",
        "init toy",
        "init --schema",
        "man",
        "completions bash",
        "compare run",
        "compare run --csv",
        "compare run --json",
        "export run",
        "report run --out -",
        "run toy --method adam --updates 1 --quiet --force --out other",
        "--help",
        "run --help",
        "--version",
    ] {
        let full = fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(assert_cmd::cargo::cargo_bin("hig"))
            .args(words.split_whitespace())
            .current_dir(folder.path())
            .stdout(full)
            .output()
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{words}: {message}");
        assert_eq!(message.lines().count(), 1, "{words}: {message}");
        assert!(message.contains("No space left"), "{words}: {message}");
    }
    assert!(folder.path().join("other/summary.csv").is_file());
}

#[test]
#[cfg(target_os = "linux")]
fn paths_that_are_not_utf8_work_and_other_words_are_refused() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = TempDir::new().unwrap();
    let run = |words: &str, code: i32| {
        // Here ? stands for a byte that no UTF-8 has.
        let words = words.split_whitespace().map(|word| {
            let bytes = word
                .bytes()
                .map(|byte| if byte == b'?' { 0xff } else { byte });
            bytes.collect::<Vec<u8>>()
        });
        let words: Vec<Vec<u8>> = words.collect();
        let mut command = Command::new(assert_cmd::cargo::cargo_bin("hig"));
        command.args(words.iter().map(|word| OsStr::from_bytes(word)));
        let output = command.current_dir(folder.path()).output().unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{words:?}: {message}");
    };
    run(
        "run toy --method adam --updates 3 --quiet --out ?run --save-weights w? --save-data d?",
        0,
    );
    run(
        "run toy --method adam --updates 3 --quiet --out given? --weights w? --data d?",
        0,
    );
    run("resume given? --updates 5 --quiet", 0);
    run("compare ?run given?", 0);
    run("export ?run --out table?", 0);
    run("report ?run --out page?", 0);
    run("man --out man?", 0);
    run("sweep toy --updates 2 --seeds 1 --quiet --out sweep?", 0);
    run("run toy? --quiet", 2);
    run("run toy --method hig? --quiet", 2);
    run("run toy --set ?=1 --quiet", 2);
    run("compare missing?", 2);
    run("sweep toy --seeds ? --quiet", 2);
    run("?", 2);
}

#[test]
fn what_is_in_the_way_of_results_is_told_before_any_work() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join("out").join(name);
    let refused = |words: &str, told: &str| {
        let output = output(folder.path(), words);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{words}: {message}");
        assert!(message.contains(told), "{words}: {message}");
        assert!(
            !path("adam").exists() && !path("trials").is_dir(),
            "{words}"
        );
    };
    fs::create_dir(folder.path().join("out")).unwrap();
    let run = "run toy --method adam --method hig --updates 3 --quiet --force --out out";
    let sweep = "sweep toy --method adam --updates 3 --seeds 1 --quiet --force --out out";
    fs::write(path("figures"), "mine").unwrap();
    refused(run, "out/figures is in the way");
    refused(sweep, "out/figures is in the way");
    fs::remove_file(path("figures")).unwrap();
    fs::create_dir(path("summary.csv")).unwrap();
    refused(run, "out/summary.csv is in the way");
    refused(sweep, "out/summary.csv is in the way");
    fs::remove_dir(path("summary.csv")).unwrap();
    fs::write(path("hig"), "mine").unwrap();
    refused(run, "out/hig: it is a file");
    assert_eq!(fs::read(path("hig")).unwrap(), b"mine");
    fs::remove_file(path("hig")).unwrap();
    done(folder.path(), run);
    for command in ["report", "export"] {
        let output = output(folder.path(), &format!("{command} out --out nowhere/x"));
        assert_eq!(output.status.code(), Some(2), "{command}");
    }
}

#[test]
fn links_in_the_folder_of_a_run_are_not_followed() {
    let folder = trained();
    let path = |name: &str| folder.path().join(name);
    let secret = "[run]\nsystem = \"toy\"\nsecret = \"do not tell\"\n";
    for name in [
        ".lock",
        "config.toml",
        "run.toml",
        "summary.csv",
        "adam/metrics.csv",
        "adam/outcome.toml",
        "adam/weights.safetensors",
        "adam/checkpoint.safetensors",
    ] {
        fs::write(path("victim"), secret).unwrap();
        let own = path("run").join(name);
        fs::rename(&own, path("kept")).unwrap();
        symlink("../../victim", &own).unwrap();
        if !name.contains('/') {
            fs::remove_file(&own).unwrap();
            symlink("../victim", &own).unwrap();
        }
        for words in [
            "resume run --updates 9 --quiet",
            "run toy --method adam --updates 2 --quiet --force --out run",
        ] {
            let refused = output(folder.path(), words);
            let message = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{name}, {words}: {message}");
            assert!(message.contains("symbolic link"), "{name}: {message}");
        }
        output(folder.path(), "report run --out page.html");
        let page = fs::read_to_string(path("page.html")).unwrap_or_default();
        assert!(!page.contains("do not tell"), "{name}");
        assert_eq!(
            fs::read_to_string(path("victim")).unwrap(),
            secret,
            "{name}"
        );
        fs::rename(path("kept"), &own).unwrap();
    }
    done(folder.path(), "resume run --updates 9 --quiet");
}

#[test]
fn what_is_no_file_in_the_folder_of_a_run_is_refused_and_not_waited_for() {
    let folder = trained();
    let path = |name: &str| folder.path().join(name);
    let program = assert_cmd::cargo::cargo_bin("hig");
    // 124 is what it exits with where the program had to be ended.
    let timed = |words: &str| {
        let mut command = Command::new("timeout");
        command.arg("20").arg(&program).args(words.split(' '));
        command.current_dir(folder.path()).output().unwrap()
    };
    for name in [
        ".lock",
        "config.toml",
        "run.toml",
        "summary.csv",
        "adam/metrics.csv",
        "adam/diagnostics.csv",
        "adam/steps.csv",
        "adam/spectrum.csv",
        "adam/timing.csv",
        "adam/warnings.csv",
        "adam/pictures.json",
        "adam/outcome.toml",
        "adam/weights.safetensors",
        "adam/checkpoint.safetensors",
        "adam/checkpoint.previous.safetensors",
    ] {
        let own = path("run").join(name);
        let there = own.exists();
        if there {
            fs::rename(&own, path("kept")).unwrap();
        }
        make_fifo(&own);
        for words in [
            "resume run --updates 9 --quiet",
            "run toy --method adam --updates 2 --quiet --force --out run",
        ] {
            let refused = timed(words);
            let message = String::from_utf8_lossy(&refused.stderr);
            assert_eq!(refused.status.code(), Some(2), "{name}, {words}: {message}");
            assert!(
                message.contains(name) && message.contains("is a FIFO"),
                "{message}"
            );
        }
        for words in [
            "compare run",
            "export run --out table",
            "report run --out page",
        ] {
            let read = timed(words);
            assert_ne!(read.status.code(), Some(124), "{name}, {words}");
            let message = String::from_utf8_lossy(&read.stderr);
            let of_no_use_to_it =
                name == ".lock" || name.contains("weights") || name.contains("checkpoint");
            assert!(
                of_no_use_to_it || (message.contains(name) && message.contains("a FIFO")),
                "{name}, {words}: {message}"
            );
        }
        fs::remove_file(&own).unwrap();
        if there {
            fs::rename(path("kept"), &own).unwrap();
        }
    }
    let trials = path("sweep/trials");
    fs::create_dir_all(&trials).unwrap();
    done(
        folder.path(),
        "sweep toy --method adam --updates 2 --seeds 1 --quiet --out sweep",
    );
    let trial = fs::read_dir(&trials)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    fs::remove_file(&trial).unwrap();
    make_fifo(&trial);
    let refused = timed("sweep toy --method adam --updates 2 --seeds 1 --quiet --out sweep");
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(message.contains("is a FIFO"), "{message}");
    let text = "[run]\nsystem = \"toy\"\nmethods = [\"adam\"]\ndata = \"fifo\"\n";
    fs::write(path("own.toml"), text).unwrap();
    make_fifo(&path("fifo"));
    let refused = timed("run own.toml --quiet --out other");
    let message = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{message}");
    assert!(message.contains("fifo: it is a FIFO"), "{message}");
}

#[test]
fn nothing_in_a_run_steers_the_terminal() {
    let folder = trained();
    let escape = "\\u001B]0;title\\u0007\\u001B[31m";
    let run = fs::read_to_string(folder.path().join("run/run.toml")).unwrap();
    let named = run.replace("\"adam\"", &format!("\"adam\", \"red{escape}\""));
    assert_ne!(named, run);
    fs::write(folder.path().join("run/run.toml"), named).unwrap();
    let outcome = format!("updates = \"{escape}\"\nended = \"{escape}\"\nbad {escape}");
    fs::write(folder.path().join("run/adam/outcome.toml"), outcome).unwrap();
    fs::rename(folder.path().join("run"), folder.path().join("run\x1b[32m")).unwrap();
    for words in [
        "compare",
        "compare --csv",
        "compare --json",
        "report",
        "resume",
    ] {
        let mut command = hig(&words.split(' ').collect::<Vec<_>>());
        let output = command
            .arg("run\x1b[32m")
            .current_dir(folder.path())
            .output()
            .unwrap();
        for told in [&output.stdout, &output.stderr] {
            let told = String::from_utf8_lossy(told);
            assert!(!told.contains(['\x1b', '\x07']), "{words}: {told:?}");
        }
    }
}

#[test]
fn the_repository_around_a_run_starts_no_program() {
    let folder = TempDir::new().unwrap();
    let git = |words: &[&str]| {
        let mut command = Command::new("git");
        command
            .args(["-c", "user.name=a", "-c", "user.email=a@b"])
            .args(words);
        let done = command.current_dir(folder.path()).output();
        done.is_ok_and(|done| done.status.success())
    };
    fs::write(folder.path().join("file"), "text").unwrap();
    let made = git(&["init", "-q"]) && git(&["add", "file"]) && git(&["commit", "-qm", "first"]);
    assert!(made, "git is needed for this test");
    let script = folder.path().join("monitor.sh");
    fs::write(&script, "#!/bin/sh\ntouch ran\ncat\n").unwrap();
    assert!(
        Command::new("chmod")
            .arg("+x")
            .arg(&script)
            .status()
            .unwrap()
            .success()
    );
    for hook in ["post-index-change", "fsmonitor-watchman"] {
        let hook = folder.path().join(".git/hooks").join(hook);
        fs::create_dir_all(hook.parent().unwrap()).unwrap();
        fs::copy(&script, hook).unwrap();
    }
    let script = script.to_str().unwrap();
    for setting in [
        "core.fsmonitor",
        "filter.own.clean",
        "filter.own.smudge",
        "filter.other=name.process",
        "diff.external",
        "diff.own.command",
        "diff.own.textconv",
        "core.pager",
    ] {
        assert!(git(&["config", setting, script]), "{setting}");
    }
    assert!(git(&["config", "filter.own.required", "true"]));
    // The filters of files that have another time than the index knows are asked for what is in them.
    let attributes = "file filter=own diff=own\nsecond filter=other=name\n";
    fs::write(folder.path().join(".git/info/attributes"), attributes).unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(60);
    let file = File::options()
        .append(true)
        .open(folder.path().join("file"));
    file.unwrap().set_modified(later).unwrap();
    done(
        folder.path(),
        "run toy --method adam --updates 1 --quiet --out run",
    );
    assert!(
        !folder.path().join("ran").exists(),
        "a program of the repository was run"
    );
    let told = fs::read_to_string(folder.path().join("run/run.toml")).unwrap();
    assert!(!told.contains("commit = \"unknown\""), "{told}");
    assert!(!told.contains("-dirty"), "{told}");
    fs::write(folder.path().join("file"), "other").unwrap();
    done(
        folder.path(),
        "run toy --method adam --updates 1 --quiet --out changed",
    );
    let told = fs::read_to_string(folder.path().join("changed/run.toml")).unwrap();
    assert!(told.contains("-dirty\""), "{told}");
    assert!(!folder.path().join("ran").exists());
}
