//! What one worker does with the file: read batches, collect a step, commit it.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_record::v2::{Encoder, decode};
use bespoke_record::{Batch, partition_for};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Transaction};

use super::retention;
use super::store::{Store, Topic};
use crate::log::{Commit, Event, LogError, Member, Session};

/// Bytes of a blob row after which the next one begins.
const BLOB_BYTES: usize = 1 << 20;

/// A worker's session.
pub(super) struct EmbeddedSession {
    store: Arc<Store>,
    member: Member,
    reader: Connection,
    topic: Option<Arc<Topic>>,
    /// This member's partitions that are to be announced.
    unannounced: VecDeque<u32>,
    cursors: Vec<Cursor>,
    /// Which cursor is served next.
    turn: usize,
    /// What was appended since the last commit.
    pending: HashMap<String, Pending>,
    /// Where the next batch without keys goes.
    sticky: u32,
}

/// A partition that is being read.
struct Cursor {
    partition: u32,
    position: i64,
    /// The batch at the position, and how many of its records were handed out.
    current: Option<(Batch, usize)>,
}

/// Records for one topic, encoded, by partition.
struct Pending {
    topic: Arc<Topic>,
    partitions: Vec<Vec<Encoder>>,
}

impl EmbeddedSession {
    pub fn open(store: Arc<Store>, member: Member) -> Result<Self, LogError> {
        store.writable()?;
        let topic = member.topic.as_deref().map(|name| store.topic(name)).transpose()?;
        let reader = store.new_reader()?;
        let mut session = Self {
            store,
            member,
            reader,
            topic,
            unannounced: VecDeque::new(),
            cursors: Vec::new(),
            turn: 0,
            pending: HashMap::new(),
            sticky: 0,
        };
        session.assign();
        Ok(session)
    }

    /// Every partition of this member, to be announced with what is committed.
    fn assign(&mut self) {
        let partitions = self.topic.as_ref().map_or(1, |t| t.partitions);
        let mine = |p: &u32| p % self.member.workers.max(1) == self.member.worker;
        self.unannounced = (0..partitions).filter(mine).collect();
        self.cursors.clear();
    }

    fn announce(&mut self, partition: u32) -> Result<Event, LogError> {
        let failed = |e| self.store.error(e);
        let sql = "SELECT state FROM states WHERE member = ?1 AND partition = ?2";
        let state: Option<Vec<u8>> = self
            .reader
            .prepare_cached(sql)
            .and_then(|mut s| s.query_row((&self.member.group, partition), |row| row.get(0)).optional())
            .map_err(failed)?;
        let mut position = 0;
        if let Some(topic) = &self.topic {
            position = committed(&self.reader, &self.member.group, topic.id, partition).map_err(failed)?;
            self.cursors.push(Cursor { partition, position, current: None });
        }
        Ok(Event::Assigned { partition, position, state: state.map(Bytes::from) })
    }

    /// The next records of any partition, in turn.
    fn next_batch(&mut self, topic: &Topic, max_records: usize) -> Result<Option<(u32, Batch)>, LogError> {
        for _ in 0..self.cursors.len() {
            let turn = self.turn % self.cursors.len();
            let cursor = &mut self.cursors[turn];
            self.turn = self.turn.wrapping_add(1);
            if cursor.current.is_none() {
                cursor.current = fetch(&self.reader, &self.store, topic, cursor.partition, cursor.position)?;
            }
            let Some((batch, done)) = &mut cursor.current else { continue };
            let end = (*done + max_records.max(1)).min(batch.len());
            let slice = batch.slice(*done..end);
            *done = end;
            cursor.position = slice.next_offset().unwrap_or(cursor.position);
            let (partition, all) = (cursor.partition, end == batch.len());
            if all {
                cursor.current = None;
            }
            return Ok(Some((partition, slice)));
        }
        Ok(None)
    }

    fn write(&mut self, commit: Commit<'_>) -> Result<Vec<Arc<Topic>>, LogError> {
        let store = self.store.clone();
        let failed = |e| store.error(e);
        let mut writer = store.writer();
        let transaction = writer.transaction().map_err(failed)?;
        let mut grown = Vec::new();
        for (_, pending) in self.pending.drain() {
            for (partition, encoders) in pending.partitions.into_iter().enumerate() {
                write_batches(&transaction, &pending.topic, partition as u32, encoders).map_err(failed)?;
            }
            retention::sweep(&store, &transaction, &pending.topic).map_err(failed)?;
            grown.push(pending.topic);
        }
        if let Some(topic) = &self.topic {
            let sql = "INSERT INTO positions (member, topic, partition, next) VALUES (?1, ?2, ?3, ?4)
                       ON CONFLICT DO UPDATE SET next = excluded.next";
            let mut upsert = transaction.prepare_cached(sql).map_err(failed)?;
            for (partition, next) in commit.positions {
                upsert.execute((&self.member.group, topic.id, partition, next)).map_err(failed)?;
            }
        }
        {
            let sql = "INSERT INTO states (member, partition, state) VALUES (?1, ?2, ?3)
                       ON CONFLICT DO UPDATE SET state = excluded.state";
            let mut upsert = transaction.prepare_cached(sql).map_err(failed)?;
            for (partition, state) in commit.states {
                upsert.execute((&self.member.group, partition, &state[..])).map_err(failed)?;
            }
        }
        for rows in commit.rows {
            crate::table::sqlite::write(&transaction, rows)
                .map_err(|e| LogError::Store { path: store.path.display().to_string(), source: Box::new(e) })?;
        }
        transaction.commit().map_err(failed)?;
        Ok(grown)
    }
}

