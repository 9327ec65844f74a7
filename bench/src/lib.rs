//! What the benches of whole processes share.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use host::config::{Pipeline, RegistryKind};
use host::module::Sandbox;
use host::pipeline::{Built, Naming, Purpose, SchemaStore, TableStores, build};
use host::schema::{Compatibility, FileRegistry, SchemaDir};
use host::shutdown::Shutdown;

/// The unit of the times in `/proc/self/stat`, in Linux's interface to programs (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;

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

/// What all threads of this process have used so far, in user and kernel mode, those that have ended too.
///
/// # Errors
/// Elsewhere than on Linux.
pub fn cpu_time() -> Result<Duration> {
    times_of_stat(14)
}

/// What processes that this one has waited for have used, and those that they have waited for.
///
/// # Errors
/// Elsewhere than on Linux.
pub fn children_cpu_time() -> Result<Duration> {
    times_of_stat(16)
}

/// The sum of two fields of `/proc/self/stat`, of which this is the first, as proc(5) counts them.
fn times_of_stat(field: usize) -> Result<Duration> {
    let stat = fs::read_to_string("/proc/self/stat").context("CPU time is measured on Linux only")?;
    // The second field is the program's name in parentheses, which may hold spaces; the third comes after it.
    let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
    let times: Vec<u64> = after.split_whitespace().skip(field - 3).take(2).filter_map(|t| t.parse().ok()).collect();
    ensure!(times.len() == 2, "/proc/self/stat is not as proc(5) has it");
    Ok(Duration::from_millis(times.iter().sum::<u64>() * 1000 / TICKS_PER_SECOND))
}

/// The most memory that this process had so far, in bytes.
///
/// # Errors
/// Elsewhere than on Linux.
pub fn peak_memory() -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status").context("memory is measured on Linux only")?;
    let kib =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
    kib.map(|kib: u64| kib * 1024).context("/proc/self/status is not as proc(5) has it")
}
