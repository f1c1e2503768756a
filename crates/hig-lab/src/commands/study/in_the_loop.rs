//! Networks that are called inside a simulation, at every time step: all methods in equal time on every
//! registered system of the kind, and the spectra of their Jacobians, which say why.

use crate::commands::study::contest::{
    ADAPTIVE, CSV_HEADER, Course, Tuned, course, hold_all, number, with_exponents,
};
use crate::commands::study::{FIRST_SEED, Set, StudyOptions, Trainings, system_with};
use crate::console::output::say;
use crate::console::table;
use crate::figures::chart::{self, Axis, Chart, Curve, Panel};
use crate::figures::styles;
use crate::method_chain::recommended;
use crate::run_folder::folder::Folder;
use crate::run_folder::provenance;
use anyhow::Result;
use hig::spectral::{DecompositionSettings, Filter, Treatment};

const SEEDS: usize = 5;

const fn with(name: &'static str, system: &'static str, set: Set, seconds: f64) -> Course {
    Course {
        system,
        set,
        ..course(name, seconds)
    }
}

const COURSES: [Course; 13] = [
    course("cart-pole", 20.0),
    with("cart-pole-2", "cart-pole", &[("poles", "2")], 30.0),
    with("cart-pole-3", "cart-pole", &[("poles", "3")], 30.0),
    with("cart-pole-4", "cart-pole", &[("poles", "4")], 30.0),
    course("pendulum-swing-up", 15.0),
    course("burgers-control", 20.0),
    with(
        "burgers-control-open",
        "burgers-control",
        &[("closed", "false")],
        20.0,
    ),
    course("ks-correction", 20.0),
    course("parameter-estimation", 5.0),
    course("fluid-control", 60.0),
    // Four times fewer cells.
    with(
        "fluid-control-16",
        "fluid-control",
        &[("grid", "16"), ("samples", "64"), ("test_samples", "16")],
        60.0,
    ),
    course("wake-flow-correction", 60.0),
    Course {
        set: &[("samples", "32"), ("test_samples", "32")],
        training: &[("evaluate_every", "10")],
        also: &[SIP],
        ..course("heat-inversion-2d", 50.0)
    },
];

/// The method that is given the inverse of the physics.
const SIP: Tuned = Tuned {
    label: "sip, best η",
    method: "sip",
    sets: &[&[], &[("schedule", "cosine")]],
    factors: &[0.3, 1.0, 3.0],
    auto: false,
};

/// What `--only` can name.
pub const CASES: [&str; COURSES.len()] = {
    let mut cases = [""; COURSES.len()];
    let mut i = 0;
    while i < COURSES.len() {
        cases[i] = COURSES[i].name;
        i += 1;
    }
    cases
};

const CLIPPED: Set = &[("schedule", "cosine"), ("clip", "1")];

const TUNED: [Tuned; 5] = with_exponents(
    &[0.3, 1.0],
    Tuned {
        label: "adam, best η",
        method: "adam",
        sets: &[&[], &[("schedule", "cosine")], CLIPPED],
        factors: &[0.3, 1.0, 3.0, 10.0],
        auto: false,
    },
);

/// λ over the largest σ² by which degrees of freedom are counted.
const DAMPINGS: [f64; 3] = [1e-2, 1e-4, 1e-6];

/// Runs the study and writes `table.md`, `summary.csv` and the figures.
pub fn run(options: &StudyOptions, folder: &Folder) -> Result<()> {
    let trainings = Trainings { options, folder };
    let seeds = options.judged(SEEDS);
    let mut report = format!(
        "# Networks in the loop\n\n{}, {} seeds from {FIRST_SEED} on, --scale {}.\n",
        provenance::line(),
        seeds.len(),
        options.scale
    );
    let mut tell = |text: String| {
        say!("{text}");
        report += &format!("\n{text}");
    };
    let held = hold_all(&COURSES, &TUNED, &trainings, &seeds, &mut tell)?;
    let chosen = COURSES.iter().filter(|c| options.chosen(c.name));
    let spectra = chosen.map(Singular::at_start).collect::<Result<Vec<_>>>()?;
    tell(section(&spectra));
    let mut figures = held.figures;
    let drawings = folder.subfolder("figures")?;
    figures.extend(chart::save(&drawings, "spectra", &[panel(&spectra)], 1)?);
    let csv = CSV_HEADER.to_owned() + &held.csv;
    trainings.end(&report, &csv, &figures)
}

