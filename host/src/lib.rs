//! The host: a stream processor that runs sandboxed WebAssembly modules on Avro topics.

pub mod feed;
pub mod format;
pub mod log;
pub mod metrics;
pub mod module;
pub mod schema;
pub mod table;
pub mod wit;
