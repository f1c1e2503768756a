//! The JSON schema of configuration files, by which editors check and complete them.

use super::value;
use hig::settings::{Allowed, LARGEST_COUNT, Setting, Settings, Word};
use hig::step::methods;
use hig::systems::systems;
use hig::trainer::Training;
use serde_json::{Map, Value as Json, json};

/// The schema, in draft 2020-12.
pub fn schema() -> Json {
    let training = Training::default().settings();
    let mut definitions = Map::new();
    let mut conditions = Vec::new();
    let mut system_names = Vec::new();
    for system in systems() {
        let name = system.name();
        let definition = format!("system-{name}");
        conditions.push(json!({
            "if": { "properties": { "run": { "properties": { "system": { "const": name } } } } },
            "then": { "properties": { "system": reference(&definition) } },
        }));
        definitions.insert(definition, object(system.about(), &system.settings()));
        system_names.push(name);
    }
    definitions.insert(
        "training".into(),
        object("Training, for every method", &training),
    );
    let mut tables = Map::new();
    for method in methods() {
        let definition = format!("method-{}", method.name());
        tables.insert(method.name().into(), reference(&definition));
        let settings = [method.settings(), training.clone()].concat();
        definitions.insert(definition, object(method.about(), &settings));
    }
    let method_names: Vec<&String> = tables.keys().collect();
    let chain = chain(&method_names);
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of hig run",
        "type": "object",
        "required": ["run"],
        "additionalProperties": false,
        "properties": {
            "run": run(&system_names, &method_names, &chain),
            "budget": budget(),
            "system": { "type": "object", "description": "Settings of the system" },
            "training": reference("training"),
            "method": {
                "type": "object",
                "description": "Settings of each method, or of each method of a chain",
                "additionalProperties": false,
                "properties": tables,
                "patternProperties": {
                    chain: { "type": "object", "additionalProperties": false, "properties": tables }
                },
            },
        },
        "allOf": conditions,
        "$defs": definitions,
    })
}

fn reference(definition: &str) -> Json {
    json!({ "$ref": format!("#/$defs/{definition}") })
}

/// One method after another, as in `adam:500+hig`.
fn chain(methods: &[&String]) -> String {
    let names: Vec<&str> = methods.iter().map(|name| name.as_str()).collect();
    let name = names.join("|");
    format!("^(({name}):0*[1-9][0-9]*\\+)+({name})$")
}

fn run(systems: &[&str], methods: &[&String], chain: &str) -> Json {
    json!({
        "type": "object",
        "required": ["system"],
        "additionalProperties": false,
        "properties": {
            "version": { "type": "string", "description": "Version of hig that wrote the file" },
            "system": { "enum": systems, "description": "System to train on" },
            "seed": {
                "type": "integer",
                "minimum": 0,
                "default": 0,
                "description": "Seed of data, initial weights and order of samples",
            },
            "methods": {
                "type": "array",
                "minItems": 1,
                "uniqueItems": true,
                "items": { "anyOf": [{ "enum": methods }, { "type": "string", "pattern": chain }] },
                "description": "Methods to compare; adam:500+hig is Adam for 500 updates, then HIG",
            },
            "weights": {
                "type": "string",
                "description": "Initial weights (safetensors), a path from the folder of the file",
            },
            "data": {
                "type": "string",
                "description": "Training samples (safetensors), a path from the folder of the file",
            },
        },
    })
}

fn budget() -> Json {
    let limit = |kind: &str, description: &str| json!({ "type": kind, "minimum": 0, "description": description });
    json!({
        "type": "object",
        "description": "How long to train; the first limit that is reached ends a training",
        "additionalProperties": false,
        "properties": {
            "updates": limit("integer", "Updates"),
            "epochs": limit("number", "Passes over the training samples"),
            "seconds": limit("number", "Seconds of training, without evaluation"),
        },
    })
}

fn object(about: &str, settings: &[Setting]) -> Json {
    let properties: Map<String, Json> = settings
        .iter()
        .map(|setting| (setting.name.to_owned(), property(setting)))
        .collect();
    json!({
        "type": "object",
        "description": about,
        "additionalProperties": false,
        "properties": properties,
    })
}

fn property(setting: &Setting) -> Json {
    let mut property = allowed(setting.allowed);
    property["default"] = value::json(&setting.value);
    property["description"] = format!("{} Allowed: {}.", setting.about, setting.allowed).into();
    property
}

/// What a rule says in terms of the schema.
fn allowed(rule: Allowed) -> Json {
    match rule {
        Allowed::Number(interval) => {
            let mut number = json!({ "type": "number" });
            let ends = [
                (interval.least, "minimum", "exclusiveMinimum"),
                (interval.most, "maximum", "exclusiveMaximum"),
            ];
            for (end, included, excluded) in ends {
                if let Some(end) = end {
                    number[if end.included { included } else { excluded }] = json!(end.at);
                }
            }
            number
        }
        Allowed::NonZero => json!({ "type": "number", "not": { "const": 0 } }),
        Allowed::Count(least) => count(least),
        Allowed::Counts(least) => json!({ "type": "array", "items": count(least) }),
        Allowed::Flag => json!({ "type": "boolean" }),
        Allowed::NumberOr(interval, words) => or(Allowed::Number(interval), words),
        Allowed::CountOr(least, words) => or(Allowed::Count(least), words),
        Allowed::Words(words) => {
            let meanings: Vec<&str> = words.iter().map(|word| word.meaning).collect();
            json!({
                "enum": rule.words(),
                // Where editors that know TOML look for the meanings of words.
                "x-taplo": { "docs": { "enumValues": meanings } },
            })
        }
    }
}

fn or(numbers: Allowed, words: &'static [Word]) -> Json {
    json!({ "anyOf": [allowed(numbers), allowed(Allowed::Words(words))] })
}

fn count(least: usize) -> Json {
    json!({ "type": "integer", "minimum": least, "maximum": LARGEST_COUNT })
}
