//! Runs read back from their folders: `hig compare`, `hig export`, `hig report`.

mod common;

use common::hig;
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Trains a few methods for a few updates.
fn train(folder: &Path, name: &str, arguments: &str) -> PathBuf {
    let out = folder.join(name);
    let arguments = format!("run toy --quiet {arguments} --out");
    hig(&arguments.split_whitespace().collect::<Vec<_>>())
        .arg(&out)
        .assert()
        .success();
    out
}

fn write(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
}

fn stdout(arguments: &[&str], paths: &[&Path]) -> String {
    let output = hig(arguments).args(paths).assert().success();
    String::from_utf8(output.get_output().stdout.clone()).unwrap()
}

fn refusal(arguments: &[&str], path: &Path) -> String {
    let output = hig(arguments).arg(path).assert().code(2);
    String::from_utf8(output.get_output().stderr.clone()).unwrap()
}

fn compared(paths: &[&Path]) -> Value {
    serde_json::from_str(&stdout(&["compare", "--json"], paths)).unwrap()
}

/// The data in a report.
fn reported(folder: &Path, runs: &[&Path]) -> Value {
    let out = folder.join("report.html");
    hig(&["report", "--out"])
        .arg(&out)
        .args(runs)
        .assert()
        .success();
    let page = fs::read_to_string(out).unwrap();
    let (_, rest) = page.split_once("id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// The rows of a method's metrics, without the update and the epoch.
fn rows_of(run: &Path, method: &str) -> Vec<Vec<f64>> {
    let text = fs::read_to_string(run.join(method).join("metrics.csv")).unwrap();
    let cells = |line: &str| -> Vec<f64> {
        let cells = line.split(',').skip(2);
        cells.map(|cell| cell.parse().unwrap()).collect()
    };
    text.lines().skip(1).map(cells).collect()
}

/// serde_json may be off by one in the last bit of a number that it reads.
fn close(value: &Value, to: f64) -> bool {
    value
        .as_f64()
        .is_some_and(|value| (value / to - 1.0).abs() < 1e-15)
}

/// A run of which everything is there that a run may leave.
const WHOLE: &[(&str, &str)] = &[
    (
        "run.toml",
        "format = 1\nversion = \"0.2.0\"\nsystem = \"toy\"\nseed = 3\n\
         started = 2026-01-02T03:04:05Z\nmethods = [\"adam:2+hig\", \"lm\", \"gn\"]\n\
         target = [0.5, nan]\n",
    ),
    (
        "config.toml",
        "[run]\nsystem = \"toy\"\n[system]\nlambda = 0.5\nhidden = [7, 7]\n\
         [method.\"adam:2+hig\".hig]\ncutoff = 1e-5\n",
    ),
    (
        "adam-2+hig/metrics.csv",
        "update,epoch,seconds,train_loss,test_loss\n0,0.0,0.0,1.0,2.0\n2,1.0,0.25,0.5,0.75\n\
         3,1.5,0.5,nan,1.25\n4,2.0,0.7",
    ),
    (
        "adam-2+hig/diagnostics.csv",
        "update,seconds,activation_mean,rank,y1\n0,0.0,NaN,,1e-1\n2,0.25,0.5,12,2e-1\n3,0.5",
    ),
    (
        "adam-2+hig/steps.csv",
        "update,quantity,value\n2,rank,1.2e1\n3,rank,1.3e1\n3,gain_ratio,inf\n",
    ),
    (
        "adam-2+hig/spectrum.csv",
        "update,index,singular_value\n2,0,4e0\n2,5,1e-8\n3,0,5e0\n3,5,2e-8\n",
    ),
    (
        "adam-2+hig/timing.csv",
        "update,part,seconds\n2,forward,0.1\n2,gram,0.2\n3,forward,0.15\n3,gram,0.3\n",
    ),
    (
        "adam-2+hig/warnings.csv",
        "update,name,message,advice\n3,saturated,\"97 % of the neurons, or more, \"\"stick\"\"\",\
         </script><b>lower it\n4,unfinished,\"and",
    ),
    (
        "adam-2+hig/pictures.json",
        "{\"update\":3,\"sample\":0,\"pictures\":[{\"kind\":\"lines\",\"title\":\"path\",\"x\":\"t\",\
         \"y\":\"u\",\"lines\":[],\"points\":[]}]}",
    ),
    (
        "adam-2+hig/outcome.toml",
        "updates = 3\nepochs = 1.5\nseconds = 0.5\ntrain_loss = nan\ntest_loss = 1.25\n\
         stop = \"loss is NaN after update 3\"\nended = \"diverged\"\n\
         consumed = \"Gram matrix, 4 x 30\"\nphases = [[0, \"adam\"], [2, \"hig\"]]\n",
    ),
    (
        "lm/metrics.csv",
        "update,epoch,seconds,train_loss,test_loss\n0,0.0,0.0,1.0,2.0\n1,0.5,0.1,0.9,1.5\n",
    ),
];

#[test]
fn a_comparison_has_every_method_of_every_run_with_the_numbers_of_its_files() {
    let folder = TempDir::new().unwrap();
    let methods = "--method adam --method hig";
    let one = train(folder.path(), "toy-1", &format!("{methods} --updates 20"));
    let set = "--updates 10 --set lambda=0.01 --set hig.cutoff=1e-4";
    let two = train(folder.path(), "toy-2", &format!("{methods} {set}"));
    let value = compared(&[folder.path()]);
    let rows = value["methods"].as_array().unwrap();
    let names: Vec<(&str, &str)> = rows
        .iter()
        .map(|row| {
            (
                row["run"].as_str().unwrap(),
                row["method"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("toy-1", "adam"),
        ("toy-1", "hig"),
        ("toy-2", "adam"),
        ("toy-2", "hig"),
    ];
    assert_eq!(names, expected);
    for (row, (run, updates)) in rows
        .iter()
        .zip([(&one, 20), (&one, 20), (&two, 10), (&two, 10)])
    {
        let rows = rows_of(run, row["method"].as_str().unwrap());
        let last = rows.last().unwrap();
        let best = rows.iter().min_by(|a, b| a[1].total_cmp(&b[1])).unwrap();
        assert_eq!(row["state"], "finished");
        assert_eq!(row["updates"], updates);
        assert!(
            close(&row["train_loss"], best[1]) && close(&row["test_loss"], best[2]),
            "{row}"
        );
        assert!(close(&row["last_test_loss"], last[2]), "{row}");
        assert!((row["seconds"].as_f64().unwrap() - last[0]).abs() < 1e-5);
        assert!(row["best_test_loss"].as_f64().unwrap() <= last[2]);
        // The common loss is one that all of them reach.
        assert!(row["seconds_to_common_loss"].as_f64().unwrap() <= last[0]);
    }
    let bests = rows
        .iter()
        .map(|row| row["best_test_loss"].as_f64().unwrap());
    assert_eq!(value["common_loss"]["toy"], bests.fold(0.0, f64::max));
    assert_eq!(rows[0]["settings"]["system.lambda"], "1.0");
    assert_eq!(rows[2]["settings"]["system.lambda"], "0.01");
    assert_eq!(rows[3]["settings"]["method.hig.cutoff"], "0.0001");
    assert_eq!(rows[2]["settings"]["method.hig.cutoff"], Value::Null);

    let table = stdout(&["compare", "--sort", "best-test-loss"], &[&one, &two]);
    assert!(
        table.contains("largest of the lowest test losses"),
        "{table}"
    );
    assert!(table.contains("system.lambda"), "{table}");
    assert!(!table.contains("learning_rate"), "{table}");
    let sorted = table.lines().skip(2).take(4).map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        cells[9].parse::<f64>().unwrap()
    });
    assert!(sorted.is_sorted(), "{table}");

    let csv = stdout(&["compare", "--csv", "--loss", "0"], &[&one]);
    let mut lines = csv.lines();
    assert_eq!(
        lines.next(),
        Some(
            "run,method,state,updates,seconds,ms_per_update,train_loss,test_loss,last_test_loss,\
             best_test_loss,seconds_to_common_loss"
        )
    );
    // Nothing reaches a loss of 0.
    assert!(
        lines.all(|line| line.starts_with("toy-1,") && line.ends_with(',')),
        "{csv}"
    );
}

#[test]
fn losses_of_different_systems_are_not_compared() {
    let folder = TempDir::new().unwrap();
    for (system, losses) in [("toy", [3.0, 2.0]), ("poisson", [9.0, 7.0])] {
        let config = format!("[run]\nsystem = \"{system}\"\nmethods = [\"adam\", \"hig\"]\n");
        write(&folder.path().join(system), &[("config.toml", &config)]);
        for (method, loss) in ["adam", "hig"].iter().zip(losses) {
            let text = format!(
                "update,epoch,seconds,train_loss,test_loss\n0,0,0,1,10\n1,1,1.5,1,{loss}\n"
            );
            write(
                &folder.path().join(system).join(method),
                &[("metrics.csv", &text)],
            );
        }
    }
    let value = compared(&[folder.path()]);
    assert_eq!(value["common_loss"], json!({"poisson": 9.0, "toy": 3.0}));
    for row in value["methods"].as_array().unwrap() {
        assert_eq!(row["seconds_to_common_loss"], 1.5, "{row}");
    }
    let table = stdout(&["compare"], &[folder.path()]);
    assert!(table.contains("poisson 9.00e0, toy 3.00e0"), "{table}");
    let table = stdout(&["compare", "--loss", "8"], &[folder.path()]);
    assert!(table.contains("seconds to 8.00e0"), "{table}");
}

#[test]
fn states_are_told_by_outcomes_locks_and_metrics() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("old");
    write(&run, WHOLE);
    let states = || -> Vec<Value> {
        let value = compared(&[&run]);
        let rows = value["methods"].as_array().unwrap().iter();
        rows.map(|row| row["state"].clone()).collect()
    };
    assert_eq!(states(), ["diverged", "interrupted", "waiting"]);
    let lock = fs::File::create(run.join(".lock")).unwrap();
    lock.lock().unwrap();
    assert_eq!(states(), ["diverged", "running", "waiting"]);
    lock.unlock().unwrap();
    assert_eq!(states(), ["diverged", "interrupted", "waiting"]);
    // A run of a version without outcomes had a summary at its end.
    let summary = "method,updates,seconds,train_loss,test_loss,consumes,stop\n\
                   lm,1,0.1,9e-1,1.5e0,\"JᵀJ, 4 x 30\",\"budget used\"\n";
    write(&run, &[("summary.csv", summary)]);
    assert_eq!(states(), ["diverged", "finished", "waiting"]);
    for (ended, state) in [
        ("interrupted", "interrupted"),
        ("failed", "failed"),
        ("budget", "finished"),
    ] {
        write(
            &run,
            &[("lm/outcome.toml", &format!("ended = \"{ended}\"\n"))],
        );
        assert_eq!(states()[1], state);
    }
}

#[test]
fn a_report_holds_everything_that_a_run_has_left() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("whole");
    write(&run, WHOLE);
    let data = reported(folder.path(), &[&run]);
    // The style of each by its name: `lm` and `gn` have their own, a chain has the colour of its last.
    let styles: Vec<u64> = data["runs"][0]["methods"]
        .as_array()
        .unwrap()
        .iter()
        .map(|method| method["style"].as_u64().unwrap())
        .collect();
    assert_eq!(styles, [25, 4, 2]);
    assert_eq!(data["format"], 1);
    assert_eq!(data["live"], false);
    let generated = data["generated"].as_str().unwrap();
    assert_eq!(generated.as_bytes()[10], b'T', "{generated}");
    let run = &data["runs"][0];
    assert_eq!(run["name"], "whole");
    assert_eq!(run["about"]["seed"], 3);
    assert_eq!(run["about"]["started"], "2026-01-02T03:04:05Z");
    assert_eq!(run["target"], json!([0.5, null]));
    assert!(run["config"].as_str().unwrap().contains("lambda = 0.5"));
    let settings = json!({
        "run.system": "toy",
        "system.lambda": 0.5,
        "system.hidden": [7, 7],
        "method.adam:2+hig.hig.cutoff": 1e-5,
    });
    assert_eq!(run["settings"], settings);
    let method = &run["methods"][0];
    assert_eq!(method["name"], "adam:2+hig");
    assert_eq!(method["outcome"]["train_loss"], Value::Null);
    assert_eq!(method["outcome"]["test_loss"], 1.25);
    let metrics = json!({
        "update": [0.0, 2.0, 3.0],
        "epoch": [0.0, 1.0, 1.5],
        "seconds": [0.0, 0.25, 0.5],
        "train_loss": [1.0, 0.5, null],
        "test_loss": [2.0, 0.75, 1.25],
    });
    assert_eq!(method["metrics"], metrics);
    assert_eq!(method["diagnostics"]["rank"], json!([null, 12.0]));
    assert_eq!(method["diagnostics"]["y1"], json!([0.1, 0.2]));
    let rank = json!({"update": [2.0, 3.0], "value": [12.0, 13.0]});
    assert_eq!(method["steps"]["rank"], rank);
    assert_eq!(method["steps"]["gain_ratio"]["value"], json!([null]));
    let spectrum = json!({"update": 3.0, "index": [0.0, 5.0], "value": [5.0, 2e-8]});
    assert_eq!(method["spectrum"][1], spectrum);
    assert_eq!(method["timing"]["gram"]["seconds"], json!([0.2, 0.3]));
    let warnings = json!([{
        "update": 3.0,
        "name": "saturated",
        "message": "97 % of the neurons, or more, \"stick\"",
        "advice": "</script><b>lower it",
    }]);
    assert_eq!(method["warnings"], warnings);
    assert_eq!(method["phases"], json!([[0, "adam"], [2, "hig"]]));
    assert_eq!(method["pictures"]["pictures"][0]["title"], "path");
    assert_eq!(run["methods"][1]["outcome"], Value::Null);
    assert_eq!(run["methods"][2]["state"], "waiting");
    assert_eq!(run["methods"][2]["metrics"]["update"], json!([]));
}

#[test]
fn a_report_of_a_real_run_has_its_curves() {
    let folder = TempDir::new().unwrap();
    let run = train(folder.path(), "toy", "--method adam:5+hig --updates 10");
    let data = reported(folder.path(), &[&run]);
    let method = &data["runs"][0]["methods"][0];
    assert_eq!(method["name"], "adam:5+hig");
    assert_eq!(method["phases"], json!([[0, "adam"], [5, "hig"]]));
    let losses = method["metrics"]["test_loss"].as_array().unwrap();
    assert!(close(
        losses.last().unwrap(),
        rows_of(&run, "adam-5+hig").last().unwrap()[2]
    ));
    assert_eq!(
        losses.len(),
        method["metrics"]["update"].as_array().unwrap().len()
    );
    assert!(method["steps"]["rank"]["value"][0].as_f64().unwrap() > 0.0);
    assert_eq!(data["runs"][0]["settings"]["run.system"], "toy");
}

#[test]
fn long_curves_are_thinned_and_keep_ends_and_lowest_loss() {
    let folder = TempDir::new().unwrap();
    let mut text = "update,epoch,seconds,train_loss,test_loss\n".to_owned();
    for k in 0..30_000 {
        let loss = if k == 12_345 { 1e-9 } else { 1.0 };
        text += &format!("{k},0,{k},1.0,{loss}\n");
    }
    let run = folder.path().join("long");
    write(&run, &[("hig/metrics.csv", &text)]);
    let data = reported(folder.path(), &[&run]);
    let metrics = &data["runs"][0]["methods"][0]["metrics"];
    let updates = metrics["update"].as_array().unwrap();
    assert!(updates.len() <= 2002, "{}", updates.len());
    assert_eq!(
        (&updates[0], updates.last().unwrap()),
        (&json!(0.0), &json!(29_999.0))
    );
    let losses = metrics["test_loss"].as_array().unwrap();
    let lowest = losses.iter().position(|l| *l == 1e-9).unwrap();
    assert_eq!(updates[lowest], 12_345.0);
    let row = &compared(&[&run])["methods"][0];
    assert_eq!(row["best_test_loss"], 1e-9);
    assert_eq!(row["seconds_to_common_loss"], 12_345.0);
}

#[test]
fn damaged_and_foreign_files_are_told_of_and_passed_over() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("damaged");
    write(&run, WHOLE);
    fs::write(run.join("run.toml"), b"methods = [\xff\xfe").unwrap();
    fs::write(run.join("adam-2+hig/steps.csv"), b"\0\0\0\0\n\xff,\"\n\n").unwrap();
    fs::write(run.join("adam-2+hig/pictures.json"), "[1, 2").unwrap();
    fs::write(run.join("adam-2+hig/outcome.toml"), "updates = ").unwrap();
    fs::remove_file(run.join("config.toml")).unwrap();
    fs::remove_file(run.join("lm/metrics.csv")).unwrap();
    fs::create_dir(run.join("lm/metrics.csv")).unwrap();
    write(
        &run,
        &[
            ("notes/metrics.txt", "mine"),
            ("figures/loss.svg", "<svg/>"),
        ],
    );
    let output = hig(&["compare", "--json"]).arg(&run).assert().success();
    let told = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    for file in ["run.toml", "pictures.json", "outcome.toml"] {
        assert!(told.contains(file), "{told}");
    }
    let value: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(value["methods"][0]["method"], "adam-2+hig");
    assert_eq!(value["methods"][0]["state"], "interrupted");
    assert_eq!(value["methods"][0]["test_loss"], 1.25);
    assert_eq!(value["methods"].as_array().unwrap().len(), 1);
}

