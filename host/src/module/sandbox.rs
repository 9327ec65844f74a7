//! The engine, and what it offers to modules. Every option of wasmtime is here, with its reason.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::component::{Linker, Val};
use wasmtime::{Cache, CacheConfig, Config, Engine, ResourceLimiter};
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::fault::MemoryLimit;
use super::output::Output;

/// How often the clock for time limits ticks, which is how exact they are.
pub(super) const TICK_MS: u64 = 10;

/// Native stack that a module may use. Interpreters (Python, JavaScript) need more than the default of 512 KiB.
const STACK_BYTES: usize = 1 << 20;

/// The stack that threads that call modules need.
pub const THREAD_STACK_BYTES: usize = 8 << 20;

/// Tables, memories and instances that a module may have; language runtimes need some dozens.
const OBJECTS: usize = 1_000;
/// Elements of a table. Python needs 6,000.
const TABLE_ELEMENTS: usize = 100_000;

/// The engine of a host. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    pub(super) engine: Engine,
    pub(super) linker: Linker<State>,
    pub(super) clock: Arc<Clock>,
}

/// Advances the engine's epoch while a sandbox or a module of it lives.
pub(super) struct Clock(Arc<AtomicBool>);

/// What an instance has of the host.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    memory_limit: usize,
    pub output: Output,
}

impl Sandbox {
    /// Makes the engine. Compiled code is kept in `cache`, if given.
    ///
    /// # Errors
    /// If the machine lacks what wasmtime needs, or the folder cannot be used.
    pub fn new(cache: Option<PathBuf>) -> wasmtime::Result<Self> {
        let mut config = Config::new();
        // Calls are synchronous, on threads of their own; this makes them 3 times cheaper.
        config.concurrency_support(false);
        // Time limits. Fuel would be exact and 2 to 3 times slower.
        config.epoch_interruption(true);
        config.max_wasm_stack(STACK_BYTES);
        // Names of functions in messages; lines where the module has them.
        config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20));
        if let Some(directory) = cache {
            // Keyed by wasmtime's full version, the options and the module's bytes.
            let mut files = CacheConfig::new();
            files.with_directory(directory);
            config.cache(Some(Cache::new(files)?));
        }
        let engine = Engine::new(&config)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
        // No version has been published, and both spellings are in use.
        for name in ["wasi:logging/logging", "wasi:logging/logging@0.1.0-draft"] {
            add_logging(&mut linker, name)?;
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (ticking, stopped) = (engine.weak(), stop.clone());
        std::thread::Builder::new().name("epoch".to_owned()).spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(TICK_MS));
                let Some(engine) = ticking.upgrade() else { break };
                engine.increment_epoch();
            }
        })?;
        Ok(Self { engine, linker, clock: Arc::new(Clock(stop)) })
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn add_logging(linker: &mut Linker<State>, name: &str) -> wasmtime::Result<()> {
    linker.instance(name)?.func_new("log", |store, _, args, _| {
        if let [Val::Enum(level), Val::String(context), Val::String(message)] = args {
            store.data().output.log(level, context, message);
        }
        Ok(())
    })
}

impl State {
    /// Nothing granted: no files, no network, no environment, no arguments, an empty standard input.
    pub fn new(output: Output, memory_limit: usize) -> Self {
        let wasi = WasiCtxBuilder::new().stdout(output.stdout()).stderr(output.stderr()).build();
        Self { wasi, table: ResourceTable::new(), memory_limit, output }
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired <= self.memory_limit {
            return Ok(true);
        }
        // An error instead of `false`: a guest that is told no aborts anyway, and without saying why.
        Err(MemoryLimit { wanted: desired, limit: self.memory_limit }.into())
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS)
    }

    fn instances(&self) -> usize {
        OBJECTS
    }

    fn tables(&self) -> usize {
        OBJECTS
    }

    fn memories(&self) -> usize {
        OBJECTS
    }
}
