//! `hig reproduce`: the figures and tables of a source, each beside its published values.

mod ablations;
mod costs;
mod paper;
mod race;

use crate::commands::options::{OutputOptions, RunOptions};
use crate::commands::run;
use crate::commands::study;
use crate::commands::study::StudyOptions;
use crate::commands::threads::use_threads;
use crate::configuration::{BudgetOptions, Overrides};
use crate::console::interrupt;
use crate::console::output::say;
use crate::console::table;
use crate::error::{Interrupted, Refused};
use crate::experiment::trials::MOST_SEEDS;
use crate::figures::chart::{self, Panel};
use crate::run_folder::folder::Folder;
use crate::run_folder::provenance;
use anyhow::Result;
use clap::Args;
use std::path::PathBuf;

/// Options of `hig reproduce`.
#[derive(Debug, Args)]
pub struct ReproduceOptions {
    /// Source: chapter (Physics-based Deep Learning book) or paper (arXiv 2203.10131).
    pub source: String,
    /// Only this exhibit; repeat for several.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Seeds of each training.
    #[arg(long, default_value_t = 3)]
    pub seeds: usize,
    /// The authors' own budgets instead of a laptop's.
    #[arg(long)]
    pub full: bool,
    /// Factor on all budgets.
    #[arg(long, default_value_t = 1.0)]
    pub scale: f64,
    /// Where the results go, and how the work is done.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// One figure with its table.
pub struct Exhibit {
    /// What it shows, in one line.
    pub title: String,
    /// The figure, panels in rows of two; may be empty.
    pub panels: Vec<Panel>,
    /// Header of the table.
    pub header: Vec<&'static str>,
    /// Rows of the table.
    pub rows: Vec<Vec<String>>,
}

/// What an exhibit is made with.
pub struct Context<'a> {
    /// Options of the command.
    pub options: &'a ReproduceOptions,
    /// Folder of finished trainings.
    pub trials: PathBuf,
}

impl Context<'_> {
    /// Seeds of every training.
    pub fn seeds(&self) -> Vec<u64> {
        (0..self.options.seeds as u64).collect()
    }

    /// Seconds of a training: a laptop's, or the authors' with --full.
    pub fn seconds(&self, laptop: f64, full: f64) -> f64 {
        let seconds = if self.options.full { full } else { laptop };
        seconds * self.options.scale
    }
}

