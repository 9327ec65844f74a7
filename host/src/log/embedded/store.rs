//! The SQLite file: how it is opened, its tables, its statements.
//!
//! Knows nothing of sessions or of what is in memory. Writing is done by the one connection of the writer, in its
//! transactions; every other connection only reads.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bespoke_record::{Batch, v2};
use bytes::Bytes;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, TransactionBehavior, params};

use super::Durability;
use crate::log::{LogError, PartitionInfo, Retention, TopicInfo};

/// "BspK": tells our files from other SQLite files.
const APPLICATION_ID: i32 = 0x4273_704b;
/// The version of the tables below.
const FORMAT: i32 = 2;
/// The version before it, whose positions had no notes.
const FORMAT_WITHOUT_NOTES: i32 = 1;
/// Large pages, since batches are long blobs. Append and commit cost 250 ns of CPU for a record of 100 bytes, with pages
/// of 16 KiB 285, of 8 KiB 315, of 64 KiB 220. But commits write whole pages: one of a single record costs 75 µs, with
/// pages of 16 KiB 45, of 64 KiB 100.
const PAGE_BYTES: i64 = 32 * 1024;
/// The WAL is carried over into the file when it is as long as this, and cut to it.
const WAL_BYTES: i64 = 64 * 1024 * 1024;
const CACHE_KIB: i64 = 8 * 1024;
/// How long to wait for another program that has the file, such as `sqlite3`.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const STATEMENTS: usize = 64;

