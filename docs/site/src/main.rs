//! Builds the documentation site into `target/site`: the pages of this repository as they stand, and
//! a reference that is generated from the code. It fails on whatever a reader would stumble over: a
//! formula that cannot be read, a link that leads nowhere, anything loaded from elsewhere.
//!
//! Pages keep their places in the repository, so that the links between them are the same here and
//! on a code host.
#![forbid(unsafe_code)]

mod links;
mod math;
mod sources;
mod warnings;

use anyhow::{Context, Result, ensure};
use mdbook_driver::MDBook;
use mdbook_driver::config::Config;
use std::fs;
use std::path::Path;
use std::process::Command;

fn main() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .context("the repository")?;
    let sources = root.join("target/site-sources");
    let site = root.join("target/site");
    for folder in [&sources, &site] {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("emptying {}", folder.display()))?;
        }
    }
    let generated = root.join("target/site-generated");
    reference(root, &generated.join("docs/reference"))?;
    let pages = sources::gather(&[root, &generated], &sources)?;

    let mut config = Config::from_disk(root.join("docs/site/book.toml"))?;
    config.book.src = ".".into();
    config.build.build_dir.clone_from(&site);
    let told = warnings::listen();
    MDBook::load_with_config(&sources, config)?.build()?;
    let mut complaints = told.take();
    complaints.extend(links::complaints(&site)?);
    ensure!(complaints.is_empty(), "{}", complaints.join("\n"));
    println!("{pages} pages: {}", site.join("index.html").display());
    Ok(())
}

/// Has the lab write the pages about its settings and options.
fn reference(root: &Path, folder: &Path) -> Result<()> {
    let status = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()))
        .args([
            "run",
            "--release",
            "--quiet",
            "-p",
            "hig-lab",
            "--example",
            "reference",
        ])
        .arg(folder)
        .current_dir(root)
        .status()
        .context("cargo")?;
    ensure!(
        status.success(),
        "the reference of settings and options could not be made"
    );
    Ok(())
}
