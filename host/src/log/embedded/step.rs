//! The records of a step that is not yet committed, encoded by topic and partition as they come.
//!
//! Encoding happens here, on the worker's thread, so that the writer's transaction has nothing to do but to store bytes.

use std::sync::Arc;

use bespoke_record::{Batch, partition_of, v2};

use super::topic::Topic;
use crate::log::LogError;

/// A batch is closed when it is as long as this: long enough to make rows rare, short enough to be read at once.
const BATCH_BYTES: usize = 1024 * 1024;

/// What a session has appended since its last commit.
pub(super) struct Step {
    topics: Vec<Appends>,
    /// Which partition the next batch without keys goes to, before the remainder is taken.
    turn: u32,
    /// Of all records, as they are written.
    bytes: usize,
}

struct Appends {
    topic: Arc<Topic>,
    partitions: Vec<Pending>,
}

#[derive(Default)]
struct Pending {
    open: v2::Encoder,
    closed: Vec<v2::Encoded>,
}

// === impl Step ===

impl Step {
    /// An empty step.
    pub(super) fn new(first_turn: u32) -> Self {
        Self { topics: Vec::new(), turn: first_turn, bytes: 0 }
    }

    /// Adds all records of the batch or, on an error, none. A record may have `limit` bytes.
    pub(super) fn append(&mut self, topic: &Arc<Topic>, batch: &Batch, limit: usize) -> Result<(), LogError> {
        let mut all_bytes = 0;
        for index in 0..batch.len() {
            let bytes = v2::record_bytes(batch, index);
            all_bytes += bytes;
            if bytes > limit as u64 {
                let (topic, bytes) = (topic.name.clone(), usize::try_from(bytes).unwrap_or(usize::MAX));
                return Err(LogError::TooLarge { topic, bytes, limit });
            }
        }
        let count = topic.partitions.len() as u32;
        let unkeyed = self.turn % count.max(1);
        let mut used_unkeyed = false;
        let appends = self.of(topic);
        for (index, entry) in batch.entries().iter().enumerate() {
            let partition = match entry.key {
                _ if count == 1 => 0,
                Some(key) => partition_of(key.of(batch.arena()), count),
                None => {
                    used_unkeyed = true;
                    unkeyed
                }
            };
            let pending = &mut appends.partitions[partition as usize];
            // Cannot be full: a record and what is open before it are far shorter than the format's 2 GiB.
            pending.open.push(batch, index).map_err(|_| LogError::TooLarge {
                topic: topic.name.clone(),
                bytes: pending.open.bytes(),
                limit,
            })?;
            if pending.open.bytes() >= BATCH_BYTES {
                pending.closed.extend(pending.open.finish());
            }
        }
        if used_unkeyed {
            self.turn = self.turn.wrapping_add(1);
        }
        self.bytes = self.bytes.saturating_add(usize::try_from(all_bytes).unwrap_or(usize::MAX));
        Ok(())
    }

    /// Closes what is open. To be done before the batches are taken.
    pub(super) fn close(&mut self) {
        for pending in self.topics.iter_mut().flat_map(|appends| &mut appends.partitions) {
            pending.closed.extend(pending.open.finish());
        }
    }

    /// Takes the closed batches, partition by partition.
    pub(super) fn take(&mut self) -> impl Iterator<Item = (&Arc<Topic>, u32, Vec<v2::Encoded>)> {
        self.topics.iter_mut().flat_map(|Appends { topic, partitions }| {
            let topic = &*topic;
            let closed = move |(number, pending): (usize, &mut Pending)| {
                let closed = std::mem::take(&mut pending.closed);
                (!closed.is_empty()).then_some((topic, number as u32, closed))
            };
            partitions.iter_mut().enumerate().filter_map(closed)
        })
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.topics.clear();
        self.bytes = 0;
    }

    /// Bytes of what was appended.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether nothing was appended.
    pub(super) fn is_empty(&self) -> bool {
        let is_empty = |pending: &Pending| pending.open.records() == 0 && pending.closed.is_empty();
        self.topics.iter().all(|appends| appends.partitions.iter().all(is_empty))
    }

    fn of(&mut self, topic: &Arc<Topic>) -> &mut Appends {
        let index = self.topics.iter().position(|appends| Arc::ptr_eq(&appends.topic, topic));
        let index = index.unwrap_or_else(|| {
            let partitions = topic.partitions.iter().map(|_| Pending::default()).collect();
            self.topics.push(Appends { topic: topic.clone(), partitions });
            self.topics.len() - 1
        });
        &mut self.topics[index]
    }
}
