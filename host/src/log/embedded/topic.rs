//! What is kept of a topic in memory: its ends, the newest batches, and who waits for more.
//!
//! The file is the truth; this follows it, and only the writer changes it, after a transaction. Sessions read it without
//! asking SQLite: an idle poll costs no query, and consumers that keep up are served from the tail.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};
use std::time::Instant;

use bytes::Bytes;

use super::store::{Store, StoredTopic};
use crate::log::{LogError, Retention};

/// No log gets as far; a file that says so is damaged, and counting on from there would overflow.
const MAX_COUNT: i64 = i64::MAX / 2;

/// A topic of an open log.
pub(super) struct Topic {
    pub(super) id: i64,
    pub(super) name: String,
    pub(super) partitions: Vec<Partition>,
    pub(super) retention: RwLock<Retention>,
    /// Counts what happened, so that nothing is missed between looking and waiting.
    happened: Mutex<u64>,
    changed: Condvar,
}

/// One of its partitions.
#[derive(Default)]
pub(super) struct Partition {
    start: AtomicI64,
    end: AtomicI64,
    bytes: AtomicI64,
    tail: Mutex<VecDeque<Stored>>,
}

/// A batch as it is stored.
#[derive(Clone)]
pub(super) struct Stored {
    pub(super) base_offset: i64,
    pub(super) last_offset: i64,
    pub(super) bytes: Bytes,
}

/// The newest batches of all topics, up to a number of bytes; the oldest go first. Only the writer has it.
pub(super) struct Tail {
    limit_bytes: usize,
    bytes: usize,
    oldest_first: VecDeque<(Arc<Topic>, u32, usize)>,
}

// === impl Topic ===

impl Topic {
    /// A topic as the file has it.
    pub(super) fn load(stored: StoredTopic, store: &Store) -> Result<Self, LogError> {
        let StoredTopic { id, info } = stored;
        for (index, p) in info.partitions.iter().enumerate() {
            let bytes = p.bytes.unwrap_or_default();
            let is_counted = (0..=p.end).contains(&p.start) && p.end <= MAX_COUNT && (0..=MAX_COUNT).contains(&bytes);
            if p.partition as usize != index || !is_counted {
                return Err(
                    store.damaged(format!("partition {} of topic `{}` cannot be right", p.partition, info.name))
                );
            }
        }
        let partitions = info.partitions.iter().map(|p| Partition {
            start: AtomicI64::new(p.start),
            end: AtomicI64::new(p.end),
            bytes: AtomicI64::new(p.bytes.unwrap_or_default()),
            tail: Mutex::default(),
        });
        let partitions = partitions.collect();
        Ok(Self {
            id,
            name: info.name,
            partitions,
            retention: RwLock::new(info.retention),
            happened: Mutex::default(),
            changed: Condvar::new(),
        })
    }

    /// What feeds read: one partition that never has a record. It has no name and is not in the file.
    pub(super) fn of_feeds() -> Self {
        Self {
            id: 0,
            name: String::new(),
            partitions: vec![Partition::default()],
            retention: RwLock::default(),
            happened: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// Wakes all who wait.
    pub(super) fn notify(&self) {
        *self.happened.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.changed.notify_all();
    }

    /// To be taken before looking, and given to [`Topic::wait`] if there was nothing.
    pub(super) fn happened(&self) -> u64 {
        *self.happened.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something happens after `seen`. False if nothing did until `deadline`.
    pub(super) fn wait(&self, seen: u64, deadline: Instant) -> bool {
        let happened = self.happened.lock().unwrap_or_else(PoisonError::into_inner);
        let timeout = deadline.saturating_duration_since(Instant::now());
        let waited = self.changed.wait_timeout_while(happened, timeout, |happened| *happened == seen);
        let (happened, _) = waited.unwrap_or_else(PoisonError::into_inner);
        *happened != seen
    }
}

// === impl Partition ===

impl Partition {
    /// The first offset that is kept.
    pub(super) fn start(&self) -> i64 {
        self.start.load(Ordering::Acquire)
    }

    /// The offset of the next record.
    pub(super) fn end(&self) -> i64 {
        self.end.load(Ordering::Acquire)
    }

    /// Bytes of all its batches.
    pub(super) fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Sets what the file says after a commit of the writer.
    pub(super) fn set(&self, start: i64, end: i64, bytes: i64) {
        self.start.store(start, Ordering::Release);
        self.bytes.store(bytes, Ordering::Release);
        self.end.store(end, Ordering::Release);
    }

    /// The batch that has this offset, if it is in memory.
    pub(super) fn in_memory(&self, offset: i64) -> Option<Bytes> {
        let tail = self.tail.lock().unwrap_or_else(PoisonError::into_inner);
        let index = tail.partition_point(|stored| stored.last_offset < offset);
        tail.get(index).filter(|stored| stored.base_offset <= offset).map(|stored| stored.bytes.clone())
    }
}

// === impl Tail ===

impl Tail {
    pub(super) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, bytes: 0, oldest_first: VecDeque::new() }
    }

    /// Keeps a committed batch; batches of a partition come in order.
    pub(super) fn push(&mut self, topic: &Arc<Topic>, partition: u32, stored: Stored) {
        let bytes = stored.bytes.len();
        if bytes > self.limit_bytes {
            return;
        }
        let Some(p) = topic.partitions.get(partition as usize) else { return };
        p.tail.lock().unwrap_or_else(PoisonError::into_inner).push_back(stored);
        self.oldest_first.push_back((topic.clone(), partition, bytes));
        self.bytes += bytes;
        while self.bytes > self.limit_bytes
            && let Some((topic, partition, bytes)) = self.oldest_first.pop_front()
        {
            self.bytes -= bytes;
            let tail = &topic.partitions[partition as usize].tail;
            tail.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        }
    }
}
