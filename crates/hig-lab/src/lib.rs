//! The lab around the library `hig`: everything that the program of the same name does.
//!
//! Its modules stand in this order; each imports only those before it, which `tests/order.rs` holds:
//!
//! 1. `error`: refusals of what the user gave
//! 2. `run_folder`: the folder that a run leaves behind, a module for each of its files
//! 3. `method_chain`: methods with their settings, one or several after each other
//! 4. `configuration`: configuration files, and the options that go before them
//! 5. `console`: bars, lines, JSON, the log, faults, interrupts
//! 6. `experiment`: what is trained, the one loop that trains it, and many trainings
//! 7. `figures`: the drawing layer, and the figures of a run
//! 8. `page`: the page of `hig report` and `hig watch`
//! 9. `commands`: the command line, and a file or folder for each command
//!
//! A crate with systems of its own calls [`main_with`]. What is public beside it is what the program's neighbours in
//! this repository need: [`main`] and [`start`] for the program itself, the command line for its manual, and whatever
//! reads files for those who try to break it; of that nothing is promised to be stable.
#![forbid(unsafe_code)]

pub mod commands;
pub mod configuration;
mod console;
mod error;
pub mod experiment;
mod figures;
pub mod method_chain;
pub mod page;
pub mod run_folder;

use clap::{CommandFactory, Parser};
use commands::cli::{Cli, Command};
use commands::{
    cli, compare, export, init, list, manual, report, reproduce, resume, run, study, sweep, watch,
};
use console::{fault, interrupt, output};
use error::{EndedBadly, Interrupted, Refused};
use hig::systems::{System, register};
use run_folder::provenance;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// All is done.
const EXIT_SUCCESS: u8 = 0;
/// Bad input, found before any work.
const EXIT_INPUT: u8 = 2;
/// A failure in the middle of work; what was computed is kept.
const EXIT_FAILURE: u8 = 1;
/// All is trained and shown, but the numbers of some method did not stay finite, or it failed.
const EXIT_ENDED_BADLY: u8 = 3;

/// Does what the command line asks for; the exit code of the program.
pub fn main() -> ExitCode {
    let program = std::env::current_exe().unwrap_or_else(|_| "hig".into());
    let arguments = std::env::args_os().skip(1).collect();
    ExitCode::from(start(vec![program.into()], arguments))
}

/// The same with more systems than those of the library: they are listed, configured, trained, drawn, resumed and
/// swept as any other. A name that another system has, or that is no word of small letters, digits and
/// hyphens, is told, and nothing is done.
///
/// ```no_run
/// use hig::systems::{System, Toy};
///
/// /// What a system of one's own would do.
/// fn own() -> Box<dyn System> {
///     Box::new(Toy::default())
/// }
///
/// fn main() -> std::process::ExitCode {
///     hig_lab::main_with(vec![own()])
/// }
/// ```
pub fn main_with(systems: Vec<Box<dyn System>>) -> ExitCode {
    for system in systems {
        if let Err(error) = register(system) {
            console::failure(&error.into(), EXIT_INPUT);
            return ExitCode::from(EXIT_INPUT);
        }
    }
    main()
}

/// Does what arguments ask for in a process that does nothing else; its exit code. `program` are the words that
/// start the program anew.
pub fn start(program: Vec<OsString>, arguments: Vec<OsString>) -> u8 {
    provenance::started(program, arguments.clone());
    fault::explain();
    interrupt::ignore_size_limit();
    let code = fault::guarded(|| work(arguments));
    // A program that is no Rust program flushes nothing at its end; what cannot be written has been told.
    std::io::stdout().flush().ok();
    code
}

fn work(arguments: Vec<OsString>) -> u8 {
    let words: Vec<_> = std::iter::once("hig".into()).chain(arguments).collect();
    let cli = match Cli::try_parse_from(&words) {
        Ok(cli) => cli,
        Err(mut told) => {
            cli::suggest_setting(&mut told, &words);
            return tell(&told);
        }
    };
    console::log::listen(cli.verbose);
    if cli.command.tells_objects() {
        output::reserve();
    }
    let outcome = match cli.command {
        Command::Run(options) => run::run(&options),
        Command::Resume(options) => resume::resume(&options),
        Command::Init(options) => init::init(&options),
        Command::Study(options) => study::study(&options),
        Command::Reproduce(options) => reproduce::reproduce(&options),
        Command::Sweep(options) => sweep::sweep(&options),
        Command::Compare(options) => compare::compare(&options),
        Command::Export(options) => export::export(&options),
        Command::Report(options) => report::report(&options),
        Command::Watch(options) => watch::watch(&options),
        Command::List(options) => list::list(&options),
        Command::Completions(options) => manual::completions(&options, Cli::command()),
        Command::Man(options) => manual::man(&options, Cli::command()),
    };
    match outcome {
        Ok(()) if interrupt::asked() => interrupt::EXIT_INTERRUPTED,
        // What did not reach standard output has been told.
        Ok(()) if output::failed() => EXIT_FAILURE,
        Ok(()) => EXIT_SUCCESS,
        Err(error) => {
            let code = if error.is::<Refused>() {
                EXIT_INPUT
            } else if error.is::<Interrupted>() {
                interrupt::EXIT_INTERRUPTED
            } else if error.is::<EndedBadly>() {
                EXIT_ENDED_BADLY
            } else {
                EXIT_FAILURE
            };
            console::failure(&error, code);
            code
        }
    }
}

/// Prints help, the version, or what is wrong with the command line.
fn tell(told: &clap::Error) -> u8 {
    let printed = told.print();
    if told.use_stderr() {
        return EXIT_INPUT;
    }
    output::written(printed);
    match output::failed() {
        true => EXIT_FAILURE,
        false => EXIT_SUCCESS,
    }
}
