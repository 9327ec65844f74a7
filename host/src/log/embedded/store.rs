//! The file: opening it, its tables, its topics, and the one connection that writes.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension};

use super::{Options, Sync};
use crate::log::{Created, LogError, NewTopic, Retention};

/// The version of the file's tables.
const FORMAT: i64 = 1;
/// Blobs of up to a mebibyte go into fewer, larger pages.
const PAGE_BYTES: i64 = 16 << 10;
/// How much of the file is read by way of the page cache of the system, without copies.
const MMAP_BYTES: i64 = 8 << 30;
/// Pages of the write-ahead log after which it is copied back: 64 MiB.
const CHECKPOINT_PAGES: i64 = 4 << 10;
/// How long a reader waits for the short moments in which the file is locked.
const BUSY: Duration = Duration::from_secs(10);
/// The longest name of a topic, as in Kafka.
const MAX_NAME_BYTES: usize = 249;

const TABLES: &str = "
    CREATE TABLE bespoke_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
    CREATE TABLE topics (
        id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, partitions INTEGER NOT NULL,
        retention_age_ms INTEGER, retention_bytes INTEGER
    );
    CREATE TABLE partitions (
        topic INTEGER NOT NULL, partition INTEGER NOT NULL, start INTEGER NOT NULL, next INTEGER NOT NULL,
        bytes INTEGER NOT NULL, PRIMARY KEY (topic, partition)
    ) WITHOUT ROWID;
    CREATE TABLE batches (
        id INTEGER PRIMARY KEY, topic INTEGER NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
        max_timestamp_ms INTEGER NOT NULL, batch BLOB NOT NULL
    );
    CREATE UNIQUE INDEX batches_by_offset ON batches (topic, partition, next);
    CREATE TABLE positions (
        member TEXT NOT NULL, topic INTEGER NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
        PRIMARY KEY (member, topic, partition)
    ) WITHOUT ROWID;
    CREATE TABLE states (
        member TEXT NOT NULL, partition INTEGER NOT NULL, state BLOB NOT NULL, PRIMARY KEY (member, partition)
    );
";

/// The file and what is known of it.
pub(super) struct Store {
    pub path: PathBuf,
    pub options: Options,
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
    topics: RwLock<HashMap<String, Arc<Topic>>>,
    pub swept: Mutex<HashMap<i64, Instant>>,
    /// Held as long as the log is open; none if it is only read.
    lock: Option<File>,
}

/// A topic, and the signal that it has grown.
pub(super) struct Topic {
    pub id: i64,
    pub name: String,
    pub partitions: u32,
    pub retention: Retention,
    pub grown: Signal,
}

/// A counter that can be waited for.
#[derive(Default)]
pub(super) struct Signal {
    count: Mutex<u64>,
    changed: Condvar,
}

