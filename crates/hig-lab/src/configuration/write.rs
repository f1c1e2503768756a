//! Writes configuration files: the record that a run leaves, and the template of `hig init`.

use super::value::{key, literal, quoted};
use crate::method_chain::{MethodChain, Phase, chains};
use crate::run_folder::given;
use anyhow::Result;
use hig::settings::{Setting, Settings, Value};
use hig::systems::{System, systems};
use hig::trainer::Budget;
use std::path::Path;

/// Everything that the numbers of a run depend on.
pub struct Record<'a> {
    /// The system's settings.
    pub system: &'a dyn System,
    /// The methods in order.
    pub chains: &'a [MethodChain],
    /// How long each may train.
    pub budget: Budget,
    /// Seed of data, weights and order.
    pub seed: u64,
    /// File of the initial weights, of which the folder holds a copy.
    pub weights: Option<&'a Path>,
    /// File of the training samples, of which the folder holds a copy.
    pub data: Option<&'a Path>,
}

impl Record<'_> {
    /// The file.
    pub fn to_toml(&self) -> String {
        let mut page = Page::default();
        page.section("run");
        page.entry("version", quoted(env!("CARGO_PKG_VERSION")));
        page.entry("system", quoted(self.system.name()));
        page.entry("seed", self.seed);
        page.entry("methods", names(self.chains));
        for (name, given, copy) in [
            ("weights", self.weights, given::WEIGHTS),
            ("data", self.data, given::DATA),
        ] {
            if let Some(path) = given {
                page.entry(name, format!("{} # a copy of {path:?}", quoted(copy)));
            }
        }
        page.section("budget");
        for (name, limit) in limits(self.budget) {
            if let Some(limit) = limit {
                page.entry(name, literal(&limit));
            }
        }
        page.section("system");
        page.settings(&self.system.settings());
        for chain in self.chains {
            let name = key(&chain.name);
            if let [only] = &chain.phases[..] {
                page.section(&format!("method.{name}"));
                page.settings(&only.settings());
                continue;
            }
            let mut written: Vec<&str> = Vec::new();
            for phase in &chain.phases {
                // The settings of a method are the same wherever it stands in a chain.
                if !written.contains(&phase.name.as_str()) {
                    page.section(&format!("method.{name}.{}", key(&phase.name)));
                    page.settings(&phase.settings());
                    written.push(&phase.name);
                }
            }
        }
        page.text
    }
}

/// A file with every setting of a system and of the methods that are compared on it, each with its
/// meaning, as a run by the name of the system has them.
pub fn template(system: &dyn System) -> Result<String> {
    let chains = chains(system, &[])?;
    let mut page = Page::default();
    let name = system.name();
    page.comment(&format!("{name}: {}", system.about()));
    page.comment("");
    page.comment(
        "Run it with `hig run FILE.toml`; options of the command line override it. What is left out \
         of it has the value of a run by the name of the system. For an editor that checks and \
         completes settings: `hig init --schema > hig.schema.json`, and the line \
         `#:schema ./hig.schema.json` at the top.",
    );
    head(&mut page, system, &chains);

    page.section("system");
    for setting in system.settings() {
        page.described(&setting);
    }
    let phases: Vec<&Phase> = chains.iter().flat_map(|c| &c.phases).collect();
    let (common, own) = shared(&phases);
    page.section("training");
    page.comment("For every method that does not say otherwise in its own table.");
    page.line("");
    for setting in &common {
        page.described(setting);
    }
    for phase in phases {
        page.section(&format!("method.{}", key(&phase.name)));
        page.comment(&format!("{}: {}.", phase.name, phase.method.about()));
        page.line("");
        for setting in phase.settings() {
            if phase.method.has(setting.name) || own.contains(&setting.name) {
                page.described(&setting);
            }
        }
    }
    Ok(page.text)
}