#[test]
fn methods_that_lead_out_of_the_folder_are_not_followed() {
    let folder = TempDir::new().unwrap();
    write(
        folder.path(),
        &[("secret/metrics.csv", "update,test_loss\n1,42.0\n")],
    );
    let run = folder.path().join("run");
    write(
        &run,
        &[("run.toml", "methods = [\"../secret\", \"hig\"]\n")],
    );
    let value = compared(&[&run]);
    assert_eq!(value["methods"].as_array().unwrap().len(), 1);
    assert_eq!(value["methods"][0]["method"], "hig");
}

#[test]
fn what_is_no_run_is_refused_with_what_is_missing() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    write(
        folder.path(),
        &[("file", ""), ("sweep/trials/a.toml", ""), ("empty/x/y", "")],
    );
    for command in ["compare", "export", "report"] {
        let told = refusal(&[command], &folder.path().join("nowhere"));
        assert!(
            told.contains("nowhere: expected the folder of a run"),
            "{told}"
        );
        assert!(refusal(&[command], &file).contains("it is a file"));
        let told = refusal(&[command], &folder.path().join("empty"));
        assert!(
            told.contains("expected run.toml, config.toml or METHOD/metrics.csv"),
            "{told}"
        );
        let told = refusal(&[command], &folder.path().join("sweep"));
        assert!(told.contains("table.md"), "{told}");
    }
    let run = folder.path().join("run");
    write(&run, WHOLE);
    let told = refusal(&["report", "--out", folder.path().to_str().unwrap()], &run);
    assert!(told.contains("--out") && told.contains("folder"), "{told}");
    let told = refusal(&["compare", "--loss", "nan"], &run);
    assert!(told.contains("--loss"), "{told}");
}

