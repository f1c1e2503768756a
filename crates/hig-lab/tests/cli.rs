//! The program as a user meets it.

mod common;

use common::{hig, losses};
use std::fs;
use tempfile::TempDir;

#[test]
fn a_run_leaves_configuration_metrics_weights_and_figures() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let run = hig(&[
        "run",
        "toy",
        "--updates",
        "30",
        "--out",
        out.to_str().unwrap(),
    ])
    .assert();
    let output = String::from_utf8(run.success().get_output().stdout.clone()).unwrap();
    for method in ["adam", "gn", "sip", "hig", "adaptive-hig"] {
        assert!(output.contains(method), "{output}");
        let metrics = fs::read_to_string(out.join(method).join("metrics.csv")).unwrap();
        let mut lines = metrics.lines();
        assert_eq!(
            lines.next(),
            Some("update,epoch,seconds,train_loss,test_loss")
        );
        assert!(lines.next().unwrap().starts_with("0,"));
        assert!(lines.last().unwrap().starts_with("30,"));
        assert!(out.join(method).join("weights.safetensors").is_file());
    }
    for figure in ["loss", "saturation", "path"] {
        let svg = fs::read_to_string(out.join(format!("figures/{figure}.svg"))).unwrap();
        assert!(svg.contains("<svg") && svg.contains("hig"));
        assert!(out.join(format!("figures/{figure}.png")).is_file());
        assert!(output.contains(&format!("{figure}.svg")), "{output}");
    }
    let configuration: toml::Table = fs::read_to_string(out.join("config.toml"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(configuration["run"]["system"].as_str(), Some("toy"));
    assert_eq!(
        configuration["method"]["hig"]["exponent"].as_float(),
        Some(0.5)
    );
}

#[test]
fn a_run_tells_what_its_updates_consumed_and_what_its_steps_say() {
    let folder = TempDir::new().unwrap();
    for (setting, consumed, quantities) in [
        (
            "route=auto",
            "Gram matrix, 128 x ",
            vec!["rank", "participation", "full_step", "full_step_of_others"],
        ),
        (
            "route=lanczos",
            "products, 128 x ",
            vec![
                "rank",
                "participation",
                "vectors",
                "error",
                "full_step",
                "full_step_of_others",
            ],
        ),
        (
            "memory_limit=4e-4",
            "products, 128 x ",
            vec![
                "rank",
                "participation",
                "vectors",
                "error",
                "full_step",
                "full_step_of_others",
            ],
        ),
        (
            "route=svd",
            "Jacobian, 128 x ",
            vec!["rank", "participation", "full_step", "full_step_of_others"],
        ),
    ] {
        let out = folder.path().join(setting);
        let arguments = "run linear-oscillators --method hig --updates 1 --quiet --set";
        let arguments = arguments.split(' ').chain([setting, "--out"]);
        let run = hig(&arguments.collect::<Vec<_>>()).arg(&out).assert();
        let output = String::from_utf8(run.success().get_output().stdout.clone()).unwrap();
        assert!(output.contains(consumed), "{setting}: {output}");
        let steps = fs::read_to_string(out.join("hig/steps.csv")).unwrap();
        let mut lines = steps.lines();
        assert_eq!(lines.next(), Some("update,quantity,value"));
        let told: Vec<&str> = lines.map(|line| line.split(',').nth(1).unwrap()).collect();
        assert_eq!(told, quantities, "{setting}");
    }
}

#[test]
fn the_oscillators_are_trained_and_drawn() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    hig(&[
        "run",
        "linear-oscillators",
        "--epochs",
        "1",
        "--out",
        out.to_str().unwrap(),
    ])
    .args([
        "--method",
        "hig",
        "--method",
        "adam",
        "--set",
        "samples=640",
    ])
    .args(["--set", "test_samples=100", "--set", "masses=3"])
    .assert()
    .success();
    assert!(losses(&out, "hig").last().unwrap().starts_with("20,1.0"));
    let svg = fs::read_to_string(out.join("figures/sample.svg")).unwrap();
    assert!(svg.contains("mass 3") && svg.contains("force on the last mass"));
}

