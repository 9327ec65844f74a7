//! The host: a stream processor that runs sandboxed WebAssembly modules on Avro topics.

pub mod config;
pub mod dead_letter;
pub mod feed;
pub mod log;
pub mod metrics;
pub mod module;
pub mod shutdown;
pub mod table;
pub mod wit;
