//! Where topics live: the seam between everything that handles records and the store that keeps them.
//!
//! A [`Log`] has topics with partitions. A worker joins it as a [`Member`] and gets a [`Session`]: its consumer, its
//! producer and its transaction in one. What every implementation promises, and the contract suite
//! (`tests/contract/log.rs`) checks:
//!
//! - **Order.** Records of one partition are handed out in the order of their offsets, and offsets only grow. They may
//!   have gaps: nothing may assume that the next offset is the last one plus one; use [`Batch::next_offset`].
//! - **Assignment.** [`Event::Assigned`] comes before the first record of a partition and carries the committed position
//!   with its note, and the committed module state. A partition belongs to one member of a group at a time.
//! - **Notes.** What a reader notes beside a position, [`MAX_NOTE_BYTES`] of text at most, is kept exactly as long as that
//!   position: the next commit of one replaces both, and a position that comes without a note has none.
//! - **A step is whole.** What was appended since the last commit, the positions, the states and the rows that
//!   [`Session::commit`] is given become visible and durable together, or not at all, whatever kills the process when.
//!   Readers see committed records only.
//! - **Abort.** [`Session::abort`] forgets the appended records and moves every assigned partition back to its committed
//!   position. A failed commit has the same effect.
//! - **Partitioning.** Keyed records go to partition `murmur2(key) & 0x7fffffff % partitions`, as Kafka's Java client
//!   sends them. Records of one batch without a key go to one partition, which changes from batch to batch.
//!
//! A Kafka log can be told to promise less of a step (`at-least-once`): after a failure it may be done again, in part.
//!
//! Not promised: that a batch handed out equals a batch appended, that a committed offset is one of an existing record,
//! or that a timestamp grows with the offset.

use std::ops::Range;
use std::time::Duration;

use bespoke_record::Batch;
use bytes::Bytes;

use crate::table::{Rows, TableError};

pub mod embedded;
#[cfg(test)]
pub(crate) mod forgetful;
pub mod kafka;
mod new_topic;

/// Kafka's limit to the name of a topic.
const MAX_NAME_BYTES: usize = 249;
/// The longest note: well below what brokers take by default (`offset.metadata.max.bytes`, 4096).
pub const MAX_NOTE_BYTES: usize = 1024;

/// A store of topics. Shared by all threads of a host.
pub trait Log: Send + Sync {
    /// Creates a topic, or tells that it is there already with the same number of partitions. An existing topic takes on
    /// the retention that is asked for.
    ///
    /// # Errors
    /// [`LogError::Partitions`] if it exists with another number of partitions; [`LogError::BadName`] and
    /// [`LogError::BadPartitions`] if there can be no such topic.
    fn create_topic(&self, topic: &NewTopic) -> Result<Created, LogError>;

    /// All topics, by name.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn topics(&self) -> Result<Vec<TopicInfo>, LogError>;

    /// One topic.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError>;

    /// The committed position of a group in each partition of a topic: the offset at which it would read on, though
    /// retention may have removed what was there. Partitions without a commit are at the first offset that is kept.
    ///
    /// # Errors
    /// [`LogError::NoTopic`], or if the store cannot be read.
    fn committed(&self, group: &str, topic: &str) -> Result<Vec<(u32, i64)>, LogError>;

    /// Reads at most `max_records` records from `offset` on, outside of any group, or from the first that is still kept.
    /// Empty at the end.
    ///
    /// # Errors
    /// [`LogError::NoTopic`], [`LogError::NoPartition`], or if the store cannot be read.
    fn read(&self, topic: &str, partition: u32, offset: i64, max_records: usize) -> Result<Batch, LogError>;

    /// The topic that keeps the states of a group, if this log keeps them in one that others have to make.
    fn state_topic(&self, _group: &str) -> Option<String> {
        None
    }

