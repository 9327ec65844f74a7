//! The log of one machine: one SQLite file holds topics, positions, module states and tables.
//!
//! ```text
//! session: append ─> step ─┐                       ┌─> file
//! session: append ─> step ─┴─> writer: transaction ┴─> topic (ends, tail) ─> session: poll
//! ```
//!
//! A step is one SQLite transaction, made by the one `writer`. SQLite's write-ahead log makes it whole, whatever kills
//! the process. Records are kept as batches in Kafka's format, one row each; sessions read the newest from memory and
//! older ones through a connection of their own. One host has the file at a time (`lock`); others may read it
//! ([`EmbeddedLog::open_read_only`]).

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};

use bespoke_record::Batch;
use serde::Deserialize;

use self::lock::Lock;
use self::session::EmbeddedSession;
use self::step::Step;
use self::store::Store;
use self::topic::Topic;
use self::writer::Writer;
use super::{Commit, Created, Log, LogError, Member, NewTopic, PartitionInfo, Session, TopicInfo};
use crate::table::{TableError, TableSpec, Top, sqlite};

mod lock;
mod retention;
mod session;
mod step;
mod store;
mod topic;
mod writer;

/// A topic of more partitions is a mistake on one machine.
const MAX_PARTITIONS: u32 = 10_000;
/// How the names of the tables begin that the log keeps for itself.
const OWN_TABLES: &str = "bespoke_";
/// SQLite keeps blobs of up to 1 GB; a batch is a record and at most 1 MiB before it.
const MAX_RECORD_BYTES: usize = 512 * 1024 * 1024;

/// How an embedded log is opened.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What a commit survives.
    pub durability: Durability,
    /// Key, value and headers of a record, with their lengths, may take this many bytes, at most 512 MiB.
    pub max_record_bytes: usize,
    /// How many bytes of the newest batches stay in memory. Consumers that keep up read them there, which costs half of
    /// what reading from the file does.
    pub tail_bytes: usize,
}

/// What a commit survives. Whatever happens, a step is there as a whole or not at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Loss of power too: each commit waits until the disk has it.
    #[default]
    Full,
    /// A kill of the process at any moment. When the power fails or the kernel crashes, the last steps may be undone.
    Normal,
}

/// A log in one file. Clones are the same log; the file is closed when the last of them and of their sessions is gone.
#[derive(Clone)]
pub struct EmbeddedLog {
    shared: Arc<Shared>,
}

/// What all sessions of a log share. The fields are dropped in this order: the lock goes last.
struct Shared {
    /// None in a log that is open for reading only.
    writer: Option<Mutex<Writer>>,
    reader: Mutex<Store>,
    topics: RwLock<BTreeMap<String, Arc<Topic>>>,
    feeds: Arc<Topic>,
    /// Which partitions are being read by which group: group, topic, partition.
    claims: Mutex<HashSet<(String, i64, u32)>>,
    path: PathBuf,
    options: Options,
    _lock: Option<Lock>,
}

// === impl Options ===

impl Default for Options {
    fn default() -> Self {
        Self { durability: Durability::Full, max_record_bytes: 16 * 1024 * 1024, tail_bytes: 64 * 1024 * 1024 }
    }
}

// === impl EmbeddedLog ===

impl EmbeddedLog {
    /// Opens the log at `path` and makes it, with its folder, if there is none.
    ///
    /// # Errors
    /// [`LogError::InUse`] if another host has it, [`LogError::Foreign`] or [`LogError::Damaged`] if it is no log that
    /// can be used, [`LogError::Store`] if the file cannot be opened.
    pub fn open(path: impl AsRef<Path>, options: Options) -> Result<Self, LogError> {
        let path = located(path.as_ref())?;
        let lock = Lock::take(&path)?;
        let max_record_bytes = options.max_record_bytes.min(MAX_RECORD_BYTES);
        let options = Options { max_record_bytes, ..options };
        let store = Store::open_writer(&path, options.durability)?;
        let topics = store.topics(None)?.into_iter().map(|stored| {
            let topic = Topic::load(stored, &store)?;
            Ok((topic.name.clone(), Arc::new(topic)))
        });
        let topics = topics.collect::<Result<BTreeMap<_, _>, LogError>>()?;
        let reader = Store::open_reader(&path)?;
        let writer = Writer::new(store, options.tail_bytes);
        Ok(Self { shared: Arc::new(Shared::new(path, options, Some(writer), reader, topics, Some(lock))) })
    }

