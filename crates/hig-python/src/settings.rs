//! Systems, methods and their settings as the library lists them.

use crate::errors::raise;
use hig::settings::{Setting, Settings, Value};
use hig::step::{self, Method};
use hig::systems::System;
use hig::trainer::Training;
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

/// Settings by name, as text.
pub type Assignments = Vec<(String, String)>;

/// Sets and checks settings.
///
/// # Errors
/// A name or a value that is not possible.
pub fn assign(settings: &mut (impl Settings + ?Sized), assignments: &Assignments) -> PyResult<()> {
    for (name, text) in assignments {
        settings.set(name, text).map_err(raise)?;
    }
    settings.check().map_err(raise)
}

/// A method by its registered name with settings.
///
/// # Errors
/// A name or a value that is not possible.
pub fn method(name: &str, assignments: &Assignments) -> PyResult<Box<dyn Method>> {
    let mut method = step::method(name).map_err(raise)?;
    assign(method.as_mut(), assignments)?;
    Ok(method)
}

/// A system by its registered name with settings.
///
/// # Errors
/// A name or a value that is not possible.
pub fn system(name: &str, assignments: &Assignments) -> PyResult<Box<dyn System>> {
    let mut system = hig::systems::system(name).map_err(raise)?;
    assign(system.as_mut(), assignments)?;
    system.check_together().map_err(raise)?;
    Ok(system)
}

/// How to train, with settings.
///
/// # Errors
/// A name or a value that is not possible.
pub fn training(assignments: &Assignments) -> PyResult<Training> {
    let mut training = Training::default();
    assign(&mut training, assignments)?;
    Ok(training)
}

/// Name, value, rule and meaning of a setting, and the words that it may be.
type Told = (
    &'static str,
    Py<PyAny>,
    String,
    &'static str,
    Vec<&'static str>,
);

fn told(py: Python<'_>, settings: Vec<Setting>) -> PyResult<Vec<Told>> {
    let each = settings.into_iter();
    each.map(|s| {
        let (allowed, words) = (s.allowed.to_string(), s.allowed.words());
        Ok((s.name, value(py, s.value)?, allowed, s.about, words))
    })
    .collect()
}

fn value(py: Python<'_>, value: Value) -> PyResult<Py<PyAny>> {
    match value {
        Value::Number(v) => v.into_py_any(py),
        Value::Count(v) => v.into_py_any(py),
        Value::Flag(v) => v.into_py_any(py),
        Value::Counts(v) => PyTuple::new(py, v)?.into_py_any(py),
        Value::Word(v) => v.into_py_any(py),
    }
}

/// All systems: name, what it is, settings.
#[pyfunction]
pub fn systems(py: Python<'_>) -> PyResult<Vec<(&'static str, &'static str, Vec<Told>)>> {
    let all = hig::systems::systems();
    all.iter()
        .map(|s| Ok((s.name(), s.about(), told(py, s.settings())?)))
        .collect()
}

/// All methods: name, what it is, settings.
#[pyfunction]
pub fn methods(py: Python<'_>) -> PyResult<Vec<(&'static str, &'static str, Vec<Told>)>> {
    let all = step::methods();
    all.iter()
        .map(|m| Ok((m.name(), m.about(), told(py, m.settings())?)))
        .collect()
}

/// The settings of a training.
#[pyfunction]
pub fn training_settings(py: Python<'_>) -> PyResult<Vec<Told>> {
    told(py, Training::default().settings())
}

/// All settings of a system, a method or a training after some were set.
#[pyfunction]
pub fn canonical<'py>(
    py: Python<'py>,
    kind: &str,
    name: &str,
    assignments: Assignments,
) -> PyResult<Bound<'py, PyDict>> {
    let settings = match kind {
        "system" => system(name, &assignments)?.settings(),
        "method" => method(name, &assignments)?.settings(),
        _ => training(&assignments)?.settings(),
    };
    values(py, settings)
}

/// Settings by name.
fn values(py: Python<'_>, settings: Vec<Setting>) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    for setting in settings {
        all.set_item(setting.name, value(py, setting.value)?)?;
    }
    Ok(all)
}

/// All settings of a method, and of the training with it, as a system's source recommends.
#[pyfunction]
pub fn recommended<'py>(
    py: Python<'py>,
    name: &str,
    assignments: Assignments,
    method: &str,
) -> PyResult<(Bound<'py, PyDict>, Bound<'py, PyDict>)> {
    let system = system(name, &assignments)?;
    let (method, training) = hig::systems::recommended(system.as_ref(), method).map_err(raise)?;
    Ok((
        values(py, method.settings())?,
        values(py, training.settings())?,
    ))
}

/// All settings of a training with given samples, and what that changed of the ones told.
#[pyfunction]
pub fn for_given_samples(
    py: Python<'_>,
    assignments: Assignments,
) -> PyResult<(Bound<'_, PyDict>, Option<String>)> {
    let mut training = training(&assignments)?;
    let changed = training.for_given_samples();
    let changed = changed.map(|changed| changed.to_string());
    Ok((values(py, training.settings())?, changed))
}

/// The settings with which a system's source compares methods, and its budget.
#[pyfunction]
#[allow(clippy::type_complexity)]
pub fn comparison(
    name: &str,
    assignments: Assignments,
) -> PyResult<(
    Vec<(&'static str, Vec<(&'static str, &'static str)>)>,
    (Option<usize>, Option<f64>, Option<f64>),
)> {
    let system = system(name, &assignments)?;
    let budget = system.budget();
    let limits = (budget.updates, budget.epochs, budget.seconds);
    Ok((system.comparison(), limits))
}
