//! Writes the reference of the documentation site, `settings.md` and `command-line.md`, into a folder:
//! what the code itself declares, so that it cannot fall behind.
//!
//! It stands here and not in the site's program because it needs the lab: beside mdBook, whose
//! dependencies ask for other features of common crates, the lab would have to be compiled anew.
#![forbid(unsafe_code)]

mod command_line;
mod settings;
mod tables;

use anyhow::{Context, Result};
use std::fs;
use std::path::PathBuf;

fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("expected a folder")?;
    let folder = PathBuf::from(folder);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("settings.md"), settings::page())?;
    fs::write(folder.join("command-line.md"), command_line::page())?;
    Ok(())
}
