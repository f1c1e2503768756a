//! CSV files: written line by line, and read in bounded memory while another process may be writing them.

mod bounded_rows;
mod columns;
pub mod csv_rows;
mod growing;
pub mod ledger;
pub mod series;
mod whole_lines;

pub use columns::Columns;
pub use growing::Lines;
pub use ledger::{Ledger, Marks};
pub use whole_lines::WholeLines;
