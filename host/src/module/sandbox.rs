//! The engine, and what it offers to modules. Every option of wasmtime is here, with its reason.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasmtime::component::{Linker, Resource, Val};
use wasmtime::{Cache, CacheConfig, Config, Engine, ResourceLimiter, Store, StoreContextMut, Trap};
use wasmtime_wasi::clocks::WasiClocksView as _;
use wasmtime_wasi::p2::DynPollable;
use wasmtime_wasi::p2::bindings::clocks::monotonic_clock::Host as _;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::Limits;
use super::fault::MemoryLimit;
use super::output::Output;
use super::time::{Coarse, VirtualTime};

/// How often the clock for time limits ticks, which is how exact they are.
pub(super) const TICK_MS: u64 = 10;

/// How late it may tick on a busy machine.
const LATE_MS: u64 = 500;

/// Native stack that a module may use. Interpreters (Python, JavaScript) need more than the default of 512 KiB.
const STACK_BYTES: usize = 1 << 20;

/// The stack that threads that call modules need.
pub const THREAD_STACK_BYTES: usize = 8 << 20;

/// Tables, memories and instances that a module may have; language runtimes need some dozens.
const OBJECTS: usize = 1_000;
/// Elements of all tables together. Python needs 6,000.
const TABLE_ELEMENTS: usize = 100_000;
/// Handles that a module may hold at once: each is some hundred bytes of the host, which no memory limit counts. Runtimes
/// need some dozens.
pub(super) const HANDLES: usize = 10_000;
/// Bytes that a module may hand over in one call of the host, or be given as random numbers.
pub(super) const HOST_CALL_BYTES: usize = 1 << 20;

/// The engine of a host. Cheap to clone.
#[derive(Clone)]
pub struct Sandbox {
    pub(super) engine: Engine,
    pub(super) linker: Linker<State>,
    pub(super) clock: Arc<Clock>,
    pub(super) time: Option<VirtualTime>,
}

/// Advances the engine's epoch while a sandbox or a module of it lives.
pub(super) struct Clock(Arc<AtomicBool>);

/// What an instance has of the host.
pub(super) struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    limits: Limits,
    time: Option<VirtualTime>,
    /// When the call began that is on.
    began: Instant,
    /// How long it has slept in virtual time.
    slept: u64,
    /// Bytes of all memories.
    memories: Sum,
    /// Elements of all tables.
    tables: Sum,
    pub output: Output,
}

/// What several things that grow have together.
#[derive(Default)]
struct Sum {
    total: usize,
    /// Of which this was added last.
    added: usize,
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
        limit_waiting(&mut linker)?;
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
        Ok(Self { engine, linker, clock: Arc::new(Clock(stop)), time: None })
    }

    /// The same, but modules that are loaded from now on see this time instead of the machine's, and its random numbers.
    #[must_use]
    pub fn within(self, time: VirtualTime) -> Self {
        Self { time: Some(time), ..self }
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

/// Lets a module wait for no longer than it may run: the epoch stops its own code, and not a wait in the host. When the
/// wait is over, its code goes on, and is stopped at once. There is nothing else that it could wait for: no network, and
/// streams that are always ready.
fn limit_waiting(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let mut clock = linker.instance("wasi:clocks/monotonic-clock@0.2.12")?;
    clock.func_wrap("subscribe-duration", |mut store: StoreContextMut<'_, State>, (nanoseconds,): (u64,)| {
        Ok((store.data_mut().wait(nanoseconds)?,))
    })?;
    clock.func_wrap("subscribe-instant", |mut store: StoreContextMut<'_, State>, (when,): (u64,)| {
        let state = store.data_mut();
        let now = state.clocks().now()?;
        Ok((state.wait(when.saturating_sub(now))?,))
    })?;
    linker.allow_shadowing(false);
    Ok(())
}

