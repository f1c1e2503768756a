//! Runs as the JSON that the pages read.

use super::thinned;
use crate::figures::styles;
use crate::run_folder::history::History;
use crate::run_folder::metrics::COLUMNS;
use crate::run_folder::tables::Columns;
use crate::run_folder::tables::series::Series;
use crate::run_folder::{Method, Run};
use serde_json::{Map, Value, json};

/// Rows of a curve that are passed on.
const ROWS: usize = 2000;
/// Numbers of a table that are passed on; one with a column for each of many outputs gets fewer rows.
const NUMBERS: usize = 200_000;

/// The document of several runs that are JSON already. `live` says whether more will come.
pub fn data<'a>(runs: impl IntoIterator<Item = &'a str>, live: bool) -> String {
    let runs: Vec<&str> = runs.into_iter().collect();
    let generated = chrono::Local::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, false);
    let version = concat!("hig ", env!("CARGO_PKG_VERSION"));
    format!(
        "{{\"format\":1,\"live\":{live},\"generated\":\"{generated}\",\"version\":\"{version}\",\
         \"runs\":[{}]}}",
        runs.join(",")
    )
}

/// A run as JSON, in one line. Numbers that are not finite are null; long curves are thinned.
pub fn run_json(run: &Run) -> String {
    let settings = run.settings.iter();
    let settings: Map<String, Value> = settings.map(|(k, v)| (k.clone(), value(v))).collect();
    let names: Vec<&str> = run.methods.iter().map(|m| m.name.as_str()).collect();
    let styled = run.methods.iter().zip(styles::of_labels(&names));
    let methods: Vec<Value> = styled.map(|(m, style)| method(m, style)).collect();
    let target = run
        .provenance
        .get("target")
        .filter(|target| target.is_array());
    json!({
        "name": run.name,
        "path": run.path.display().to_string(),
        "about": table(&run.provenance),
        "config": run.config,
        "settings": settings,
        "methods": methods,
        "target": target.map_or(Value::Null, value),
    })
    .to_string()
}

fn method(method: &Method, style: usize) -> Value {
    let diagnostics = &method.diagnostics;
    let width = diagnostics.names().len().max(1);
    let rows = thinned::rows(diagnostics.rows(), ROWS.min(NUMBERS / width), &[]);
    let spectrum: Vec<Value> = method
        .spectrum
        .iter()
        .map(|s| json!({"update": s.update, "index": s.index, "value": s.value}))
        .collect();
    let warnings: Vec<Value> = method
        .warnings
        .iter()
        .map(|w| {
            json!({"update": w.update as f64, "name": w.name, "message": w.message, "advice": w.advice})
        })
        .collect();
    json!({
        "name": method.name,
        "style": style,
        "state": method.state.name(),
        "outcome": method.outcome.as_ref().map_or(Value::Null, |o| table(&o.to_toml())),
        "metrics": metrics(&method.history),
        "diagnostics": columns(&diagnostics.select(&rows)),
        "steps": series(&method.steps, "value"),
        "spectrum": spectrum,
        "timing": series(&method.timing, "seconds"),
        "warnings": warnings,
        "phases": method.phases,
        "pictures": method.pictures,
    })
}

/// The evaluations; all series are there, and of one length, also those that a foreign table lacks.
fn metrics(history: &History) -> Map<String, Value> {
    let losses = [&history.train_loss, &history.test_loss];
    let losses = losses.into_iter().filter(|losses| !losses.is_empty());
    let losses: Vec<&[f64]> = losses.map(Vec::as_slice).collect();
    let rows = thinned::rows(history.evaluations(), ROWS, &losses);
    let pick = |series: &[f64]| -> Value {
        let values = rows.iter().map(|i| series.get(*i));
        json!(values.collect::<Vec<_>>())
    };
    let series = COLUMNS.into_iter().zip(history.series());
    series
        .map(|(name, values)| (name.to_owned(), pick(values)))
        .collect()
}

fn columns(columns: &Columns) -> Map<String, Value> {
    let column = |(name, values): (&str, &[f64])| (name.to_owned(), json!(values));
    columns.iter().map(column).collect()
}

fn series(series: &[Series], value: &str) -> Value {
    let one = |s: &Series| {
        let rows = thinned::rows(s.update.len(), ROWS, &[&s.value]);
        let pick = |values: &[f64]| json!(rows.iter().map(|i| values[*i]).collect::<Vec<_>>());
        let curve = json!({"update": pick(&s.update), value: pick(&s.value)});
        (s.name.clone(), curve)
    };
    Value::Object(series.iter().map(one).collect())
}

fn table(table: &toml::Table) -> Value {
    Value::Object(table.iter().map(|(k, v)| (k.clone(), value(v))).collect())
}

fn value(toml: &toml::Value) -> Value {
    match toml {
        toml::Value::String(text) => json!(text),
        toml::Value::Integer(number) => json!(number),
        toml::Value::Float(number) => json!(number),
        toml::Value::Boolean(flag) => json!(flag),
        toml::Value::Datetime(time) => json!(time.to_string()),
        toml::Value::Array(values) => values.iter().map(value).collect(),
        toml::Value::Table(inner) => table(inner),
    }
}