    /// Opens the log at `path` for looking at it, also while a host runs. It cannot be joined or changed.
    ///
    /// # Errors
    /// [`LogError::Missing`] if there is none, else as [`EmbeddedLog::open`], but for [`LogError::InUse`].
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, LogError> {
        let path = path.as_ref();
        if !path.exists() {
            return Err(LogError::Missing { path: path.display().to_string() });
        }
        let reader = Store::open_reader(path)?;
        let (path, options) = (path.to_owned(), Options::default());
        Ok(Self { shared: Arc::new(Shared::new(path, options, None, reader, BTreeMap::new(), None)) })
    }

    /// Makes a table for [`Commit::rows`], unless there is one; that must be as described.
    ///
    /// # Errors
    /// [`LogError::Table`] if it cannot be or is not as described.
    pub fn ensure_table(&self, spec: &TableSpec) -> Result<(), LogError> {
        check_table_name(&spec.name)?;
        let writer = self.shared.writer()?;
        Ok(sqlite::ensure(&writer.store().conn, spec)?)
    }

    /// Whether there is a table as described.
    ///
    /// # Errors
    /// [`LogError::Table`] if there is none, or another.
    pub fn check_table(&self, spec: &TableSpec) -> Result<(), LogError> {
        check_table_name(&spec.name)?;
        Ok(sqlite::check(&self.shared.reader().conn, spec)?)
    }

    /// The groups that have committed a position in a topic, by name.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn groups(&self, topic: &str) -> Result<Vec<String>, LogError> {
        self.shared.reader().groups(topic)
    }

    /// The names of the columns of a table, and its first rows by primary key, each cell as text.
    ///
    /// # Errors
    /// [`LogError::Table`] if there is no such table or it cannot be read.
    pub fn top_rows(&self, table: &str, limit: usize) -> Result<Top, LogError> {
        Ok(sqlite::top(&self.shared.reader().conn, table, limit)?)
    }
}

impl Log for EmbeddedLog {
    fn create_topic(&self, topic: &NewTopic) -> Result<Created, LogError> {
        topic.check(MAX_PARTITIONS)?;
        let mut writer = self.shared.writer()?;
        // Under the writer's lock, so that two threads do not create one topic.
        if let Ok(existing) = self.shared.topic(&topic.name) {
            return self.shared.take_on(&mut writer, &existing, topic);
        }
        writer.create_topic(topic)?;
        let stored = writer.store().topics(Some(&topic.name))?;
        for stored in stored {
            let made = Arc::new(Topic::load(stored, writer.store())?);
            let mut topics = self.shared.topics.write().unwrap_or_else(PoisonError::into_inner);
            topics.insert(topic.name.clone(), made);
        }
        Ok(Created::New)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        let stored = self.shared.reader().topics(None)?;
        Ok(stored.into_iter().map(|topic| topic.info).collect())
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        Ok(self.shared.reader().topics(Some(name))?.pop().map(|topic| topic.info))
    }

    fn committed(&self, group: &str, topic: &str) -> Result<Vec<(u32, i64)>, LogError> {
        let reader = self.shared.reader();
        let Some(stored) = reader.topics(Some(topic))?.pop() else { return Err(LogError::NoTopic(topic.to_owned())) };
        let positions: BTreeMap<u32, i64> = reader.positions(group, topic)?.into_iter().collect();
        let position = |p: &PartitionInfo| positions.get(&p.partition).copied().unwrap_or(p.start);
        Ok(stored.info.partitions.iter().map(|p| (p.partition, position(p))).collect())
    }

    fn read(&self, topic: &str, partition: u32, offset: i64, max_records: usize) -> Result<Batch, LogError> {
        let reader = self.shared.reader();
        let Some(stored) = reader.topics(Some(topic))?.pop() else { return Err(LogError::NoTopic(topic.to_owned())) };
        let partitions = stored.info.partitions.len() as u32;
        if partition >= partitions {
            let last = partitions.saturating_sub(1);
            return Err(LogError::NoPartition { topic: topic.to_owned(), partition, last });
        }
        let Some(batch) = reader.batch_from(stored.id, partition, offset)? else { return Ok(Batch::default()) };
        let first = batch.entries().partition_point(|entry| entry.offset < offset);
        Ok(batch.slice(first..batch.len().min(first.saturating_add(max_records))))
    }

