//! Reading what was written, and what nobody would write.

use super::Config;
use super::write::{Record, template};
use crate::method_chain::{self, MethodChain};
use hig::settings::{Allowed, Setting, Settings, Value};
use hig::step::methods;
use hig::systems::{System, systems};
use hig::trainer::{Budget, Training};
use proptest::prelude::*;
use serde_json::Value as Json;
use std::fs;
use std::path::Path;

const FILE: &str = "experiment.toml";

fn parse(text: &str) -> anyhow::Result<Config> {
    Config::parse(Path::new(FILE), text.into())
}

fn print(system: &dyn System, chains: &[MethodChain], budget: Budget, seed: u64) -> String {
    Record {
        system,
        chains,
        budget,
        seed,
        weights: None,
        data: None,
    }
    .to_toml()
}

fn print_again(config: &Config) -> String {
    let budget = config.budget.unwrap_or_else(|| config.system.budget());
    let chains = config.chains(&[]).unwrap();
    let seed = config.seed.unwrap_or(0);
    print(config.system.as_ref(), &chains, budget, seed)
}

fn settings(chains: &[MethodChain]) -> Vec<(&str, &str, Option<usize>, Vec<Setting>)> {
    let mut all = Vec::new();
    for MethodChain { name, phases } in chains {
        let phases = phases.iter();
        all.extend(phases.map(|p| (name.as_str(), p.name.as_str(), p.until, p.settings())));
    }
    all
}

#[test]
fn a_template_says_what_a_run_by_name_has() {
    for system in systems() {
        let name = system.name();
        let chains = method_chain::chains(system.as_ref(), &[]).unwrap();
        let by_name = print(system.as_ref(), &chains, system.budget(), 0);
        let whole = template(system.as_ref()).unwrap();
        let short = format!("run.system = \"{name}\"");
        assert_eq!(print_again(&parse(&whole).unwrap()), by_name);
        assert_eq!(print_again(&parse(&short).unwrap()), by_name);

        // Whatever line is left out, and for methods that the file does not name.
        let others: Vec<String> = ["lm", "sgd", "spring"].map(str::to_owned).to_vec();
        let by_name_too = method_chain::chains(system.as_ref(), &others).unwrap();
        let with_file = parse(&whole).unwrap().chains(&others).unwrap();
        assert_eq!(settings(&with_file), settings(&by_name_too));
        let lines: Vec<&str> = whole.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            if line.contains(" = ") && !line.starts_with("system") {
                let text = [&lines[..i], &lines[i + 1..]].concat().join("\n");
                assert_eq!(print_again(&parse(&text).unwrap()), by_name, "{line}");
            }
        }
    }
}

#[test]
fn a_place_is_underlined_beneath_tabs_and_wide_letters() {
    let text = "# größer\r\n[run]\r\n\tsystem = \"törö\"\r\n";
    let message = parse(text).unwrap_err().to_string();
    let excerpt = message.split_once('\n').unwrap().1;
    let expected = " --> experiment.toml:3:11\n  |\n3 | \tsystem = \"törö\"\n  | \t         ^^^^^^";
    assert_eq!(excerpt, expected);
}

#[test]
fn a_chain_longer_than_a_count_is_refused() {
    let most = usize::MAX;
    let text = format!("adam:{most}+sgd:1+hig");
    let message = method_chain::phases(systems()[0].as_ref(), &text).unwrap_err();
    assert!(
        message.to_string().contains("number of updates"),
        "{message}"
    );
}

#[test]
fn marks_of_other_editors_change_nothing() {
    let text = template(systems()[0].as_ref()).unwrap();
    let plain = print_again(&parse(&text).unwrap());
    let marked = "\u{feff}".to_owned() + &text.replace('\n', "\r\n");
    assert_eq!(print_again(&parse(&marked).unwrap()), plain);
}

#[test]
fn the_words_of_a_range_are_what_the_setting_takes() {
    let mut count = 0;
    let mut check = |settings: &mut dyn hig::settings::Settings| {
        for setting in settings.settings() {
            if matches!(setting.value, Value::Word(_)) {
                for word in setting.allowed.words() {
                    settings.set(setting.name, word).unwrap();
                    count += 1;
                }
            }
        }
    };
    systems().iter_mut().for_each(|s| check(s.as_mut()));
    methods().iter_mut().for_each(|m| check(m.as_mut()));
    check(&mut Training::default());
    assert!(count > 20);
}

