//! The commands that run things: what was typed becomes a pipeline, and the pipeline runs or is looked at.

pub mod check;
pub mod feed;
pub mod inspect;
mod pipe;
pub mod run;
pub mod wit;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow};

use crate::config::{Pipeline, RegistryKind};
use crate::module::Sandbox;
use crate::pipeline::{Built, Location, OpenLog, SchemaStore, build};
use crate::schema::{Compatibility, FileRegistry, Registry, SchemaDir};

/// The file that is meant where none is named.
pub const PIPELINE: &str = "pipeline.toml";

/// The engine, with its cache where the user's caches are.
fn sandbox() -> Result<Sandbox> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    let cache =
        base.map(|base| base.join("bespoke").join("modules")).filter(|dir| std::fs::create_dir_all(dir).is_ok());
    if cache.is_none() {
        tracing::info!("there is no folder for caches, so modules are compiled at every start");
    }
    Sandbox::new(cache).map_err(|e| anyhow!("the WebAssembly engine does not start: {e:#}"))
}

/// The schemas of a pipeline and the registry that gives them ids.
fn schemas(config: &Pipeline) -> Result<(SchemaDir, Arc<SchemaStore>)> {
    let dir = if config.schemas.dir.is_file() {
        SchemaDir::single(&config.schemas.dir)?
    } else {
        SchemaDir::read(&config.schemas.dir)?
    };
    let RegistryKind::File(ids) = &config.schemas.registry else {
        config.require_built_in()?;
        return Err(anyhow!("no registry"));
    };
    let registry: Arc<dyn Registry> = Arc::new(FileRegistry::open(ids)?);
    let compatibility = match config.schemas.compatibility {
        crate::config::Compatibility::None => Compatibility::None,
        crate::config::Compatibility::Backward => Compatibility::Backward,
        crate::config::Compatibility::Forward => Compatibility::Forward,
        crate::config::Compatibility::Full => Compatibility::Full,
    };
    Ok((dir, Arc::new(SchemaStore::new(registry, compatibility))))
}

/// Everything that a configuration means, but for its log.
fn assemble(config: &Pipeline) -> Result<Built> {
    config.require_built_in()?;
    let sandbox = sandbox()?;
    let (dir, schemas) = schemas(config)?;
    Ok(build(config, &sandbox, &dir, schemas)?)
}

/// The log, to run on it.
fn open_log(config: &Pipeline) -> Result<OpenLog> {
    Ok(Location::of(config).open()?)
}

fn load(path: &Path, overrides: &[String]) -> Result<Pipeline> {
    Ok(Pipeline::load(path, overrides)?)
}