#[test]
fn bits_do_not_depend_on_threads_and_do_depend_on_the_seed() {
    let folder = TempDir::new().unwrap();
    let run = |name: &str, threads: &str, seed: &str| {
        let out = folder.path().join(name);
        hig(&[
            "run",
            "linear-oscillators",
            "--updates",
            "6",
            "--out",
            out.to_str().unwrap(),
        ])
        .args(["--method", "hig", "--method", "sip", "--seed", seed])
        .args(["--set", "batch=128", "--set", "samples=700"])
        .args(["--threads", threads])
        .assert()
        .success();
        (losses(&out, "hig"), losses(&out, "sip"))
    };
    let one = run("one", "1", "5");
    assert_eq!(one, run("two", "2", "5"));
    assert_ne!(one, run("other", "2", "6"));
}

#[test]
fn weights_and_data_travel_through_files() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let common = ["--method", "hig", "--updates", "5", "--order", "fixed"];
    hig(&[
        "run",
        "linear-oscillators",
        "--seed",
        "3",
        "--out",
        &path("a"),
    ])
    .args(common)
    .args(["--save-weights", &path("w.safetensors")])
    .args(["--save-data", &path("d.safetensors")])
    .assert()
    .success();
    hig(&[
        "run",
        "linear-oscillators",
        "--seed",
        "4",
        "--out",
        &path("b"),
    ])
    .args(common)
    .args([
        "--weights",
        &path("w.safetensors"),
        "--data",
        &path("d.safetensors"),
    ])
    .assert()
    .success();
    let train = |name: &str| -> Vec<String> {
        let rows = losses(&folder.path().join(name), "hig");
        rows.iter()
            .map(|row| row.split(',').nth(2).unwrap().into())
            .collect()
    };
    assert_eq!(train("a"), train("b"));
}

#[test]
fn settings_reach_system_method_and_training() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    hig(&[
        "run",
        "toy",
        "--updates",
        "2",
        "--out",
        out.to_str().unwrap(),
    ])
    .args(["--method", "hig", "--method", "gn", "--method", "sgd"])
    .args([
        "--set",
        "lambda=0.01",
        "--set",
        "hig.cutoff=1e-4",
        "--set",
        "batch=64",
    ])
    .args(["--set", "sgd.momentum=0.9"])
    .assert()
    .success();
    let text = fs::read_to_string(out.join("config.toml")).unwrap();
    let configuration: toml::Table = text.parse().unwrap();
    assert_eq!(configuration["system"]["lambda"].as_float(), Some(0.01));
    assert_eq!(
        configuration["method"]["hig"]["cutoff"].as_float(),
        Some(1e-4)
    );
    assert_eq!(
        configuration["method"]["gn"]["cutoff"].as_float(),
        Some(1e-6)
    );
    assert_eq!(
        configuration["method"]["gn"]["batch"].as_integer(),
        Some(64)
    );
    assert_eq!(
        configuration["method"]["sgd"]["momentum"].as_float(),
        Some(0.9)
    );
}