    /// Makes a place for the states of a group that reads so many partitions, unless there is one.
    ///
    /// # Errors
    /// [`LogError::NoTopic`] if there is none and it is for others to make.
    fn ensure_states(&self, _group: &str, _partitions: u32) -> Result<(), LogError> {
        Ok(())
    }

    /// Opens the session of one worker.
    ///
    /// # Errors
    /// [`LogError::NoTopic`] if the member's topic does not exist.
    fn join(&self, member: Member) -> Result<Box<dyn Session>, LogError>;
}

/// The consumer, producer and transaction of one worker. Used by one thread.
pub trait Session: Send {
    /// Waits at most `timeout` for something to happen. Batches have at most `max_records` records of one partition.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Event, LogError>;

    /// Adds records to the step. Their offsets are given by the log.
    ///
    /// # Errors
    /// [`LogError::NoTopic`], [`LogError::TooLarge`]; then nothing of the batch is added.
    fn append(&mut self, topic: &str, records: &Batch) -> Result<(), LogError>;

    /// Adds dead letters to the step. A letter is the record that it keeps and some bytes that tell of it, so that
    /// [`Session::max_record_bytes`] is no limit for it: a record that was taken has a letter that is taken, unless the
    /// topics were made by others, with a lower limit for this one.
    ///
    /// # Errors
    /// [`LogError::NoTopic`], and [`LogError::TooLarge`] for such a topic; then nothing of the batch is added.
    fn divert(&mut self, topic: &str, letters: &Batch) -> Result<(), LogError>;

    /// Makes the step happen: all that was appended, and all of this.
    ///
    /// # Errors
    /// If the store cannot be written, or has no place for rows; the step is aborted then. With [`TableError::Refused`] it
    /// can be done again without those rows.
    fn commit(&mut self, commit: Commit<'_>) -> Result<(), LogError>;

    /// Forgets the step and goes back to the committed positions. [`Event::Assigned`] comes again for every partition.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn abort(&mut self) -> Result<(), LogError>;

    /// Keeps the membership while a step waits for something else, to be called now and then instead of [`Session::poll`].
    /// Hands nothing out. False if there is something to be polled for that must not wait: partitions come or go, or may
    /// be another's already.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn attend(&mut self) -> Result<bool, LogError>;

    /// Bytes of the largest record that [`Session::append`] takes for a topic, counting all of its parts as they are
    /// written.
    fn max_record_bytes(&self, topic: &str) -> usize;

    /// Bytes that the open step holds in memory here.
    fn open_bytes(&self) -> usize {
        0
    }
}

/// Which worker of which group opens a session.
#[derive(Clone, Debug)]
pub struct Member {
    /// The consumer group: positions and states are kept under its name.
    pub group: String,
    /// The topic to read. None for a feed: its session has the one partition 0, which never has records, but a state.
    pub topic: Option<String>,
    /// This worker among those of this process, from 0.
    pub worker: u32,
    /// How many workers of the group this process runs.
    pub workers: u32,
}

/// What [`Session::poll`] saw.
#[derive(Debug)]
pub enum Event {
    /// The partition is this member's now.
    Assigned {
        /// The partition.
        partition: u32,
        /// The offset at which reading goes on.
        position: i64,
        /// What was noted beside that position, if it was committed with a note.
        note: Option<String>,
        /// The state committed last, if any was.
        state: Option<Bytes>,
    },
    /// The partition is no longer this member's. If it is not `lost`, a commit is still possible before the next poll. It may
    /// be one that was not assigned again since a step was thrown away.
    Revoked {
        /// The partition.
        partition: u32,
        /// Another member may have it already.
        lost: bool,
    },
    /// Records of one partition.
    Records {
        /// The partition.
        partition: u32,
        /// The records, at least one.
        batch: Batch,
    },
    /// Retention has removed records before they were read. Reading goes on at the first that is kept.
    Skipped {
        /// The partition.
        partition: u32,
        /// The offset that was to be read next.
        from: i64,
        /// The offset that is.
        to: i64,
    },
    /// Nothing came in time.
    Idle,
}

/// What is committed together with the appended records.
#[derive(Clone, Copy, Debug, Default)]
pub struct Commit<'a> {
    /// Per partition the offset at which to read on.
    pub positions: &'a [(u32, i64)],
    /// What is noted beside positions of this commit, by partition.
    pub notes: &'a [(u32, String)],
    /// Per partition the module's state.
    pub states: &'a [(u32, Bytes)],
    /// Rows for tables in the log's own store; a log without such tables takes none.
    pub rows: &'a [Rows],
}

