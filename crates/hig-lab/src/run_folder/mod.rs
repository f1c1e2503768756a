//! The folder that a run leaves behind.

pub mod bounded_file;
pub mod events;
mod find;
pub mod folder;
mod json;
pub mod method;
pub mod outcome;
pub mod pictures;
pub mod provenance;
mod run;
pub mod spans;
pub mod spectrum;
pub mod spectrum_rows;
pub mod summary;
pub mod tables;
pub mod timing;
pub mod warning;
pub mod warnings;

pub use find::runs_in;
pub use json::{data, run_json};
pub use method::Method;
pub use run::{Run, held, read_all};
pub use summary::State;
pub use tables::Columns;
