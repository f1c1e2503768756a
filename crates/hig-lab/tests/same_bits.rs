//! A training comes to the same bits whoever asks for it: a run, a run that is resumed, a cell of a
//! sweep, a training of a study, and the library's own `train`.

mod common;

use common::hig;
use hig::step::methods;
use hig::systems::{System, Toy};
use hig::trainer::{Budget, Outcome, Start, train};
use hig_lab::configuration::{BudgetOptions, Config, Overrides};
use hig_lab::experiment::trials::Case;
use hig_lab::run_folder::history::History;
use hig_lab::run_folder::outcome;
use hig_lab::run_folder::trial::Trial;
use hig_lab::run_folder::{metrics, weights};
use std::fs;
use std::path::Path;
use tempfile::TempDir;

const SEED: u64 = 3;

/// Settings with which a training takes milliseconds and has several batches an epoch.
const SMALL: [&str; 3] = ["samples=48", "batch=16", "test_samples=8"];

/// Chains: shorter than the budgets below, of three methods, as long as a budget, longer than it.
const CHAINS: [&str; 4] = [
    "adam:5+hig",
    "adam:4+gn:3+adaptive-hig",
    "adam:20+hig",
    "adam:50+hig",
];

const BUDGETS: [&[&str]; 4] = [
    &["--updates", "20"],
    &["--epochs", "6"],
    &["--epochs", "5.5", "--updates", "19"],
    &["--updates", "4"],
];

/// Every method alone, and the chains.
fn all() -> Vec<String> {
    let alone = methods().into_iter().map(|method| method.name().to_owned());
    alone.chain(CHAINS.map(str::to_owned)).collect()
}

fn program(arguments: &[&str], out: &Path) {
    hig(arguments)
        .arg("--quiet")
        .arg("--out")
        .arg(out)
        .assert()
        .success();
}

/// `--method` for all, and `--set` for the small training.
fn options(names: &[String]) -> Vec<&str> {
    let methods = names.iter().flat_map(|name| ["--method", name.as_str()]);
    let settings = SMALL.iter().flat_map(|set| ["--set", *set]);
    methods.chain(settings).collect()
}

fn folder_of(run: &Path, method: &str) -> std::path::PathBuf {
    run.join(method.replace(':', "-"))
}

/// Updates and losses, as bits.
fn bits(history: &History) -> [Vec<u64>; 3] {
    let bits = |series: &Vec<f64>| series.iter().map(|v| v.to_bits()).collect();
    [&history.updates, &history.train_loss, &history.test_loss].map(bits)
}

fn history(run: &Path, method: &str) -> History {
    let path = folder_of(run, method).join(metrics::FILE);
    metrics::read(&path).unwrap().unwrap()
}

/// The trial of a case by its name.
fn trial(folder: &Path, name: &str, seed: u64) -> Trial {
    let readable = |c: char| match c.is_alphanumeric() || "-_.=".contains(c) {
        true => c,
        false => '_',
    };
    let begin = format!(
        "{}-seed{seed}-",
        name.chars().map(readable).collect::<String>()
    );
    let entries = fs::read_dir(folder.join("trials")).unwrap();
    let mut paths = entries.map(|entry| entry.unwrap().path());
    let path = paths.find(|path| {
        let name = path.file_name().unwrap().to_string_lossy();
        name.starts_with(&begin)
    });
    Trial::read(&path.unwrap_or_else(|| panic!("no trial {begin}"))).unwrap()
}

/// The training in this process.
fn case(method: &str, budget: &[&str]) -> Case {
    let mut limits = BudgetOptions::default();
    for pair in budget.chunks(2) {
        match pair[0] {
            "--updates" => limits.updates = Some(pair[1].parse().unwrap()),
            _ => limits.epochs = Some(pair[1].parse().unwrap()),
        }
    }
    let overrides = Overrides {
        methods: vec![method.to_owned()],
        set: SMALL.map(str::to_owned).into(),
        budget: limits,
        ..Overrides::default()
    };
    let resolved = Config::named("toy").unwrap().resolve(&overrides).unwrap();
    Case::new(method.to_owned(), resolved)
}

fn weights_of(run: &Path, method: &str) -> Vec<f64> {
    let problem = Toy::default().problem(SEED);
    weights::read(&problem, &folder_of(run, method)).unwrap()
}

#[test]
fn a_cell_of_a_sweep_is_the_run_with_the_same_options() {
    let folder = TempDir::new().unwrap();
    let names = all();
    let options = options(&names);
    for (i, budget) in BUDGETS.into_iter().enumerate() {
        let (run, sweep) = (
            folder.path().join(format!("run{i}")),
            folder.path().join(format!("sweep{i}")),
        );
        let seed = SEED.to_string();
        program(
            &[&["run", "toy", "--seed", &seed], &options[..], budget].concat(),
            &run,
        );
        let both = format!("{},{seed}", SEED + 1);
        program(
            &[&["sweep", "toy", "--seeds", &both], &options[..], budget].concat(),
            &sweep,
        );
        for name in &names {
            let context = format!("{name} {budget:?}");
            let cell = trial(&sweep, &format!("{name} {}", SMALL.join(" ")), SEED);
            let run_history = history(&run, name);
            assert_eq!(bits(&cell.history), bits(&run_history), "{context}");
            let outcome = outcome::Outcome::read(&folder_of(&run, name)).unwrap();
            assert_eq!(cell.stop, outcome.stop, "{context}");
            assert_eq!(cell.changes.len() + 1, outcome.phases.len(), "{context}");
            let (trained, parameters) = case(name, budget).train(SEED).unwrap();
            assert_eq!(bits(&trained.history), bits(&cell.history), "{context}");
            assert!(
                parameters == weights_of(&run, name),
                "{context}: other weights"
            );
        }
    }
}

