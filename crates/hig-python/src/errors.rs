//! The library's errors as Python exceptions with the same text.

use hig::Error;
use pyo3::exceptions::{PyMemoryError, PyOSError, PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The exception that a Python user expects for an error.
pub fn raise(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::File { .. } => PyOSError::new_err(text),
        Error::Memory { .. } => PyMemoryError::new_err(text),
        // An exception of the user's reaches the user as itself.
        Error::External(error) => match error.downcast::<PyErr>() {
            Ok(raised) => *raised,
            Err(_) => PyRuntimeError::new_err(text),
        },
        Error::Decomposition { .. } => Python::attach(|py| match linear_algebra(py, &text) {
            Ok(exception) | Err(exception) => exception,
        }),
        Error::Setting { .. }
        | Error::Unknown { .. }
        | Error::Shape { .. }
        | Error::Layer { .. }
        | Error::NonFinite { .. }
        | Error::NonFiniteOfSample { .. } => PyValueError::new_err(text),
    }
}

fn linear_algebra(py: Python<'_>, text: &str) -> PyResult<PyErr> {
    let class = py.import("numpy.linalg")?.getattr("LinAlgError")?;
    Ok(PyErr::from_value(class.call1((text,))?))
}

/// Runs work in which a panic is an exception that `except Exception` catches; PyO3's own is not.
///
/// # Errors
/// A panic of the work.
pub fn guarded<R>(work: impl FnOnce() -> R) -> PyResult<R> {
    // What the work has borrowed is not used again after a panic, or is behind a lock.
    catch_unwind(AssertUnwindSafe(work)).map_err(panicked)
}

/// The exception for a panic.
pub fn panicked(payload: Box<dyn Any + Send>) -> PyErr {
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
    let text = text.unwrap_or("no message");
    PyRuntimeError::new_err(format!("a fault inside hig, please report it: {text}"))
}