    fn join(&self, member: Member) -> Result<Box<dyn Session>, LogError> {
        drop(self.shared.writer()?);
        let topic = match &member.topic {
            Some(name) => self.shared.topic(name)?,
            None => self.shared.feeds.clone(),
        };
        let store = Store::open_reader(&self.shared.path)?;
        Ok(Box::new(EmbeddedSession::new(self.shared.clone(), store, topic, member)))
    }
}

// === impl Shared ===

impl Shared {
    fn new(
        path: PathBuf,
        options: Options,
        writer: Option<Writer>,
        reader: Store,
        topics: BTreeMap<String, Arc<Topic>>,
        lock: Option<Lock>,
    ) -> Self {
        Self {
            writer: writer.map(Mutex::new),
            reader: Mutex::new(reader),
            topics: RwLock::new(topics),
            feeds: Arc::new(Topic::of_feeds()),
            claims: Mutex::default(),
            path,
            options,
            _lock: lock,
        }
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, LogError> {
        let read_only = || LogError::ReadOnly { path: self.path.display().to_string() };
        let writer = self.writer.as_ref().ok_or_else(read_only)?;
        // A panic within a transaction has rolled it back, and memory is changed only after commits.
        Ok(writer.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn reader(&self) -> MutexGuard<'_, Store> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn topic(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        topics.get(name).cloned().ok_or_else(|| LogError::NoTopic(name.to_owned()))
    }

    fn take_on(&self, writer: &mut Writer, existing: &Topic, wanted: &NewTopic) -> Result<Created, LogError> {
        wanted.fits(existing.partitions.len() as u32)?;
        let before = *existing.retention.read().unwrap_or_else(PoisonError::into_inner);
        if before != wanted.retention {
            writer.set_retention(existing.id, wanted.retention)?;
            *existing.retention.write().unwrap_or_else(PoisonError::into_inner) = wanted.retention;
        }
        Ok(Created::Existing)
    }

    fn commit(&self, group: &str, topic: &str, step: &mut Step, commit: Commit<'_>) -> Result<(), LogError> {
        let mut writer = self.writer()?;
        writer.commit(group, topic, step, commit)?;
        self.sweep(&mut writer);
        Ok(())
    }

    /// Removes what retention lets go, for who has nothing else to do. Whoever writes now does it as well.
    fn sweep_idle(&self) {
        match self.writer.as_ref().map(Mutex::try_lock) {
            Some(Ok(mut writer)) => self.sweep(&mut writer),
            Some(Err(TryLockError::Poisoned(poisoned))) => self.sweep(&mut poisoned.into_inner()),
            Some(Err(TryLockError::WouldBlock)) | None => {}
        }
    }

    fn sweep(&self, writer: &mut Writer) {
        let topics = self.topics.read().unwrap_or_else(PoisonError::into_inner);
        writer.sweep(topics.values());
    }

    /// Makes a partition the caller's. False if it is another session's.
    fn claim(&self, group: &str, topic: &Topic, partition: u32) -> bool {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.insert((group.to_owned(), topic.id, partition))
    }

    /// Gives partitions back, and wakes who waits for them.
    fn release(&self, group: &str, topic: &Topic, partitions: impl Iterator<Item = u32>) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in partitions {
            claims.remove(&(group.to_owned(), topic.id, partition));
        }
        drop(claims);
        topic.notify();
    }
}

fn check_table_name(name: &str) -> Result<(), TableError> {
    if name.to_ascii_lowercase().starts_with(OWN_TABLES) {
        let what = format!("names that begin with `{OWN_TABLES}` are those of the log's own tables");
        return Err(TableError::Spec { table: name.to_owned(), what });
    }
    Ok(())
}

/// The path with its folder made and resolved, so that two names of one file have one lock.
fn located(path: &Path) -> Result<PathBuf, LogError> {
    let failed =
        |source: std::io::Error| LogError::Store { path: path.display().to_string(), source: Box::new(source) };
    if path.is_dir() {
        return Err(failed(std::io::Error::other("it is a folder, and a log is a file")));
    }
    if let Ok(resolved) = path.canonicalize() {
        return Ok(resolved);
    }
    let name = path.file_name().ok_or_else(|| failed(std::io::ErrorKind::IsADirectory.into()))?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder).map_err(|error| {
        let name = folder.display();
        failed(std::io::Error::other(match folder.is_file() {
            true => format!("`{name}` is a file, not a folder"),
            false => format!("its folder `{name}` cannot be made: {error}"),
        }))
    })?;
    Ok(folder.canonicalize().map_err(failed)?.join(name))
}

#[cfg(test)]
mod tests;
