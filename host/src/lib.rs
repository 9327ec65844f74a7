//! The host: a stream processor that runs sandboxed WebAssembly modules on Avro topics.

pub mod allocator;
pub mod aside;
pub mod cli;
pub mod command;
pub mod config;
pub mod dead_letter;
pub mod feed;
pub mod format;
pub mod log;
pub mod metrics;
pub mod module;
pub mod pipeline;
pub mod progress;
mod random;
pub mod schema;
pub mod shutdown;
pub mod sink;
pub mod stage;
pub mod swap;
pub mod table;
pub mod wit;
pub mod worker;