/// A topic to be created.
#[derive(Clone, Debug)]
pub struct NewTopic {
    /// The name: 1 to 249 of `a-z A-Z 0-9 . _ -`, as in Kafka.
    pub name: String,
    /// How many partitions, at least 1.
    pub partitions: u32,
    /// What is kept for how long.
    pub retention: Retention,
}

/// Whether it may stand in the name of a topic, as Kafka has it.
pub(crate) fn is_topic_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

// === impl Commit ===

impl Commit<'_> {
    /// The note beside the position of a partition.
    fn note(&self, partition: u32) -> Option<&str> {
        self.notes.iter().find(|(noted, _)| *noted == partition).map(|(_, note)| note.as_str())
    }

    /// Whether each note can be kept: it is short, and has a position.
    ///
    /// # Errors
    /// [`LogError::Note`].
    fn check_notes(&self) -> Result<(), LogError> {
        let has_place = |partition: &u32| self.positions.iter().any(|(placed, _)| placed == partition);
        match self.notes.iter().find(|(partition, note)| note.len() > MAX_NOTE_BYTES || !has_place(partition)) {
            Some((partition, note)) => Err(LogError::Note { partition: *partition, bytes: note.len() }),
            None => Ok(()),
        }
    }
}

/// How long records are kept. None is for ever.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Records older than this may go.
    pub age_ms: Option<i64>,
    /// The oldest records of a partition go when it holds more bytes than this.
    pub bytes: Option<i64>,
}

/// Whether a topic is new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was made.
    New,
    /// It was there.
    Existing,
}

/// What is known of a topic.
#[derive(Clone, Debug)]
pub struct TopicInfo {
    /// The name.
    pub name: String,
    /// The partitions, by number.
    pub partitions: Vec<PartitionInfo>,
    /// What is kept for how long.
    pub retention: Retention,
}

/// What is known of a partition.
#[derive(Clone, Copy, Debug)]
pub struct PartitionInfo {
    /// The number.
    pub partition: u32,
    /// The first offset that is still kept.
    pub start: i64,
    /// The offset that the next record gets.
    pub end: i64,
    /// Up to where all is decided, at most the end: what comes after it belongs to steps that may still be open.
    pub decided: i64,
    /// Bytes on disk, if the store tells.
    pub bytes: Option<i64>,
}

/// Where a group stands in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The partition.
    pub partition: u32,
    /// The offset at which the group reads on.
    pub position: i64,
    /// The offset that the next record gets.
    pub end: i64,
}

impl Standing {
    /// How many offsets are before the group. There may be gaps among them, so this is how many records at most.
    #[must_use]
    pub fn lag(&self) -> u64 {
        self.end.saturating_sub(self.position).max(0).unsigned_abs()
    }
}

/// The records of a partition from one offset up to another, at most `at_once` in a batch. The last batch has what came after
/// that too, if it was there. Ends with the first error.
pub fn batches<'l>(
    log: &'l dyn Log,
    topic: &'l str,
    partition: u32,
    offsets: Range<i64>,
    at_once: usize,
) -> impl Iterator<Item = Result<Batch, LogError>> + 'l {
    let Range { start: mut at, end } = offsets;
    std::iter::from_fn(move || {
        if at >= end {
            return None;
        }
        let batch = log.read(topic, partition, at, at_once);
        at = batch.as_ref().map_or(Some(end), Batch::next_offset)?;
        Some(batch)
    })
}

