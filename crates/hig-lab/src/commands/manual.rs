//! `hig completions`, `hig man`: what a shell and `man` know of the program, made from the definitions
//! of its commands.

use crate::commands::reproduce;
use crate::commands::study;
use crate::console::output::{self, say};
use crate::error::Refused;
use anyhow::Result;
use clap::builder::PossibleValuesParser;
use clap::{Args, Command, ValueHint};
use hig::files::write_whole;
use std::path::{Path, PathBuf};

/// Options of `hig completions`.
#[derive(Debug, Args)]
pub struct CompletionsOptions {
    /// The shell.
    pub shell: clap_complete::Shell,
}

/// Options of `hig man`.
#[derive(Debug, Args)]
pub struct ManOptions {
    /// Folder for hig.1, hig-run.1 and so on, instead of the first of them on standard output.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub out: Option<PathBuf>,
}

/// Runs the command `hig completions`.
pub fn completions(options: &CompletionsOptions, command: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(options.shell, &mut named(command), "hig", &mut script);
    output::write_bytes(&script);
    Ok(())
}

/// Runs the command `hig man`.
pub fn man(options: &ManOptions, command: Command) -> Result<()> {
    match &options.out {
        None => {
            output::write_bytes(&page(command)?);
        }
        Some(folder) => {
            std::fs::create_dir_all(folder)
                .map_err(|e| Refused::because(format_args!("--out {}: {e}", folder.display())))?;
            for (name, command) in pages(command) {
                write(&folder.join(format!("{name}.1")), command)?;
            }
        }
    }
    Ok(())
}

/// The program and its commands, each by the name of its page.
fn pages(mut command: Command) -> Vec<(String, Command)> {
    command.build();
    let commands = command.get_subcommands().filter(|c| c.get_name() != "help");
    let mut pages: Vec<(String, Command)> = commands
        .map(|sub| {
            let name = format!("hig-{}", sub.get_name());
            (name.clone(), sub.clone().display_name(name))
        })
        .collect();
    pages.insert(0, ("hig".into(), command));
    pages
}

fn write(path: &Path, command: Command) -> Result<()> {
    write_whole(path, &page(command)?).map_err(Refused::because)?;
    say!("{}", path.display());
    Ok(())
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}

/// The command line with the names of systems, methods and so on, which it otherwise leaves to commands
/// that refuse a wrong one with the nearest right one.
fn named(command: Command) -> Command {
    let systems = || -> Vec<&'static str> {
        let all = hig::systems::systems();
        all.iter().map(|system| system.name()).collect()
    };
    let methods = || -> Vec<&'static str> {
        let all = hig::step::methods();
        all.iter().map(|method| method.name()).collect()
    };
    let value = |command: Command, argument: &'static str, names: Vec<&'static str>| {
        command.mut_arg(argument, |a| {
            a.value_parser(PossibleValuesParser::new(names))
        })
    };
    command
        .mut_subcommand("run", |c| {
            value(value(c, "system", systems()), "methods", methods())
        })
        .mut_subcommand("sweep", |c| {
            value(value(c, "system", systems()), "methods", methods())
        })
        .mut_subcommand("init", |c| value(c, "system", systems()))
        .mut_subcommand("study", |c| value(c, "name", study::names()))
        .mut_subcommand("reproduce", |c| {
            value(c, "source", reproduce::SOURCES.to_vec())
        })
}