/// The settings of the training on which the methods agree, and the names of the others. Only the
/// first are for all methods: those that differ come from the system's source.
fn shared(phases: &[&Phase]) -> (Vec<Setting>, Vec<&'static str>) {
    let settings = phases.iter().flat_map(|p| p.training.settings());
    let settings: Vec<Setting> = settings.collect();
    let differs = |setting: &Setting| {
        let named = |other: &&Setting| other.name == setting.name;
        settings.iter().filter(named).any(|other| other != setting)
    };
    let all = phases.first().map(|p| p.training.settings());
    let (own, common): (Vec<_>, Vec<_>) = all.unwrap_or_default().into_iter().partition(differs);
    (common, own.iter().map(|s| s.name).collect())
}

/// The sections `[run]` and `[budget]` of the template.
fn head(page: &mut Page, system: &dyn System, chains: &[MethodChain]) {
    page.section("run");
    let all = systems();
    let all: Vec<&str> = all.iter().map(|s| s.name()).collect();
    page.comment(&format!("System to train on: {}.", all.join(", ")));
    page.entry("system", quoted(system.name()));
    page.comment("Seed of data, initial weights and order of samples.");
    page.allowed("a whole number of at least 0");
    page.entry("seed", 0);
    page.comment(
        "Methods to compare, in this order (see `hig list`). \"adam:500+hig\" is Adam for 500 \
         updates, then HIG from those weights; its settings are in [method.\"adam:500+hig\".adam] \
         and [method.\"adam:500+hig\".hig].",
    );
    page.entry("methods", names(chains));
    page.comment(
        "Initial weights and training samples of your own (safetensors), by paths that start from \
         the folder of this file.",
    );
    page.comment("weights = \"weights.safetensors\"");
    page.comment("data = \"data.safetensors\"");

    page.section("budget");
    page.comment("How long each method trains; the first limit that is reached ends a training.");
    page.line("");
    for (name, limit) in limits(system.budget()) {
        page.comment(match name {
            "updates" => "Updates.",
            "epochs" => "Passes over the training samples.",
            _ => {
                "Seconds of training, without evaluation; the bits of the results then depend on \
                  the speed of the machine."
            }
        });
        page.allowed(match name {
            "updates" => "a whole number of at least 0",
            _ => "a finite number of at least 0",
        });
        match limit {
            Some(limit) => page.entry(name, literal(&limit)),
            None => page.comment(&format!("{name} = 100")),
        }
    }
}

fn names(chains: &[MethodChain]) -> String {
    let names: Vec<String> = chains.iter().map(|c| quoted(&c.name)).collect();
    format!("[{}]", names.join(", "))
}

fn limits(budget: Budget) -> [(&'static str, Option<Value>); 3] {
    [
        ("updates", budget.updates.map(Value::Count)),
        ("epochs", budget.epochs.map(Value::Number)),
        ("seconds", budget.seconds.map(Value::Number)),
    ]
}

/// A file in the making.
#[derive(Default)]
struct Page {
    text: String,
}

impl Page {
    fn line(&mut self, text: &str) {
        self.text += text;
        self.text += "\n";
    }

    fn section(&mut self, name: &str) {
        if !self.text.is_empty() {
            self.line("");
        }
        self.line(&format!("[{name}]"));
    }

    fn entry(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(&format!("{name} = {value}"));
    }

    fn settings(&mut self, settings: &[Setting]) {
        for setting in settings {
            self.entry(setting.name, literal(&setting.value));
        }
    }

    fn described(&mut self, setting: &Setting) {
        self.comment(setting.about);
        self.allowed(&setting.allowed.to_string());
        self.entry(setting.name, literal(&setting.value));
    }

    fn allowed(&mut self, range: &str) {
        self.comment(&format!("Allowed: {range}."));
    }

    /// A comment, broken into lines where it is long.
    fn comment(&mut self, text: &str) {
        const WIDTH: usize = 98;
        let mut line = "#".to_owned();
        for word in text.split_whitespace() {
            if line.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(&line);
                line = "#".to_owned();
            }
            line += " ";
            line += word;
        }
        self.line(&line);
    }
}