#[test]
fn a_chain_ends_with_its_budget() {
    for (name, budget, updates) in [
        ("adam:50+hig", BUDGETS[0], 20.0),
        ("adam:20+hig", BUDGETS[0], 20.0),
        ("adam:5+hig", BUDGETS[0], 20.0),
        // Three batches an epoch.
        ("adam:50+hig", BUDGETS[1], 18.0),
        ("adam:4+gn:3+adaptive-hig", BUDGETS[3], 4.0),
    ] {
        let (trial, _) = case(name, budget).train(SEED).unwrap();
        let last = trial.history.updates.last();
        assert_eq!(last, Some(&updates), "{name} {budget:?}");
    }
}

#[test]
fn a_run_that_is_resumed_is_the_run_that_was_not_stopped() {
    let folder = TempDir::new().unwrap();
    let names = all();
    let options = options(&names);
    let run = folder.path().join("run");
    let seed = SEED.to_string();
    let begin = ["run", "toy", "--seed", &seed, "--updates"];
    for stop in ["3", "7"] {
        program(
            &[&begin[..], &[stop, "--force"], &options[..]].concat(),
            &run,
        );
        let output = hig(&[
            "resume",
            run.to_str().unwrap(),
            "--quiet",
            "--updates",
            "20",
        ]);
        { output }.assert().success();
        for name in &names {
            let (trained, parameters) = case(name, BUDGETS[0]).train(SEED).unwrap();
            let (found, expected) = (history(&run, name), trained.history);
            let last = |history: &History| bits(history).map(|series| *series.last().unwrap());
            assert_eq!(last(&found), last(&expected), "{name} from {stop}");
            assert!(parameters == weights_of(&run, name), "{name} from {stop}");
        }
    }
}

#[test]
fn a_training_of_a_study_is_the_run_with_the_same_options() {
    let folder = TempDir::new().unwrap();
    let (chapter, adaptive) = (
        folder.path().join("chapter"),
        folder.path().join("adaptive"),
    );
    let arguments = ["study", "chapter", "--seeds", "2", "--updates", "12"];
    program(&arguments, &chapter);
    // 100 updates, scaled.
    let only = ["--only", "every-batch", "--scale", "0.12", "--seeds", "2"];
    program(&[&["study", "adaptive"], &only[..]].concat(), &adaptive);
    // The contests of the adaptive method are judged by seeds of their own.
    for (study, seed, case, method, set) in [
        (
            &chapter,
            1_u64,
            "adam λ=1 η=1e-2",
            "adam",
            &["learning_rate=1e-2"][..],
        ),
        (
            &chapter,
            1,
            "hig λ=0.01 τ=1e-5 batch=16",
            "hig",
            &["lambda=0.01", "cutoff=1e-5", "batch=16"],
        ),
        (
            &chapter,
            1,
            "gn λ=1 τ=1e-3 clamp",
            "gn",
            &["cutoff=1e-3", "treatment=clamp"],
        ),
        (
            &adaptive,
            101,
            "every-batch toy λ=0.01, 16",
            "adaptive-hig",
            &["lambda=0.01", "batch=16"],
        ),
    ] {
        let run = folder.path().join(format!("run-{method}"));
        let sets: Vec<&str> = set.iter().flat_map(|set| ["--set", *set]).collect();
        let told = seed.to_string();
        let begin = [
            "run",
            "toy",
            "--seed",
            &told,
            "--updates",
            "12",
            "--method",
            method,
        ];
        program(&[&begin[..], &sets[..]].concat(), &run);
        let trial = trial(study, case, seed);
        assert_eq!(bits(&trial.history), bits(&history(&run, method)), "{case}");
    }
}

/// The library's own `train` for each method of a case, with the updates it ends at and its seed.
fn by_hand(case: &Case, phases: &[(usize, u64)]) -> Outcome {
    let problem = case.system.problem(SEED);
    let mut start = Start::from(problem.initial_parameters(SEED));
    let mut last = None;
    for (phase, (updates, seed)) in case.chain.phases.iter().zip(phases) {
        let method = phase.method.as_ref();
        let budget = Budget::updates(*updates);
        let outcome = train(
            &problem,
            method,
            start,
            &phase.training,
            budget,
            *seed,
            &mut [],
        );
        let outcome = outcome.unwrap();
        start = Start::from(&outcome);
        last = Some(outcome);
    }
    last.unwrap()
}

#[test]
fn a_method_alone_trains_as_the_library_does_with_the_seed() {
    for method in methods() {
        let case = case(method.name(), BUDGETS[0]);
        let (trial, parameters) = case.train(SEED).unwrap();
        let outcome = by_hand(&case, &[(20, SEED)]);
        assert!(parameters == outcome.parameters, "{}", method.name());
        assert_eq!(trial.history.test_loss.last(), Some(&outcome.last.test));
        let returned = (outcome.update, outcome.train_loss, outcome.test_loss);
        assert_eq!(trial.returned, Some(returned));
    }
}

/// Run folders of earlier versions go on to the same bits by these seeds.
#[test]
fn the_methods_of_a_chain_take_seeds_that_follow_one_another() {
    let case = case("adam:4+gn:3+adaptive-hig", BUDGETS[0]);
    let (trial, parameters) = case.train(SEED).unwrap();
    let outcome = by_hand(&case, &[(4, SEED), (7, SEED + 1), (20, SEED + 2)]);
    assert!(parameters == outcome.parameters);
    assert_eq!(trial.history.test_loss.last(), Some(&outcome.last.test));
    let returned = (outcome.update, outcome.train_loss, outcome.test_loss);
    assert_eq!(trial.returned, Some(returned));
}
