//! The lab around the library `hig`: everything that the program of the same name does.
//!
//! What is public here is what the program's neighbours in this repository need: [`main`] for the
//! program itself, [`cli`] for its manual, [`config`], [`options`], [`contender`], [`experiment`],
//! [`sweep`], [`ended`] and [`record`] for those who try to break what it reads. It is no library for
//! others and promises no stability.
#![forbid(unsafe_code)]

mod about;
mod chart;
pub mod cli;
mod compare;
pub mod config;
pub mod contender;
pub mod ended;
pub mod experiment;
mod export;
mod figures;
mod folder;
mod interrupt;
mod list;
mod manual;
mod observers;
pub mod options;
mod output;
mod page;
pub mod record;
mod recorder;
mod report;
mod reproduce;
mod run;
mod small;
mod standing;
mod statistics;
mod study;
pub mod sweep;
mod table;
mod telling;
mod tensorboard;
mod terminal;
mod timing;
mod trials;
mod warnings;
mod watch;

use clap::{CommandFactory, Parser};
use cli::{Cli, Command};
use std::process::ExitCode;
use telling::fault;

/// Bad input, found before any work.
const EXIT_INPUT: u8 = 2;
/// A failure in the middle of work; what was computed is kept.
const EXIT_FAILURE: u8 = 1;

/// Does what the command line asks for; the exit code of the program.
pub fn main() -> ExitCode {
    fault::explain();
    fault::guarded(work)
}

fn work() -> ExitCode {
    let cli = Cli::parse();
    telling::log::listen(cli.verbose);
    if cli.command.tells_objects() {
        output::reserve();
    }
    let outcome = match cli.command {
        Command::Run(options) => run::run(&options),
        Command::Resume(options) => run::resume(&options),
        Command::Init(options) => config::init(&options),
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
        Ok(()) if interrupt::asked() => ExitCode::from(interrupt::EXIT_INTERRUPTED),
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let refused = error.downcast_ref::<Refused>().is_some();
            let code = if refused { EXIT_INPUT } else { EXIT_FAILURE };
            telling::failure(&error, code);
            ExitCode::from(code)
        }
    }
}

/// An error in what the user gave; nothing has been computed or written yet.
#[derive(Debug)]
pub struct Refused(String);

impl Refused {
    /// With its message.
    pub fn because(message: impl std::fmt::Display) -> anyhow::Error {
        anyhow::Error::new(Self(message.to_string()))
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}
