//! Configuration files as a user meets them: written, run, run again, refused.

mod common;

use common::{hig, losses};
use serde_json::Value as Json;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const SYSTEMS: [&str; 21] = [
    "toy",
    "linear-oscillators",
    "nonlinear-oscillators",
    "poisson",
    "quantum-dipole",
    "cart-pole",
    "pendulum-swing-up",
    "burgers-control",
    "ks-correction",
    "fluid-control",
    "wake-flow-correction",
    "parameter-estimation",
    "poisson-pinn",
    "heat-pinn",
    "burgers-pinn",
    "convection-pinn",
    "helmholtz-pinn",
    "navier-stokes-pinn",
    "allen-cahn-pinn",
    "fokker-planck-pinn",
    "burgers-inverse-pinn",
];

fn stdout(arguments: &[&str]) -> String {
    let output = hig(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The message of a refusal, in a folder in which nothing may be left behind.
fn refusal(folder: &Path, arguments: &[&str]) -> String {
    let mut command = hig(arguments);
    let output = command.current_dir(folder).output().unwrap();
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(!folder.join("runs").exists(), "{arguments:?} left a folder");
    message
}

/// Runs in a folder, with the results in its subfolder `out`.
fn run(folder: &Path, arguments: &str, out: &str) -> toml::Table {
    let arguments = arguments.split_whitespace();
    let arguments: Vec<&str> = ["run", "--quiet", "--out", out]
        .into_iter()
        .chain(arguments)
        .collect();
    let output = hig(&arguments).current_dir(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    let path = folder.join(out).join("config.toml");
    fs::read_to_string(path).unwrap().parse().unwrap()
}

/// The names of the folders of methods that a run left.
fn trained(out: &Path) -> Vec<String> {
    let entries = fs::read_dir(out).unwrap().map(|entry| entry.unwrap());
    let methods = entries.filter(|entry| entry.path().join("metrics.csv").is_file());
    let mut names: Vec<String> = methods
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn assert_same_bits(a: &Path, b: &Path) {
    assert_eq!(trained(a), trained(b));
    assert!(!trained(a).is_empty());
    for method in trained(a) {
        assert_eq!(losses(a, &method), losses(b, &method), "{method}");
        let weights = |out: &Path| fs::read(out.join(&method).join("weights.safetensors")).unwrap();
        assert_eq!(weights(a), weights(b), "{method}");
    }
}

#[test]
fn a_file_of_init_runs_like_the_system_by_its_name() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    for system in SYSTEMS {
        // A sample of a flow in two dimensions costs a hundred times as much.
        let small = match system {
            "fluid-control" | "wake-flow-correction" => {
                "--updates 1 --set samples=8 --set test_samples=2 --set batch=4 --method adam"
            }
            _ => "--updates 1 --set samples=64 --set test_samples=16 --set batch=4",
        };
        fs::write(path("experiment.toml"), stdout(&["init", system])).unwrap();
        let (file, name) = (format!("{system}-file"), format!("{system}-name"));
        let of_file = run(folder.path(), &format!("experiment.toml {small}"), &file);
        let of_name = run(folder.path(), &format!("{system} {small}"), &name);
        assert_eq!(of_file, of_name);
        assert_same_bits(&path(&file), &path(&name));
    }
}

#[test]
fn a_file_of_init_explains_every_setting_and_can_be_shortened() {
    for system in SYSTEMS {
        let text = stdout(&["init", system]);
        let lines: Vec<&str> = text.lines().collect();
        let head = text.find("[run]").unwrap();
        assert!(
            text[..head]
                .lines()
                .all(|line| line.is_empty() || line.starts_with('#'))
        );
        assert!(lines.iter().all(|line| line.chars().count() <= 100));
        for (i, line) in lines.iter().enumerate() {
            if line.contains(" = ") && !line.starts_with('#') {
                assert!(lines[i - 1].starts_with("# "), "{line} is not explained");
            }
        }
    }
    let text = stdout(&["init", "toy"]);
    for part in [
        "# Allowed: a finite number other than 0.\nlambda = 1.0\n",
        "hidden = [7]\n",
        "methods = [\"adam\", \"gn\", \"sip\", \"hig\", \"adaptive-hig\"]\n",
        "updates = 5000\n",
        "schedule = \"constant\"\n",
        "[method.hig]\n",
        "cutoff = 1e-5\n",
    ] {
        assert!(text.contains(part), "{part} is missing in\n{text}");
    }
    let folder = TempDir::new().unwrap();
    let message = refusal(folder.path(), &["init", "tyo"]);
    assert!(message.contains("did you mean `toy`"), "{message}");
    refusal(folder.path(), &["init"]);
}

#[test]
fn a_run_can_be_made_again_from_its_folder() {
    let folder = TempDir::new().unwrap();
    let cases = [
        (
            "toy",
            "--method hig --method adam --updates 7 --seed 9007199254740993",
        ),
        (
            "toy",
            "--method adam:3+hig:2+adam --method lm --updates 9 --set adam.learning_rate=0.02",
        ),
        (
            "linear-oscillators",
            "--epochs 1.5 --order fixed --set samples=64 --set test_samples=16 --set batch=16 \
             --set masses=3 --set hidden=5 --set schedule=cosine --set hig.cutoff=3e-9",
        ),
        (
            "poisson",
            "--method adam:2+hig --updates 4 --seed 3 --set samples=32 --set test_samples=8 \
             --set grid=4 --set batch=8 --set evaluate_every=1",
        ),
    ];
    for (i, (system, options)) in cases.iter().enumerate() {
        let (first, again) = (format!("first-{i}"), format!("again-{i}"));
        let config = run(folder.path(), &format!("{system} {options}"), &first);
        let repeated = run(folder.path(), &format!("{first}/config.toml"), &again);
        assert_eq!(config, repeated);
        assert_same_bits(&folder.path().join(&first), &folder.path().join(&again));
    }
}

#[test]
fn given_weights_and_data_stay_with_the_run() {
    let folder = TempDir::new().unwrap();
    let path = |name: &str| folder.path().join(name);
    let save = "--save-weights w.safetensors --save-data d.safetensors";
    let small = "linear-oscillators --method hig --updates 4 --set samples=64 --set batch=16";
    run(folder.path(), &format!("{small} --seed 3 {save}"), "source");
    let given = "--weights w.safetensors --data d.safetensors";
    run(folder.path(), &format!("{small} --seed 4 {given}"), "first");
    fs::remove_file(path("w.safetensors")).unwrap();
    fs::remove_file(path("d.safetensors")).unwrap();

    run(folder.path(), "first/config.toml", "second");
    // The copies of a copy, from another place, over themselves.
    fs::create_dir(path("elsewhere")).unwrap();
    fs::rename(path("second"), path("elsewhere/second")).unwrap();
    run(&path("elsewhere"), "second/config.toml --force", "second");
    assert_same_bits(&path("first"), &path("elsewhere/second"));
    let train = |out: &str| {
        losses(&path(out), "hig")[1]
            .split(',')
            .nth(2)
            .unwrap()
            .to_owned()
    };
    assert_eq!(train("first"), train("source"));

    // What a run was not given does not stay from the one that it replaces.
    run(folder.path(), &format!("{small} --force"), "first");
    assert!(!path("first/given-data.safetensors").exists());

    let own = "[run]\nsystem = \"linear-oscillators\"\nmethods = [\"hig\"]\n\
               weights = \"elsewhere/second/given-weights.safetensors\"\n\
               [system]\nsamples = 64\n[training]\nbatch = 16\n";
    fs::write(path("own.toml"), own).unwrap();
    run(
        &path("elsewhere"),
        "../own.toml --updates 1 --set samples=64",
        "own",
    );
    fs::remove_dir_all(path("elsewhere/second")).unwrap();
    let message = refusal(folder.path(), &["run", "own.toml"]);
    assert!(
        message.contains("elsewhere/second/given-weights.safetensors"),
        "{message}"
    );
}

#[test]
fn options_go_before_methods_before_the_training_before_defaults() {
    let folder = TempDir::new().unwrap();
    let text = "[run]\nsystem = \"toy\"\nseed = 5\nmethods = [\"adam\", \"gn\", \"hig\", \"adam:1+gn\"]\n\
                [budget]\nupdates = 2\nseconds = 100\n\
                [system]\nlambda = 0.5\n\
                [method.hig]\nbatch = 8\nlearning_rate = 2\n\
                [method.\"adam:1+gn\".gn]\nbatch = 10\n\
                [method.gn]\nbatch = 9\ncutoff = 1e-4\n\
                [training]\nbatch = 16\n";
    fs::write(folder.path().join("experiment.toml"), text).unwrap();
    let batch = |config: &toml::Table, method: &str| {
        let table = &config["method"][method];
        table["batch"].as_integer().unwrap()
    };

    let config = run(folder.path(), "experiment.toml", "file");
    let batches = ["adam", "gn", "hig"].map(|method| batch(&config, method));
    assert_eq!(batches, [16, 9, 8]);
    let chain = &config["method"]["adam:1+gn"];
    assert_eq!(chain["adam"]["batch"].as_integer(), Some(16));
    assert_eq!(chain["gn"]["batch"].as_integer(), Some(10));
    assert_eq!(chain["gn"]["cutoff"].as_float(), Some(1e-4));
    assert_eq!(
        config["method"]["hig"]["learning_rate"].as_float(),
        Some(2.0)
    );
    assert_eq!(config["method"]["hig"]["accuracy"].as_float(), Some(1e-9));
    assert_eq!(config["system"]["lambda"].as_float(), Some(0.5));
    assert_eq!(config["run"]["seed"].as_integer(), Some(5));
    assert_eq!(config["budget"]["updates"].as_integer(), Some(2));

    let options = "experiment.toml --set batch=4 --set hig.batch=3 --set lambda=2 --seed 6 \
                   --epochs 1 --method hig --method sgd --order fixed";
    let config = run(folder.path(), options, "options");
    assert_eq!([batch(&config, "sgd"), batch(&config, "hig")], [4, 3]);
    assert_eq!(
        config["method"]["hig"]["learning_rate"].as_float(),
        Some(2.0)
    );
    assert_eq!(config["method"]["hig"]["order"].as_str(), Some("fixed"));
    assert_eq!(config["system"]["lambda"].as_float(), Some(2.0));
    assert_eq!(config["run"]["seed"].as_integer(), Some(6));
    let budget = config["budget"].as_table().unwrap();
    assert_eq!(budget["epochs"].as_float(), Some(1.0));
    assert_eq!(budget.len(), 1);
    assert_eq!(trained(&folder.path().join("options")), ["hig", "sgd"]);
}

#[test]
fn a_file_is_known_by_its_ending_or_by_being_there() {
    let folder = TempDir::new().unwrap();
    let text = "run = { system = \"toy\", methods = [\"gn\"] }\nbudget.updates = 1\n";
    for name in ["experiment", "toy", "a.toml"] {
        fs::write(folder.path().join(name), text).unwrap();
    }
    for name in ["experiment", "a.toml"] {
        run(folder.path(), name, &format!("out-{name}"));
        assert_eq!(trained(&folder.path().join(format!("out-{name}"))), ["gn"]);
    }
    // The name of a system stays one.
    let config = run(folder.path(), "toy --updates 1 --method adam", "out");
    assert!(config["method"].get("gn").is_none());
    let message = refusal(folder.path(), &["run", "nowhere.toml"]);
    assert!(message.contains("nowhere.toml: "), "{message}");
    hig(&["run", "a.toml", "--quiet"])
        .current_dir(folder.path())
        .assert()
        .success();
    assert!(folder.path().join("runs/toy-1/gn/metrics.csv").is_file());
}

/// A file with one wrong line, what is said of it, its place, and what stands underlined.
type Wrong = (&'static str, &'static str, &'static str, &'static str);

const WRONG: &[Wrong] = &[
    (
        "[method.hig]\ncutof = 1",
        "unknown setting of hig `cutof` (did you mean `cutoff`?)",
        "4:1",
        "cutof",
    ),
    (
        "[system]\nlamda = 1",
        "unknown setting of the system toy `lamda` (did you mean `lambda`?)",
        "4:1",
        "lamda",
    ),
    (
        "[training]\nbtach = 1",
        "unknown setting of the training `btach` (did you mean `batch`?)",
        "4:1",
        "btach",
    ),
    (
        "[budget]\nupdate = 1",
        "unknown setting of [budget] `update` (did you mean `updates`?)",
        "4:1",
        "update",
    ),
    (
        "sed = 1",
        "unknown setting of [run] `sed` (did you mean `seed`?)",
        "3:1",
        "sed",
    ),
    (
        "[sistem]",
        "unknown section `sistem` (did you mean `system`?)",
        "3:2",
        "sistem",
    ),
    (
        "[method.hgi]",
        "unknown method `hgi` (did you mean `hig`?)",
        "3:9",
        "hgi",
    ),
    (
        "methods = [\"adam\", \"hgi\"]",
        "unknown method `hgi` (did you mean `hig`?)",
        "3:20",
        "\"hgi\"",
    ),
    (
        "methods = [\"adam\", \"adam\"]",
        "method `adam` is named twice",
        "3:20",
        "\"adam\"",
    ),
    (
        "methods = [\"adam+hig\"]",
        "method `adam+hig`: expected a method, or several",
        "3:12",
        "\"adam+hig\"",
    ),
    (
        "methods = []",
        "methods = [] is not possible: it must be an array of one or more",
        "3:11",
        "[]",
    ),
    (
        "methods = \"hig\"",
        "methods = \"hig\" is not possible: it must be an array",
        "3:11",
        "\"hig\"",
    ),
    (
        "[method.lm]\ndamping = 1",
        "`lm` has settings but is not trained: name it in methods",
        "3:9",
        "lm",
    ),
    (
        "[method.\"adam:5+gn\".adam]",
        "`\"adam:5+gn\"` has settings but is not trained",
        "3:9",
        "\"adam:5+gn\"",
    ),
    (
        "[method.\"adam:5+gn\".hig]",
        "unknown method of adam:5+gn `hig`; known: adam, gn",
        "3:21",
        "hig",
    ),
    (
        "[method.\"adam:5+gn\"]\nbatch = 1",
        "unknown method of adam:5+gn `batch`",
        "4:1",
        "batch",
    ),
    (
        "[training]\nbatch = 32.0",
        "batch = 32.0 is not possible: it must be a whole number of at least 1",
        "4:9",
        "32.0",
    ),
    (
        "[training]\nbatch = \"32\"",
        "batch = \"32\" is not possible: it must be a whole number",
        "4:9",
        "\"32\"",
    ),
    (
        "[training]\nbatch = 0",
        "batch = 0 is not possible: it must be a whole number of at least 1",
        "4:9",
        "0",
    ),
    ("[training]\nbatch = -0x1", "cannot be signed", "4:9", "-"),
    (
        "[training]\nbatch = 99999999999999999999",
        "batch = 99999999999999999999 is not possible",
        "4:9",
        "99999999999999999999",
    ),
    (
        "[training]\norder = \"fixd\"",
        "unknown order `fixd` (did you mean `fixed`?); known: shuffled, fixed, fresh",
        "4:9",
        "\"fixd\"",
    ),
    (
        "[training]\norder = true",
        "order = true is not possible: it must be shuffled, fixed or fresh",
        "4:9",
        "true",
    ),
    (
        "[method.hig]\nroute = \"lanczoz\"",
        "unknown route `lanczoz` (did you mean `lanczos`?)",
        "4:9",
        "\"lanczoz\"",
    ),
    (
        "[method.hig]\ncutoff = 1",
        "cutoff = 1 is not possible: it must be at least 0 and below 1",
        "4:10",
        "1",
    ),
    (
        "[method.hig]\ncutoff = 1979-05-27",
        "cutoff = 1979-05-27 is not possible",
        "4:10",
        "1979-05-27",
    ),
    (
        "[method.hig]\nlearning_rate = inf",
        "learning_rate = inf is not possible: it must be a finite number above 0",
        "4:17",
        "inf",
    ),
    (
        "[system]\nhidden = [7, 0]",
        "hidden = 7,0 is not possible",
        "4:10",
        "[7, 0]",
    ),
    (
        "[system]\nhidden = 7",
        "hidden = 7 is not possible: it must be whole numbers",
        "4:10",
        "7",
    ),
    (
        "[system]\nlambda = nan",
        "lambda = nan is not possible: it must be a finite number",
        "4:10",
        "nan",
    ),
    (
        "seed = -1",
        "seed = -1 is not possible: it must be a whole number of at least 0",
        "3:8",
        "-1",
    ),
    (
        "data = 3",
        "data = 3 is not possible: it must be a string",
        "3:8",
        "3",
    ),
    (
        "[budget]\nseconds = -1.5",
        "seconds = -1.5 is not possible: it must be a finite number of at least 0",
        "4:11",
        "-1.5",
    ),
    (
        "[budget]\nupdates = 1e3",
        "updates = 1e3 is not possible: it must be a whole number",
        "4:11",
        "1e3",
    ),
    (
        "[[system]]",
        "system = [[system]] is not possible: it must be a table",
        "3:1",
        "[[system]]",
    ),
    (
        "data = \"nowhere.safetensors\"",
        "nowhere.safetensors: ",
        "3:8",
        "\"nowhere.safetensors\"",
    ),
    ("seed = 1\nseed = 2", "duplicate key", "4:1", "seed"),
    ("seed = ", "must be quoted", "3:8", ""),
    // What only fits together, or does not.
    (
        "[training]\nbatch = 257",
        "batch = 257 is not possible: it must be at most the number of training samples, 256",
        "4:9",
        "257",
    ),
    (
        "[method.gn]\nbatch = 257",
        "gn: batch = 257 is not possible",
        "4:9",
        "257",
    ),
    (
        "[training]\norder = \"fresh\"",
        "order = fresh is not possible: it must be shuffled or fixed",
        "4:9",
        "\"fresh\"",
    ),
];

#[test]
fn what_is_wrong_in_a_file_is_underlined() {
    let folder = TempDir::new().unwrap();
    for (text, said, place, underlined) in WRONG {
        fs::write(
            folder.path().join("a.toml"),
            format!("[run]\nsystem = \"toy\"\n{text}\n"),
        )
        .unwrap();
        let message = refusal(folder.path(), &["run", "a.toml", "--updates", "1"]);
        let lines: Vec<&str> = message.lines().collect();
        let [first, at, _, line, carets] = lines[..] else {
            panic!("{text}: {message}");
        };
        assert!(
            first.starts_with("error: ") && first.contains(said),
            "{text}: {message}"
        );
        assert_eq!(at, format!(" --> a.toml:{place}"), "{text}: {message}");
        let (number, column) = place.split_once(':').unwrap();
        let column: usize = column.parse().unwrap();
        assert!(
            line.starts_with(&format!("{number} | ")),
            "{text}: {message}"
        );
        if !underlined.is_empty() {
            let margin = " ".repeat(4 + column - 1);
            assert_eq!(
                &line[margin.len()..][..underlined.len()],
                *underlined,
                "{message}"
            );
            let expected = format!("  | {}{}", &margin[4..], "^".repeat(underlined.len()));
            assert_eq!(carets, expected, "{text}: {message}");
        }
    }
}

#[test]
fn a_file_that_fits_no_system_is_refused_as_a_whole() {
    let folder = TempDir::new().unwrap();
    let cases: [(&[u8], &str); 5] = [
        (
            b"",
            "no system is named: expected system = \"NAME\" in [run], with toy, linear",
        ),
        (b"[run]\nsystem = \"tyo\"", "did you mean `toy`"),
        (b"[run]\nsystem = \"toy\"\n# \xff", "not UTF-8"),
        (
            b"[run]\nsystem = \"poisson\"\n[system]\nmodes = 9",
            "modes = 9 is not possible: it must be at most grid = 8",
        ),
        (
            b"[run]\nsystem = \"toy\"\n[training]\nmemory_limit = 1e-6",
            "memory_limit",
        ),
    ];
    for (text, said) in cases {
        fs::write(folder.path().join("a.toml"), text).unwrap();
        let message = refusal(folder.path(), &["run", "a.toml"]);
        assert!(message.contains(said), "{said}: {message}");
        assert!(message.contains("a.toml"), "{said}: {message}");
    }
    // The file is not to blame for an option.
    let text = "[run]\nsystem = \"toy\"\n[training]\nbatch = 16\n";
    fs::write(folder.path().join("a.toml"), text).unwrap();
    let message = refusal(folder.path(), &["run", "a.toml", "--set", "batch=1000"]);
    assert!(
        message.contains("batch = 1000") && !message.contains("^"),
        "{message}"
    );
}

#[test]
fn the_schema_knows_every_setting_that_init_writes() {
    let schema: Json = serde_json::from_str(&stdout(&["init", "--schema"])).unwrap();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let resolve = |node: &Json| -> Json {
        match node["$ref"].as_str() {
            Some(place) => schema
                .pointer(place.trim_start_matches('#'))
                .unwrap()
                .clone(),
            None => node.clone(),
        }
    };
    for system in SYSTEMS {
        let file: toml::Table = stdout(&["init", system]).parse().unwrap();
        let mut sections: Vec<(Json, &toml::Value)> = Vec::new();
        for name in ["run", "budget", "training"] {
            sections.push((resolve(&schema["properties"][name]), &file[name]));
        }
        sections.push((
            schema["$defs"][format!("system-{system}")].clone(),
            &file["system"],
        ));
        for (name, table) in file["method"].as_table().unwrap() {
            let methods = &schema["properties"]["method"]["properties"];
            sections.push((resolve(&methods[name.as_str()]), table));
        }
        for (section, table) in sections {
            assert_eq!(section["additionalProperties"], false);
            for (name, value) in table.as_table().unwrap() {
                let property = &section["properties"][name.as_str()];
                assert!(
                    property["description"].is_string(),
                    "{system}: {name}: {property}"
                );
                let fits = match value {
                    // A number, or one of some words.
                    toml::Value::Integer(_) if property["anyOf"].is_array() => {
                        property["anyOf"][0]["type"] == "integer"
                    }
                    toml::Value::Integer(_) => property["type"] == "integer",
                    toml::Value::Float(_) if property["anyOf"].is_array() => {
                        property["anyOf"][0]["type"] == "number"
                    }
                    toml::Value::Float(_) => property["type"] == "number",
                    toml::Value::Array(_) => property["type"] == "array",
                    toml::Value::Boolean(_) => property["type"] == "boolean",
                    toml::Value::String(word) => {
                        let words = property.get("enum").or(property.pointer("/anyOf/1/enum"));
                        let words = words.unwrap().as_array().unwrap();
                        words.iter().any(|w| w == word)
                    }
                    _ => false,
                };
                assert!(fits, "{system}: {name} = {value}: {property}");
            }
        }
    }
    let hig = &schema["$defs"]["method-hig"]["properties"];
    assert_eq!(hig["cutoff"]["default"], 1e-6);
    assert_eq!(hig["cutoff"]["exclusiveMaximum"], 1.0);
    assert_eq!(hig["batch"]["minimum"], 1);
}