/// The text of a setting as a file of JSON would have it.
fn as_json(text: &str, allowed: Allowed) -> Json {
    let number = |text: &str| text.parse::<f64>().ok().filter(|v| v.is_finite());
    let whole = |text: &str| match text.trim().parse::<u64>() {
        Ok(count) => Some(Json::from(count)),
        Err(_) => number(text).map(Json::from),
    };
    let string = || Json::from(text);
    match allowed {
        Allowed::Number(_) | Allowed::NonZero => number(text).map_or_else(string, Json::from),
        Allowed::Count(_) => whole(text).unwrap_or_else(string),
        Allowed::Counts(_) => {
            let parts = text.trim_matches(['[', ']']).split(',');
            let parts = parts.filter(|part| !part.is_empty());
            let parts = parts.map(|part| whole(part).unwrap_or_else(string));
            parts.collect()
        }
        Allowed::Flag => text.parse::<bool>().map_or_else(|_| string(), Json::from),
        Allowed::Words(_) => string(),
        Allowed::NumberOr(interval, _) => as_json(text, Allowed::Number(interval)),
        Allowed::CountOr(least, _) => as_json(text, Allowed::Count(least)),
    }
}

/// Whether a value is what a property of the schema asks for.
fn fits(value: &Json, property: &Json) -> bool {
    let number = value.as_f64();
    property.as_object().unwrap().iter().all(|(key, asked)| {
        let compare = |holds: fn(&f64, &f64) -> bool| {
            number.is_some_and(|number| holds(&number, &asked.as_f64().unwrap()))
        };
        match (key.as_str(), asked.as_str()) {
            ("type", Some("number")) => value.is_number(),
            ("type", Some("integer")) => value.is_i64() || value.is_u64(),
            ("type", Some("array")) => value.is_array(),
            ("type", Some("boolean")) => value.is_boolean(),
            ("minimum", _) => compare(f64::ge),
            ("exclusiveMinimum", _) => compare(f64::gt),
            ("maximum", _) if value.is_u64() => value.as_u64() <= asked.as_u64(),
            ("maximum", _) => compare(f64::le),
            ("exclusiveMaximum", _) => compare(f64::lt),
            ("not", _) => number != asked["const"].as_f64(),
            ("enum", _) => asked.as_array().unwrap().contains(value),
            ("anyOf", _) => asked.as_array().unwrap().iter().any(|one| fits(value, one)),
            ("items", _) => value
                .as_array()
                .unwrap()
                .iter()
                .all(|part| fits(part, asked)),
            ("default" | "description" | "x-taplo", _) => true,
            unknown => panic!("{unknown:?}"),
        }
    })
}

#[test]
fn the_schema_takes_and_refuses_what_the_settings_do() {
    let schema = super::schema::schema();
    let mut of_all: Vec<(String, Vec<Setting>)> = Vec::new();
    of_all.extend(
        systems()
            .iter()
            .map(|s| (format!("system-{}", s.name()), s.settings())),
    );
    of_all.extend(
        methods()
            .iter()
            .map(|m| (format!("method-{}", m.name()), m.settings())),
    );
    of_all.push(("training".into(), Training::default().settings()));
    for (definition, settings) in of_all {
        for Setting { name, allowed, .. } in settings {
            let property = &schema["$defs"][&definition]["properties"][name];
            let examples = allowed.examples();
            for text in &examples.accepted {
                let value = as_json(text, allowed);
                assert!(fits(&value, property), "{definition}: {name} = {value}");
            }
            // A list of nothing is written as the empty text, and so is nothing else.
            for text in examples.refused.iter().filter(|text| !text.is_empty()) {
                let value = as_json(text, allowed);
                assert!(!fits(&value, property), "{definition}: {name} = {value}");
            }
        }
    }
}

