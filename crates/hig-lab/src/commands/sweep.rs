//! `hig sweep`: every combination of given settings, over several seeds.

use crate::commands::options::OutputOptions;
use crate::commands::statistics::quantile;
use crate::commands::threads::use_threads;
use crate::configuration::{BudgetOptions, Config, Overrides, Resolved};
use crate::console::interrupt;
use crate::console::output::say;
use crate::console::table;
use crate::error::{Interrupted, Refused};
use crate::experiment::LARGEST_SEED;
use crate::experiment::trials::{Case, MOST_CASES, MOST_SEEDS, Plan, Shard};
use crate::figures::chart::{self, Axis, Chart, Curve, Panel};
use crate::figures::styles;
use crate::run_folder::folder::Folder;
use crate::run_folder::trial::Trial;
use anyhow::Result;
use clap::Args;
use hig::settings::Value;
use std::collections::BTreeSet;

/// Options of `hig sweep`.
#[derive(Debug, Args)]
pub struct SweepOptions {
    /// System to train on (see `hig list`), or a configuration file, of which everything but the seed
    /// is taken.
    #[arg(value_name = "SYSTEM|FILE.toml")]
    pub system: String,
    /// Method to train with; repeat for several [default: those of the file, or hig].
    #[arg(long = "method", value_name = "NAME")]
    pub methods: Vec<String>,
    /// A setting with one value, or several separated by commas (lists such as `hidden` by
    /// semicolons): `cutoff=1e-4,1e-5,1e-6`. Repeat for a grid.
    #[arg(long = "set", value_name = "KEY=VALUES")]
    pub set: Vec<String>,
    /// Seeds, as in 1..5 (both ends included) or 1,2,7.
    #[arg(long, default_value = "0..4")]
    pub seeds: String,
    /// The part I of N of the trainings alone, such as 3/8, for the jobs of an array. Each part has a folder of its
    /// own in that of the sweep; the same command without this option joins them.
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,
    /// How long to train; against seconds, trainings run one after the other.
    #[command(flatten)]
    pub budget: BudgetOptions,
    /// Where the results go, and how the work is done.
    #[command(flatten)]
    pub output: OutputOptions,
}

/// A case with the values that it takes in the grid.
struct Cell {
    case: Case,
    method: String,
    values: Vec<String>,
}

/// A swept setting.
struct Axes {
    key: String,
    values: Vec<String>,
}

/// Runs the command.
pub fn sweep(options: &SweepOptions) -> Result<()> {
    use_threads(options.output.threads)?;
    let seeds = seeds(&options.seeds)?;
    let config = Config::named(&options.system)?;
    config.draws_anew()?;
    let axes = axes(options, &config)?;
    let cells = cells(options, &config, &axes, seeds[0])?;
    let name = format!("sweep-{}", config.system.name());
    let (out, force) = (options.output.out.as_deref(), options.output.force);
    let folder = match options.shard {
        Some(shard) => Folder::open_shard(out, &name, &shard.to_string(), force)?,
        None => Folder::open_to_continue(out, &name, force)?,
    };
    let shards = folder.shards()?;
    interrupt::listen();
    let (cases, labels): (Vec<Case>, Vec<(String, Vec<String>)>) = cells
        .into_iter()
        .map(|cell| (cell.case, (cell.method, cell.values)))
        .unzip();
    let trials = Plan {
        cases: &cases,
        seeds: &seeds,
        parallel: cases.iter().all(|case| case.budget.seconds.is_none()),
        cache: folder.trials(),
        others: shards.iter().map(Folder::trials).collect(),
        shard: options.shard,
        reporting: options.output.console.reporting(),
    }
    .run()?;
    if let Some(shard) = options.shard {
        if interrupt::asked() {
            let whole = folder.path().ancestors().nth(2);
            return Err(Interrupted::error(whole.unwrap_or(folder.path())));
        }
        let count: usize = trials.iter().map(Vec::len).sum();
        let all = cases.len() * seeds.len();
        let path = folder.path().display();
        say!(
            "{count} of {all} trainings ({shard}) are in {path}; without --shard the same command joins all"
        );
        return Ok(());
    }
    if trials.iter().any(|t| t.len() < seeds.len()) {
        return Err(Interrupted::error(folder.path()));
    }
    let swept: Vec<&Axes> = axes.iter().filter(|axis| axis.values.len() > 1).collect();
    let shown: Vec<usize> = (0..axes.len())
        .filter(|i| axes[*i].values.len() > 1)
        .collect();
    let results: Vec<Row> = labels
        .iter()
        .zip(&trials)
        .map(|((method, values), trials)| Row {
            method,
            values: shown.iter().map(|i| values[*i].as_str()).collect(),
            trials,
        })
        .collect();
    let text = summary(&swept, &results);
    folder.write("table.md", &format!("```text\n{text}```\n"))?;
    folder.write("summary.csv", &csv(&swept, &results))?;
    say!("{} seeds\n\n{text}", seeds.len());
    let mut files = Vec::new();
    if let Some(panel) = panel(&swept, &results) {
        files.extend(chart::save(
            &folder.subfolder("figures")?,
            "sweep",
            &[panel],
            1,
        )?);
    }
    let reporting = options.output.console.reporting();
    reporting.drawn(folder.path(), &files);
    say!("{}", folder.path().display());
    Ok(())
}

