//! Studies: many seeds, and what they say about the statements of a source, or about a method.

mod adaptive;
mod chapter;
mod pinn;

use crate::commands::options::OutputOptions;
use crate::commands::threads::use_threads;
use crate::console::interrupt;
use crate::error::Refused;
use crate::experiment::trials::MOST_SEEDS;
use crate::run_folder::folder::Folder;
use anyhow::Result;
use clap::Args;
use hig::Error;

type Run = fn(&StudyOptions, &Folder) -> Result<()>;

/// Options of `hig study`.
#[derive(Debug, Args)]
pub struct StudyOptions {
    /// Study to run: adaptive, chapter or pinn.
    pub name: String,
    /// Seeds, each a training of its own [default: 5, for chapter 20].
    #[arg(long, value_name = "N")]
    pub seeds: Option<usize>,
    /// Updates of each training of the chapter [default: 5000].
    #[arg(long, value_name = "N")]
    pub updates: Option<usize>,
    /// Only this case of adaptive or pinn; repeat for several.
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
const STUDIES: [(&str, &[&str], Run); 3] = [
    ("adaptive", &adaptive::CASES, adaptive::run),
    ("chapter", &[], chapter::run),
    ("pinn", &pinn::CASES, pinn::run),
];

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
    if let Some(seeds) = options
        .seeds
        .filter(|seeds| !(2..=MOST_SEEDS).contains(seeds))
    {
        let expected = format_args!(
            "at least 2 and at most {MOST_SEEDS}, 20 for intervals that say something"
        );
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
    if let (Some(updates), name @ ("adaptive" | "pinn")) = (options.updates, options.name.as_str())
    {
        let expected = format_args!("left out: {name} trains for seconds, which --scale changes");
        return Err(Error::setting("updates", updates, expected));
    }
    Ok(())
}
