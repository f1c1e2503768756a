//! The Python extension.
use pyo3::prelude::*;

#[pymodule]
mod _hig {}