/// Where a group stands in each partition of a topic.
///
/// # Errors
/// [`LogError::NoTopic`], or if the store cannot be read.
pub fn standings(log: &dyn Log, group: &str, topic: &str) -> Result<Vec<Standing>, LogError> {
    // The ends last: whoever is at the end then was not told so too early.
    let positions = log.committed(group, topic)?;
    let info = log.topic(topic)?.ok_or_else(|| LogError::NoTopic(topic.to_owned()))?;
    let end = |partition| info.partitions.iter().find(|p| p.partition == partition).map(|p| p.end);
    let standing = |(partition, position)| Standing { partition, position, end: end(partition).unwrap_or(position) };
    Ok(positions.into_iter().map(standing).collect())
}

/// What can go wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// No such topic.
    #[error(
        "there is no topic `{0}`; `host topics create` makes it, and so does the start of a pipeline that makes its topics"
    )]
    NoTopic(String),
    /// A topic name that is not allowed.
    #[error("`{0}` cannot be the name of a topic: use 1 to 249 of a-z, A-Z, 0-9, dot, underscore and hyphen")]
    BadName(String),
    /// The topic has another number of partitions.
    #[error(
        "topic `{topic}` has {existing} partitions, not {wanted}; none can be taken away, and only on Kafka can some be added: \
         `host topics alter {topic} --partitions {wanted}`"
    )]
    Partitions {
        /// The topic.
        topic: String,
        /// Its partitions.
        existing: u32,
        /// What was asked for.
        wanted: u32,
    },
    /// No topic can have as many partitions.
    #[error("topic `{topic}` cannot have {wanted} partitions: use 1 to {limit}")]
    BadPartitions {
        /// The topic.
        topic: String,
        /// What was asked for.
        wanted: u32,
        /// The most that is possible.
        limit: u32,
    },
    /// No such partition.
    #[error("topic `{topic}` has no partition {partition}, its partitions are 0 to {last}")]
    NoPartition {
        /// The topic.
        topic: String,
        /// What was asked for.
        partition: u32,
        /// The highest number there is.
        last: u32,
    },
    /// A record that is too large.
    #[error("a record of {bytes} bytes for topic `{topic}` is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The topic.
        topic: String,
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// A note that cannot be kept.
    #[error(
        "a note of {bytes} bytes for partition {partition}: it must be of {MAX_NOTE_BYTES} at most, and have a position"
    )]
    Note {
        /// The partition.
        partition: u32,
        /// Its size.
        bytes: usize,
    },
    /// Another process has the log.
    #[error("`{path}` is in use by another host (process {pid}); one host at a time can write an embedded log")]
    InUse {
        /// The file.
        path: String,
        /// The other process, or `unknown`.
        pid: String,
    },
    /// There is nothing to read, or not yet.
    #[error("there is no log at `{path}`; check the path, or run the pipeline once to make it")]
    Missing {
        /// The file.
        path: String,
    },
    /// The log was opened for reading only.
    #[error("the log at `{path}` was opened for reading only")]
    ReadOnly {
        /// The file.
        path: String,
    },
    /// The file is something else, or of another version.
    #[error("`{path}` cannot be used as a log: {what}")]
    Foreign {
        /// The file.
        path: String,
        /// What it is, and what to do.
        what: String,
    },
    /// A table of the log's own store.
    #[error(transparent)]
    Table(#[from] TableError),
    /// What the file holds cannot be right.
    #[error("`{path}` is damaged: {what}")]
    Damaged {
        /// The file.
        path: String,
        /// What was found where.
        what: String,
    },
    /// A setting of the store's client.
    #[error("[log.properties] `{name}`: {what}")]
    Setting {
        /// The setting.
        name: String,
        /// What is wrong with it.
        what: String,
    },
    /// The store failed.
    #[error("the log at `{path}`: {source}")]
    Store {
        /// The file or address.
        path: String,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