#[test]
fn an_export_has_one_row_a_number() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("whole");
    write(&run, WHOLE);
    let csv = stdout(&["export"], &[&run]);
    let lines: Vec<&str> = csv.lines().collect();
    assert_eq!(lines[0], "run,method,update,epoch,seconds,quantity,value");
    for row in [
        "whole,adam:2+hig,2,1e0,2.5e-1,test_loss,7.5e-1",
        "whole,adam:2+hig,3,1.5e0,5e-1,train_loss,NaN",
        "whole,adam:2+hig,2,1e0,2.5e-1,activation_mean,5e-1",
        "whole,adam:2+hig,3,1.5e0,5e-1,rank,1.3e1",
        "whole,adam:2+hig,3,1.5e0,5e-1,gain_ratio,inf",
        "whole,adam:2+hig,3,1.5e0,5e-1,timing.gram,3e-1",
        "whole,adam:2+hig,2,1e0,2.5e-1,singular_value.5,1e-8",
        "whole,lm,1,5e-1,1e-1,test_loss,1.5e0",
    ] {
        assert_eq!(
            lines.iter().filter(|line| **line == row).count(),
            1,
            "{row}\n{csv}"
        );
    }
    // 6 and 4 losses, 1 + 2 observations, 3 of the steps, 4 + 4 of spectrum and timing.
    assert_eq!(lines.len(), 1 + 6 + 4 + 3 + 3 + 8, "{csv}");
    let out = folder.path().join("curves.csv");
    hig(&["export", "--out"])
        .arg(&out)
        .arg(&run)
        .assert()
        .success();
    assert_eq!(fs::read_to_string(&out).unwrap(), csv);
    let left = fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(left, 2, "the folder of the run and the table");
}
