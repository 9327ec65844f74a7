//! The commands that run things: what was typed becomes a pipeline, and the pipeline runs or is looked at.

pub mod check;
pub mod feed;
pub mod inspect;
mod pipe;
pub mod run;
pub mod wit;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use bespoke_boundary::Schema;

use crate::config::{LogKind, NotBuiltIn, Pipeline, RegistryKind};
use crate::log::embedded::{EmbeddedLog, Options};
use crate::module::Sandbox;
use crate::pipeline::{Built, SchemaStore, build};
use crate::schema::{FileRegistry, Registry, SchemaDir};

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
    Ok((dir, Arc::new(SchemaStore::new(registry, config.schemas.compatibility))))
}

/// The schema of a file.
fn schema_in(file: &Path) -> Result<Schema> {
    let dir = SchemaDir::single(file)?;
    let json = dir.names().first().and_then(|name| dir.get(name)).unwrap_or_default();
    Schema::parse(json).with_context(|| format!("`{}`", file.display()))
}

/// Everything that a configuration means, but for its log.
fn assemble(config: &Pipeline) -> Result<Built> {
    config.require_built_in()?;
    let sandbox = sandbox()?;
    let (dir, schemas) = schemas(config)?;
    Ok(build(config, &sandbox, &dir, schemas)?)
}

/// The file of the log, and how it is kept.
pub(crate) fn log_of(config: &Pipeline) -> Result<(PathBuf, Options)> {
    match &config.log.kind {
        LogKind::Embedded { path, sync } => Ok((path.clone(), Options { durability: *sync, ..Options::default() })),
        LogKind::Kafka { .. } => Err(NotBuiltIn { key: "log.kind", value: "kafka" }.into()),
    }
}

fn open_log(config: &Pipeline) -> Result<EmbeddedLog> {
    let (path, options) = log_of(config)?;
    Ok(EmbeddedLog::open(&path, options)?)
}

fn load(path: &Path, overrides: &[String]) -> Result<Pipeline> {
    Ok(Pipeline::load(path, overrides)?)
}
