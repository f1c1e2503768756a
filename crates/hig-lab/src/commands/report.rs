//! `hig report`: runs in one HTML file that needs nothing else.

use crate::console::output::{self, say};
use crate::error::Refused;
use crate::page;
use crate::run_folder;
use anyhow::Result;
use clap::{Args, ValueHint};
use hig::files::WholeFile;
use std::io::{self, Write};
use std::path::PathBuf;

/// Options of `hig report`.
#[derive(Debug, Args)]
pub struct ReportOptions {
    /// Folders of runs, or folders of such folders.
    #[arg(value_name = "RUN", required = true, value_hint = ValueHint::DirPath)]
    pub runs: Vec<PathBuf>,
    /// The file that is written; one that is there is replaced, and - is standard output.
    #[arg(long, value_name = "FILE", default_value = "report.html", value_hint = ValueHint::FilePath)]
    pub out: PathBuf,
}

/// Runs the command.
pub fn report(options: &ReportOptions) -> Result<()> {
    let out = options.out.display();
    let refuse = |e: &io::Error| Refused::because(format_args!("{out}: {e}"));
    if options.out.is_dir() {
        return Err(Refused::because(format_args!(
            "--out {out}: it is a folder, expected a file such as report.html"
        )));
    }
    let file = match output::is_standard(&options.out) {
        true => None,
        false => Some(WholeFile::create(&options.out).map_err(|e| refuse(&e))?),
    };
    let runs: Vec<String> = run_folder::read_all(&options.runs)?
        .iter()
        .map(page::run_json)
        .collect();
    let data = page::data(runs.iter().map(String::as_str), false);
    let page = page::page(&data);
    let Some(mut file) = file else {
        output::write_bytes(page.as_bytes());
        return Ok(());
    };
    file.write_all(page.as_bytes())
        .and_then(|()| file.finish())
        .map_err(|e| refuse(&e))?;
    say!("{out}  ({} kB)", page.len().div_ceil(1000));
    Ok(())
}