impl Signal {
    pub fn now(&self) -> u64 {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn raise(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// Waits until the counter is another than `seen`, at most for `timeout`. Tells whether it is.
    pub fn wait(&self, seen: u64, timeout: Duration) -> bool {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(count, timeout, |count| *count == seen);
        *waited.unwrap_or_else(PoisonError::into_inner).0 != seen
    }
}

impl Store {
    pub fn open(path: &Path, options: Options) -> Result<Self, LogError> {
        let at = |e: std::io::Error| store_error(path, e);
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(at)?;
        }
        let lock = lock(path)?;
        let writer = Connection::open(path).map_err(|e| sqlite_error(path, e))?;
        prepare(&writer, path, options)?;
        let reader = open_reader(path)?;
        Self::with(path, options, writer, reader, Some(lock))
    }

    pub fn open_read_only(path: &Path) -> Result<Self, LogError> {
        if !path.exists() {
            let missing =
                std::io::Error::new(std::io::ErrorKind::NotFound, "there is no such file; has the pipeline run?");
            return Err(store_error(path, missing));
        }
        let writer = open_reader(path)?;
        check_format(&writer, path)?;
        Self::with(path, Options::default(), writer, open_reader(path)?, None)
    }

    fn with(
        path: &Path,
        options: Options,
        writer: Connection,
        reader: Connection,
        lock: Option<File>,
    ) -> Result<Self, LogError> {
        let store = Self {
            path: path.to_owned(),
            options,
            writer: Mutex::new(writer),
            reader: Mutex::new(reader),
            topics: RwLock::default(),
            swept: Mutex::default(),
            lock,
        };
        store.load_topics()?;
        Ok(store)
    }

    /// The connection that writes; one thread at a time has it.
    pub fn writer(&self) -> MutexGuard<'_, Connection> {
        // A transaction that its thread did not finish is rolled back when it is dropped.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection for looking at things.
    pub fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection of one's own, which only reads.
    pub fn new_reader(&self) -> Result<Connection, LogError> {
        open_reader(&self.path)
    }

    pub fn writable(&self) -> Result<(), LogError> {
        match self.lock {
            Some(_) => Ok(()),
            None => {
                let refused =
                    std::io::Error::new(std::io::ErrorKind::PermissionDenied, "it was opened to be read only");
                Err(store_error(&self.path, refused))
            }
        }
    }

    pub fn topic(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        let known = |topics: &HashMap<String, Arc<Topic>>| topics.get(name).cloned();
        if let Some(topic) = known(&self.topics.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(topic);
        }
        if self.lock.is_none() {
            // Whoever writes the file may have made it since.
            self.load_topics()?;
        }
        known(&self.topics.read().unwrap_or_else(PoisonError::into_inner))
            .ok_or_else(|| LogError::NoTopic(name.to_owned()))
    }

    pub fn all_topics(&self) -> Result<Vec<Arc<Topic>>, LogError> {
        if self.lock.is_none() {
            self.load_topics()?;
        }
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = topics.values().cloned().collect();
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    pub fn create_topic(&self, new: &NewTopic) -> Result<Created, LogError> {
        let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        let fits = (1..=MAX_NAME_BYTES).contains(&new.name.len()) && new.name.chars().all(legal);
        if !fits || matches!(new.name.as_str(), "." | "..") {
            return Err(LogError::BadName(new.name.clone()));
        }
        self.writable()?;
        let mut writer = self.writer();
        let failed = |e| sqlite_error(&self.path, e);
        if let Ok(known) = self.topic(&new.name) {
            if known.partitions != new.partitions {
                let (existing, wanted) = (known.partitions, new.partitions);
                return Err(LogError::Partitions { topic: new.name.clone(), existing, wanted });
            }
            if known.retention != new.retention {
                let update = "UPDATE topics SET retention_age_ms = ?2, retention_bytes = ?3 WHERE id = ?1";
                writer.execute(update, (known.id, new.retention.age_ms, new.retention.bytes)).map_err(failed)?;
                drop(writer);
                self.load_topics()?;
            }
            return Ok(Created::Existing);
        }
        let transaction = writer.transaction().map_err(failed)?;
        let insert = "INSERT INTO topics (name, partitions, retention_age_ms, retention_bytes) VALUES (?1, ?2, ?3, ?4)";
        let row = (&new.name, new.partitions, new.retention.age_ms, new.retention.bytes);
        transaction.execute(insert, row).map_err(failed)?;
        let id = transaction.last_insert_rowid();
        for partition in 0..new.partitions.max(1) {
            let insert = "INSERT INTO partitions (topic, partition, start, next, bytes) VALUES (?1, ?2, 0, 0, 0)";
            transaction.execute(insert, (id, partition)).map_err(failed)?;
        }
        transaction.commit().map_err(failed)?;
        drop(writer);
        self.load_topics()?;
        Ok(Created::New)
    }

    /// Reads the topics; those that are known keep their signal.
    fn load_topics(&self) -> Result<(), LogError> {
        let reader = self.reader();
        let failed = |e| sqlite_error(&self.path, e);
        let sql = "SELECT id, name, partitions, retention_age_ms, retention_bytes FROM topics";
        let mut statement = reader.prepare_cached(sql).map_err(failed)?;
        let rows = statement
            .query_map((), |row| {
                let retention = Retention { age_ms: row.get(3)?, bytes: row.get(4)? };
                Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?, row.get::<_, u32>(2)?, retention))
            })
            .map_err(failed)?;
        let mut topics = self.topics.write().unwrap_or_else(PoisonError::into_inner);
        for row in rows {
            let (id, name, partitions, retention) = row.map_err(failed)?;
            if topics.get(&name).is_none_or(|known| known.retention != retention) {
                let topic = Topic { id, name: name.clone(), partitions, retention, grown: Signal::default() };
                topics.insert(name, Arc::new(topic));
            }
        }
        Ok(())
    }

