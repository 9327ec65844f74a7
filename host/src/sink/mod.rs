//! A sink: one topic in, one table out, no module.
//!
//! Rows are upserts by primary key, and a tombstone deletes the row of its key. Within a step only the last row of a key
//! is written. With the tables in the log's own store, rows are part of the step, so that they are there exactly once.

mod columns;
mod row;
mod task;

pub use columns::{ColumnsError, table_spec};
pub use row::{RowError, RowPlan};
pub use task::{Sink, SinkTask};
