//! `hig compare`: the methods of several runs in one table.

mod common;
mod row;
mod settings;

use crate::console::output;
use crate::console::output::say;
use crate::console::table::layout;
use crate::error::Refused;
use crate::run_folder::read_all;
use anyhow::Result;
use clap::{Args, ValueEnum, ValueHint};
use common::Common;
use row::Row;
use serde_json::{Map, Value, json};
use settings::Settings;
use std::path::PathBuf;

/// Options of `hig compare`.
#[derive(Debug, Args)]
pub struct CompareOptions {
    /// Folders of runs, or folders of such folders.
    #[arg(value_name = "RUN", required = true, value_hint = ValueHint::DirPath)]
    pub runs: Vec<PathBuf>,
    /// Column to sort by, the lowest first [default: the order of runs and methods].
    #[arg(long, value_name = "COLUMN")]
    pub sort: Option<Column>,
    /// Test loss to which the seconds are told [default: for each system the largest of the lowest
    /// test losses, which every method has reached].
    #[arg(long, value_name = "LOSS")]
    pub loss: Option<f64>,
    /// Print comma-separated values.
    #[arg(long, conflicts_with = "json")]
    pub csv: bool,
    /// Print JSON.
    #[arg(long)]
    pub json: bool,
}

/// What the table can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "kebab-case")]
pub enum Column {
    /// Name of the run.
    Run,
    /// Name of the method.
    Method,
    /// How the training stands.
    State,
    /// Updates done.
    Updates,
    /// Seconds of training.
    Seconds,
    /// Milliseconds an update.
    MsPerUpdate,
    /// Training loss now; after the end that of the weights that were returned.
    TrainLoss,
    /// Test loss now; after the end that of the weights that were returned.
    TestLoss,
    /// Test loss of the last weights.
    LastTestLoss,
    /// Lowest test loss so far.
    BestTestLoss,
    /// Seconds to the common loss.
    SecondsToLoss,
}

/// Runs the command.
pub fn compare(options: &CompareOptions) -> Result<()> {
    if let Some(loss) = options.loss
        && loss.is_nan()
    {
        return Err(Refused::because("--loss NaN: expected a number"));
    }
    let runs = read_all(&options.runs)?;
    let common = Common::of(&runs, options.loss);
    let mut rows: Vec<Row> = runs
        .iter()
        .flat_map(|run| {
            run.methods
                .iter()
                .map(|m| Row::of(run, m, common.loss(run)))
        })
        .collect();
    if let Some(column) = options.sort {
        rows.sort_by(|a, b| a.order(b, column));
    }
    let settings = Settings::that_differ(&runs);
    if options.json {
        let value = document(&rows, &settings, &common);
        say!("{}", serde_json::to_string_pretty(&value)?);
    } else if options.csv {
        output::write(format_args!("{}", csv(&rows, &settings)?));
    } else {
        let text = text(&rows, &settings, &common);
        output::write(format_args!("{text}"));
    }
    Ok(())
}

fn text(rows: &[Row], settings: &Settings<'_>, common: &Common) -> String {
    let to = common.heading();
    let header = [
        "run",
        "method",
        "state",
        "updates",
        "seconds",
        "ms/update",
        "train loss",
        "test loss",
        "last test loss",
        "best test loss",
        &to,
    ];
    let cells: Vec<Vec<String>> = rows.iter().map(Row::cells).collect();
    let mut text = layout(&header, &cells) + &common.explanation();
    let (header, rows) = settings.table();
    if !rows.is_empty() {
        let header: Vec<&str> = header.iter().map(String::as_str).collect();
        text += &format!("\nSettings that differ:\n\n{}", layout(&header, &rows));
    }
    text
}

fn csv(rows: &[Row], settings: &Settings<'_>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let names = settings.names();
    writer.write_record(Row::NAMES.iter().copied().chain(names.iter().copied()))?;
    for row in rows {
        let own = names.iter().map(|name| settings.of(row, name));
        let own = own.map(|value| value.map(settings::plain).unwrap_or_default());
        writer.write_record(row.exact().into_iter().chain(own))?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

fn document(rows: &[Row], settings: &Settings<'_>, common: &Common) -> Value {
    let methods = rows.iter().map(|row| {
        let mut entry = row.json();
        let own = settings.names().into_iter().filter_map(|name| {
            Some((
                name.to_owned(),
                json!(settings::plain(settings.of(row, name)?)),
            ))
        });
        entry.insert("settings".into(), Value::Object(own.collect::<Map<_, _>>()));
        Value::Object(entry)
    });
    json!({"common_loss": common.json(), "methods": methods.collect::<Vec<_>>()})
}