#[test]
fn bad_input_is_refused_before_training_with_exit_code_2() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "not a folder").unwrap();
    let file = file.to_str().unwrap();
    let inside = format!("{file}/inside");
    let cases: &[(&[&str], &[&str])] = &[
        (
            &["run", "oscillators"],
            &["oscillators", "linear-oscillators"],
        ),
        (
            &["run", "linear-oscilators"],
            &["did you mean `linear-oscillators`"],
        ),
        (
            &["run", "toy", "--method", "hgi"],
            &["method", "`hgi`", "did you mean `hig`"],
        ),
        (
            &["run", "toy", "--method", "hig", "--method", "hig"],
            &["hig", "twice"],
        ),
        (
            &["run", "toy", "--set", "cutof=1"],
            &["setting", "did you mean `cutoff`"],
        ),
        (
            &["run", "toy", "--set", "gn.lambda=1"],
            &["setting of gn", "lambda"],
        ),
        (
            &["run", "toy", "--set", "lbfgs.cutoff=1"],
            &["lbfgs", "known: adam"],
        ),
        (&["run", "toy", "--set", "lambda"], &["KEY=VALUE"]),
        (
            &["run", "toy", "--set", "cutoff=1"],
            &["cutoff = 1", "at least 0 and below 1"],
        ),
        (
            &["run", "toy", "--set", "lambda=0"],
            &["lambda = 0", "other than 0"],
        ),
        (
            &["run", "toy", "--set", "lambda=nan"],
            &["lambda = nan", "finite"],
        ),
        (
            &["run", "toy", "--set", "batch=257"],
            &["batch = 257", "256"],
        ),
        (
            &["run", "toy", "--set", "batch=0"],
            &["batch = 0", "at least 1"],
        ),
        (
            &["run", "toy", "--set", "exponent=2"],
            &["exponent = 2", "between -1"],
        ),
        (
            &["run", "toy", "--set", "hidden=7,0"],
            &["hidden = 7,0", "at least 1"],
        ),
        (
            &["run", "toy", "--set", "learning_rate=-1"],
            &["learning_rate = -1", "above 0"],
        ),
        (
            &["run", "toy", "--set", "learning_rate=fast"],
            &["learning_rate = fast"],
        ),
        (
            &["run", "toy", "--set", "route=lanczoz"],
            &["route = lanczoz", "auto, gram"],
        ),
        (
            &["run", "toy", "--order", "sorted"],
            &["order = sorted", "shuffled, fixed or fresh"],
        ),
        (&["run", "toy", "--seconds", "-1"], &["-1"]),
        (
            &["run", "toy", "--seconds", "nan"],
            &["seconds = NaN", "finite"],
        ),
        (
            &["run", "toy", "--threads", "0"],
            &["--threads 0", "at least 1"],
        ),
        (
            &["run", "toy", "--set", "memory_limit=1e-6"],
            &["memory_limit", "GiB", "batch"],
        ),
        (
            &["run", "toy", "--weights", "/nowhere.safetensors"],
            &["/nowhere.safetensors"],
        ),
        (
            &["run", "toy", "--data", file],
            &[file, "not a safetensors file"],
        ),
        (&["run", "toy", "--out", file], &[file, "expected a folder"]),
        (
            &["run", "toy", "--out", &inside],
            &[&inside, "cannot be created"],
        ),
        (&["study", "paper"], &["study", "`paper`", "chapter"]),
        (
            &["study", "chapter", "--seeds", "1"],
            &["seeds = 1", "at least 2"],
        ),
        (&["fly"], &["fly"]),
    ];
    for (arguments, expected) in cases {
        let mut command = hig(arguments);
        // Whatever is wrongly accepted must not run for long.
        command.current_dir(folder.path()).env("NO_COLOR", "1");
        let output = command.output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        for part in *expected {
            assert!(
                message.contains(part),
                "{arguments:?} lacks `{part}`: {message}"
            );
        }
    }
    assert!(
        !folder.path().join("runs").exists(),
        "a refused run left a folder"
    );
}

#[test]
fn weights_of_the_wrong_shape_are_refused_by_name() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    hig(&[
        "run",
        "toy",
        "--updates",
        "0",
        "--method",
        "adam",
        "--out",
        &path("a"),
    ])
    .args([
        "--save-weights",
        &path("w.safetensors"),
        "--save-data",
        &path("d.safetensors"),
    ])
    .assert()
    .success();
    let output = hig(&["run", "toy", "--set", "hidden=8", "--out", &path("b")])
        .args(["--weights", &path("w.safetensors")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("layers.0.weight") && message.contains("[8, 1]"),
        "{message}"
    );
    let output = hig(&["run", "linear-oscillators", "--out", &path("b")])
        .args(["--data", &path("d.safetensors")])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("input has shape 256 x 1"), "{message}");
    assert!(!folder.path().join("b").exists());
}

