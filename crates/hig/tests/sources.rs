//! Data flows one way: what the sources of the library name of each other.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What everything may use: below the data.
const BELOW: [&str; 7] = [
    "error",
    "settings",
    "diagnostics",
    "threads",
    "timing",
    "linalg",
    "files",
];

/// The order in which data flows. A module names those before it, and none after it.
const ORDER: [&str; 11] = [
    "data",
    "network",
    "physics",
    "loss",
    "objective",
    "spectral",
    "step",
    "problem",
    "trainer",
    "warnings",
    "systems",
];

/// What the root exports under another name than its module.
const EXPORTED: [(&str, &str); 6] = [
    ("Error", "error"),
    ("Result", "error"),
    ("Dataset", "data"),
    ("Linearization", "objective"),
    ("Problem", "problem"),
    ("Sampler", "problem"),
];

/// The files of a step that may know what a batch goes through: the method that inverts the physics,
/// and the trait by which it says so.
const OF_PARTS: [&str; 2] = ["step/scale_invariant.rs", "step/mod.rs"];

/// What a step must not name.
const PARTS: [&str; 7] = [
    "Linearization",
    "ThroughPhysics",
    "through_physics",
    "Network",
    "NetworkJacobian",
    "Simulator",
    "Record",
];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// All files below a folder as (path from `src`, code without comments).
fn files(folder: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.strip_prefix(sources()).unwrap().to_string_lossy();
            let text = std::fs::read_to_string(&path).unwrap();
            found.push((name.replace('\\', "/"), without_comments(&text)));
        }
    }
    found
}