/// A system, methods and chains of them, with settings changed at random; what a setting does not
/// allow is left as it was.
fn changed(
    place: usize,
    trained: &[usize],
    changes: &[(usize, f64, usize)],
) -> (Box<dyn System>, Vec<MethodChain>) {
    let mut system = systems().swap_remove(place % systems().len());
    let methods = methods();
    let chains = [
        "adam:5+hig",
        "lm:3+sgd:2+lm",
        "adam:9223372036854775807+adam",
    ];
    let known: Vec<&str> = methods.iter().map(|m| m.name()).chain(chains).collect();
    let mut names: Vec<String> = Vec::new();
    for place in trained {
        let name = known[place % known.len()];
        if !names.iter().any(|named| named == name) {
            names.push(name.to_owned());
        }
    }
    let mut chains = method_chain::chains(system.as_ref(), &names).unwrap();
    for (place, number, count) in changes {
        let text = |setting: &Setting| match &setting.value {
            Value::Number(_) => number.to_string(),
            Value::Count(_) => count.to_string(),
            Value::Flag(_) => (count % 2 == 0).to_string(),
            Value::Counts(_) => vec![(count % 99 + 1).to_string(); count % 4].join(","),
            Value::Word(_) => {
                let words = setting.allowed.words();
                words[count % words.len()].to_owned()
            }
        };
        let mut phases: Vec<_> = chains.iter_mut().flat_map(|c| &mut c.phases).collect();
        let of_system = system.settings();
        let place = place % (of_system.len() + 8 * phases.len());
        if let Some(setting) = of_system.get(place) {
            let _ = system.set(setting.name, &text(setting));
            continue;
        }
        let phase = &phases[(place - of_system.len()) % phases.len()];
        let name = phase.name.clone();
        let of_phase = phase.settings();
        let setting = &of_phase[place % of_phase.len()];
        for phase in phases.iter_mut().filter(|p| p.name == name) {
            let _ = phase.set(setting.name, &text(setting));
        }
    }
    (system, chains)
}

fn trained() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..5)
}

fn changes() -> impl Strategy<Value = Vec<(usize, f64, usize)>> {
    let number = prop_oneof![0.0..1.0, any::<f64>(), Just(3.0), Just(1e-300)];
    prop::collection::vec((any::<usize>(), number, any::<usize>()), 0..30)
}

proptest! {
    #[test]
    fn what_is_read_is_what_was_written(
        (place, methods, changes) in (0..9_usize, trained(), changes()),
        (seed, updates) in (any::<u64>(), any::<Option<usize>>()),
        (epochs, seconds) in (proptest::option::of(0.0..1e9), proptest::option::of(0.0..1e-9)),
    ) {
        let (system, chains) = changed(place, &methods, &changes);
        let budget = Budget { updates, epochs, seconds };
        let budget = if budget == Budget::default() { system.budget() } else { budget };
        let text = print(system.as_ref(), &chains, budget, seed);
        let config = parse(&text).unwrap();
        prop_assert_eq!(config.system.settings(), system.settings());
        prop_assert_eq!(config.seed, Some(seed));
        prop_assert_eq!(config.budget, Some(budget));
        let read = config.chains(&[]).unwrap();
        prop_assert_eq!(settings(&read), settings(&chains));
        prop_assert_eq!(print_again(&config), text);
    }

    #[test]
    fn a_chain_is_its_methods_and_the_updates_between(
        links in prop::collection::vec((any::<usize>(), 1..usize::MAX / 8), 1..8),
    ) {
        let methods = methods();
        let links: Vec<(&str, usize)> = links
            .iter()
            .map(|(place, updates)| (methods[place % methods.len()].name(), *updates))
            .collect();
        let (last, before) = links.split_last().unwrap();
        let before = before.iter().map(|(name, updates)| format!("{name}:{updates}+"));
        let text = before.collect::<String>() + last.0;
        let phases = method_chain::phases(systems()[0].as_ref(), &text).unwrap();
        let mut ended = 0;
        for (i, phase) in phases.iter().enumerate() {
            prop_assert_eq!(&phase.name, links[i].0);
            let until = (i + 1 < links.len()).then(|| ended + links[i].1);
            prop_assert_eq!(phase.until, until);
            ended = until.unwrap_or(ended);
        }
        prop_assert_eq!(phases.len(), links.len());
    }

    #[test]
    fn a_damaged_file_is_read_or_refused_with_a_place(
        system in 0..5_usize,
        (start, length) in (any::<prop::sample::Index>(), 0..20_usize),
        put in prop_oneof![any::<String>(), "[\\[\\]\"'={}.,# \n\ta-z0-9_+-]{0,12}"],
    ) {
        let text = template(systems()[system].as_ref()).unwrap();
        let start = text.floor_char_boundary(start.index(text.len()));
        let end = text.floor_char_boundary(start + length);
        let damaged = [&text[..start], &put, &text[end..]].concat();
        if let Err(error) = parse(&damaged).and_then(|config| config.chains(&[])) {
            let message = error.to_string();
            prop_assert!(message.contains("--> experiment.toml:"), "{}", message);
            prop_assert!(message.ends_with('^'), "{}", message);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join(FILE);
        fs::write(&path, &bytes).unwrap();
        let message = Config::named(path.to_str().unwrap()).unwrap_err().to_string();
        prop_assert!(message.contains("experiment.toml:"), "{}", message);
    }
}
