//! One update of any method, for those who write the loop themselves.

use crate::arrays::vector;
use crate::errors::raise;
use crate::objective::{Model, ModelObjective, numbered};
use crate::settings::{self, Assignments};
use crate::worker::Worker;
use hig::Error;
use hig::files::SavedState;
use hig::objective::{Consumes, Objective};
use hig::step::Method;
use hig::trainer::compute;
use numpy::{PyArray1, PyReadonlyArray1};
use pyo3::exceptions::{PyFloatingPointError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::sync::Arc;

/// Numbers (f64) that the matrices of an update may take: eight gibibytes.
const MEMORY: usize = 1 << 30;

/// Δθ, the loss of the batch before it, the state of the method after it, and what the step told.
type Stepped<'py> = (
    Bound<'py, PyArray1<f64>>,
    f64,
    Vec<u8>,
    Vec<(&'static str, f64)>,
);

/// One update of a method for a model's batch of so many samples. `state` is what the update before it left;
/// none at the start.
#[pyfunction]
#[allow(clippy::too_many_arguments)]
pub fn step<'py>(
    py: Python<'py>,
    adapter: Bound<'py, PyAny>,
    method: (String, Assignments),
    learning_rate: Option<f64>,
    seed: u64,
    parameters: PyReadonlyArray1<'py, f64>,
    samples: usize,
    state: Option<Vec<u8>>,
) -> PyResult<Stepped<'py>> {
    let method = settings::method(&method.0, &method.1)?;
    let parameters = vector(&parameters)?;
    let model = Arc::new(Model::read(&adapter)?);
    check(method.as_ref(), &model, samples)?;
    let state = state
        .map(|bytes| SavedState::from_bytes(&bytes))
        .transpose();
    let state = state.map_err(|reason| PyValueError::new_err(format!("state: {reason}")))?;
    let worker = Worker::new();
    let objective = ModelObjective::new(Arc::new(adapter.unbind()), model, worker.caller());
    let rate = learning_rate.unwrap_or_else(|| method.learning_rate());
    let work = move || -> hig::Result<_> {
        let mut step = method.start_within(MEMORY)?;
        step.begin(seed, &objective.parameters());
        if let Some(state) = state {
            state.restore(|state| {
                state.of_parameters(parameters.len());
                state.part("step", |state| step.exchange(state));
            })?;
        }
        let batch = numbered(0..samples);
        let computed = compute(&objective, &batch, &parameters, step.as_mut(), rate)?;
        let state = SavedState::of(|state| {
            state.of_parameters(parameters.len());
            state.part("step", |state| step.exchange(state));
        });
        Ok((computed, state.to_bytes()?))
    };
    let finished = worker.run(py, |_| Ok(()), work)?;
    if let Some(raised) = finished.raised {
        return Err(raised);
    }
    let Some(result) = finished.result else {
        return Err(PyRuntimeError::new_err("left behind"));
    };
    let (computed, state) = result.map_err(raise)?;
    let finite = computed
        .change
        .filter(|change| change.delta.iter().all(|d| d.is_finite()));
    let Some(change) = finite else {
        let cause = computed.cause.map(|cause| format!(": {cause}"));
        let message = format!(
            "an update is not finite (the loss is {}){}",
            computed.loss,
            cause.unwrap_or_default()
        );
        return Err(PyFloatingPointError::new_err(message));
    };
    let delta = PyArray1::from_vec(py, change.delta);
    Ok((delta, computed.loss, state, change.diagnostics))
}

/// The names of what steps may tell of themselves.
#[pyfunction]
pub fn diagnostics() -> Vec<&'static str> {
    let all = hig::diagnostics::ALL.iter();
    all.map(|diagnostic| diagnostic.name).collect()
}

/// Refuses a method that needs the parts of a network.
fn check(method: &dyn Method, model: &Model, samples: usize) -> PyResult<()> {
    let consumes = method.consumes(samples * model.components, model.width(), MEMORY);
    match consumes {
        Consumes::PhysicsRows | Consumes::LayerMoments => Err(raise(Error::setting(
            "method",
            method.name(),
            "one that needs no parts of a network, such as adaptive-hig, hig or lm",
        ))),
        _ => Ok(()),
    }
}
