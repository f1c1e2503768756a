//! Values of settings in TOML, and in JSON.

use hig::settings::Value;
use serde_json::{Value as Json, json};
use toml::de::{DeInteger, DeValue};

/// The text that a setting of the kind of `like` reads, or none where the value is of another type.
pub fn text_of(value: &DeValue<'_>, like: &Value) -> Option<String> {
    match (like, value) {
        (Value::Number(_), DeValue::Float(v)) => Some(v.as_str().to_owned()),
        (Value::Number(_) | Value::Count(_), DeValue::Integer(v)) => integer(v),
        (Value::Flag(_), DeValue::Boolean(v)) => Some(v.to_string()),
        (Value::Word(_), DeValue::String(v)) => Some(v.clone().into_owned()),
        (Value::Counts(_), DeValue::Array(values)) => {
            let texts = values.iter().map(|v| match v.get_ref() {
                DeValue::Integer(v) => integer(v),
                _ => None,
            });
            Some(texts.collect::<Option<Vec<_>>>()?.join(","))
        }
        _ => None,
    }
}

fn integer(value: &DeInteger<'_>) -> Option<String> {
    let number = i128::from_str_radix(value.as_str(), value.radix()).ok()?;
    Some(number.to_string())
}

/// A value as JSON has it.
pub fn json(value: &Value) -> Json {
    match value {
        Value::Number(v) => json!(v),
        Value::Count(v) => json!(v),
        Value::Flag(v) => json!(v),
        Value::Counts(v) => json!(v),
        Value::Word(v) => json!(v),
    }
}

/// A value as it is written in a file; a number keeps every bit, and its type.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Number(_) => {
            let text = value.to_string();
            let whole = text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
            if whole { text + ".0" } else { text }
        }
        Value::Count(_) | Value::Flag(_) => value.to_string(),
        Value::Counts(counts) => format!("{counts:?}"),
        Value::Word(word) => quoted(word),
    }
}

/// A string as it is written in a file.
pub fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// A name as a key of a table.
pub fn key(name: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        quoted(name)
    }
}
