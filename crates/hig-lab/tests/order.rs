//! The modules of the lab import only those that stand before them in the order of `lib.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules at the top of the lab, and imports against their order, of which there may be so many.
const MODULES: usize = 9;
const EXCEPTIONS: [(&str, &str); 0] = [];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The order that the documentation of `lib.rs` declares, the innermost module first.
fn declared() -> Vec<String> {
    let text = fs::read_to_string(sources().join("lib.rs")).unwrap();
    let lines = text.lines().filter_map(|line| line.strip_prefix("//! "));
    let numbered = lines.filter_map(|line| line.split_once(". `"));
    let numbered = numbered.filter(|(number, _)| number.parse::<usize>().is_ok());
    let names = numbered.filter_map(|(_, rest)| rest.split_once('`'));
    names.map(|(name, _)| name.to_owned()).collect()
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

/// The program's own text: without comments, and without tests, which may use what they like.
fn program(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let lines = text.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The next names of all paths that begin with a prefix such as `crate::`, also of those in braces.
fn imported(text: &str, prefix: &str) -> Vec<String> {
    let name = |rest: &str| -> String {
        let letters = rest.trim_start().chars();
        letters
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    let mut names = Vec::new();
    for (place, _) in text.match_indices(prefix) {
        let rest = &text[place + prefix.len()..];
        let Some(inner) = rest.strip_prefix('{') else {
            names.push(name(rest));
            continue;
        };
        let mut depth = 0;
        names.push(name(inner));
        for (place, c) in inner.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => names.push(name(&inner[place + 1..])),
                _ => {}
            }
        }
    }
    names
}

/// Imports of one module by another, with the files that import.
fn imports() -> BTreeMap<(String, String), BTreeSet<String>> {
    let sources = sources();
    let mut all = Vec::new();
    files(&sources, &mut all);
    let mut imports: BTreeMap<_, BTreeSet<String>> = BTreeMap::new();
    for path in all {
        let place = path.strip_prefix(&sources).unwrap();
        let first = place.components().next().unwrap().as_os_str();
        let module = first.to_string_lossy().trim_end_matches(".rs").to_owned();
        let root = ["lib", "main"].contains(&module.as_str());
        if root || path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        for other in imported(&program(&fs::read_to_string(&path).unwrap()), "crate::") {
            let file = place.display().to_string();
            if other != module && !other.is_empty() {
                let edge = (module.clone(), other);
                imports.entry(edge).or_default().insert(file);
            }
        }
    }
    imports
}

#[test]
fn every_module_has_its_place_in_the_order() {
    let declared: BTreeSet<String> = declared().into_iter().collect();
    let entries = fs::read_dir(sources()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let names = names.map(|name| name.to_string_lossy().trim_end_matches(".rs").to_owned());
    let modules: BTreeSet<String> = names
        .filter(|name| name != "lib" && name != "main")
        .collect();
    assert_eq!(declared, modules);
    assert!(modules.len() <= MODULES, "{}", modules.len());
}

/// With every import along one order there is no circle.
#[test]
fn no_module_imports_a_later_one() {
    let order = declared();
    let place = |name: &str| {
        let found = order.iter().position(|module| module == name);
        found.unwrap_or_else(|| panic!("`crate::{name}` has no place in the order"))
    };
    let imports = imports();
    assert!(imports.len() > order.len(), "{imports:?}");
    let mut against: BTreeSet<(&str, &str)> = BTreeSet::new();
    for ((module, other), files) in &imports {
        if place(module) < place(other) {
            let edge = (module.as_str(), other.as_str());
            assert!(
                EXCEPTIONS.contains(&edge),
                "{module} imports {other}, which stands after it: {files:?}"
            );
            against.insert(edge);
        }
    }
    let listed: BTreeSet<(&str, &str)> = EXCEPTIONS.into_iter().collect();
    assert_eq!(against, listed, "an exception that is none any more");
}

/// The files and folders in a module, each with those beside it that it imports.
fn beside(module: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let street = module.file_name().unwrap().to_string_lossy();
    let mut all = Vec::new();
    files(module, &mut all);
    let part = |path: &Path| {
        let first = path.strip_prefix(module).unwrap().components().next();
        let name = first.unwrap().as_os_str().to_string_lossy();
        name.trim_end_matches(".rs").to_owned()
    };
    let parts: BTreeSet<String> = all.iter().map(|path| part(path)).collect();
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in &all {
        let (own, text) = (part(path), program(&fs::read_to_string(path).unwrap()));
        if own == "mod" || own == "tests" {
            continue;
        }
        let mut others = imported(&text, &format!("crate::{street}::"));
        let above = path.parent() == Some(module) || path.ends_with(format!("{own}/mod.rs"));
        if above {
            others.extend(imported(&text, "super::"));
        }
        let known = others
            .into_iter()
            .filter(|other| *other != own && parts.contains(other));
        imports.entry(own.clone()).or_default().extend(known);
    }
    imports
}

/// What can be reached from a part, itself only by a circle.
fn reached(from: &str, imports: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = vec![from.to_owned()];
    while let Some(part) = open.pop() {
        for next in imports.get(&part).into_iter().flatten() {
            if found.insert(next.clone()) {
                open.push(next.clone());
            }
        }
    }
    found
}

#[test]
fn within_a_module_there_are_no_circles() {
    let mut edges = 0;
    for module in declared() {
        let folder = sources().join(&module);
        if !folder.is_dir() {
            continue;
        }
        let imports = beside(&folder);
        edges += imports.values().map(BTreeSet::len).sum::<usize>();
        for part in imports.keys() {
            let circle = reached(part, &imports).contains(part);
            assert!(
                !circle,
                "{module}/{part} imports itself by others: {imports:?}"
            );
        }
    }
    assert!(edges > 20, "{edges}");
}

#[test]
fn circles_are_found() {
    let edge = |from: &str, to: &str| (from.to_owned(), BTreeSet::from([to.to_owned()]));
    let imports = BTreeMap::from([edge("a", "b"), edge("b", "c"), edge("c", "b")]);
    let circles = ["a", "b", "c"].map(|part| reached(part, &imports).contains(part));
    assert_eq!(circles, [false, true, true]);
}

#[test]
fn imports_are_found_in_braces_and_in_paths() {
    let text = "use crate::a;\nuse crate::{b::{x, y}, c, d::{self}};\nlet z = crate::e::f();\n";
    assert_eq!(imported(text, "crate::"), ["a", "b", "c", "d", "e"]);
    let tested = "use crate::a; // crate::b\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}\n";
    assert_eq!(imported(&program(tested), "crate::"), ["a"]);
}
