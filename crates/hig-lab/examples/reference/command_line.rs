//! The page of all commands and options, from the definitions that the program itself reads.

use crate::tables::{code, table};
use clap::{Arg, ArgAction, Command, CommandFactory};
use hig_lab::commands::cli::Cli;

/// The page in Markdown.
pub fn page() -> String {
    let mut program = Cli::command();
    program.build();
    let mut text = String::from(
        "# The command line\n\n\
         What `hig COMMAND --help` says; from a clone, `hig` is `cargo run --release --`.\n\
         [The lab](../lab.md) explains it with examples.\n\n",
    );
    describe(&mut program, &mut text);
    text
}

fn describe(command: &mut Command, text: &mut String) {
    let path = command
        .get_bin_name()
        .unwrap_or_else(|| command.get_name())
        .to_owned();
    let usage = command.render_usage().to_string();
    let about = command.get_long_about().or(command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    *text += &format!(
        "## `{path}`\n\n{}\n\n```text\n{usage}\n```\n\n",
        sentence(&about)
    );
    let rows: Vec<Vec<String>> = command
        .get_arguments()
        .filter(|a| told(a))
        .map(row)
        .collect();
    if !rows.is_empty() {
        *text += &table(&["argument", "default", "meaning"], &rows);
        *text += "\n";
    }
    for inner in command.get_subcommands_mut() {
        if inner.get_name() != "help" && !inner.is_hide_set() {
            describe(inner, text);
        }
    }
}

/// `--help` is the same everywhere.
fn told(argument: &Arg) -> bool {
    let help = matches!(
        argument.get_action(),
        ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong
    );
    !help && !argument.is_hide_set()
}

fn row(argument: &Arg) -> Vec<String> {
    let defaults = argument.get_default_values().iter();
    let mut default: Vec<_> = defaults.map(|v| v.to_string_lossy().into_owned()).collect();
    if !argument.get_action().takes_values() {
        default.clear();
    }
    let help = argument.get_long_help().or(argument.get_help());
    let mut meaning = sentence(&help.map(ToString::to_string).unwrap_or_default());
    let possible: Vec<_> = argument
        .get_possible_values()
        .iter()
        .filter(|v| !v.is_hide_set() && argument.get_action().takes_values())
        .map(|v| code(v.get_name()))
        .collect();
    if !possible.is_empty() {
        meaning += &format!(" One of {}.", possible.join(", "));
    }
    vec![name(argument), code(&default.join(",")), meaning]
}

/// `-q, --quiet`, `--out DIR`, `RUN`.
fn name(argument: &Arg) -> String {
    let short = argument.get_short().map(|c| format!("-{c}"));
    let long = argument.get_long().map(|word| format!("--{word}"));
    let flags: Vec<String> = [short, long].into_iter().flatten().collect();
    let takes = argument.get_action().takes_values();
    let values: Vec<String> = match argument.get_value_names() {
        Some(names) if takes => names.iter().map(ToString::to_string).collect(),
        None if takes => vec![argument.get_id().as_str().to_uppercase()],
        _ => Vec::new(),
    };
    let parts = [flags.join(", "), values.join(" ")];
    code(parts.join(" ").trim())
}

fn sentence(text: &str) -> String {
    match text.trim_end() {
        text if text.is_empty() || text.ends_with(['.', ']', '?', '!']) => text.into(),
        text => format!("{text}."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_stands_there() {
        let page = page();
        let program = Cli::command();
        for command in program.get_subcommands() {
            assert!(page.contains(&format!("## `hig {}`\n", command.get_name())));
            for long in command.get_arguments().filter_map(Arg::get_long) {
                assert!(page.contains(&format!("--{long}")), "{long}");
            }
        }
        assert!(page.contains("| `-q, --quiet` | "), "{page}");
        assert!(page.contains("| `--set KEY=VALUE` | "), "{page}");
        assert!(page.contains("| `--checkpoint S` | `30` | "), "{page}");
    }
}
