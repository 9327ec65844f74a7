//! The commands that run things: what was typed becomes a pipeline, and the pipeline runs or is looked at.

mod alone;
pub mod build;
pub mod check;
pub mod feed;
mod feed_brokers;
pub mod inspect;
pub mod new;
mod pipe;
mod rebuild;
pub mod run;
mod source;
pub mod test;
pub mod wit;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use bespoke_boundary::Schema;

use crate::cli::failure::Usage;
use crate::config::{Cluster, Pipeline, RegistryKind, Schemas};
use crate::module::Sandbox;
use crate::pipeline::{BuildError, Built, Location, Naming, OpenLog, Purpose, SchemaStore, TableStores, build};
use crate::schema::{FileRegistry, HttpRegistry, Registry, RegistryError, SchemaDir};
use crate::shutdown::Shutdown;

/// The file that is meant where none is named.
pub const PIPELINE: &str = "pipeline.toml";

/// The engine, with its cache where the user's caches are.
pub(crate) fn sandbox() -> Result<Sandbox> {
    let cache = cache_dir("modules").filter(|dir| std::fs::create_dir_all(dir).is_ok());
    if cache.is_none() {
        tracing::info!("there is no folder for caches, so modules are compiled at every start");
    }
    Sandbox::new(cache).map_err(|e| anyhow!("the WebAssembly engine does not start: {e:#}"))
}

/// A folder of ours where the user's caches are.
fn cache_dir(name: &str) -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
    base.map(|base| base.join("bespoke").join(name))
}

/// The schemas of a pipeline.
fn schema_dir(config: &Schemas) -> Result<SchemaDir> {
    Ok(match &config.registry {
        _ if config.dir.is_file() => SchemaDir::single(&config.dir)?,
        // With a registry a pipeline may well have no schemas of its own.
        RegistryKind::Http(_) if !config.dir.exists() => SchemaDir::default(),
        _ => SchemaDir::read(&config.dir)?,
    })
}

/// The registry of a pipeline. Nothing is asked of it yet.
///
/// # Errors
/// If its file cannot be read, or its settings cannot be used.
pub(crate) fn registry(config: &Schemas) -> Result<Arc<dyn Registry>, RegistryError> {
    Ok(match &config.registry {
        RegistryKind::File(ids) => Arc::new(FileRegistry::open(ids, config.compatibility)?),
        RegistryKind::Http(settings) => Arc::new(HttpRegistry::new(settings)?),
    })
}

/// The schema of a file.
pub(crate) fn schema_in(file: &Path) -> Result<Schema> {
    let dir = SchemaDir::single(file)?;
    let json = dir.names().first().and_then(|name| dir.get(name)).unwrap_or_default();
    Schema::parse(json).with_context(|| format!("`{}`", file.display()))
}

/// Everything that a configuration means, but for its log.
fn assemble(config: &Pipeline, purpose: Purpose) -> Result<Built> {
    assemble_with(config, &schema_dir(&config.schemas)?, purpose)
}

/// Whether a pipeline could start with another module in a stage, of a file with these bytes, as far as that is up to the
/// module.
///
/// # Errors
/// What does not fit.
pub(crate) fn check_module_of(config: &Pipeline, stage: &str, module: &Path, bytes: &[u8]) -> Result<()> {
    let mut config = config.clone();
    for stage in config.stages.iter_mut().filter(|known| known.name == stage) {
        (stage.module, stage.start, stage.deployed) = (module.to_owned(), None, Some(bytes.into()));
    }
    let built = assemble(&config, Purpose::Check);
    let is_of_module = |error: &BuildError| match error {
        BuildError::Module { stage: of, .. }
        | BuildError::Mismatch { stage: of, .. }
        | BuildError::Outputs { stage: of, .. }
        | BuildError::Start { stage: of, .. } => of == stage,
        _ => false,
    };
    match built {
        Err(error) if error.downcast_ref().is_some_and(is_of_module) => Err(error),
        // What else may be wrong is told by whoever runs it.
        _ => Ok(()),
    }
}

/// The same with schemas from elsewhere.
fn assemble_with(config: &Pipeline, dir: &SchemaDir, purpose: Purpose) -> Result<Built> {
    let sandbox = sandbox()?;
    let naming = Naming { subjects: config.schemas.subject, form: config.schemas.schema_id };
    let stores = match &purpose {
        Purpose::Run(stop) => TableStores::to_run(config, stop),
        Purpose::Check => TableStores::to_look(config),
    };
    let schemas = Arc::new(SchemaStore::new(registry(&config.schemas)?, naming, purpose));
    Ok(build(config, &sandbox, dir, schemas, &stores)?)
}

/// The log, to run on it.
fn open_log(config: &Pipeline, shutdown: &Shutdown) -> Result<OpenLog> {
    Ok(Location::of(config).open(shutdown)?)
}

/// The cluster of a pipeline that was named.
pub(crate) fn cluster<'p>(pipeline: &'p Pipeline, name: &str) -> Result<&'p Cluster, Usage> {
    let known: Vec<&str> = pipeline.clusters.keys().map(String::as_str).collect();
    pipeline.clusters.get(name).ok_or_else(|| {
        let told = Usage::new(format!("pipeline `{}` has no [clusters.{name}]", pipeline.name));
        if known.is_empty() { told } else { told.hint(format!("it has {}", known.join(", "))) }
    })
}

fn load(path: &Path, overrides: &[String]) -> Result<Pipeline> {
    Ok(Pipeline::load(path, overrides)?)
}
