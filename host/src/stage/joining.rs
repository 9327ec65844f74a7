//! How a candidate comes to know what the live version knows, while the stream flows.
//!
//! Its instances are made beside the stream, by a thread that lasts as long as that takes, each from the state that was
//! committed last. What the live version handles meanwhile is kept, and handled by the candidate afterwards, some batches for
//! each one that comes, until none is left. So the worker neither waits for a module that takes long to read a large state,
//! nor for one that never ends.

use std::collections::{HashMap, VecDeque, hash_map};
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError, channel};
use std::thread;
use std::time::{Duration, Instant};

use bespoke_record::{Batch, Entry, Span};
use bytes::Bytes;

use super::Version;
use super::instances::{Instances, made, slot};
use crate::module::{Fault, FaultKind, Instance, THREAD_STACK_BYTES};

/// Batches that were missed and are handled for each one that comes: more than one, or it would never end.
pub(super) const CATCH_UP: usize = 2;
/// How long missed batches are handled between two steps.
pub(super) const CATCH_UP_TIME: Duration = Duration::from_millis(5);
/// Bytes of missed records that are kept. Beyond them the worker waits for the instances.
const MISSED_BYTES: usize = 64 << 20;

/// What the instances of a candidate lack.
#[derive(Default)]
pub(super) struct Joining {
    by_slot: HashMap<u32, Lack>,
    /// Bytes of all that was missed.
    bytes: usize,
    /// How long the worker waited because too much was missed.
    pub waited: Duration,
}

/// What one instance lacks.
struct Lack {
    made: Receiver<Result<Instance, Fault>>,
    missed: VecDeque<Missed>,
    /// Whoever makes the instance looks whether this is still there.
    _wanted: Arc<()>,
}

/// A batch that the live version has handled, and the candidate has not.
pub(super) struct Missed {
    pub batch: Batch,
    /// Those of its records that were tried.
    pub range: Range<usize>,
    pub tombstones: Vec<usize>,
    /// The records that the live version was given.
    pub indices: Vec<usize>,
    /// How long it took.
    pub time: Duration,
    /// Those at which it failed.
    pub errors: u64,
}

// === impl Joining ===

impl Joining {
    /// Has instances made for the partitions that have none, each with its committed state. Whether there were any.
    pub fn begin<'a>(
        &mut self,
        instances: &Instances,
        partitions: impl Iterator<Item = (u32, Option<&'a Bytes>)>,
    ) -> io::Result<bool> {
        let mut orders = Vec::new();
        for (partition, state) in partitions {
            let slot = slot(&instances.version, partition);
            if instances.has(partition) {
                continue;
            }
            if let hash_map::Entry::Vacant(place) = self.by_slot.entry(slot) {
                let ((sender, made), wanted) = (channel(), Arc::new(()));
                orders.push((sender, Arc::downgrade(&wanted), state.cloned()));
                place.insert(Lack { made, missed: VecDeque::new(), _wanted: wanted });
            }
        }
        if orders.is_empty() {
            return Ok(false);
        }
        let version: Arc<Version> = instances.version.clone();
        let work = move || {
            for (sender, wanted, state) in orders {
                // Nobody waits for it if the candidate, or the partition, is gone.
                if wanted.strong_count() > 0 {
                    let _ = sender.send(made(&version, state.as_ref()));
                }
            }
        };
        thread::Builder::new().name("candidate".to_owned()).stack_size(THREAD_STACK_BYTES).spawn(work)?;
        Ok(true)
    }

    /// Whether a partition lacks anything.
    pub fn lacks(&self, version: &Version, partition: u32) -> bool {
        self.by_slot.contains_key(&slot(version, partition))
    }

    /// Whether no partition lacks anything.
    pub fn is_over(&self) -> bool {
        self.by_slot.is_empty()
    }

    /// Keeps what the live version has handled. An instance without state is no other for it.
    pub fn miss(&mut self, version: &Version, partition: u32, missed: Missed) {
        if let Some(lack) = self.by_slot.get_mut(&slot(version, partition))
            && version.module.is_stateful()
        {
            self.bytes += missed.bytes();
            lack.missed.push_back(missed);
        }
    }

    /// What was kept last of a partition.
    pub fn last(&mut self, version: &Version, partition: u32) -> Option<&mut Missed> {
        self.by_slot.get_mut(&slot(version, partition))?.missed.back_mut()
    }

    /// Takes over an instance that is ready, and hands out the next batch that it missed. None if there is nothing to be done
    /// now.
    pub fn next(&mut self, instances: &mut Instances, partition: u32) -> Result<Option<Missed>, Fault> {
        let slot = slot(&instances.version, partition);
        let Some(lack) = self.by_slot.get_mut(&slot) else { return Ok(None) };
        if !instances.has(partition) {
            let made = match lack.made.try_recv() {
                Ok(made) => made,
                Err(TryRecvError::Empty) if self.bytes <= MISSED_BYTES => return Ok(None),
                Err(TryRecvError::Empty) => {
                    let begun = Instant::now();
                    let made = lack.made.recv().unwrap_or_else(|RecvError| Err(lost()));
                    self.waited += begun.elapsed();
                    made
                }
                Err(TryRecvError::Disconnected) => Err(lost()),
            };
            instances.put(partition, made?);
        }
        let next = lack.missed.pop_front();
        match &next {
            Some(missed) => self.bytes -= missed.bytes(),
            None => _ = self.by_slot.remove(&slot),
        }
        Ok(next)
    }

    /// The partition has another state now, or is gone.
    pub fn forget(&mut self, version: &Version, partition: u32) {
        if version.module.is_stateful()
            && let Some(lack) = self.by_slot.remove(&partition)
        {
            self.bytes -= lack.missed.iter().map(Missed::bytes).sum::<usize>();
        }
    }

    /// What was missed has not happened.
    pub fn forget_all(&mut self, version: &Version) {
        if version.module.is_stateful() {
            self.by_slot.clear();
            self.bytes = 0;
        }
    }

    /// The slots whose instances are not yet what they should be.
    pub fn slots(&self) -> impl Iterator<Item = u32> + '_ {
        self.by_slot.keys().copied()
    }
}

// === impl Missed ===

impl Missed {
    /// What it keeps in memory, about.
    fn bytes(&self) -> usize {
        let entries = &self.batch.entries()[self.range.clone()];
        let of = |span: Option<Span>| span.map_or(0, |span| span.len as usize);
        let bytes: usize = entries.iter().map(|entry| of(entry.key) + of(entry.value)).sum();
        bytes + entries.len() * (size_of::<Entry>() + size_of::<usize>())
    }
}

/// The thread that makes an instance is gone without a word: it panicked, which was logged.
fn lost() -> Fault {
    Fault { kind: FaultKind::Trap, reason: "its instance could not be made; this is a bug of the host".to_owned() }
}