struct Row<'a> {
    method: &'a str,
    values: Vec<&'a str>,
    trials: &'a [Trial],
}

impl Row<'_> {
    fn losses(&self) -> Vec<f64> {
        self.trials.iter().map(Trial::test_loss).collect()
    }
}

/// The first of some things that is among those before it.
fn repeated<T: Ord>(things: &[T]) -> Option<&T> {
    let mut seen = BTreeSet::new();
    things.iter().find(|thing| !seen.insert(*thing))
}

/// Reads 1..5 or 1,2,7.
pub fn seeds(text: &str) -> Result<Vec<u64>> {
    let parsed = match text.split_once("..") {
        Some((first, last)) => match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first <= last && last - first < MOST_SEEDS as u64 => {
                Some((first..=last).collect::<Vec<_>>())
            }
            _ => None,
        },
        None => text.split(',').map(|s| s.trim().parse().ok()).collect(),
    };
    if let Some(seed) = parsed.as_deref().and_then(repeated) {
        let expected = format_args!("a list of different seeds; {seed} is there twice");
        return Err(Refused::because(hig::Error::setting(
            "seeds", text, expected,
        )));
    }
    match parsed {
        Some(seeds) if seeds.len() <= MOST_SEEDS && seeds.iter().all(|s| *s <= LARGEST_SEED) => {
            Ok(seeds)
        }
        _ => Err(Refused::because(hig::Error::setting(
            "seeds",
            text,
            format_args!(
                "a range such as 1..5 or a list such as 1,2,7, of at most {MOST_SEEDS} seeds up to \
                 {LARGEST_SEED}"
            ),
        ))),
    }
}

fn axes(options: &SweepOptions, config: &Config) -> Result<Vec<Axes>> {
    let mut axes = Vec::new();
    for assignment in &options.set {
        let Some((key, values)) = assignment.split_once('=') else {
            return Err(Refused::because(format_args!(
                "--set {assignment}: expected KEY=VALUES, such as cutoff=1e-4,1e-5"
            )));
        };
        let is_list = config
            .system
            .settings()
            .iter()
            .any(|s| s.name == key && matches!(s.value, Value::Counts(_)));
        let separator = if is_list { ';' } else { ',' };
        let values = values.split(separator).map(|v| v.trim().to_owned());
        let values: Vec<String> = values.collect();
        if let Some(value) = repeated(&values) {
            return Err(Refused::because(format_args!(
                "--set {assignment}: expected each value once; {value} is there twice"
            )));
        }
        let key = key.trim().to_owned();
        axes.push(Axes { key, values });
    }
    Ok(axes)
}

