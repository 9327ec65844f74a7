//! What the benches of whole processes share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use host::config::{Pipeline, RegistryKind};
use host::module::Sandbox;
use host::pipeline::{Built, Naming, Purpose, SchemaStore, TableStores, build};
use host::schema::{Compatibility, FileRegistry, SchemaDir};
use host::shutdown::Shutdown;

/// The top of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All of a pipeline but its log.
///
/// # Errors
/// If modules are missing, or do not fit.
pub fn assemble(config: &Pipeline) -> Result<Built> {
    let dir = SchemaDir::read(&config.schemas.dir)?;
    let RegistryKind::File(ids) = &config.schemas.registry else { bail!("the registry is not a file") };
    let registry = Arc::new(FileRegistry::open(ids, Compatibility::Backward)?);
    let schemas = SchemaStore::new(registry, Naming::default(), Purpose::Run(Shutdown::new()));
    let cache = std::env::temp_dir().join("bespoke-bench-modules");
    fs::create_dir_all(&cache)?;
    let sandbox =
        Sandbox::new(Some(cache)).map_err(|e| anyhow::anyhow!("the WebAssembly engine does not start: {e:#}"))?;
    build(config, &sandbox, &dir, Arc::new(schemas), &TableStores::to_run(config, &Shutdown::new()))
        .context("modules are built by `make guests`")
}
