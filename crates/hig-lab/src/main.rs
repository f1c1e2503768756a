//! `hig`: trains networks through physics and compares the methods, from the command line.
#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    hig_lab::main()
}
