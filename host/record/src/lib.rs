//! Batches of log records.
//!
//! A [`Batch`] is one arena of bytes and an index of slices into it. Everything that moves records moves batches: a log
//! hands them out, the boundary reads them, a stage appends them. Nothing is allocated per record. This crate knows
//! nothing of Avro, of modules or of any particular log.
//!
//! ```text
//! arena    | ... key | value | header name | header value | key | value ... |
//! entries    { key: span, value: span, headers: first + count, timestamp_ms, offset }
//! ```

mod batch;
mod murmur2;
pub mod v2;

pub use batch::{Batch, BatchBuilder, Entry, Full, Header, Record, Span};
pub use murmur2::{murmur2, partition_of};
