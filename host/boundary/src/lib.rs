//! Typed batches between Avro bytes and the memory of a WebAssembly component.

pub mod names;
pub mod schema;
pub mod wire;

pub use schema::{Schema, SchemaError};
pub use wire::{Cursor, WireError};
