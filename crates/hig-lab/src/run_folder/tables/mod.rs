//! CSV files: read in bounded memory while another process may be writing them.

mod bounded_rows;
mod columns;
pub mod rows;
pub mod series;
pub mod thinned;
mod whole_lines;

pub use columns::Columns;
pub use whole_lines::WholeLines;
