//! Studies: many seeds, and what they say about the statements of a source, or about a method.

mod adaptive;
mod chapter;
mod contest;
mod in_the_loop;
mod large;
mod over_time;
mod pinn;

use crate::commands::options::OutputOptions;
use crate::commands::threads::use_threads;
use crate::console::interrupt;
use crate::console::output::say;
use crate::error::{Interrupted, Refused};
use crate::experiment::trials::{Case, MOST_SEEDS, Plan};
use crate::run_folder::folder::Folder;
use crate::run_folder::trial::Trial;
use anyhow::Result;
use clap::Args;
use hig::Error;
use hig::systems::{self, System};
use std::path::PathBuf;

type Run = fn(&StudyOptions, &Folder) -> Result<()>;

/// Options of `hig study`.
#[derive(Debug, Args)]
pub struct StudyOptions {
    /// Study to run: adaptive, chapter, large, loop or pinn.
    pub name: String,
    /// Seeds, each a training of its own [default: 5, for chapter 20].
    #[arg(long, value_name = "N")]
    pub seeds: Option<usize>,
    /// Updates of each training of the chapter [default: 5000].
    #[arg(long, value_name = "N")]
    pub updates: Option<usize>,
    /// Only this case of adaptive, large, loop or pinn; repeat for several.
    #[arg(long, value_name = "CASE")]
    pub only: Vec<String>,
    /// Factor on all budgets.
    #[arg(long, value_name = "F", default_value_t = 1.0)]
    pub scale: f64,
    /// Where the results go, and how the work is done.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// The studies with the parts of them that `--only` can name.
const STUDIES: [(&str, &[&str], Run); 5] = [
    ("adaptive", &adaptive::CASES, adaptive::run),
    ("chapter", &[], chapter::run),
    ("large", &large::CASES, large::run),
    ("loop", &in_the_loop::CASES, in_the_loop::run),
    ("pinn", &pinn::CASES, pinn::run),
];

/// The first of the seeds that methods are judged by. No constant of theirs was chosen with one from it on, nor
/// may be.
const FIRST_SEED: u64 = 100;

/// Settings by name.
type Set = &'static [(&'static str, &'static str)];

/// A system with some settings.
fn system_with(name: &str, set: Set) -> Result<Box<dyn System>> {
    let mut system = systems::system(name)?;
    for (key, value) in set {
        system.set(key, value)?;
    }
    Ok(system)
}

impl StudyOptions {
    /// Whether a case is one of those to run.
    fn chosen(&self, case: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == case)
    }

    /// The seeds to judge by, so many where their number is not given.
    fn judged(&self, usual: usize) -> Vec<u64> {
        let count = self.seeds.unwrap_or(usual) as u64;
        (FIRST_SEED..FIRST_SEED + count).collect()
    }
}

/// How the trainings of a study are run.
struct Trainings<'a> {
    options: &'a StudyOptions,
    folder: &'a Folder,
}

impl Trainings<'_> {
    /// All trials of all cases, or an error after an interrupt.
    fn run(&self, cases: &[Case], seeds: &[u64], parallel: bool) -> Result<Vec<Vec<Trial>>> {
        let plan = Plan {
            cases,
            seeds,
            parallel,
            cache: self.folder.trials(),
            others: Vec::new(),
            shard: None,
            reporting: self.options.output.console.reporting(),
        };
        let trials = plan.run()?;
        if trials.iter().any(|t| t.len() < seeds.len()) {
            return Err(Interrupted::error(self.folder.path()));
        }
        Ok(trials)
    }

    /// Writes the report and the numbers behind it, and says where they and the figures are.
    fn end(&self, report: &str, csv: &str, figures: &[PathBuf]) -> Result<()> {
        self.folder.write("table.md", report)?;
        self.folder.write("summary.csv", csv)?;
        let reporting = self.options.output.console.reporting();
        reporting.drawn(self.folder.path(), figures);
        say!("{}", self.folder.path().join("table.md").display());
        Ok(())
    }
}

/// The names of the studies.
pub fn names() -> Vec<&'static str> {
    STUDIES.map(|(name, ..)| name).to_vec()
}

/// Runs the command.
pub fn study(options: &StudyOptions) -> Result<()> {
    let found = STUDIES.iter().find(|(name, ..)| *name == options.name);
    let Some((name, cases, run)) = found else {
        return Err(Refused::because(Error::unknown(
            "study",
            &options.name,
            names(),
        )));
    };
    check(options, cases).map_err(Refused::because)?;
    use_threads(options.output.threads)?;
    let name = format!("study-{name}");
    let folder =
        Folder::open_to_continue(options.output.out.as_deref(), &name, options.output.force)?;
    interrupt::listen();
    run(options, &folder)
}

fn check(options: &StudyOptions, cases: &[&str]) -> hig::Result<()> {
    // A comparison needs a pair; an error beside a published one does not.
    let least = if options.name == "pinn" { 1 } else { 2 };
    if let Some(seeds) = options
        .seeds
        .filter(|seeds| !(least..=MOST_SEEDS).contains(seeds))
    {
        let expected = match least {
            1 => format!("at least 1 and at most {MOST_SEEDS}"),
            _ => format!(
                "at least {least} and at most {MOST_SEEDS}, 20 for intervals that say something"
            ),
        };
        return Err(Error::setting("seeds", seeds, expected));
    }
    if !(options.scale.is_finite() && options.scale > 0.0) {
        let expected = "a finite number above 0";
        return Err(Error::setting("scale", options.scale, expected));
    }
    if let Some(name) = options.only.iter().find(|o| !cases.contains(&o.as_str())) {
        return Err(match cases {
            [] => Error::setting("only", name, "left out: this study is one whole"),
            cases => Error::unknown("case", name, cases.iter().copied()),
        });
    }
    let name = options.name.as_str();
    if let Some(updates) = options.updates.filter(|_| name != "chapter") {
        let expected = format_args!("left out: {name} trains for seconds, which --scale changes");
        return Err(Error::setting("updates", updates, expected));
    }
    Ok(())
}
