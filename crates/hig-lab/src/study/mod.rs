//! Studies: many seeds, and what they say about the statements of a source.

mod chapter;

use crate::cli::StudyOptions;
use crate::folder::Folder;
use crate::run::use_threads;
use crate::{Refused, interrupt};
use anyhow::Result;

/// Runs the command.
pub fn study(options: &StudyOptions) -> Result<()> {
    const STUDIES: [&str; 1] = ["chapter"];
    if !STUDIES.contains(&options.name.as_str()) {
        return Err(Refused::because(hig::Error::unknown(
            "study",
            &options.name,
            STUDIES,
        )));
    }
    if options.seeds < 2 {
        let expected = "at least 2, 20 for intervals that say something";
        let error = hig::Error::setting("seeds", options.seeds, expected);
        return Err(Refused::because(error));
    }
    use_threads(options.output.threads)?;
    let name = format!("study-{}", options.name);
    let folder =
        Folder::open_to_continue(options.output.out.as_deref(), &name, options.output.force)?;
    interrupt::listen();
    chapter::run(options, &folder)
}