impl State {
    /// Nothing granted: no files, no network, no environment, no arguments, an empty standard input.
    pub fn new(output: Output, limits: Limits, time: Option<VirtualTime>) -> Self {
        let mut wasi = WasiCtxBuilder::new();
        wasi.stdout(output.stdout()).stderr(output.stderr()).max_random_size(HOST_CALL_BYTES as u64);
        match &time {
            Some(time) => time.enter(&mut wasi),
            None => Coarse::enter(&mut wasi),
        }
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES);
        let (memories, tables) = (Sum::default(), Sum::default());
        let (began, slept) = (Instant::now(), 0);
        Self { wasi: wasi.build(), table, limits, time, began, slept, memories, tables, output }
    }

    /// A call begins: what it may take is counted from here.
    pub fn begin(store: &mut Store<Self>) {
        let state = store.data_mut();
        (state.began, state.slept) = (Instant::now(), 0);
        // One tick more than the limit asks for, because the current one has begun.
        let ticks = state.limits.time_ms.div_ceil(TICK_MS) + 1;
        store.set_epoch_deadline(ticks);
        store.set_max_component_handles(HANDLES);
        store.set_hostcall_fuel(HOST_CALL_BYTES);
    }

    /// Bytes of all memories.
    pub fn memory_bytes(&self) -> usize {
        self.memories.total
    }

    /// Whether the call has ended in time. One that sleeps is not stopped before its own code goes on, which may never be.
    ///
    /// # Errors
    /// [`Trap::Interrupt`], as for one that was stopped.
    pub fn check_time(&self) -> wasmtime::Result<()> {
        if self.left().is_zero() { Err(Trap::Interrupt.into()) } else { Ok(()) }
    }

    /// How long the call may go on, also by a clock that ticks late.
    fn left(&self) -> Duration {
        Duration::from_millis(self.limits.time_ms.saturating_add(LATE_MS)).saturating_sub(self.began.elapsed())
    }

    /// Ready after so many nanoseconds, or as soon as the call must end. In virtual time, that is now, as long as all that it
    /// sleeps is not longer than it may take.
    fn wait(&mut self, nanoseconds: u64) -> wasmtime::Result<Resource<DynPollable>> {
        self.check_time()?;
        let slept = self.slept.saturating_add(nanoseconds);
        if let Some(time) = &self.time
            && slept < self.limits.time_ms.saturating_mul(1_000_000)
        {
            time.pass(nanoseconds);
            self.slept = slept;
            return self.clocks().subscribe_duration(0);
        }
        let left = u64::try_from(self.left().as_nanos()).unwrap_or(u64::MAX);
        self.clocks().subscribe_duration(nanoseconds.min(left))
    }
}

impl Sum {
    /// Counts that one of them grows, or tells what they would have, if that is more than the limit.
    fn grow(&mut self, current: usize, desired: usize, limit: usize) -> Result<(), usize> {
        let added = desired.saturating_sub(current);
        let total = self.total.saturating_add(added);
        if total > limit {
            return Err(total);
        }
        *self = Self { total, added };
        Ok(())
    }

    /// The last one has not grown after all.
    fn take_back(&mut self) {
        self.total -= std::mem::take(&mut self.added);
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl ResourceLimiter for State {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let limit = self.limits.memory_bytes;
        // An error instead of `false`: a guest that is told no aborts anyway, and without saying why.
        let refused = |wanted| MemoryLimit { wanted, limit }.into();
        self.memories.grow(current, desired, limit).map(|()| true).map_err(refused)
    }

    fn memory_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.memories.take_back();
        Ok(())
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(self.tables.grow(current, desired, TABLE_ELEMENTS).is_ok())
    }

    fn table_grow_failed(&mut self, _: wasmtime::Error) -> wasmtime::Result<()> {
        self.tables.take_back();
        Ok(())
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

#[cfg(test)]
mod tests {
    use super::super::output::Rate;
    use super::*;

    #[test]
    fn all_memories_count_together() {
        let limits = Limits { memory_bytes: 100, ..Limits::default() };
        let mut state = State::new(Output::new("m".into(), Rate::default()), limits, None);
        assert!(state.memory_growing(0, 60, None).unwrap());
        assert!(state.memory_growing(0, 60, None).is_err());
        assert!(state.memory_growing(60, 100, None).unwrap());
        assert!(state.memory_growing(0, 1, None).is_err());
        state.memory_grow_failed(wasmtime::format_err!("no room")).unwrap();
        assert!(state.memory_growing(0, 40, None).unwrap());
    }

    #[test]
    fn all_tables_count_together() {
        let mut state = State::new(Output::new("m".into(), Rate::default()), Limits::default(), None);
        assert!(state.table_growing(0, TABLE_ELEMENTS - 1, None).unwrap());
        assert!(!state.table_growing(0, 2, None).unwrap());
        assert!(state.table_growing(0, 1, None).unwrap());
    }
}