    pub fn error(&self, error: rusqlite::Error) -> LogError {
        sqlite_error(&self.path, error)
    }
}

/// One host at a time: a lock that the system takes back when the process dies, however it dies.
fn lock(path: &Path) -> Result<File, LogError> {
    let lock_path = path.with_extension(match path.extension() {
        Some(extension) => format!("{}.lock", extension.to_string_lossy()),
        None => "lock".to_owned(),
    });
    let at = |e: std::io::Error| store_error(path, e);
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&lock_path).map_err(at)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0).and_then(|()| write!(file, "{}", std::process::id())).map_err(at)?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.take(20).read_to_string(&mut pid);
            let pid = if pid.is_empty() { "unknown".to_owned() } else { pid };
            Err(LogError::InUse { path: path.display().to_string(), pid })
        }
        Err(std::fs::TryLockError::Error(error)) => Err(at(error)),
    }
}

fn prepare(writer: &Connection, path: &Path, options: Options) -> Result<(), LogError> {
    let failed = |e| sqlite_error(path, e);
    let synchronous = match options.sync {
        Sync::Full => "FULL",
        Sync::Normal => "NORMAL",
    };
    writer.busy_timeout(BUSY).map_err(failed)?;
    // The page size only counts before the first table is made.
    writer.pragma_update(None, "page_size", PAGE_BYTES).map_err(failed)?;
    writer.pragma_update(None, "journal_mode", "WAL").map_err(failed)?;
    writer.pragma_update(None, "synchronous", synchronous).map_err(failed)?;
    writer.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES).map_err(failed)?;
    writer.pragma_update(None, "mmap_size", MMAP_BYTES).map_err(failed)?;
    let tables: i64 = writer.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0)).map_err(failed)?;
    if tables == 0 {
        let create = format!("BEGIN; {TABLES} INSERT INTO bespoke_meta VALUES ('format', {FORMAT}); COMMIT;");
        writer.execute_batch(&create).map_err(failed)?;
    }
    check_format(writer, path)
}

fn check_format(connection: &Connection, path: &Path) -> Result<(), LogError> {
    let damaged = |what: String| LogError::Damaged { path: path.display().to_string(), what };
    let sql = "SELECT value FROM bespoke_meta WHERE key = 'format'";
    let found: Result<Option<i64>, _> = connection.query_row(sql, (), |row| row.get(0)).optional();
    match found {
        Ok(Some(FORMAT)) => Ok(()),
        Ok(Some(other)) => Err(damaged(format!("its format is {other}, and this host knows {FORMAT}"))),
        Ok(None) => Err(damaged("it does not tell its format".to_owned())),
        Err(rusqlite::Error::SqliteFailure(e, _)) if e.code == ErrorCode::Unknown => {
            Err(damaged("it is an SQLite file, but not a log".to_owned()))
        }
        Err(error) => Err(sqlite_error(path, error)),
    }
}

fn open_reader(path: &Path) -> Result<Connection, LogError> {
    let failed = |e| sqlite_error(path, e);
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let reader = Connection::open_with_flags(path, flags).map_err(failed)?;
    reader.busy_timeout(BUSY).map_err(failed)?;
    reader.pragma_update(None, "mmap_size", MMAP_BYTES).map_err(failed)?;
    Ok(reader)
}

fn sqlite_error(path: &Path, error: rusqlite::Error) -> LogError {
    if let rusqlite::Error::SqliteFailure(e, _) = &error
        && matches!(e.code, ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    {
        return LogError::Damaged { path: path.display().to_string(), what: error.to_string() };
    }
    store_error(path, error)
}

fn store_error(path: &Path, error: impl std::error::Error + Send + std::marker::Sync + 'static) -> LogError {
    LogError::Store { path: path.display().to_string(), source: Box::new(error) }
}
