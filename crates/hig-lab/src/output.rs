//! Standard output, whose reader may leave before the end, as in `hig list | head`.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

/// Writes to standard output. Work goes on whatever becomes of its reader: results are in files.
pub fn write(text: Arguments<'_>) {
    match std::io::stdout().write_fmt(text) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("error: standard output: {error}");
        }
        _ => {}
    }
}

/// `println!` for a reader that may leave.
macro_rules! say {
    () => { $crate::output::write(format_args!("\n")) };
    ($($part:tt)*) => { $crate::output::write(format_args!("{}\n", format_args!($($part)*))) };
}
pub(crate) use say;