#[test]
fn results_are_replaced_only_by_force_and_nothing_else_is_touched() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().to_str().unwrap();
    let first = [
        "run",
        "toy",
        "--updates",
        "3",
        "--method",
        "adam",
        "--out",
        out,
    ];
    hig(&first).assert().success();
    fs::write(folder.path().join("notes.txt"), "mine").unwrap();
    let before = fs::read_to_string(folder.path().join("config.toml")).unwrap();
    let again = [
        "run",
        "toy",
        "--updates",
        "4",
        "--method",
        "gn",
        "--out",
        out,
    ];
    let output = hig(&again).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("--force")
    );
    let after = fs::read_to_string(folder.path().join("config.toml")).unwrap();
    assert_eq!(before, after);
    hig(&again).arg("--force").assert().success();
    assert!(folder.path().join("gn").is_dir());
    assert!(!folder.path().join("adam").exists());
    assert_eq!(
        fs::read_to_string(folder.path().join("notes.txt")).unwrap(),
        "mine"
    );
}

#[cfg(unix)]
#[test]
fn an_interrupt_keeps_what_was_computed() {
    use std::process::{Command as Process, Stdio};
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let mut child = Process::new(assert_cmd::cargo::cargo_bin("hig"))
        .args([
            "run",
            "toy",
            "--seconds",
            "600",
            "--out",
            out.to_str().unwrap(),
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let metrics = out.join("adam/metrics.csv");
    let rows = || fs::read_to_string(&metrics).map_or(0, |text| text.lines().count());
    while rows() < 10 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::yield_now();
    }
    let kill = Process::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert!(
        table.contains("interrupted") && !table.contains("gn "),
        "{table}"
    );
    assert!(out.join("adam/weights.safetensors").is_file());
    assert!(out.join("figures/loss.svg").is_file());
}

#[test]
fn list_names_systems_methods_and_settings_with_defaults() {
    let output = hig(&["list"]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    for part in [
        "toy",
        "linear-oscillators",
        "adam",
        "sgd",
        "sip",
        "gd",
        "gn",
        "hig",
        "lambda = 1",
        "exponent = 0.5",
        "cutoff = 1e-6",
        "batch = 32",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
}

#[test]
fn the_study_writes_its_tables_and_figure() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let arguments = [
        "study",
        "chapter",
        "--seeds",
        "2",
        "--updates",
        "5",
        "--out",
    ];
    let output = hig(&arguments).arg(&out).output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("Truncation beats clamping"));
    let trials = fs::read_to_string(out.join("trials.csv")).unwrap();
    assert!(
        trials
            .lines()
            .any(|line| line.starts_with("hig λ=0.01 τ=1e-5,1,"))
    );
    for name in ["table.md", "statements.md", "figures/chapter.svg"] {
        assert!(out.join(name).is_file());
    }
}

/// The squares of Adam's gradients overflow; the other method needs none.
#[test]
fn a_method_that_fails_by_its_numbers_leaves_the_others_their_turn() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let run = "run toy --method adam --method lm --set lambda=1e100 --updates 3 --quiet --out";
    let mut command = hig(&run.split(' ').collect::<Vec<_>>());
    let output = command.arg(&out).assert().code(3);
    let message = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert!(
        message.contains("ended well: ") && message.contains("adam failed"),
        "{message}"
    );
    let summary = fs::read_to_string(out.join("summary.csv")).unwrap();
    assert!(
        summary.contains("sum of squared gradients is inf"),
        "{summary}"
    );
    assert!(summary.contains("\nlm,"), "{summary}");
    assert!(out.join("lm/weights.safetensors").is_file());
}

