//! The session of one worker: reads the partitions that are its own and collects its step.
//!
//! A partition goes through three stages: it is another session's (a worker that is being replaced still has it), it is
//! this session's and has not been announced, it is being read. A consumer takes records only up to the end that the
//! writer has published, so it never sees what is not committed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_record::Batch;

use super::Shared;
use super::step::Step;
use super::store::Store;
use super::topic::Topic;
use crate::log::{Commit, Event, LogError, Member, Session};

/// Longest wait of one poll: some clocks cannot add more to a point in time.
const MAX_WAIT: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) struct EmbeddedSession {
    // Before `shared`, so that the file is closed before its lock is given back.
    store: Store,
    shared: Arc<Shared>,
    group: String,
    topic: Arc<Topic>,
    own: Vec<Own>,
    /// Which partition has its turn.
    turn: usize,
    step: Step,
}

/// A partition that belongs to this worker.
struct Own {
    partition: u32,
    stage: Stage,
}

enum Stage {
    Elsewhere,
    Unannounced,
    Reading(Reading),
}

struct Reading {
    position: i64,
    batch: Batch,
    /// Index of the next record in the batch.
    next: usize,
}

// === impl EmbeddedSession ===

impl EmbeddedSession {
    pub(super) fn new(shared: Arc<Shared>, store: Store, topic: Arc<Topic>, member: Member) -> Self {
        let workers = member.workers.max(1);
        let is_own = |partition: &u32| partition % workers == member.worker % workers;
        let own = (0..topic.partitions.len() as u32).filter(is_own);
        let own = own.map(|partition| Own { partition, stage: Stage::Elsewhere }).collect();
        let step = Step::new(member.worker);
        Self { store, shared, group: member.group, topic, own, turn: 0, step }
    }

    /// Announces a partition that was not announced yet.
    fn assign(&mut self) -> Result<Option<Event>, LogError> {
        for own in &mut self.own {
            // ## Elsewhere => Unannounced
            if matches!(own.stage, Stage::Elsewhere) && self.shared.claim(&self.group, &self.topic, own.partition) {
                own.stage = Stage::Unannounced;
            }
            // ## Unannounced => Reading
            if matches!(own.stage, Stage::Unannounced) {
                let partition = own.partition;
                let committed = self.store.position(&self.group, &self.topic.name, partition)?;
                let start = || (self.topic.partitions[partition as usize].start(), None);
                let (position, note) = committed.unwrap_or_else(start);
                let state = self.store.state(&self.group, partition)?;
                own.stage = Stage::Reading(Reading { position, batch: Batch::default(), next: 0 });
                return Ok(Some(Event::Assigned { partition, position, note, state }));
            }
        }
        Ok(None)
    }

    /// The next records of the partition whose turn it is, or of the first one after it that has any.
    fn records(&mut self, max_records: usize) -> Result<Option<Event>, LogError> {
        for _ in 0..self.own.len() {
            self.turn = (self.turn + 1) % self.own.len();
            let Own { partition, stage: Stage::Reading(reading) } = &mut self.own[self.turn] else { continue };
            let event = reading.next(&self.store, &self.topic, *partition, max_records)?;
            if let Some(Event::Skipped { partition, from, to }) = &event {
                let (topic, group) = (&*self.topic.name, &*self.group);
                tracing::warn!(topic, partition, group, from, to, "retention removed records before they were read");
            }
            if event.is_some() {
                return Ok(event);
            }
        }
        Ok(None)
    }

    fn back_to_committed(&mut self) {
        self.step.clear();
        for own in &mut self.own {
            // ## Reading => Unannounced
            if matches!(own.stage, Stage::Reading(_)) {
                own.stage = Stage::Unannounced;
            }
        }
    }
}

