//! The method `adaptive-hig` against its competitors, in equal wall-clock time, and what it returns at
//! every size of the batch, over many seeds.

mod batches;
mod interference;

use crate::commands::study::contest::{self, Course, Tuned, course, hold_all, with_exponents};
use crate::commands::study::{FIRST_SEED, Set, StudyOptions, Trainings};
use crate::console::output::say;
use crate::figures::chart;
use crate::run_folder::folder::Folder;
use crate::run_folder::provenance;
use anyhow::Result;

/// Seeds of every training of a contest.
const SEEDS: usize = 5;

const fn heat(name: &'static str, training: Set, seconds: f64) -> Course {
    Course {
        system: "heat-inversion",
        training,
        ..course(name, seconds)
    }
}

/// The contests in order.
const CONTESTS: [Course; 12] = [
    course("toy", 2.0),
    Course {
        system: "toy",
        set: &[("lambda", "0.01")],
        ..course("toy-ill-conditioned", 2.0)
    },
    course("linear-oscillators", 5.0),
    course("nonlinear-oscillators", 5.0),
    course("poisson", 10.0),
    course("quantum-dipole", 10.0),
    heat("heat-inversion-1", &[("batch", "1")], 2.0),
    heat("heat-inversion-2", &[("batch", "2")], 2.0),
    heat("heat-inversion-4", &[("batch", "4")], 4.0),
    heat("heat-inversion-8", &[("batch", "8")], 4.0),
    heat("heat-inversion-32", &[("batch", "32")], 6.0),
    course("cart-pole", 10.0),
];

const TUNED: [Tuned; 5] = with_exponents(
    &[0.3, 1.0, 3.0, 10.0],
    Tuned {
        label: "adam, best η",
        method: "adam",
        sets: &[&[], &[("schedule", "cosine")]],
        factors: &[0.3, 1.0, 3.0],
        auto: false,
    },
);

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
    let mut tell = |text: String| {
        say!("{text}");
        report += &format!("\n{text}");
    };
    let held = hold_all(&CONTESTS, &TUNED, &trainings, &judged, &mut tell)?;
    let (mut csv, mut figures) = (contest::CSV_HEADER.to_owned() + &held.csv, held.figures);
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
    trainings.end(&report, &csv, &figures)
}
