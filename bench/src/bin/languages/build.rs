//! How long a module takes to build: for the first time in its folder, and again after a change of its source. The tools of
//! the languages are fetched and warm before that.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bench::repository;
use bench_measure::{children_cpu_time, cpu_time};
use host::command::build::{BuildArgs, build};

/// What belongs to no source.
const SKIPPED: [&str; 7] = ["target", "built", "bindings", "python", "typescript", "go", "c"];
/// A change that every language takes.
const COMMENT: &str = "Another version.";

/// CPU time of all that runs for it.
pub(super) struct Built {
    pub first: Duration,
    pub again: Duration,
}

/// Builds a copy of a module's source, twice.
pub(super) fn measure(language: &str, module: &str) -> Result<Built> {
    let folder = tempfile::tempdir()?;
    let guests = repository().join("guests");
    let (copied, source) = match language {
        // It is a member of a workspace.
        "rust" => (guests, folder.path().join(module).join("src/lib.rs")),
        "python" => (guests.join(language).join(module), folder.path().join("module.py")),
        "typescript" => (guests.join(language).join(module), folder.path().join("module.ts")),
        "go" => (guests.join(language).join(module), folder.path().join("module.go")),
        _ => (guests.join(language).join(module), folder.path().join("module.c")),
    };
    copy(&copied, folder.path())?;
    let dir = if language == "rust" { folder.path().join(module) } else { folder.path().to_owned() };
    let args = BuildArgs {
        dir,
        output: Some(folder.path().join("module.wasm")),
        world: None,
        offline: false,
        tools: std::env::var_os("BESPOKE_TOOLS").map(PathBuf::from),
        bindings: false,
        no_check: true,
    };
    let first = timed(&args)?;
    let mut text = fs::read_to_string(&source)?;
    text.push_str(&if language == "python" { format!("\n# {COMMENT}\n") } else { format!("\n// {COMMENT}\n") });
    fs::write(&source, text)?;
    Ok(Built { first, again: timed(&args)? })
}

fn timed(args: &BuildArgs) -> Result<Duration> {
    let spent = || anyhow::Ok(cpu_time()? + children_cpu_time()?);
    let before = spent()?;
    let mut said = Vec::new();
    build(args, &mut said).with_context(|| args.dir.display().to_string())?;
    let said = String::from_utf8_lossy(&said);
    // Cargo may find that a comment changes nothing, but it has compiled by then.
    ensure!(said.starts_with("built") || args.dir.join("Cargo.toml").exists(), "nothing was built: {said}");
    Ok(spent()?.saturating_sub(before))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from).with_context(|| from.display().to_string())? {
        let from = entry?.path();
        let name = from.file_name().context("a name")?;
        if SKIPPED.iter().any(|skipped| name == *skipped) {
            continue;
        }
        if from.is_dir() {
            copy(&from, &to.join(name))?;
        } else {
            fs::copy(&from, to.join(name))?;
        }
    }
    Ok(())
}
