//! What the program tells while it works: JSON for machines, the log, manual pages, completions.

mod common;

use common::hig;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::{Command, Stdio};
use tempfile::TempDir;

const RUN: &str = "run toy --method adam --method hig --updates 40 --set samples=16 --set batch=8";

fn arguments<'a>(text: &'a str, out: &'a str) -> Vec<&'a str> {
    text.split_whitespace().chain(["--out", out]).collect()
}

/// The objects on standard output, which holds nothing else, and the exit code.
fn objects(arguments: &[&str]) -> (Vec<Value>, Option<i32>) {
    let output = hig(arguments).arg("--json").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let objects = text.lines().map(|line| serde_json::from_str(line).unwrap());
    (objects.collect(), output.status.code())
}

fn of<'a>(objects: &'a [Value], event: &str) -> Vec<&'a Value> {
    objects.iter().filter(|o| o["event"] == event).collect()
}

#[test]
fn machines_read_the_whole_run_as_objects() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let (objects, code) = objects(&arguments(RUN, out));
    assert_eq!(code, Some(0));
    assert_eq!(objects[0]["event"], "run");
    assert_eq!(objects[0]["methods"], serde_json::json!(["adam", "hig"]));
    for method in ["adam", "hig"] {
        let evaluations = of(&objects, "evaluation");
        let mut evaluations = evaluations.iter().filter(|o| o["method"] == method);
        let first = evaluations.next().unwrap();
        assert_eq!(first["update"], 0);
        assert!(first["train_loss"].as_f64().unwrap() > 0.0);
        let last = evaluations.next_back().unwrap();
        assert_eq!(last["update"], 40);
        assert!(last["best_test_loss"].as_f64() <= last["test_loss"].as_f64());
        assert_eq!(last["step"]["rank"].is_number(), method == "hig");
        let ends = of(&objects, "end");
        let end = ends.iter().find(|o| o["method"] == method).unwrap();
        assert_eq!(
            (&end["updates"], &end["ended"]),
            (&last["update"], &"budget".into())
        );
        assert_eq!(end["train_loss"], last["train_loss"]);
    }
    let results = objects.last().unwrap();
    assert_eq!(results["event"], "results");
    let files = results["files"].as_array().unwrap();
    assert!(
        files
            .iter()
            .any(|f| f.as_str().unwrap().ends_with("loss.svg"))
    );
    for file in files {
        assert!(
            std::path::Path::new(file.as_str().unwrap()).is_file(),
            "{file}"
        );
    }
}

#[test]
fn machines_read_warnings_and_errors_as_objects() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let out = out.to_str().unwrap();
    let (refused, code) = objects(&arguments("run toy --method hgi", out));
    assert_eq!(code, Some(2));
    assert_eq!(
        (&refused[0]["event"], &refused[0]["exit_code"]),
        (&"error".into(), &2.into())
    );
    assert!(
        refused[0]["message"]
            .as_str()
            .unwrap()
            .contains("did you mean `hig`")
    );
    let explodes = "run toy --method gd --updates 400 --set learning_rate=1e6";
    let (objects, code) = objects(&arguments(explodes, out));
    assert_eq!(code, Some(3));
    let warning = of(&objects, "warning");
    assert_eq!(warning[0]["name"], "explosion");
    assert!(
        warning[0]["advice"]
            .as_str()
            .unwrap()
            .contains("learning_rate")
    );
    // JSON has no word for what is not finite.
    assert!(of(&objects, "end")[0].get("train_loss").is_some());
}

#[test]
fn machines_read_sweeps_as_objects() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("sweep");
    let sweep =
        "sweep toy --set cutoff=1e-3,1e-5 --set samples=16 --set batch=8 --updates 5 --seeds 1,2";
    let (objects, code) = objects(&arguments(sweep, out.to_str().unwrap()));
    assert_eq!(code, Some(0));
    let trainings = of(&objects, "training");
    let done: BTreeSet<u64> = trainings
        .iter()
        .map(|o| o["done"].as_u64().unwrap())
        .collect();
    assert_eq!(done, BTreeSet::from([1, 2, 3, 4]));
    assert!(
        trainings
            .iter()
            .all(|o| o["of"] == 4 && o["test_loss"].is_number())
    );
    assert_eq!(objects.last().unwrap()["event"], "results");
}

#[test]
fn the_listing_is_one_document() {
    let output = hig(&["list", "--json"]).output().unwrap();
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let named = |of: &str, name: &str| {
        let all = list[of].as_array().unwrap();
        all.iter()
            .find(|entry| entry["name"] == name)
            .unwrap()
            .clone()
    };
    let toy = named("systems", "toy");
    assert!(
        toy["compared"]
            .as_array()
            .unwrap()
            .contains(&"adaptive-hig".into())
    );
    let hig = named("methods", "hig");
    let settings = hig["settings"].as_array().unwrap();
    let cutoff = settings.iter().find(|s| s["name"] == "cutoff").unwrap();
    assert!(cutoff["default"].is_number() && cutoff["about"].is_string());
}

