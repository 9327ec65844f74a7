//! Tables: where sinks put rows.
//!
//! A table is described once, neutrally ([`TableSpec`]); every store makes its own DDL from it. Rows are upserts and
//! deletes by primary key, so that writing them twice is the same as once.
//!
//! Tables either live in the file of the log, and their rows are part of the step ([`crate::log::Commit::rows`]); or in a
//! [`TableStore`] of their own, and rows are written before the step commits. Then a step that does not come to its commit is
//! done again, and so are its rows: effectively once. What every store promises, and the contract suite
//! (`tests/contract/table.rs`) checks:
//!
//! - **A table is checked before the first row.** It has every column, of its type, and the primary key of its description;
//!   a table that does not fit is left as it is, and refused with both sides and the DDL of one that would.
//! - **Keys.** There is one row for each primary key. An upsert takes the place of all columns; a delete of what is not there
//!   does nothing.
//! - **Values.** Every type of column keeps its values; a null is kept as one. In floats a NaN may become a null.
//! - **Writes are durable in order.** What [`TableWriter::write`] was given outlives the store and the host when it returns,
//!   and a later write of the same key counts. If it fails, any of its rows may be written; the same rows are written again.
//!
//! Not promised: that rows of one write become visible together, or the order of writers. The rows of a key come from one
//! partition and so from one writer at a time, if the key of the table is that of the topic.

use std::sync::Arc;

use bespoke_record::Span;

pub mod sqlite;

/// The names of the columns, and rows of cells as text; none is null.
pub type Top = (Vec<String>, Vec<Vec<Option<String>>>);

/// Where tables live, if that is not the log. Shared by all threads of a host. Nothing is opened before it is asked.
pub trait TableStore: Send + Sync {
    /// Makes the table, unless there is one; that must be as described.
    ///
    /// # Errors
    /// [`TableError::Spec`], [`TableError::Different`], or if the store fails.
    fn ensure(&self, spec: &TableSpec) -> Result<(), TableError>;

    /// Whether there is a table as described.
    ///
    /// # Errors
    /// [`TableError::Missing`], and as for [`TableStore::ensure`].
    fn check(&self, spec: &TableSpec) -> Result<(), TableError>;

    /// Opens a table that is as described, for one worker.
    ///
    /// # Errors
    /// If the store fails.
    fn writer(&self, table: &Arc<TableSpec>) -> Result<Box<dyn TableWriter>, TableError>;

    /// The columns of a table, and its first rows by primary key.
    ///
    /// # Errors
    /// [`TableError::NoTable`], or if the store fails.
    fn top(&self, table: &str, limit: usize) -> Result<Top, TableError>;
}

/// One worker's way to a table. Used by one thread.
pub trait TableWriter: Send {
    /// Upserts and deletes rows, durably.
    ///
    /// # Errors
    /// If the store fails; any of the rows may be written then.
    fn write(&mut self, rows: &Rows) -> Result<(), TableError>;
}

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
