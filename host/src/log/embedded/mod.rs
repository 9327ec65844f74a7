//! The embedded log: topics, positions, states and tables in one SQLite file.
//!
//! For one machine and real work. A step is one SQLite transaction, which is all of the argument for exactly-once: what
//! it holds is there whole or not at all, after a crash as after an error. Records are kept as RecordBatches of Kafka's
//! format, one blob row for each partition and step, never a row per record. One process writes the file at a time;
//! others may read it.
//!
//! ```text
//! topics       id, name, partitions, retention
//! partitions   topic, partition -> first and next offset, bytes
//! batches      topic, partition, offsets, newest timestamp, RecordBatch
//! positions    group, topic, partition -> offset
//! states       group, partition -> state of the module
//! ```

mod inspect;
mod retention;
mod session;
mod store;

use std::path::Path;
use std::sync::Arc;

use bespoke_record::Batch;

use super::{Created, Log, LogError, Member, NewTopic, Session, TopicInfo};
use crate::table::{TableError, TableSpec};
use session::EmbeddedSession;
use store::Store;

/// A log in one file. Cheap to clone.
#[derive(Clone)]
pub struct EmbeddedLog(Arc<Store>);

/// How an embedded log is kept.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What a commit survives.
    pub sync: Sync,
    /// Bytes of key, value and headers of a record at most.
    pub max_record_bytes: usize,
}

/// What a commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// Everything, the loss of power too: each commit waits for the disk.
    #[default]
    Full,
    /// The death of the process. The loss of power may take the last commits, never half of one.
    Normal,
}

impl Default for Options {
    fn default() -> Self {
        Self { sync: Sync::Full, max_record_bytes: 16 << 20 }
    }
}

impl EmbeddedLog {
    /// Opens the file for this process alone, and creates it if it is not there.
    ///
    /// # Errors
    /// [`LogError::InUse`], [`LogError::Damaged`], or if it cannot be read or written.
    pub fn open(path: &Path, options: Options) -> Result<Self, LogError> {
        Ok(Self(Arc::new(Store::open(path, options)?)))
    }

    /// Opens the file to look at it; a host may have it open.
    ///
    /// # Errors
    /// [`LogError::Damaged`], or if it is not there or cannot be read.
    pub fn open_read_only(path: &Path) -> Result<Self, LogError> {
        Ok(Self(Arc::new(Store::open_read_only(path)?)))
    }

    /// Makes a table, or checks that it is there as described.
    ///
    /// # Errors
    /// What differs.
    pub fn ensure_table(&self, table: &TableSpec, create: bool) -> Result<(), TableError> {
        crate::table::sqlite::ensure(&self.0.writer(), table, create)
    }

    /// The names of the columns and the first rows of a table, as text.
    ///
    /// # Errors
    /// If there is no such table.
    pub fn top_rows(&self, table: &str, limit: usize) -> Result<Rows, TableError> {
        crate::table::sqlite::top(&self.0.reader(), table, limit)
    }
}

/// Names of columns, and rows of cells as text; none is null.
pub type Rows = (Vec<String>, Vec<Vec<Option<String>>>);

impl Log for EmbeddedLog {
    fn create_topic(&self, topic: &NewTopic) -> Result<Created, LogError> {
        self.0.create_topic(topic)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        inspect::topics(&self.0)
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        inspect::topic(&self.0, name)
    }

    fn committed(&self, group: &str, topic: &str) -> Result<Vec<(u32, i64)>, LogError> {
        inspect::committed(&self.0, group, topic)
    }

    fn read(&self, topic: &str, partition: u32, offset: i64, max_records: usize) -> Result<Batch, LogError> {
        inspect::read(&self.0, topic, partition, offset, max_records)
    }

    fn join(&self, member: Member) -> Result<Box<dyn Session>, LogError> {
        Ok(Box::new(EmbeddedSession::open(self.0.clone(), member)?))
    }
}
