//! The method `adaptive-hig` against its competitors, in equal wall-clock time, and what it returns at
//! every size of the batch, over many seeds.

mod batches;
mod contest;
mod figures;
mod interference;
mod report;
mod score;

use crate::commands::study::{FIRST_SEED, StudyOptions, Trainings};
use crate::console::output::say;
use crate::figures::chart;
use crate::run_folder::folder::Folder;
use crate::run_folder::provenance;
use anyhow::Result;
use contest::{CONTESTS, Contest};

/// Seeds of every training of a contest.
const SEEDS: usize = 5;

const BATCHES: &str = "every-batch";
const INTERFERENCE: &str = "interference";

/// What `--only` can name.
pub const CASES: [&str; CONTESTS.len() + 2] = {
    let mut cases = [BATCHES; CONTESTS.len() + 2];
    cases[CONTESTS.len() + 1] = INTERFERENCE;
    let mut i = 0;
    while i < CONTESTS.len() {
        cases[i] = CONTESTS[i].name;
        i += 1;
    }
    cases
};

/// Runs the study and writes `table.md`, `summary.csv` and the figures.
pub fn run(options: &StudyOptions, folder: &Folder) -> Result<()> {
    let chosen = |name: &str| options.chosen(name);
    let trainings = Trainings { options, folder };
    let judged = options.judged(SEEDS);
    let mut report = format!(
        "# adaptive-hig against its competitors\n\n{}, {} seeds from {FIRST_SEED} on, --scale {}.\n",
        provenance::line(),
        judged.len(),
        options.scale
    );
    let mut csv = report::CSV_HEADER.to_owned();
    let mut figures = Vec::new();
    let mut tell = |text: String| {
        say!("{text}");
        report += &format!("\n{text}");
    };
    let mut contests = Vec::new();
    for course in CONTESTS.iter().filter(|course| chosen(course.name)) {
        let contest = Contest::hold(course, &trainings, &judged)?;
        tell(report::section(&contest));
        csv += &report::csv(&contest);
        let drawings = folder.subfolder("figures")?;
        for (suffix, panels) in [
            ("", vec![figures::over_time(&contest)]),
            ("-choices", figures::choices(&contest)),
        ] {
            let name = format!("{}{suffix}", course.name);
            figures.extend(chart::save(&drawings, &name, &panels, 2)?);
        }
        contests.push(contest);
    }
    if !contests.is_empty() {
        tell(report::choices(&contests));
        tell(report::verdict(&contests));
    }
    if chosen(BATCHES) {
        let trained = batches::measure(&trainings)?;
        tell(batches::section(&trained));
        csv += &batches::csv(&trained);
    }
    if chosen(INTERFERENCE) {
        let along = interference::measure(options.scale)?;
        tell(interference::section(&along));
        let drawings = folder.subfolder("figures")?;
        let panels = interference::panels(&along);
        figures.extend(chart::save(&drawings, INTERFERENCE, &panels, 2)?);
    }
    folder.write("table.md", &report)?;
    folder.write("summary.csv", &csv)?;
    let reporting = options.output.console.reporting();
    reporting.drawn(folder.path(), &figures);
    say!("{}", folder.path().join("table.md").display());
    Ok(())
}
