//! `hig list`: systems, methods and settings with their defaults.

use crate::configuration::value;
use crate::console::output::say;
use anyhow::Result;
use clap::Args;
use hig::settings::{Setting, Settings};
use hig::step::methods;
use hig::systems::{System, compared, systems};
use hig::trainer::Training;
use serde_json::{Value as Json, json};

/// Options of `hig list`.
#[derive(Debug, Args)]
pub struct ListOptions {
    /// As one JSON document.
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
pub fn list(options: &ListOptions) -> Result<()> {
    if options.json {
        say!("{}", serde_json::to_string_pretty(&document())?);
    } else {
        print();
    }
    Ok(())
}

/// The listing as one JSON object.
fn document() -> Json {
    let comparison = |system: &dyn System| -> Json {
        let source = system.comparison();
        let settings = |set: &[(&str, &str)]| -> Json {
            let pairs = set.iter();
            Json::Object(pairs.map(|(k, v)| ((*k).into(), (*v).into())).collect())
        };
        let all = source
            .iter()
            .map(|(name, set)| ((*name).to_owned(), settings(set)));
        Json::Object(all.collect())
    };
    let systems: Vec<Json> = systems()
        .iter()
        .map(|system| {
            json!({
                "name": system.name(),
                "about": system.about(),
                "settings": settings(&system.settings()),
                "compared": compared(system.as_ref()),
                "recommended": comparison(system.as_ref()),
            })
        })
        .collect();
    let methods: Vec<Json> = methods()
        .iter()
        .map(|method| {
            json!({
                "name": method.name(),
                "about": method.about(),
                "settings": settings(&method.settings()),
            })
        })
        .collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "systems": systems,
        "methods": methods,
        "training": settings(&Training::default().settings()),
    })
}

fn settings(settings: &[Setting]) -> Json {
    let one = |setting: &Setting| {
        json!({
            "name": setting.name,
            "default": value::json(&setting.value),
            "allowed": setting.allowed.to_string(),
            "about": setting.about,
        })
    };
    Json::Array(settings.iter().map(one).collect())
}

fn print() {
    say!("Systems (hig run SYSTEM)");
    for system in systems() {
        say!("\n  {}: {}", system.name(), system.about());
        print_settings(&system.settings());
        say!(
            "    compared by default: {}",
            compared(system.as_ref()).join(", ")
        );
        for (name, settings) in system.comparison() {
            let settings: Vec<String> = settings.iter().map(|(k, v)| format!("{k}={v}")).collect();
            say!("      {name}: {}", settings.join(" "));
        }
    }
    say!("\nMethods (--method NAME)");
    for method in methods() {
        say!("\n  {}: {}", method.name(), method.about());
        print_settings(&method.settings());
    }
    say!("\nTraining (every method)\n");
    print_settings(&Training::default().settings());
    say!("\nChange any of them with --set KEY=VALUE, for one method with --set METHOD.KEY=VALUE.");
}

fn print_settings(settings: &[Setting]) {
    for setting in settings {
        let assignment = format!("{} = {}", setting.name, setting.value);
        say!("    {assignment:<32} {}", setting.about);
        say!("    {:<32} [{}]", "", setting.allowed);
    }
}
