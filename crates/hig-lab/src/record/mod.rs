//! What a run has left in its folder so far, read and never written.

mod bounded;
pub mod columns;
mod lines;
mod table;

pub use columns::Columns;