impl Session for EmbeddedSession {
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Event, LogError> {
        if let Some(partition) = self.unannounced.pop_front() {
            return self.announce(partition);
        }
        let until = Instant::now() + timeout;
        let Some(topic) = self.topic.clone() else {
            std::thread::sleep(timeout);
            return Ok(Event::Idle);
        };
        loop {
            // Seen before looking, so that a commit in between is not slept over.
            let seen = topic.grown.now();
            if let Some((partition, batch)) = self.next_batch(&topic, max_records)? {
                return Ok(Event::Records { partition, batch });
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || !topic.grown.wait(seen, left) {
                return Ok(Event::Idle);
            }
        }
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<(), LogError> {
        let limit = self.store.options.max_record_bytes;
        for record in records.iter() {
            let headers: usize = record.headers().map(|(n, v)| n.len() + v.map_or(0, <[u8]>::len)).sum();
            let bytes = record.key().map_or(0, <[u8]>::len) + record.value().map_or(0, <[u8]>::len) + headers;
            if bytes > limit {
                return Err(LogError::TooLarge { topic: topic.to_owned(), bytes, limit });
            }
        }
        if !self.pending.contains_key(topic) {
            let found = self.store.topic(topic)?;
            let partitions = std::iter::repeat_with(Vec::new).take(found.partitions as usize).collect();
            self.pending.insert(topic.to_owned(), Pending { topic: found, partitions });
        }
        let Some(pending) = self.pending.get_mut(topic) else { return Ok(()) };
        let partitions = pending.topic.partitions;
        let unkeyed = self.sticky % partitions.max(1);
        let mut any_unkeyed = false;
        for record in records.iter() {
            let partition = match record.key() {
                Some(key) => partition_for(key, partitions),
                None => {
                    any_unkeyed = true;
                    unkeyed
                }
            };
            let encoders = &mut pending.partitions[partition as usize];
            if encoders.last().is_none_or(|e| e.bytes() >= BLOB_BYTES) {
                encoders.push(Encoder::new());
            }
            if let Some(encoder) = encoders.last_mut() {
                encoder.push(record);
            }
        }
        if any_unkeyed {
            self.sticky = self.sticky.wrapping_add(1);
        }
        Ok(())
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), LogError> {
        match self.write(commit) {
            Ok(grown) => {
                grown.iter().for_each(|topic| topic.grown.raise());
                Ok(())
            }
            Err(error) => {
                self.abort()?;
                Err(error)
            }
        }
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.pending.clear();
        self.assign();
        Ok(())
    }

    fn holds_tables(&self) -> bool {
        true
    }
}

/// Where a group reads on: its commit, or the first offset, and never before what is still kept.
pub(super) fn committed(connection: &Connection, group: &str, topic: i64, partition: u32) -> rusqlite::Result<i64> {
    let sql = "SELECT max(p.start, coalesce(
                   (SELECT next FROM positions WHERE member = ?1 AND topic = ?2 AND partition = ?3), 0))
               FROM partitions p WHERE p.topic = ?2 AND p.partition = ?3";
    connection.prepare_cached(sql)?.query_row((group, topic, partition), |row| row.get(0))
}

/// The batch that holds the position or follows it, and how many of its records lie before the position.
pub(super) fn fetch(
    connection: &Connection,
    store: &Store,
    topic: &Topic,
    partition: u32,
    position: i64,
) -> Result<Option<(Batch, usize)>, LogError> {
    let sql = "SELECT batch FROM batches WHERE topic = ?1 AND partition = ?2 AND next > ?3 ORDER BY next LIMIT 1";
    let blob: Option<Vec<u8>> = connection
        .prepare_cached(sql)
        .and_then(|mut s| s.query_row((topic.id, partition, position), |row| row.get(0)).optional())
        .map_err(|e| store.error(e))?;
    let Some(blob) = blob else { return Ok(None) };
    let batch = decode(Bytes::from(blob)).map_err(|e| LogError::Damaged {
        path: store.path.display().to_string(),
        what: format!("topic `{}` partition {partition} at offset {position}: {e}", topic.name),
    })?;
    if let Some(first) = batch.entries().first()
        && first.offset > position
    {
        let (skipped, from) = (first.offset - position, &topic.name);
        tracing::warn!(
            topic = from,
            partition,
            position,
            skipped,
            "records were removed by retention before they were read"
        );
    }
    let before = batch.entries().partition_point(|e| e.offset < position);
    Ok(Some((batch, before)))
}

fn write_batches(
    transaction: &Transaction<'_>,
    topic: &Topic,
    partition: u32,
    encoders: Vec<Encoder>,
) -> rusqlite::Result<()> {
    if encoders.is_empty() {
        return Ok(());
    }
    let sql = "SELECT next FROM partitions WHERE topic = ?1 AND partition = ?2";
    let mut next: i64 = transaction.prepare_cached(sql)?.query_row((topic.id, partition), |row| row.get(0))?;
    let mut bytes = 0;
    let sql = "INSERT INTO batches (topic, partition, next, max_timestamp_ms, batch) VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = transaction.prepare_cached(sql)?;
    for encoder in encoders {
        let (count, newest_ms) = (encoder.len() as i64, encoder.max_timestamp_ms());
        let blob = encoder.finish(next);
        next += count;
        bytes += blob.len() as i64;
        insert.execute((topic.id, partition, next, newest_ms, &blob))?;
    }
    let sql = "UPDATE partitions SET next = ?3, bytes = bytes + ?4 WHERE topic = ?1 AND partition = ?2";
    transaction.prepare_cached(sql)?.execute((topic.id, partition, next, bytes))?;
    Ok(())
}
