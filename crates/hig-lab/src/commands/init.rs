//! `hig init`: a configuration file with every setting explained, or the JSON schema of such files.

use crate::configuration::{schema, template};
use crate::console::output;
use crate::error::Refused;
use anyhow::Result;
use clap::Args;
use hig::systems;

/// Options of `hig init`.
#[derive(Debug, Args)]
pub struct InitOptions {
    /// System to train on (see `hig list`).
    #[arg(required_unless_present = "schema")]
    pub system: Option<String>,
    /// Print the JSON schema of configuration files instead, by which editors check and complete
    /// them.
    #[arg(long, conflicts_with = "system")]
    pub schema: bool,
}

/// Runs the command `hig init`.
pub fn init(options: &InitOptions) -> Result<()> {
    let text = match &options.system {
        Some(name) => {
            let system = systems::system(name).map_err(Refused::because)?;
            template(system.as_ref())?
        }
        None => serde_json::to_string_pretty(&schema())? + "\n",
    };
    output::write(format_args!("{text}"));
    Ok(())
}
