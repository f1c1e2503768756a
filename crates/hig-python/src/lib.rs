//! The compiled half of the Python package `hig`.
//!
//! The Python half (`python/hig`) checks and converts what users give and makes objects of what comes
//! back; this half computes. It knows no method and no system by name: both come from the library's
//! own lists, with their settings.
//!
//! Whatever takes long runs on a thread of its own while the calling thread waits without the
//! interpreter lock, looks for Ctrl-C, and lends itself to simulators and callbacks (`worker.rs`).
#![deny(unsafe_code)]

mod arrays;
mod closed_loop;
mod errors;
mod factored;
mod field;
mod network;
mod objective;
mod pools;
mod problem;
mod program;
mod settings;
mod simulator;
mod stepper;
mod steps;
mod training;
mod worker;

use pyo3::prelude::*;

#[pymodule(name = "_hig")]
mod extension {
    #[pymodule_export]
    use crate::factored::Factors;
    #[pymodule_export]
    use crate::network::Network;
    #[pymodule_export]
    use crate::problem::Problem;
    #[pymodule_export]
    use crate::program::{program, reason};
    #[pymodule_export]
    use crate::settings::{
        canonical, comparison, for_given_samples, methods, recommended, systems, training_settings,
    };
    #[pymodule_export]
    use crate::simulator::check_simulator;
    #[pymodule_export]
    use crate::stepper::{diagnostics, step};
    #[pymodule_export]
    use crate::steps::{gram_step, half_inverse, spectral_step};
    #[pymodule_export]
    use crate::training::{train, try_checkpoint};
}
