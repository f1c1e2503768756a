//! The program `hig`, for whom the wheel is all that they install.

use hig_lab::run_folder::outcome::Reason;
use pyo3::prelude::*;
use std::ffi::OsString;

/// Does what the command line asks for; its exit code. It takes the signals of the process, which should do
/// nothing else. `program` are the words that start it anew.
#[pyfunction]
pub fn program(py: Python<'_>, program: Vec<OsString>, arguments: Vec<OsString>) -> u8 {
    py.detach(|| hig_lab::start(program, arguments))
}

/// Why a training ended, as files of a run name it, by the words that it gave.
#[pyfunction]
pub fn reason(stop: &str) -> &'static str {
    Reason::of_words(stop).name()
}
