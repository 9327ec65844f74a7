//! A sink: one topic in, one table out, no module.
//!
//! Rows are upserts by primary key, and a tombstone deletes the row of its key. Within a step only the last row of a key
//! is written. With the tables in the log's own store, rows are part of the step, so that they are there exactly once.

mod columns;
mod row;
mod staged;
mod stamps;
mod task;

pub use columns::{ColumnsError, Wanted, check_ttl, key_fields, table_spec, unordered};
pub(crate) use row::MAX_TTL_S;
pub use row::{Drawn, Found, RowError, RowPlan, Ttl};
pub use task::{Sink, SinkTask};
