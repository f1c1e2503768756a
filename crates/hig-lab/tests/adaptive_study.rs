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
    rate: String,
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
            "case,method,learning_rate,seed,updates,seconds,train_loss,test_loss,returned_test_loss,seconds_to_hig,stop"
        )
    );
    let row = |line: &str| {
        let quoted: Vec<&str> = line.split('"').collect();
        let cells: Vec<&str> = quoted[2].split(',').collect();
        assert_eq!(quoted[3], "budget used", "{line}");
        Row {
            case: quoted[0].trim_end_matches(',').into(),
            method: quoted[1].into(),
            rate: cells[1].into(),
            seed: cells[2].parse().unwrap(),
            updates: cells[3].parse().unwrap(),
            test_loss: cells[7].parse().unwrap(),
            reached: cells[8].parse().unwrap_or(f64::INFINITY),
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

const METHODS: [&str; 10] = [
    "adaptive-hig",
    "hig",
    "gn-line-search",
    "lm",
    "spring",
    "hig κ=1/4, best η",
    "hig κ=1/2, best η",
    "hig κ=3/4, best η",
    "hig κ=1, best η",
    "adam, best η",
];

#[test]
fn a_contest_is_told_in_tables_figures_and_a_file_that_agree() {
    let folder = TempDir::new().unwrap();
    let arguments = ["study", "adaptive", "--only", "toy", "--seeds", "3"];
    let arguments = [&arguments[..], &["--scale", "0.01", "--quiet"]].concat();
    let text = stdout(&arguments, folder.path());
    let table = fs::read_to_string(folder.path().join("table.md")).unwrap();
    let rows = rows(folder.path());
    assert_eq!(rows.len(), 10 * 3 + (4 * 5 + 6) * 2);
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
        assert_eq!(cells[1], found[0].rate, "{line}");
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
        (
            "toy",
            &["adaptive-hig", "hig κ=1/2, best η", "training time"][..],
        ),
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

    // The best η is that of the first two seeds.
    let first_two = |method: &str| {
        let found = of(method);
        median(found[..2].iter().map(|r| r.test_loss).collect())
    };
    for (winner, set) in [("κ=1/2", ""), ("κ=1", "exponent=1 ")] {
        let mut tried = Vec::new();
        for rate in ["0.3", "1", "3", "10", "auto"] {
            let method = format!("hig {set}learning_rate={rate}");
            assert_eq!(of(&method).len(), 2, "{method}");
            tried.push((rate, first_two(&method)));
        }
        let lowest = tried.iter().min_by(|a, b| a.1.total_cmp(&b.1)).unwrap();
        let label = format!("hig {winner}, best η");
        assert_eq!(of(&label)[0].rate, lowest.0);
    }

    // Nothing is trained again.
    let before = fs::read_to_string(folder.path().join("summary.csv")).unwrap();
    stdout(&arguments, folder.path());
    let after = fs::read_to_string(folder.path().join("summary.csv")).unwrap();
    assert_eq!(before, after);
}

#[test]
fn what_is_returned_is_told_for_every_size_of_the_batch() {
    let folder = TempDir::new().unwrap();
    let only = ["--only", "every-batch", "--scale", "0.02", "--seeds", "2"];
    let text = stdout(
        &[&["study", "adaptive", "--quiet"], &only[..]].concat(),
        folder.path(),
    );
    let rows = rows(folder.path());
    assert!(
        rows.iter()
            .all(|r| r.method == "adaptive-hig" && r.updates == 2.0)
    );
    for line in [
        "toy, 1 ",
        "toy λ=0.01, 256 ",
        "poisson, 16 ",
        "cart-pole, 256 ",
    ] {
        let row = text.lines().find(|l| l.starts_with(line));
        assert!(row.is_some_and(|row| row.contains("/2")), "{line}: {text}");
    }
    assert!(text.contains(&format!("of {} (95 %", rows.len())), "{text}");
    assert!(
        !text.contains("poisson, 64") && !text.contains("Goals"),
        "{text}"
    );
}

#[test]
fn steps_mend_their_batch_and_are_drawn_beside_the_next_one() {
    let folder = TempDir::new().unwrap();
    let only = ["--only", "interference", "--scale", "0.1", "--quiet"];
    let text = stdout(&[&["study", "adaptive"], &only[..]].concat(), folder.path());
    let of = |start: &str| -> Vec<f64> {
        let line = text.lines().find(|l| l.starts_with(start)).unwrap();
        let cells = line.split("  ").map(str::trim).filter(|c| !c.is_empty());
        cells.skip(2).map(|c| c.parse().unwrap()).collect()
    };
    for size in [1, 2, 4, 8] {
        let (own, next) = (
            of(&format!("{size}       its own")),
            of(&format!("{size}      the next")),
        );
        assert_eq!((own[0], next[0]), (1.0, 1.0));
        // To first order a part t of the full step leaves (1 - t)² of a sum of squares.
        assert!((own[1] - 0.81).abs() < 0.02, "{own:?}");
        assert!(own.last() < next.last(), "{text}");
    }
    for kind in ["svg", "png"] {
        let figure = format!("figures/interference.{kind}");
        assert!(folder.path().join(figure).is_file());
    }
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