const TABLES: &str = "
    CREATE TABLE bespoke_topics (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, retention_age_ms INTEGER, retention_bytes INTEGER
    ) STRICT;
    CREATE TABLE bespoke_partitions (
        topic INTEGER NOT NULL, partition INTEGER NOT NULL,
        start_offset INTEGER NOT NULL, end_offset INTEGER NOT NULL, bytes INTEGER NOT NULL,
        PRIMARY KEY (topic, partition)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bespoke_batches (
        id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, partition INTEGER NOT NULL,
        base_offset INTEGER NOT NULL, last_offset INTEGER NOT NULL, max_timestamp_ms INTEGER NOT NULL, bytes BLOB NOT NULL
    ) STRICT;
    CREATE UNIQUE INDEX bespoke_batches_by_offset ON bespoke_batches (topic, partition, last_offset);
    CREATE TABLE bespoke_positions (
        consumer_group TEXT NOT NULL, topic TEXT NOT NULL, partition INTEGER NOT NULL, next_offset INTEGER NOT NULL,
        note TEXT,
        PRIMARY KEY (consumer_group, topic, partition)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE bespoke_states (
        consumer_group TEXT NOT NULL, partition INTEGER NOT NULL, state BLOB NOT NULL,
        PRIMARY KEY (consumer_group, partition)
    ) STRICT;";

/// A connection, and the name of its file for errors.
pub(super) struct Store {
    pub(super) conn: Connection,
    path: Arc<str>,
}

/// A topic as the file has it.
pub(super) struct StoredTopic {
    pub(super) id: i64,
    pub(super) info: TopicInfo,
}

// === impl Store ===

impl Store {
    /// Opens the file for writing, and makes it if there is none.
    pub(super) fn open_writer(path: &Path, durability: Durability) -> Result<Self, LogError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut store = Self::open(path, flags)?;
        let is_empty = is_empty(&store.conn).map_err(|e| store.error(e))?;
        if !is_empty {
            // Before anything is changed in a file that may be another program's.
            if store.check_format()? == FORMAT_WITHOUT_NOTES {
                add_notes(&mut store.conn).map_err(|e| store.error(e))?;
            }
        }
        if !set_up(&store.conn, durability).map_err(|e| store.error(e))? {
            return Err(store.foreign("its file system does not allow a write-ahead log; put it on a local disk"));
        }
        if is_empty {
            create_tables(&mut store.conn).map_err(|e| store.error(e))?;
        }
        Ok(store)
    }

    /// Opens the file for reading. That another process writes it is no matter.
    pub(super) fn open_reader(path: &Path) -> Result<Self, LogError> {
        // Readers take part in the locking of the WAL, so the file is opened for writing where that is allowed.
        let store = Self::open(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        store.conn.pragma_update(None, "query_only", true).map_err(|e| store.error(e))?;
        // A host makes the file first and then, in one transaction, all that is in it. Asked before the format, so that
        // the two cannot be of different moments.
        if is_empty(&store.conn).map_err(|e| store.error(e))? {
            return Err(LogError::Missing { path: store.path.to_string() });
        }
        store.check_format()?;
        Ok(store)
    }

    fn open(path: &Path, flags: OpenFlags) -> Result<Self, LogError> {
        let name: Arc<str> = path.display().to_string().into();
        let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX);
        let conn = conn.map_err(|source| error_at(&name, source))?;
        conn.set_prepared_statement_cache_capacity(STATEMENTS);
        let store = Self { conn, path: name };
        store.conn.busy_timeout(BUSY_TIMEOUT).map_err(|e| store.error(e))?;
        store.conn.pragma_update(None, "cache_size", -CACHE_KIB).map_err(|e| store.error(e))?;
        Ok(store)
    }

    fn check_format(&self) -> Result<i32, LogError> {
        let number = |name| self.conn.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
        let application = number("application_id").map_err(|e| self.error(e))?;
        let format = number("user_version").map_err(|e| self.error(e))?;
        if application != APPLICATION_ID {
            return Err(self.foreign("it is an SQLite database of another program; choose another path"));
        }
        if !matches!(format, FORMAT | FORMAT_WITHOUT_NOTES) {
            let what = format!("its format is {format}, this host knows {FORMAT}; use the host that wrote it");
            return Err(self.foreign(&what));
        }
        Ok(format)
    }

    /// What an error of SQLite means.
    pub(super) fn error(&self, source: rusqlite::Error) -> LogError {
        error_at(&self.path, source)
    }

    /// What is stored is not what was written.
    pub(super) fn damaged(&self, what: String) -> LogError {
        LogError::Damaged { path: self.path.to_string(), what }
    }

    fn foreign(&self, what: &str) -> LogError {
        LogError::Foreign { path: self.path.to_string(), what: what.to_owned() }
    }

    /// All topics by name, or the one of this name.
    pub(super) fn topics(&self, name: Option<&str>) -> Result<Vec<StoredTopic>, LogError> {
        topics(&self.conn, name).map_err(|e| self.error(e))
    }

    /// Where a group reads on, as far as it has committed.
    pub(super) fn positions(&self, group: &str, topic: &str) -> Result<Vec<(u32, i64)>, LogError> {
        positions(&self.conn, group, topic).map_err(|e| self.error(e))
    }

    /// Where a group reads on in a partition, and its note, if it has committed a position.
    pub(super) fn position(
        &self,
        group: &str,
        topic: &str,
        partition: u32,
    ) -> Result<Option<(i64, Option<String>)>, LogError> {
        let sql = "SELECT next_offset, note FROM bespoke_positions
                   WHERE consumer_group = ?1 AND topic = ?2 AND partition = ?3";
        let position = self.conn.prepare_cached(sql).and_then(|mut statement| {
            statement.query_row(params![group, topic, partition], |row| Ok((row.get(0)?, row.get(1)?))).optional()
        });
        position.map_err(|e| self.error(e))
    }

    /// Who has committed a position in a topic.
    pub(super) fn groups(&self, topic: &str) -> Result<Vec<String>, LogError> {
        let sql = "SELECT DISTINCT consumer_group FROM bespoke_positions WHERE topic = ?1 ORDER BY consumer_group";
        let groups = self.conn.prepare_cached(sql).and_then(|mut statement| {
            let rows = statement.query_map([topic], |row| row.get(0))?;
            rows.collect()
        });
        groups.map_err(|e| self.error(e))
    }

    /// The state that a group has committed for a partition.
    pub(super) fn state(&self, group: &str, partition: u32) -> Result<Option<Bytes>, LogError> {
        let sql = "SELECT state FROM bespoke_states WHERE consumer_group = ?1 AND partition = ?2";
        let state = self.conn.prepare_cached(sql).and_then(|mut statement| {
            statement.query_row(params![group, partition], |row| row.get::<_, Vec<u8>>(0)).optional()
        });
        Ok(state.map_err(|e| self.error(e))?.map(Bytes::from))
    }

    /// The first offset of a partition that is kept.
    pub(super) fn start(&self, topic: i64, partition: u32) -> Result<i64, LogError> {
        let sql = "SELECT start_offset FROM bespoke_partitions WHERE topic = ?1 AND partition = ?2";
        let start = self
            .conn
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(params![topic, partition], |row| row.get(0)));
        start.map_err(|e| self.error(e))
    }

    /// The first batch that has the offset or a later one.
    pub(super) fn batch_from(&self, topic: i64, partition: u32, offset: i64) -> Result<Option<Batch>, LogError> {
        let sql = "SELECT base_offset, last_offset, bytes FROM bespoke_batches
                   WHERE topic = ?1 AND partition = ?2 AND last_offset >= ?3 ORDER BY last_offset LIMIT 1";
        let found = self.conn.prepare_cached(sql).and_then(|mut statement| {
            let columns = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get::<_, Vec<u8>>(2)?));
            statement.query_row(params![topic, partition, offset], columns).optional()
        });
        let Some((base_offset, last_offset, bytes)) = found.map_err(|e| self.error(e))? else { return Ok(None) };
        let batch = self.decode(Bytes::from(bytes), topic, partition, base_offset)?;
        // The checksum of a batch leaves its base offset out.
        let ends = [batch.entries().first(), batch.entries().last()].map(|entry| entry.map(|e| e.offset));
        if ends != [Some(base_offset), Some(last_offset)] {
            let what =
                format!("topic {topic}, partition {partition}: a batch has other offsets than from {base_offset}");
            return Err(self.damaged(what));
        }
        Ok(Some(batch))
    }

    /// A batch as it was stored.
    pub(super) fn decode(&self, bytes: Bytes, topic: i64, partition: u32, offset: i64) -> Result<Batch, LogError> {
        v2::decode(bytes).map_err(|error| {
            self.damaged(format!("topic {topic}, partition {partition}, batch from offset {offset}: {error}"))
        })
    }
}