#[test]
fn given_samples_and_fresh_ones_are_not_asked_for_together() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, out, file) = (path("data"), path("out"), path("own.toml"));
    let run = |words: &str| {
        let words = words.replace("{data}", &data).replace("{out}", &out);
        let words = words.replace("{file}", &file);
        let output = hig(&words.split(' ').collect::<Vec<_>>()).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        (output.status.code(), message)
    };
    let poisson = "run poisson --method adam --updates 1 --quiet --force --out {out}";
    assert_eq!(run(&format!("{poisson} --save-data {{data}}")).0, Some(0));
    let text = format!(
        "[run]\nsystem = \"poisson\"\nmethods = [\"adam\"]\ndata = \"{data}\"\n\
         [training]\norder = \"fresh\"\n"
    );
    fs::write(&file, text).unwrap();
    for refused in [
        format!("{poisson} --data {{data}} --order fresh"),
        format!("{poisson} --data {{data}} --set adam.order=fresh"),
        "run --quiet --force --out {out} {file}".to_owned(),
    ] {
        let (code, message) = run(&refused);
        assert_eq!(code, Some(2), "{refused}: {message}");
        assert!(
            message.contains("order = fresh") && message.contains("given samples"),
            "{message}"
        );
    }
    // The order that the system's source recommends gives way, and it is told.
    let (code, message) = run(&format!("{poisson} --data {{data}}"));
    assert_eq!(code, Some(0), "{message}");
    assert!(
        message.contains("order = shuffled instead of fresh"),
        "{message}"
    );
    assert_eq!(
        run(&format!("{poisson} --data {{data}} --order fixed")),
        (Some(0), String::new())
    );
}

#[test]
fn a_sweep_takes_the_settings_that_a_run_with_all_of_its_methods_takes() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let sweep = |words: &str| {
        let mut command = hig(&words.split(' ').collect::<Vec<_>>());
        command.args(["--seeds", "0", "--updates", "2", "--quiet", "--out"]);
        command.arg(&out).output().unwrap()
    };
    let both = "sweep toy --method adam --method hig --set cutoff=1e-3,1e-4 --set batch=16,32";
    let output = sweep(both);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let table = fs::read_to_string(out.join("summary.csv")).unwrap();
    let count = |begins: &str| {
        table
            .lines()
            .filter(|line| line.starts_with(begins))
            .count()
    };
    assert_eq!((count("hig,"), count("adam,\"\",")), (4, 2), "{table}");
    for refused in [
        "sweep toy --method adam --set cutoff=1e-3,1e-4",
        "sweep toy --method adam --method hig --set cutof=1e-3",
    ] {
        let output = sweep(refused);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("unknown setting"), "{message}");
    }
}

#[test]
fn the_rows_of_a_batch_are_told_where_a_sample_has_several() {
    let folder = TempDir::new().unwrap();
    let run = "run poisson --method adam --method hig --set batch=2 --updates 1 --out";
    let mut command = hig(&run.split(' ').collect::<Vec<_>>());
    let output = command.arg(folder.path().join("out")).assert().code(0);
    let message = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert!(
        message.contains("hig: 128 rows a batch, of 2 samples with 64 each"),
        "{message}"
    );
    assert!(!message.contains("adam: "), "{message}");
}

#[test]
fn a_count_of_threads_that_makes_no_sense_is_refused() {
    for (count, option) in [("100000", true), ("0", true), ("100000", false)] {
        let mut command = hig(&["run", "toy", "--updates", "1", "--quiet"]);
        let command = match option {
            true => command.args(["--threads", count]),
            false => command.env("RAYON_NUM_THREADS", count),
        };
        let output = command.assert().code(2);
        let message = String::from_utf8(output.get_output().stderr.clone()).unwrap();
        let name = if option {
            "--threads"
        } else {
            "RAYON_NUM_THREADS"
        };
        assert!(
            message.contains(&format!("{name} {count}: expected at least 1 and at most ")),
            "{message}"
        );
    }
}

