//! Modules: WebAssembly components that handle records, in a sandbox.
//!
//! ```text
//! Sandbox (one per host) ──load──> Module (a file, compiled and understood) ──instance──> Instance (one per worker
//!                                                                                         or per partition)
//! ```
//!
//! This is the only place that configures wasmtime. A module gets nothing of the host: no files, no network, no
//! environment; clocks and random numbers work. Every call has a time limit, every instance a memory limit, every answer
//! a size limit; what breaks one is a [`Fault`], and the instance is not used again.

mod fault;
mod instance;
mod load;
mod output;
mod sandbox;
mod time;

pub use fault::{Fault, FaultKind};
pub use instance::Instance;
pub use load::{LoadError, Module, digest_of};
pub use sandbox::{Sandbox, THREAD_STACK_BYTES};
pub use time::VirtualTime;

/// What a module may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Linear memory of an instance, in bytes.
    pub memory_bytes: usize,
    /// One call, in milliseconds.
    pub time_ms: u64,
    /// One answer, in bytes.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { memory_bytes: 256 << 20, time_ms: 1_000, answer_bytes: 64 << 20 }
    }
}