#[test]
fn the_log_is_asked_for_and_leaves_the_results_alone() {
    let folder = TempDir::new().unwrap();
    let run = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let mut command = hig(&arguments(RUN, out.to_str().unwrap()));
        let output = command.args(more).output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        let losses = ["adam", "hig"].map(|method| common::losses(&out, method));
        (String::from_utf8(output.stderr).unwrap(), losses)
    };
    let (silent, expected) = run("silent", &["--quiet"]);
    assert_eq!(silent, "");
    let (told, losses) = run("info", &["-v"]);
    assert!(told.contains("info: hig: begins"), "{told}");
    assert!(!told.contains("debug:") && !told.contains('\x1b'), "{told}");
    assert_eq!(losses, expected);
    let (told, losses) = run("debug", &["-vv", "--checkpoint", "0"]);
    assert!(told.contains("debug: decomposed route="), "{told}");
    assert!(told.contains("checkpoint after update 40"), "{told}");
    assert_eq!(losses, expected);
}

#[test]
fn readers_of_both_outputs_may_leave() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("run");
    let mut child = Command::new(assert_cmd::cargo::cargo_bin("hig"))
        .args(arguments(RUN, out.to_str().unwrap()))
        .arg("-vv")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop((child.stdout.take(), child.stderr.take()));
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(out.join("summary.csv").is_file());
}

#[test]
fn every_command_has_its_manual_page() {
    let folder = TempDir::new().unwrap();
    let output = hig(&["man", "--out", folder.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let page = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    let main = page("hig.1");
    assert!(
        main.starts_with(".ie") && main.contains("Exit codes"),
        "{main}"
    );
    let run = page("hig-run.1");
    assert!(
        run.contains(".TH hig-run 1") && run.contains("checkpoint"),
        "{run}"
    );
    let help = String::from_utf8(hig(&["--help"]).output().unwrap().stdout).unwrap();
    let pages = std::fs::read_dir(folder.path()).unwrap();
    let pages = pages.map(|page| page.unwrap().file_name().into_string().unwrap());
    let commands = pages.filter_map(|page| Some(page.strip_prefix("hig-")?.replace(".1", "")));
    let commands: BTreeSet<String> = commands.collect();
    let listed = |line: &str| {
        let name = line.strip_prefix("  ")?.split_whitespace().next()?;
        (!line.starts_with("   ") && !["help", "-v,", "-h,", "-V,"].contains(&name))
            .then(|| name.to_owned())
    };
    assert_eq!(commands, help.lines().filter_map(listed).collect());
    let first = hig(&["man"]).output().unwrap().stdout;
    assert_eq!(String::from_utf8(first).unwrap(), main);
}

/// What bash offers for the last of some words.
fn offered(script: &str, words: &[&str]) -> Vec<String> {
    let line = words.join(" ");
    let place = words.len() - 1;
    let words: Vec<String> = words.iter().map(|word| format!("'{word}'")).collect();
    let words = words.join(" ");
    let ask = format!(
        "{script}\nCOMP_WORDS=({words}); COMP_CWORD={place}; COMP_LINE='{line}'; COMP_POINT={}\n\
         _hig hig \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        line.len()
    );
    let output = Command::new("bash").args(["-c", &ask]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
#[cfg(unix)]
fn bash_completes_commands_systems_and_methods() {
    let script = hig(&["completions", "bash"]).output().unwrap().stdout;
    let script = String::from_utf8(script).unwrap();
    let has = |words: &[&str], expected: &str| {
        let offered = offered(&script, words);
        assert!(
            offered.iter().any(|word| word == expected),
            "{words:?}: {offered:?}"
        );
    };
    has(&["hig", "res"], "resume");
    has(&["hig", "run", "nonl"], "nonlinear-oscillators");
    has(&["hig", "run", "toy", "--method", "adap"], "adaptive-hig");
    has(&["hig", "study", ""], "chapter");
    for shell in ["zsh", "fish", "powershell", "elvish"] {
        let script = hig(&["completions", shell]).output().unwrap().stdout;
        let script = String::from_utf8(script).unwrap();
        assert!(script.contains("adaptive-hig"), "{shell}");
    }
}

/// What a terminal shows of a run with one warning, where `script` can be one.
#[cfg(target_os = "linux")]
fn in_a_terminal(folder: &TempDir, name: &str, environment: &[(&str, &str)]) -> Option<String> {
    let out = folder.path().join(name);
    let program = assert_cmd::cargo::cargo_bin("hig");
    let run = "run toy --method gd --updates 4000 --set learning_rate=1e6 --set evaluate_every=40";
    let line = format!("{} {run} --out {}", program.display(), out.display());
    let output = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .ok()?;
    assert_eq!(output.status.code(), Some(3));
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
#[cfg(target_os = "linux")]
fn a_terminal_has_colours_unless_they_are_not_wanted() {
    let folder = TempDir::new().unwrap();
    let Some(coloured) = in_a_terminal(&folder, "coloured", &[]) else {
        return;
    };
    assert!(
        coloured.contains("\x1b[1;33mwarning:\x1b[0m gd, update"),
        "{coloured}"
    );
    let plain = in_a_terminal(&folder, "plain", &[("NO_COLOR", "1")]).unwrap();
    assert!(plain.contains("warning: gd, update"), "{plain}");
    // Colours end in m; bars move the cursor by other sequences.
    let colours = plain.split("\x1b[").skip(1).filter(|rest| {
        let end = rest.find(|c: char| c.is_ascii_alphabetic());
        end.is_some_and(|end| rest[end..].starts_with('m'))
    });
    assert_eq!(colours.collect::<Vec<_>>(), Vec::<&str>::new());
}