/// The grid, checked with the first seed before anything is trained.
fn cells(options: &SweepOptions, config: &Config, axes: &[Axes], seed: u64) -> Result<Vec<Cell>> {
    let usual = ["hig".to_owned()];
    let asked = [&options.methods[..], config.methods(), &usual];
    let methods = asked.into_iter().find(|names| !names.is_empty());
    let methods = methods.unwrap_or_default();
    if let Some(method) = repeated(methods) {
        let message = format_args!("method `{method}` is named twice");
        return Err(Refused::because(message));
    }
    let counts = axes.iter().map(|axis| axis.values.len());
    let count = counts.fold(methods.len(), usize::saturating_mul);
    if count > MOST_CASES {
        return Err(Refused::because(format_args!(
            "{count} combinations of methods and settings: expected at most {MOST_CASES}"
        )));
    }
    let keys: Vec<&str> = axes.iter().map(|axis| axis.key.as_str()).collect();
    if let Some(key) = repeated(&keys) {
        return Err(Refused::because(format_args!(
            "--set {key}: it is there twice; expected all its values in one, as in {key}=A,B"
        )));
    }
    // Whatever a run with all of the methods takes.
    let first = axes.iter().map(|axis| (axis, axis.values[0].as_str()));
    config.resolve(&overrides(options, methods, first))?;
    let mut cells = Vec::new();
    for method in methods {
        let method = std::slice::from_ref(method);
        let usual = config.resolve(&overrides(options, method, []))?;
        let reaches = |axis: &Axes| reaches(&usual, &axis.key);
        for values in grid(axes, reaches) {
            let given = axes.iter().zip(&values);
            let given = given.filter_map(|(axis, value)| Some((axis, value.as_deref()?)));
            let overrides = overrides(options, method, given);
            let name = [&overrides.methods[..], &overrides.set[..]]
                .concat()
                .join(" ");
            let case = Case::new(name, config.resolve(&overrides)?);
            case.check(seed)?;
            let values = values.into_iter().map(Option::unwrap_or_default);
            cells.push(Cell {
                case,
                method: method[0].clone(),
                values: values.collect(),
            });
        }
    }
    Ok(cells)
}

fn overrides<'a>(
    options: &SweepOptions,
    methods: &[String],
    given: impl IntoIterator<Item = (&'a Axes, &'a str)>,
) -> Overrides {
    let assignment = |(axis, value): (&Axes, &str)| format!("{}={value}", axis.key);
    Overrides {
        methods: methods.to_vec(),
        set: given.into_iter().map(assignment).collect(),
        budget: options.budget,
        ..Overrides::default()
    }
}

/// Whether a setting is one of the system or of the methods of the only chain.
fn reaches(resolved: &Resolved, key: &str) -> bool {
    let (method, key) = match key.split_once('.') {
        Some((method, key)) => (Some(method), key),
        None => (None, key),
    };
    let mut phases = resolved.chains.iter().flat_map(|chain| &chain.phases);
    phases.any(|phase| method.is_none_or(|name| phase.name == name) && phase.has(key))
        || (method.is_none() && resolved.system.has(key))
}

/// Every combination of the values of those settings that reach a method, none for the others.
fn grid(axes: &[Axes], reaches: impl Fn(&Axes) -> bool) -> Vec<Vec<Option<String>>> {
    let mut grid: Vec<Vec<Option<String>>> = vec![Vec::new()];
    for axis in axes {
        let values: Vec<Option<String>> = match reaches(axis) {
            true => axis.values.iter().cloned().map(Some).collect(),
            false => vec![None],
        };
        let longer = |prefix: &Vec<Option<String>>| {
            let longer = values
                .iter()
                .map(|value| [&prefix[..], std::slice::from_ref(value)].concat());
            longer.collect::<Vec<_>>()
        };
        grid = grid.iter().flat_map(longer).collect();
    }
    grid
}

fn summary(swept: &[&Axes], rows: &[Row<'_>]) -> String {
    let mut header = vec!["method"];
    header.extend(swept.iter().map(|axis| axis.key.as_str()));
    header.extend([
        "returned test loss, median",
        "last test loss, median",
        "best seed",
        "worst seed",
        "ms/update",
        "diverged",
    ]);
    let cells = |row: &Row<'_>| {
        let losses = row.losses();
        let per_update: Vec<f64> = row
            .trials
            .iter()
            .map(|t| {
                let (seconds, updates) = (t.history.seconds.last(), t.history.updates.last());
                1e3 * seconds.unwrap_or(&0.0) / updates.unwrap_or(&1.0).max(1.0)
            })
            .collect();
        let diverged = losses.iter().filter(|loss| !loss.is_finite()).count();
        let mut cells = vec![row.method.to_owned()];
        cells.extend(row.values.iter().map(|v| (*v).to_owned()));
        let returned: Vec<f64> = row.trials.iter().map(Trial::returned_test_loss).collect();
        cells.push(format!("{:.2e}", quantile(&returned, 0.5)));
        cells.push(format!("{:.2e}", quantile(&losses, 0.5)));
        cells.push(format!("{:.2e}", quantile(&losses, 0.0)));
        cells.push(format!("{:.2e}", quantile(&losses, 1.0)));
        cells.push(format!("{:.3}", quantile(&per_update, 0.5)));
        cells.push(format!("{diverged}/{}", losses.len()));
        cells
    };
    let cells: Vec<Vec<String>> = rows.iter().map(cells).collect();
    table::layout(&header, &cells)
}