impl Session for EmbeddedSession {
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Event, LogError> {
        let deadline = Instant::now() + timeout.min(MAX_WAIT);
        loop {
            let seen = self.topic.happened();
            if let Some(event) = self.assign()? {
                return Ok(event);
            }
            if let Some(event) = self.records(max_records.max(1))? {
                return Ok(event);
            }
            if !self.topic.wait(seen, deadline) {
                self.shared.sweep_idle();
                return Ok(Event::Idle);
            }
        }
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<(), LogError> {
        let topic = self.shared.topic(topic)?;
        self.step.append(&topic, records, self.shared.options.max_record_bytes)
    }

    fn divert(&mut self, topic: &str, letters: &Batch) -> Result<(), LogError> {
        let topic = self.shared.topic(topic)?;
        self.step.append(&topic, letters, usize::MAX)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), LogError> {
        let Commit { positions, states, rows, .. } = commit;
        if self.step.is_empty() && positions.is_empty() && states.is_empty() && rows.is_empty() {
            return Ok(());
        }
        self.step.close();
        let done = commit
            .check_notes()
            .and_then(|()| self.shared.commit(&self.group, &self.topic.name, &mut self.step, commit));
        if done.is_err() {
            self.back_to_committed();
        }
        done
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.back_to_committed();
        Ok(())
    }

    fn attend(&mut self) -> Result<bool, LogError> {
        // Partitions stay where they are. What is held up may be all that runs.
        self.shared.sweep_idle();
        Ok(true)
    }

    fn max_record_bytes(&self, _: &str) -> usize {
        self.shared.options.max_record_bytes
    }

    fn open_bytes(&self) -> usize {
        self.step.bytes()
    }
}

impl Drop for EmbeddedSession {
    fn drop(&mut self) {
        let own = self.own.iter().filter(|own| !matches!(own.stage, Stage::Elsewhere));
        self.shared.release(&self.group, &self.topic, own.map(|own| own.partition));
    }
}

// === impl Reading ===

impl Reading {
    /// The next records, or that some were skipped to get to them.
    fn next(
        &mut self,
        store: &Store,
        topic: &Topic,
        partition: u32,
        max_records: usize,
    ) -> Result<Option<Event>, LogError> {
        let p = &topic.partitions[partition as usize];
        if self.next == self.batch.len() {
            self.batch = Batch::default();
            self.next = 0;
            if self.position >= p.end() {
                return Ok(None);
            }
            let from = self.position;
            self.fetch(store, topic, partition)?;
            if from < self.position {
                return Ok(Some(Event::Skipped { partition, from, to: self.position }));
            }
        }
        if self.batch.is_empty() {
            return Ok(None);
        }
        let end = self.batch.len().min(self.next.saturating_add(max_records));
        let batch = match (self.next, end == self.batch.len()) {
            (0, true) => {
                self.next = 0;
                std::mem::take(&mut self.batch)
            }
            _ => {
                let records = self.batch.slice(self.next..end);
                self.next = end;
                records
            }
        };
        self.position = batch.next_offset().unwrap_or(self.position);
        Ok(Some(Event::Records { partition, batch }))
    }

    /// Reads the batch at the position, or at the start if retention has removed that. None is read at the end.
    fn fetch(&mut self, store: &Store, topic: &Topic, partition: u32) -> Result<(), LogError> {
        let p = &topic.partitions[partition as usize];
        self.position = self.position.max(p.start());
        // Every round but the last moves the position up to a start, which is never after the end.
        while self.position < p.end() {
            let batch = match p.in_memory(self.position) {
                Some(bytes) => Some(store.decode(bytes, topic.id, partition, self.position)?),
                None => store.batch_from(topic.id, partition, self.position)?,
            };
            let has_position = |batch: &Batch| batch.entries().first().is_some_and(|e| e.offset <= self.position);
            if let Some(batch) = batch.filter(has_position) {
                self.next = batch.entries().partition_point(|entry| entry.offset < self.position);
                self.batch = batch;
                return Ok(());
            }
            // Partitions have no gaps, so that retention has removed the batch: the file shows it before memory does.
            let start = store.start(topic.id, partition)?;
            if start <= self.position {
                let what = format!("topic `{}`, partition {partition}: no records at {}", topic.name, self.position);
                return Err(store.damaged(what));
            }
            self.position = start;
        }
        Ok(())
    }
}
