//! Tables: where sinks put rows.
//!
//! A table is described once, neutrally ([`TableSpec`]); every store makes its own DDL from it. Rows are upserts and
//! deletes by primary key, so that writing them twice is the same as once. A store either lives in the log, and its rows
//! are part of the step ([`crate::log::Commit::rows`]), or writes by itself before the step commits.

use std::sync::Arc;

use bespoke_record::Span;

pub mod sqlite;

/// A table, whatever the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSpec {
    /// The name: letters, digits and underscores.
    pub name: String,
    /// The columns in order, key columns first or not.
    pub columns: Vec<Column>,
    /// Indices of the columns that place a row, at least one.
    pub partition_key: Vec<usize>,
    /// Indices of the columns that order rows within a partition.
    pub clustering_key: Vec<usize>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name.
    pub name: String,
    /// What it holds.
    pub ty: ColumnType,
    /// Whether a row may lack it; never so for key columns.
    pub nullable: bool,
}

/// What a column holds. Logical types stay apart, because a store may know them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// True or false.
    Boolean,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// 32 bits, IEEE 754.
    Float,
    /// 64 bits, IEEE 754.
    Double,
    /// UTF-8.
    Text,
    /// Bytes.
    Blob,
    /// Exact decimal, handed over as text.
    Decimal,
    /// UUID, handed over as text.
    Uuid,
    /// Days since 1970-01-01.
    Date,
    /// Microseconds since midnight.
    TimeMicros,
    /// Microseconds since the epoch.
    TimestampMicros,
    /// Milliseconds since the epoch.
    TimestampMillis,
    /// Arrays, maps and records, handed over as JSON text.
    Json,
}

/// Rows for one table: upserts and deletes in the order of their records, at most one for a key.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The table.
    pub table: Arc<TableSpec>,
    /// What text and blob cells point into.
    pub arena: Vec<u8>,
    /// Upserts, `table.columns.len()` cells each, in the order of the columns.
    pub upserts: Vec<Cell>,
    /// Deletes, one cell for each key column, partition key first.
    pub deletes: Vec<Cell>,
}

/// The value of a column in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell {
    /// Null.
    Null,
    /// Boolean, int, long and everything that counts.
    Integer(i64),
    /// Float and double.
    Real(f64),
    /// UTF-8 in the arena.
    Text(Span),
    /// Bytes in the arena.
    Blob(Span),
}

/// What can go wrong with a table.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A description that no table can have.
    #[error("table `{table}` cannot be made: {what}")]
    Spec {
        /// The table.
        table: String,
        /// What is wrong with it.
        what: String,
    },
    /// The table has to be there.
    #[error("there is no table `{table}`; set `create = true` for it, or create it with\n{ddl}")]
    Missing {
        /// The table.
        table: String,
        /// What would make it.
        ddl: String,
    },
    /// A table to look at that is not there.
    #[error("there is no table `{0}`")]
    NoTable(String),
    /// The live table does not take the rows.
    #[error("table `{table}` does not take the rows of its sink:\n{differences}rename it, or change it to fit\n{ddl}")]
    Different {
        /// The table.
        table: String,
        /// A line for each difference, with both sides.
        differences: String,
        /// A table that would fit.
        ddl: String,
    },
    /// The store failed.
    #[error("table `{table}`: {source}")]
    Store {
        /// The table.
        table: String,
        /// What the store said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