fn csv(swept: &[&Axes], rows: &[Row<'_>]) -> String {
    let mut text = "method,".to_owned();
    for axis in swept {
        text += &format!("{},", axis.key);
    }
    text += "seed,updates,seconds,train_loss,test_loss,stop,returned,returned_train_loss,returned_test_loss\n";
    for row in rows {
        for t in row.trials {
            text += &format!("{},", row.method);
            for value in &row.values {
                text += &format!("\"{value}\",");
            }
            let last = |values: &[f64]| values.last().copied().unwrap_or(f64::NAN);
            let (returned, train, test) = t.returned.unwrap_or((0, f64::NAN, f64::NAN));
            text += &format!(
                "{},{},{:.6},{:e},{:e},\"{}\",{returned},{train:e},{test:e}\n",
                t.seed,
                last(&t.history.updates),
                last(&t.history.seconds),
                last(&t.history.train_loss),
                last(&t.history.test_loss),
                t.stop.replace('"', "'")
            );
        }
    }
    text
}

/// Test loss over the first swept setting that is a number, a curve for each combination of the
/// others, with the range of the seeds.
fn panel(swept: &[&Axes], rows: &[Row<'_>]) -> Option<Panel> {
    let numbers = |axis: &&&Axes| axis.values.iter().all(|v| v.parse::<f64>().is_ok());
    let place = swept.iter().position(|axis| numbers(&axis))?;
    let label = |row: &Row<'_>| {
        let mut label = row.method.to_owned();
        let others = swept.iter().enumerate();
        for (i, axis) in others.filter(|(i, _)| *i != place && !row.values[*i].is_empty()) {
            label += &format!(" {}={}", axis.key, row.values[i]);
        }
        label
    };
    let mut curves: Vec<Curve> = Vec::new();
    // A method without the setting has no place on its axis.
    for row in rows.iter().filter(|row| !row.values[place].is_empty()) {
        let label = label(row);
        let known = curves.iter().position(|curve| curve.label == label);
        let i = known.unwrap_or_else(|| {
            curves.push(Curve {
                label,
                band: Some((Vec::new(), Vec::new())),
                ..Curve::default()
            });
            curves.len() - 1
        });
        let losses = row.losses();
        let curve = &mut curves[i];
        curve.x.push(row.values[place].parse().unwrap_or(f64::NAN));
        curve.y.push(quantile(&losses, 0.5));
        if let Some((low, high)) = &mut curve.band {
            low.push(quantile(&losses, 0.0));
            high.push(quantile(&losses, 1.0));
        }
    }
    let labels: Vec<&str> = curves.iter().map(|curve| curve.label.as_str()).collect();
    let looks = styles::of_labels(&labels);
    for (curve, style) in curves.iter_mut().zip(looks) {
        curve.style = style;
        sort_by_x(curve);
    }
    let values: Vec<f64> = curves.iter().flat_map(|curve| curve.x.clone()).collect();
    let smallest = values.iter().copied().fold(f64::INFINITY, f64::min);
    let largest = values.iter().copied().fold(0.0, f64::max);
    let key = &swept[place].key;
    let x = if smallest > 0.0 && largest / smallest > 20.0 {
        Axis::log(key)
    } else {
        Axis::linear(key)
    };
    Some(Panel::Chart(Chart {
        title: "median and range of the seeds".into(),
        x,
        y: Axis::log("last test loss"),
        curves,
        points: Vec::new(),
    }))
}

fn sort_by_x(curve: &mut Curve) {
    let mut order: Vec<usize> = (0..curve.x.len()).collect();
    order.sort_by(|a, b| curve.x[*a].total_cmp(&curve.x[*b]));
    let sorted = |values: &[f64]| -> Vec<f64> { order.iter().map(|i| values[*i]).collect() };
    curve.x = sorted(&curve.x);
    curve.y = sorted(&curve.y);
    if let Some((low, high)) = &mut curve.band {
        *low = sorted(low);
        *high = sorted(high);
    }
}
