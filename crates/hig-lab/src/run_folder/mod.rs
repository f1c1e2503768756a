//! The folder that a run leaves behind. Each of its files has one module that knows its name and its
//! form, writes it and reads it.
//!
//! In the folder of a run: [`config`], [`provenance`], [`summary`], [`given`], and a folder for each
//! method with [`metrics`], [`diagnostics`], [`steps`], [`spectrum`], [`timing`], [`warnings`],
//! [`pictures`], [`outcome`], [`weights`], [`checkpoint`] and [`events`]. [`Run`] and [`Method`] are a
//! folder read back. A command of many trainings keeps each of them as a [`trial`].

pub mod bounded_file;
pub mod checkpoint;
pub mod config;
pub mod diagnostics;
pub mod events;
mod find;
pub mod folder;
pub mod given;
pub mod history;
mod method;
pub mod metrics;
mod notes;
pub mod outcome;
pub mod pictures;
pub mod provenance;
mod run;
pub mod spans;
pub mod spectrum;
pub mod steps;
pub mod summary;
pub mod tables;
pub mod timing;
pub mod trial;
pub mod warnings;
pub mod weights;

pub use find::runs_in;
pub use method::Method;
pub use run::{Run, read_all};

/// The tables in the folder of a method.
pub const TABLES: [&str; 6] = [
    metrics::FILE,
    diagnostics::FILE,
    steps::FILE,
    spectrum::FILE,
    timing::FILE,
    warnings::FILE,
];

/// The files in the folder of a method that are written over.
pub const METHOD_FILES: [&str; 13] = [
    metrics::FILE,
    diagnostics::FILE,
    steps::FILE,
    spectrum::FILE,
    timing::FILE,
    warnings::FILE,
    pictures::FILE,
    outcome::FILE,
    weights::FILE,
    checkpoint::FILE,
    "checkpoint.previous.safetensors",
    "checkpoint.new",
    "checkpoint.lock",
];
