//! `hig study adaptive`.

mod common;

use common::hig;
use std::fs;
use std::path::Path;
use tempfile::TempDir;

/// A row of `summary.csv`.
struct Row {
    case: String,
    method: String,
    rate: f64,
    seed: u64,
    updates: f64,
    test_loss: f64,
    reached: f64,
}

fn rows(folder: &Path) -> Vec<Row> {
    let text = fs::read_to_string(folder.join("summary.csv")).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some(
            "case,method,learning_rate,seed,updates,seconds,train_loss,test_loss,seconds_to_hig,stop"
        )
    );
    let row = |line: &str| {
        let quoted: Vec<&str> = line.split('"').collect();
        let cells: Vec<&str> = quoted[2].split(',').collect();
        assert_eq!(quoted[3], "budget used", "{line}");
        Row {
            case: quoted[0].trim_end_matches(',').into(),
            method: quoted[1].into(),
            rate: cells[1].parse().unwrap(),
            seed: cells[2].parse().unwrap(),
            updates: cells[3].parse().unwrap(),
            test_loss: cells[6].parse().unwrap(),
            reached: cells[7].parse().unwrap_or(f64::INFINITY),
        }
    };
    lines.map(row).collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    0.5 * (values[(values.len() - 1) / 2] + values[values.len() / 2])
}

fn stdout(arguments: &[&str], folder: &Path) -> String {
    let output = hig(arguments).arg("--out").arg(folder).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

const METHODS: [&str; 9] = [
    "adaptive-hig",
    "hig",
    "hig, best η",
    "hig, η = auto",
    "gn-line-search",
    "lm",
    "spring",
    "adam",
    "adam, cosine",
];

#[test]
fn a_contest_is_told_in_tables_figures_and_a_file_that_agree() {
    let folder = TempDir::new().unwrap();
    let arguments = ["study", "adaptive", "--only", "toy", "--seeds", "3"];
    let arguments = [&arguments[..], &["--scale", "0.01", "--quiet"]].concat();
    let text = stdout(&arguments, folder.path());
    let table = fs::read_to_string(folder.path().join("table.md")).unwrap();
    let rows = rows(folder.path());
    assert_eq!(rows.len(), 9 * 3 + 4 * 2);
    let of = |method: &str| {
        rows.iter()
            .filter(|r| r.method == method)
            .collect::<Vec<_>>()
    };
    let loss = |method: &str| median(of(method).iter().map(|r| r.test_loss).collect());
    let best = METHODS[1..]
        .iter()
        .min_by(|a, b| loss(a).total_cmp(&loss(b)))
        .unwrap();
    for method in METHODS {
        let found = of(method);
        let seeds: Vec<u64> = found.iter().map(|r| r.seed).collect();
        assert_eq!(seeds, [100, 101, 102], "{method}");
        assert!(found.iter().all(|r| r.case == "toy" && r.updates >= 1.0));
        let line = table
            .lines()
            .find(|line| line.starts_with(&format!("{method} ")))
            .unwrap_or_else(|| panic!("no row of {method}: {table}"));
        let cells: Vec<&str> = line
            .split("  ")
            .map(str::trim)
            .filter(|c| !c.is_empty())
            .collect();
        assert_eq!(cells[1].parse::<f64>().unwrap(), found[0].rate, "{line}");
        let losses = || found.iter().map(|r| r.test_loss);
        let (low, high) = (
            losses().fold(f64::INFINITY, f64::min),
            losses().fold(0.0, f64::max),
        );
        let spread = format!("{:.2e} [{low:.2e}, {high:.2e}]", loss(method));
        assert_eq!(cells[2], spread, "{line}");
        let updates = median(found.iter().map(|r| r.updates).collect());
        assert_eq!(cells[3], format!("{updates:.0}"), "{line}");
        let seconds = median(found.iter().map(|r| r.reached).collect());
        let shown = match seconds.is_finite() {
            true => format!("{seconds:.3}"),
            false => "never".into(),
        };
        assert_eq!(cells[4], shown, "{line}");
        assert_eq!(cells[8], "0/3", "{line}");
    }
    assert!(
        text.contains(&format!("{:.2e} ({best})", loss(best))),
        "{text}"
    );
    assert!(table.contains("Goals of adaptive-hig") && table.contains("cores, commit"));
    for (figure, parts) in [
        ("toy", &["adaptive-hig", "hig, best η", "training time"][..]),
        (
            "toy-choices",
            &["kappa", "cutoff", "step length", "rank", "updates"],
        ),
    ] {
        let svg = fs::read_to_string(folder.path().join(format!("figures/{figure}.svg"))).unwrap();
        assert!(parts.iter().all(|part| svg.contains(part)), "{figure}");
        assert!(
            folder
                .path()
                .join(format!("figures/{figure}.png"))
                .is_file()
        );
    }

    // The best η is that of the first two seeds, the authors' own among them.
    let first_two = |method: &str| {
        let found = of(method);
        median(found[..2].iter().map(|r| r.test_loss).collect())
    };
    let mut tried = vec![(1.0, first_two("hig"))];
    for rate in [0.1, 0.3, 3.0, 10.0] {
        let method = format!("hig η={rate}");
        assert_eq!(of(&method).len(), 2);
        tried.push((rate, first_two(&method)));
    }
    let winner = tried.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
    assert_eq!(of("hig, best η")[0].rate, winner.0);

    // Nothing is trained again.
    let before = fs::read_to_string(folder.path().join("summary.csv")).unwrap();
    stdout(&arguments, folder.path());
    let after = fs::read_to_string(folder.path().join("summary.csv")).unwrap();
    assert_eq!(before, after);
}

#[test]
fn diverged_seeds_are_counted() {
    let folder = TempDir::new().unwrap();
    let only = ["--only", "ill-conditioned-seeds", "--scale", "0.02"];
    let text = stdout(
        &[&["study", "adaptive", "--quiet"], &only[..]].concat(),
        folder.path(),
    );
    let rows = rows(folder.path());
    assert_eq!(rows.len(), 50);
    assert!(
        rows.iter()
            .all(|r| r.method == "adaptive-hig" && r.updates == 6.0)
    );
    let losses = median(rows.iter().map(|r| r.test_loss).collect());
    assert!(text.contains("of 50 seeds diverged"), "{text}");
    assert!(
        text.contains(&format!("median [range]: {losses:.2e}")),
        "{text}"
    );
    assert!(!text.contains("Goals"), "{text}");
}

#[test]
fn options_that_a_study_has_no_use_for_are_refused() {
    let folder = TempDir::new().unwrap();
    for (arguments, expected) in [
        (&["adaptive", "--scale", "0"][..], "scale = 0"),
        (&["adaptive", "--scale", "nan"], "scale = NaN"),
        (&["adaptive", "--only", "poison"], "did you mean `poisson`"),
        (&["adaptive", "--updates", "5"], "updates = 5"),
        (&["adaptive", "--seeds", "1"], "seeds = 1"),
        (&["adaptiv"], "did you mean `adaptive`"),
        (&["chapter", "--only", "toy"], "only = toy"),
    ] {
        let out = folder.path().join("out");
        let output = hig(&["study"])
            .args(arguments)
            .arg("--out")
            .arg(&out)
            .output()
            .unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected), "{arguments:?}: {message}");
        assert!(!out.exists());
    }
}