/// Products of matrices reserve addresses on each thread, though no memory: twice the largest cache.
#[cfg(target_os = "linux")]
#[test]
fn a_limit_on_the_address_space_leaves_fewer_threads() {
    let folder = TempDir::new().unwrap();
    let program = assert_cmd::cargo::cargo_bin("hig");
    let kibibytes = |index: usize| {
        let path = format!("/sys/devices/system/cpu/cpu0/cache/index{index}/size");
        let size = std::fs::read_to_string(path).ok()?;
        size.trim().strip_suffix('K')?.parse::<u64>().ok()
    };
    let cache = (0..5).filter_map(kibibytes).max().unwrap_or(0);
    let script = format!(
        "ulimit -v {}; exec {} run toy --method hig --updates 5 --threads 64 --quiet --out {}",
        800_000 + 2 * cache,
        program.display(),
        folder.path().join("out").display()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{message}");
    assert!(message.contains("of 64 threads"), "{message}");
}

/// A limit on the size of files stands for a full disk: the write fails, the program goes on.
#[cfg(unix)]
#[test]
fn a_write_that_fails_ends_the_training_and_keeps_what_was_computed() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let program = assert_cmd::cargo::cargo_bin("hig");
    let script = format!(
        "ulimit -f 64; exec {} run toy --method hig --method adam --updates 100000 \
         --set evaluate_every=1 --quiet --out {}",
        program.display(),
        out.display()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains(".csv: File too large"), "{message}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("failed after update"), "{table}");
    assert!(out.join("hig/weights.safetensors").is_file());
    let metrics = fs::read_to_string(out.join("hig/metrics.csv")).unwrap();
    assert!(metrics.lines().count() > 10);
    assert!(
        !out.join("adam").exists(),
        "the next method started on a full disk"
    );
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let run = ["run", "toy", "--updates", "2", "--quiet", "--out"];
    for arguments in [
        &["list"][..],
        &[&run[..], &[out.to_str().unwrap()]].concat(),
    ] {
        let mut child = std::process::Command::new(assert_cmd::cargo::cargo_bin("hig"))
            .args(arguments)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), message.as_str()), (Some(0), ""));
    }
    assert!(out.join("summary.csv").is_file());
    assert!(out.join("figures/loss.svg").is_file());
}

#[test]
fn a_method_that_diverged_is_told_by_the_exit_code() {
    let folder = TempDir::new().unwrap();
    let out = folder.path().join("out");
    let run =
        "run toy --method gd --method adam --updates 100 --set gd.learning_rate=1e6 --quiet --out";
    let mut command = hig(&run.split(' ').collect::<Vec<_>>());
    let output = command.arg(&out).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{message}");
    assert!(
        message.contains("not every method ended well: gd diverged"),
        "{message}"
    );
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(table.contains("adam") && out.join("figures/loss.svg").is_file());
    let output = hig(&["resume", "--quiet"]).arg(&out).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    for help in [&["run", "--help"][..], &["resume", "--help"], &["--help"]] {
        let help = String::from_utf8(hig(help).output().unwrap().stdout).unwrap();
        assert!(help.contains("some methods of a run diverged"), "{help}");
    }
    for page in ["README.md", "docs/lab.md"] {
        let page =
            fs::read_to_string(format!("{}/../../{page}", env!("CARGO_MANIFEST_DIR"))).unwrap();
        assert!(page.contains("| 3 | trained and shown"), "{page}");
    }
}

#[test]
fn a_setting_that_is_given_as_an_option_is_suggested_as_a_setting() {
    for (words, suggested) in [
        ("run toy --batch 3", "--set batch=3"),
        ("run toy --batch=3", "--set batch=3"),
        (
            "run toy --learning-rate 0.1 --seed 2",
            "--set learning_rate=0.1",
        ),
        ("run toy --hig.cutoff 1e-5", "--set hig.cutoff=1e-5"),
        ("sweep toy --cutoff", "--set cutoff=VALUE"),
        ("run toy --lambda --seed 2", "--set lambda=VALUE"),
    ] {
        let output = hig(&words.split(' ').collect::<Vec<_>>()).output().unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{words}: {message}");
        assert!(message.contains(suggested), "{words}: {message}");
        assert!(!message.contains("-- --"), "{words}: {message}");
    }
    let help = String::from_utf8(hig(&["run", "--help"]).output().unwrap().stdout).unwrap();
    assert!(help.contains("shuffled, fixed, or fresh"), "{help}");
}