type Make = fn(&Context<'_>) -> Result<Exhibit>;

/// The paper's exhibits. To add one, write it and add its line.
const PAPER: [(&str, Make); 10] = [
    ("linear-oscillators", paper::linear_oscillators),
    ("nonlinear-oscillators", paper::nonlinear_oscillators),
    ("poisson", paper::poisson),
    ("quantum-dipole", paper::quantum_dipole),
    ("batch-size", ablations::batch_size),
    ("exponent", ablations::exponent),
    ("truncation", ablations::truncation),
    ("pre-training", ablations::pre_training),
    ("time-shares", costs::time_shares),
    ("memory", costs::memory),
];

/// The sources that can be reproduced.
pub const SOURCES: [&str; 2] = ["chapter", "paper"];

/// Runs the command.
pub fn reproduce(options: &ReproduceOptions) -> Result<()> {
    use_threads(options.output.threads)?;
    if !(1..=MOST_SEEDS).contains(&options.seeds) {
        let expected = format_args!("1 to {MOST_SEEDS}");
        let error = hig::Error::setting("seeds", options.seeds, expected);
        return Err(Refused::because(error));
    }
    if !(options.scale.is_finite() && options.scale > 0.0) {
        let error = hig::Error::setting("scale", options.scale, "a finite number above 0");
        return Err(Refused::because(error));
    }
    match options.source.as_str() {
        "chapter" => chapter(options),
        "paper" => paper(options),
        other => Err(Refused::because(hig::Error::unknown(
            "source", other, SOURCES,
        ))),
    }
}

fn paper(options: &ReproduceOptions) -> Result<()> {
    for name in &options.only {
        if PAPER.iter().all(|(known, _)| known != name) {
            let known = PAPER.map(|(name, _)| name);
            return Err(Refused::because(hig::Error::unknown(
                "exhibit", name, known,
            )));
        }
    }
    let name = "reproduce-paper";
    let folder =
        Folder::open_to_continue(options.output.out.as_deref(), name, options.output.force)?;
    interrupt::listen();
    let context = Context {
        options,
        trials: folder.trials(),
    };
    let budgets = if options.full {
        ", the authors' budgets"
    } else {
        ""
    };
    let (provenance, seeds) = (provenance::line(), options.seeds);
    let mut report = format!("# Results\n\n{provenance}, {seeds} seeds{budgets}.\n");
    let mut drawn = Vec::new();
    let chosen = |name: &str| options.only.is_empty() || options.only.iter().any(|o| o == name);
    for (name, make) in PAPER.iter().filter(|(name, _)| chosen(name)) {
        let exhibit = make(&context)?;
        if interrupt::asked() {
            return Err(Interrupted::error(folder.path()));
        }
        let text = table::layout(&exhibit.header, &exhibit.rows);
        let section = format!("## {name}: {}\n\n```text\n{text}```\n", exhibit.title);
        say!("{name}: {}\n\n{text}", exhibit.title);
        report += &format!("\n{section}");
        if !exhibit.panels.is_empty() {
            let figures = folder.subfolder("figures")?;
            for path in chart::save(&figures, name, &exhibit.panels, 2)? {
                say!("{}", path.display());
                drawn.push(path);
            }
            report += &format!("\n![{name}](figures/{name}.png)\n");
        }
        say!();
        folder.write("results.md", &report)?;
    }
    say!("{}", folder.path().join("results.md").display());
    let reporting = options.output.console.reporting();
    reporting.results(folder.path(), &drawn);
    Ok(())
}

/// The chapter: the toy problem at both λ, the linear oscillators, and its statements over seeds.
fn chapter(options: &ReproduceOptions) -> Result<()> {
    const PARTS: [&str; 4] = [
        "toy",
        "toy-ill-conditioned",
        "linear-oscillators",
        "statements",
    ];
    for name in &options.only {
        if !PARTS.contains(&name.as_str()) {
            return Err(Refused::because(hig::Error::unknown(
                "exhibit", name, PARTS,
            )));
        }
    }
    let root = options
        .output
        .out
        .clone()
        .unwrap_or_else(|| PathBuf::from("runs/reproduce-chapter"));
    let chosen = |name: &str| options.only.is_empty() || options.only.iter().any(|o| o == name);
    let within = |part: &str| OutputOptions {
        out: Some(root.join(part)),
        // The threads are set already, once for the program.
        threads: None,
        ..options.output.clone()
    };
    let run_part = |part: &str, system: &str, set: &[&str], seconds: Option<f64>| -> Result<()> {
        if !chosen(part) || interrupt::asked() {
            return Ok(());
        }
        say!("{part}\n");
        let outcome = run::run(&RunOptions {
            system: system.into(),
            overrides: Overrides {
                set: set.iter().map(|s| (*s).to_owned()).collect(),
                budget: BudgetOptions {
                    seconds,
                    ..BudgetOptions::default()
                },
                ..Overrides::default()
            },
            output: within(part),
            ..RunOptions::default()
        });
        say!();
        outcome
    };
    run_part("toy", "toy", &[], None)?;
    run_part("toy-ill-conditioned", "toy", &["lambda=0.01"], None)?;
    let seconds = if options.full { 100.0 } else { 15.0 } * options.scale;
    run_part(
        "linear-oscillators",
        "linear-oscillators",
        &[],
        Some(seconds),
    )?;
    if chosen("statements") && !interrupt::asked() {
        study::study(&StudyOptions {
            name: "chapter".into(),
            seeds: Some(options.seeds.max(if options.full { 100 } else { 20 })),
            updates: None,
            only: Vec::new(),
            scale: 1.0,
            output: within("statements"),
        })?;
    }
    Ok(())
}