fn is_empty(conn: &Connection) -> rusqlite::Result<bool> {
    conn.query_row("SELECT NOT EXISTS (SELECT 1 FROM sqlite_schema)", [], |row| row.get(0))
}

/// Sets up the writer's connection. False if a write-ahead log is not possible.
fn set_up(conn: &Connection, durability: Durability) -> rusqlite::Result<bool> {
    // Only an empty file takes it.
    conn.pragma_update(None, "page_size", PAGE_BYTES)?;
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Ok(false);
    }
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)?;
    conn.pragma_update(None, "wal_autocheckpoint", WAL_BYTES / PAGE_BYTES)?;
    conn.pragma_update(None, "journal_size_limit", WAL_BYTES)?;
    Ok(true)
}

fn create_tables(conn: &mut Connection) -> rusqlite::Result<()> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch(TABLES)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

/// Makes a file of the version before to one of this.
fn add_notes(conn: &mut Connection) -> rusqlite::Result<()> {
    let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute_batch("ALTER TABLE bespoke_positions ADD COLUMN note TEXT")?;
    transaction.pragma_update(None, "user_version", FORMAT)?;
    transaction.commit()
}

fn error_at(path: &str, source: rusqlite::Error) -> LogError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => {
            LogError::Foreign { path, what: "it is not an SQLite database; choose another path".to_owned() }
        }
        Some(ErrorCode::DatabaseCorrupt) => LogError::Damaged { path, what: source.to_string() },
        Some(ErrorCode::DiskFull) => {
            let what = format!("{source}; make room there, and it goes on where it stopped");
            LogError::Store { path, source: what.into() }
        }
        _ => LogError::Store { path, source: Box::new(source) },
    }
}

fn topics(conn: &Connection, name: Option<&str>) -> rusqlite::Result<Vec<StoredTopic>> {
    let sql =
        "SELECT t.id, t.name, t.retention_age_ms, t.retention_bytes, p.partition, p.start_offset, p.end_offset, p.bytes
               FROM bespoke_topics t JOIN bespoke_partitions p ON p.topic = t.id
               WHERE ?1 IS NULL OR t.name = ?1 ORDER BY t.name, p.partition";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([name])?;
    let mut topics: Vec<StoredTopic> = Vec::new();
    while let Some(row) = rows.next()? {
        let id = row.get(0)?;
        if topics.last().is_none_or(|topic| topic.id != id) {
            let retention = Retention { age_ms: row.get(2)?, bytes: row.get(3)? };
            topics.push(StoredTopic { id, info: TopicInfo { name: row.get(1)?, partitions: Vec::new(), retention } });
        }
        let partition = PartitionInfo {
            partition: row.get(4)?,
            start: row.get(5)?,
            end: row.get(6)?,
            decided: row.get(6)?,
            bytes: row.get(7)?,
        };
        if let Some(topic) = topics.last_mut() {
            topic.info.partitions.push(partition);
        }
    }
    Ok(topics)
}

fn positions(conn: &Connection, group: &str, topic: &str) -> rusqlite::Result<Vec<(u32, i64)>> {
    let sql = "SELECT partition, next_offset FROM bespoke_positions WHERE consumer_group = ?1 AND topic = ?2
               ORDER BY partition";
    let mut statement = conn.prepare_cached(sql)?;
    statement.query_map([group, topic], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
}
