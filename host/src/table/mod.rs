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
//! - **Keys.** There is one row for each primary key. An upsert takes the place of all columns, but for those that are
//!   null where the table leaves them as they are ([`Nulls::Unset`]); a delete of what is not there does nothing.
//! - **Values.** Every type of column keeps its values; a null is kept as one. In floats a NaN may become a null.
//! - **Writes are durable in order.** What [`TableWriter::write`] was given outlives the store and the host when it says that
//!   it is done, and a later write of the same key counts. If it fails, any of its rows may be written; the same rows are
//!   written again.
//! - **A row that is at fault is refused alone**, with the reason. What passes by itself, such as a store that is away, is
//!   no fault of a row: it is waited for, however long it takes.
//!
//! Every row has a stamp, in microseconds and strictly increasing with the offsets of its partition. A store without order
//! of its own goes by it: whatever comes late or again, the newest stamp of a key counts. Others need not look at it.
//!
//! Not promised: that rows of one write become visible together, or the order of writers. The rows of a key come from one
//! partition and so from one writer at a time, if the key of the table is that of the topic.

use std::sync::Arc;
use std::time::Duration;

use bespoke_record::Span;
use serde::Deserialize;

pub mod cassandra;
pub mod sqlite;

/// The names of the columns, and rows of cells as text; none is null.
pub type Top = (Vec<String>, Vec<Vec<Option<String>>>);

/// Where tables live, if that is not the log. Shared by all threads of a host. Nothing is opened before it is asked.
pub trait TableStore: Send + Sync {
    /// Whether columns may hold lists, maps and records. Else they are JSON text.
    fn nests(&self) -> bool {
        false
    }

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
    /// Upserts and deletes rows, durably. Returns after `patience` at the latest if the store can be waited for, and goes on
    /// when it is called again with the same rows; those before are forgotten when it is given others, whether they are
    /// written or not.
    ///
    /// # Errors
    /// If the store fails, and waiting would not help; any of the rows may be written then.
    fn write(&mut self, rows: &Arc<Rows>, patience: Duration) -> Result<Written, TableError>;

    /// Sends no more of the rows that were given last: their step was thrown away.
    fn forget(&mut self) {}
}

/// How far a write is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// All rows are written but these, which can never be.
    Done(Vec<Refused>),
    /// Not all are yet. If the store has trouble, what it is.
    Pending(Option<String>),
}

/// A row that can never be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Which.
    pub row: RowIndex,
    /// Why.
    pub why: String,
}

/// A row among [`Rows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowIndex {
    /// An upsert, from 0.
    Upsert(usize),
    /// A delete, from 0.
    Delete(usize),
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
    /// What becomes of a column whose value is null.
    pub nulls: Nulls,
    /// What becomes of microseconds and nanoseconds where the store's timestamps have none.
    pub fine_times: FineTimes,
}

/// What becomes of a column whose value is null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Nulls {
    /// It is left as it is.
    Unset,
    /// It becomes null.
    #[default]
    Delete,
}

/// What becomes of timestamps that are finer than those of the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FineTimes {
    /// They are kept as whole numbers.
    #[default]
    Exact,
    /// They are cut to what the store has.
    Truncated,
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// Nanoseconds since the epoch.
    TimestampNanos,
    /// Months, days and milliseconds, three little-endian u32 in 12 bytes.
    Duration,
    /// A list of values, none of which is null.
    Array(Box<ColumnType>),
    /// Values by text, none of which is null.
    Map(Box<ColumnType>),
    /// Named values.
    Record(Arc<RecordType>),
    /// Anything else that nests, handed over as JSON text.
    Json,
}

/// The type of a record in a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordType {
    /// The name, without a namespace.
    pub name: String,
    /// The fields in order.
    pub fields: Vec<Column>,
}

/// Rows for one table: deletes, and upserts that come after the deletes of their keys. There is more than one upsert for a
/// key only if the later one leaves columns unset that the earlier one has.
#[derive(Clone, Debug)]
pub struct Rows {
    /// The table.
    pub table: Arc<TableSpec>,
    /// What text and blob cells point into.
    pub arena: Vec<u8>,
    /// What cells with cells in them point into.
    pub nested: Vec<Cell>,
    /// Upserts, `table.columns.len()` cells each, in the order of the columns.
    pub upserts: Vec<Cell>,
    /// What each upsert has beside its cells.
    pub marks: Vec<Mark>,
    /// Deletes, one cell for each key column, partition key first.
    pub deletes: Vec<Cell>,
    /// The stamp of each delete.
    pub delete_stamps: Vec<i64>,
    /// The order of all of them, where each is to be judged by itself: then a key may have any number of both. Empty else.
    pub order: Vec<RowIndex>,
}

/// What an upsert has beside its cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// When it counts, in microseconds: a row of an older stamp does not take its place.
    pub stamp: i64,
    /// Seconds after which it is gone; 0 for never, none for what the table has by default. A store without such a thing
    /// keeps it.
    pub ttl_s: Option<u32>,
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
    /// Cells among those that are nested: the values of an array; keys and values of a map, in turn; the fields of a record.
    Nested(Span),
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
    #[error("there is no table `{0}`; [tables] of the pipeline names those that it makes when it runs")]
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
    /// The store cannot be reached, or not as who it was told.
    #[error("table `{table}`: cannot connect to {place}: {what}")]
    Connect {
        /// The table.
        table: String,
        /// Where.
        place: String,
        /// What happened.
        what: String,
    },
    /// Rows that can never be written, so that none were.
    #[error("table `{table}` refuses {} rows, the first of them because: {}", refused.len(), refused.first().map_or("", |r| &r.why))]
    Refused {
        /// The table.
        table: String,
        /// Which rows, and why.
        refused: Vec<Refused>,
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

// === impl ColumnType ===

impl ColumnType {
    /// Whether a key can have such a column.
    #[must_use]
    pub fn may_be_key(&self) -> bool {
        !matches!(self, Self::Duration | Self::Array(_) | Self::Map(_) | Self::Record(_) | Self::Json)
    }
}

// === impl TableSpec ===

impl TableSpec {
    /// The indices of the key columns, partition key first.
    pub fn key(&self) -> impl Iterator<Item = usize> + Clone + '_ {
        self.partition_key.iter().chain(&self.clustering_key).copied()
    }
}

// === impl Rows ===

impl Rows {
    /// None yet.
    #[must_use]
    pub fn new(table: Arc<TableSpec>) -> Self {
        Self {
            table,
            arena: Vec::new(),
            nested: Vec::new(),
            upserts: Vec::new(),
            marks: Vec::new(),
            deletes: Vec::new(),
            delete_stamps: Vec::new(),
            order: Vec::new(),
        }
    }

    /// The cells of an upsert.
    ///
    /// # Panics
    /// If there are not as many.
    #[must_use]
    pub fn upsert(&self, index: usize) -> &[Cell] {
        let width = self.table.columns.len();
        &self.upserts[index * width..][..width]
    }

    /// The cells of a delete.
    ///
    /// # Panics
    /// If there are not as many.
    #[must_use]
    pub fn delete(&self, index: usize) -> &[Cell] {
        let width = self.table.key().count();
        &self.deletes[index * width..][..width]
    }
}
