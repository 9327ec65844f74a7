//! `host wit`: the WIT package for a schema.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::schema_in;
use crate::wit::{Options, generate};

/// What was typed.
#[derive(clap::Args, Debug, Clone)]
pub struct WitArgs {
    /// The Avro schema
    pub schema: PathBuf,
    /// The name of the package; by default made of the schema's name
    #[arg(long, value_name = "NAMESPACE:NAME")]
    pub package: Option<String>,
    /// Leave a field out, by name or Record.name; again for more
    #[arg(long, value_name = "FIELD")]
    pub omit: Vec<String>,
}

/// Writes the package.
///
/// # Errors
/// If the file is no schema, or the schema cannot be written in WIT.
pub fn wit(args: &WitArgs, out: &mut dyn Write) -> Result<()> {
    let schema = schema_in(&args.schema)?;
    let options = Options { package: args.package.clone(), omit: args.omit.clone(), ..Options::default() };
    let text = generate(&schema, &options).with_context(|| format!("`{}`", args.schema.display()))?;
    out.write_all(text.as_bytes())?;
    Ok(())
}