/// The singular values of √C·J of one batch of the training samples at the start, with the batch and the
/// combinations of rows that the default method takes, from the largest down.
#[derive(Debug)]
struct Singular {
    case: &'static str,
    rows: usize,
    parameters: usize,
    values: Vec<f64>,
}

impl Singular {
    fn at_start(course: &Course) -> Result<Self> {
        let system = system_with(course.system, course.set)?;
        let phase = recommended(system.as_ref(), ADAPTIVE)?;
        let problem = system.problem(FIRST_SEED);
        let start = problem.initial_parameters(FIRST_SEED);
        let count = phase.training.batch.min(problem.train.len());
        let batch = problem.train.select(&(0..count).collect::<Vec<_>>());
        let at = problem.objective.linearize(&batch, &start)?;
        let mut request = DecompositionSettings {
            sketch: phase.method.sketch(),
            ..DecompositionSettings::default()
        }
        .request(usize::MAX);
        let rows = request.whitened_rows(at.as_ref())?;
        let all = Filter {
            exponent: 0.5,
            treatment: Treatment::Damp { damping: 0.0 },
        };
        let (jacobian, residual) = (rows.jacobian(), &rows.residual);
        let mut values = request
            .decompose(jacobian, residual, &all)?
            .into_singular_values();
        values.sort_by(|a, b| b.total_cmp(a));
        Ok(Self {
            case: course.name,
            rows: jacobian.rows(),
            parameters: jacobian.columns(),
            values,
        })
    }

    fn largest(&self) -> f64 {
        self.values.first().copied().unwrap_or(0.0)
    }

    /// Σ σ²/(σ² + λ) for a λ that is this part of the largest σ².
    fn degrees_of_freedom(&self, damping: f64) -> f64 {
        let damping = damping * self.largest().powi(2);
        self.values.iter().map(|s| s * s / (s * s + damping)).sum()
    }
}

fn section(spectra: &[Singular]) -> String {
    let row = |found: &Singular| {
        let mut row = vec![
            found.case.to_owned(),
            found.rows.to_string(),
            found.parameters.to_string(),
            number(found.largest()),
        ];
        row.extend(DAMPINGS.map(|d| format!("{:.1}", found.degrees_of_freedom(d))));
        row
    };
    let rows: Vec<Vec<String>> = spectra.iter().map(row).collect();
    let of_damping = DAMPINGS.map(|d| format!("λ = {d:e}·σ₁²"));
    let header = ["case", "rows", "parameters", "σ₁"].into_iter();
    let header: Vec<&str> = header
        .chain(of_damping.iter().map(String::as_str))
        .collect();
    let text = table::layout(&header, &rows);
    format!(
        "## Degrees of freedom at the start\n\n\
         Σ σ²/(σ² + λ) over the singular values of √C·J, of the first training samples as many as a batch of \
         {ADAPTIVE} has, with its combinations of rows, seed {FIRST_SEED}.\n\n```text\n{text}```\n"
    )
}

fn panel(spectra: &[Singular]) -> Panel {
    let labels: Vec<&str> = spectra.iter().map(|found| found.case).collect();
    let curves = spectra.iter().zip(styles::of_labels(&labels));
    let curve = |(found, style): (&Singular, usize)| {
        let (count, largest) = (found.values.len() as f64, found.largest());
        let place = |i: usize| (i as f64 + 1.0) / count;
        Curve {
            label: found.case.into(),
            x: (0..found.values.len()).map(place).collect(),
            y: found.values.iter().map(|s| s / largest).collect(),
            style,
            ..Curve::default()
        }
    };
    Panel::Chart(Chart {
        title: "singular values at the start".into(),
        x: Axis::linear("place over their number"),
        y: Axis::log("σ over the largest"),
        curves: curves.map(curve).collect(),
        points: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_of_freedom_count_what_stands_above_the_damping() {
        let found = Singular {
            case: "",
            rows: 3,
            parameters: 3,
            values: vec![2.0, 0.2, 0.0],
        };
        // 1/(1 + d) and 0.01/(0.01 + d).
        let expected = 1.0 / 1.01 + 0.5;
        assert!((found.degrees_of_freedom(1e-2) - expected).abs() < 1e-12);
    }
}