fn without_comments(text: &str) -> String {
    let code = |line: &str| line.split("//").next().unwrap_or("").to_owned();
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

/// Names and marks, without the spaces between them.
fn tokens(code: &str) -> Vec<&str> {
    let named = |c: char| c.is_alphanumeric() || c == '_';
    let mut found = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = match named(first) {
            true => rest.find(|c| !named(c)).unwrap_or(rest.len()),
            false if rest.starts_with("::") => 2,
            false => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        found.push(token);
        rest = after.trim_start();
    }
    found
}

/// The first names of the paths that follow: one, or all of a group in braces.
fn heads<'t>(tokens: &[&'t str]) -> Vec<&'t str> {
    if tokens.first() != Some(&"{") {
        return tokens.first().copied().into_iter().collect();
    }
    let (mut depth, mut found, mut begins) = (0, Vec::new(), true);
    for token in tokens {
        match *token {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," => begins = depth == 1,
            name if depth == 1 && begins => {
                found.push(name);
                begins = false;
            }
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// The modules of the root that a file's code names, by `crate::` or by `super::` up to the root.
fn modules_named(file: &str, code: &str) -> BTreeSet<String> {
    // A module's own file or `mod.rs` is as deep as its folders; a file in them one deeper.
    let folders = file.matches('/').count();
    let depth = folders + usize::from(!file.ends_with("mod.rs"));
    let all = tokens(code);
    let mut found = BTreeSet::new();
    for (i, token) in all.iter().enumerate() {
        let begins = i == 0 || all[i - 1] != "::";
        let mut next = i + 1;
        match *token {
            "crate" => {}
            "super" if begins => {
                let mut count = 1;
                while all.get(next + 1) == Some(&"super") {
                    (next, count) = (next + 2, count + 1);
                }
                if count < depth {
                    continue;
                }
            }
            _ => continue,
        }
        if all.get(next) == Some(&"::") {
            for head in heads(&all[next + 1..]) {
                let module = EXPORTED.iter().find(|(name, _)| *name == head);
                found.insert(module.map_or(head, |(_, module)| module).to_owned());
            }
        }
    }
    found
}

/// What a file names against the order.
fn against_the_order(file: &str, code: &str) -> Vec<String> {
    let own = file.split('/').next().unwrap().trim_end_matches(".rs");
    let place = |module: &str| ORDER.iter().position(|name| *name == module);
    // Macros of the settings live at the root.
    let below = |module: &str| BELOW.contains(&module) || module == "choices";
    let against = |module: &String| {
        let fine = match (place(own), place(module)) {
            (Some(own), Some(other)) => other <= own,
            (_, None) => below(module),
            (None, Some(_)) => own == "lib",
        };
        (!fine && module != own).then(|| format!("{file} names {module}"))
    };
    modules_named(file, code)
        .iter()
        .filter_map(against)
        .collect()
}

#[test]
fn nothing_inner_names_anything_outer() {
    let all = files(&sources());
    let found: Vec<String> = all
        .iter()
        .flat_map(|(file, code)| against_the_order(file, code))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    // Every module has its place, so that none goes by unseen.
    for (file, _) in &all {
        let own = file.split('/').next().unwrap().trim_end_matches(".rs");
        let placed = ORDER.contains(&own) || BELOW.contains(&own) || own == "lib";
        assert!(placed, "{file} has no place in the order");
    }
    for module in ORDER.iter().chain(&BELOW) {
        let inside = |file: &str| {
            file.split('/')
                .next()
                .map(|own| own.trim_end_matches(".rs"))
                == Some(module)
        };
        assert!(
            all.iter().any(|(file, _)| inside(file)),
            "there is no {module}"
        );
    }
}

/// The parts of an objective that a file of a step names.
fn parts_named(file: &str, code: &str) -> Vec<String> {
    let named = |word: &&str| PARTS.contains(word);
    let words = tokens(code).into_iter().filter(named).map(str::to_owned);
    let modules = modules_named(file, code).into_iter();
    let modules = modules.filter(|m| ["network", "physics", "loss", "problem"].contains(&&m[..]));
    words
        .chain(modules)
        .map(|name| format!("{file} names {name}"))
        .collect()
}

#[test]
fn a_step_sees_a_linearized_batch_and_nothing_behind_it() {
    let all = files(&sources().join("step"));
    assert!(all.len() > 15, "{} files", all.len());
    let (of_parts, others): (Vec<_>, Vec<_>) = all
        .iter()
        .partition(|(file, _)| OF_PARTS.contains(&file.as_str()));
    assert_eq!(of_parts.len(), OF_PARTS.len());
    let found: Vec<String> = others
        .iter()
        .flat_map(|(file, code)| parts_named(file, code))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
    // Those that may, do: the words are those of the library.
    for (file, code) in of_parts {
        assert!(!parts_named(file, code).is_empty(), "{file}");
    }
}

#[test]
fn the_eyes_of_these_tests_are_open() {
    let named = |file, code| modules_named(file, code).into_iter().collect::<Vec<_>>();
    assert_eq!(named("step/sgd.rs", "use crate::loss::Loss;"), ["loss"]);
    let group = "use crate::{Problem, linalg::{dot, norm}, step::*};";
    assert_eq!(named("data.rs", group), ["linalg", "problem", "step"]);
    assert_eq!(
        named("step/a/b.rs", "super::super::super::loss::X"),
        ["loss"]
    );
    assert!(named("step/a/b.rs", "super::super::loss::X").is_empty());
    assert_eq!(named("step/mod.rs", "use super::physics::X;"), ["physics"]);
    assert!(
        named(
            "data.rs",
            &without_comments("// crate::step\n/// [`crate::step`]")
        )
        .is_empty()
    );
    assert_eq!(
        against_the_order("linalg/matrix.rs", "use crate::data::Dataset;"),
        ["linalg/matrix.rs names data"]
    );
    assert_eq!(
        against_the_order("network/dense.rs", "crate::physics::rows_times(a, b)"),
        ["network/dense.rs names physics"]
    );
    assert!(against_the_order("physics/check.rs", "use crate::network::Network;").is_empty());
    assert_eq!(
        parts_named("step/sgd.rs", "at.through_physics()"),
        ["step/sgd.rs names through_physics"]
    );
    assert_eq!(
        parts_named(
            "step/sgd.rs",
            "use crate::objective::{Linearization, Jacobian};"
        ),
        ["step/sgd.rs names Linearization"]
    );
}
