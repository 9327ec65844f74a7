//! `host build`: a module's source becomes a component, by the tools of its language.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use bespoke_project::{Built, Project, Tools};

use super::{cache_dir, sandbox};
use crate::module::{Limits, Module};

/// The variable that names the folder of tools.
const TOOLS: &str = "BESPOKE_TOOLS";

/// What was typed.
#[derive(clap::Args, Debug, Clone)]
pub struct BuildArgs {
    /// The folder with the source
    #[arg(default_value = ".", value_name = "DIR")]
    pub dir: PathBuf,
    /// The file to make; by default named after the world, in the folder
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// The world to build for, where the WIT has several
    #[arg(long, value_name = "NAME")]
    pub world: Option<String>,
    /// Fetch no tools: name those that are missing
    #[arg(long)]
    pub offline: bool,
    /// Where fetched tools are kept [default: tools/ in the user's cache]
    #[arg(long, value_name = "DIR", env = TOOLS)]
    pub tools: Option<PathBuf>,
    /// Only write what editors need in bindings/
    #[arg(long, conflicts_with = "output")]
    pub bindings: bool,
    /// Leave the component as it comes out: do not load it to see that it is a module
    #[arg(long)]
    pub no_check: bool,
}

/// Builds a module, and says what came of it.
///
/// # Errors
/// If a tool is missing or refuses the source, or the component is no module.
pub fn build(args: &BuildArgs, out: &mut dyn Write) -> Result<()> {
    let started = Instant::now();
    let project = Project::open(&args.dir, args.world.as_deref())?;
    let say = |line: &str| tracing::info!("{line}");
    let tools = Tools::new(tools(args.tools.clone(), &project), args.offline, &say);
    if args.bindings {
        project.write_all_bindings(&tools)?;
        writeln!(out, "wrote {}", project.dir().join("bindings").display())?;
        return Ok(());
    }
    let output = args.output.clone().unwrap_or_else(|| project.output());
    match project.build(&tools, &output)? {
        Built::Unchanged => writeln!(out, "{} is up to date", output.display())?,
        Built::New => writeln!(out, "{}", told(&output, started.elapsed()))?,
    }
    if !args.no_check {
        writeln!(out, "{}", checked(&output)?)?;
    }
    Ok(())
}

/// Where tools are: in the folder that was named, the user's, or beside the source.
pub(super) fn tools(named: Option<PathBuf>, project: &Project) -> PathBuf {
    let named = named.or_else(|| std::env::var_os(TOOLS).map(PathBuf::from));
    named.or_else(|| cache_dir("tools")).unwrap_or_else(|| project.dir().join(".tools"))
}

/// What is said of a component that was made.
pub(super) fn told(output: &Path, took: Duration) -> String {
    let size = std::fs::metadata(output).map(|file| file.len()).unwrap_or_default();
    format!("built {} ({}, {:.1} s)", output.display(), in_words(size), took.as_secs_f64())
}

/// What the component is as a module.
fn checked(path: &Path) -> Result<String> {
    let module = Module::load(&sandbox()?, path, Limits::default())?;
    Ok(super::inspect::describe(module.signature()))
}

/// A size for people.
fn in_words(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1000),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
