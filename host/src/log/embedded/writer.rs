//! The one writer of the file: every transaction is made here.
//!
//! Why a step is whole: its batches, positions, states and rows are written in one SQLite transaction, and nothing in
//! memory says that they exist before it is committed. Offsets are given within the transaction, under the writer's
//! lock, so that a partition has neither two records of one offset nor a gap.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use rusqlite::{Transaction, TransactionBehavior, params};

use super::retention;
use super::step::Step;
use super::store::Store;
use super::topic::{Stored, Tail, Topic};
use crate::log::{Commit, LogError, NewTopic, Retention};
use crate::table::{TableError, sqlite};

/// The writer; there is one, behind a lock.
pub(super) struct Writer {
    store: Store,
    tail: Tail,
    pub(super) swept: Option<Instant>,
}

/// What a commit adds to a partition.
struct Added {
    topic: Arc<Topic>,
    partition: u32,
    end: i64,
    bytes: i64,
    batches: Vec<Stored>,
}

// === impl Writer ===

impl Writer {
    pub(super) fn new(store: Store, tail_bytes: usize) -> Self {
        Self { store, tail: Tail::new(tail_bytes), swept: None }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Does all of `work` in one transaction, or nothing.
    pub(super) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure>,
    ) -> Result<T, LogError> {
        let done = (|| {
            // An early return drops the transaction, which rolls it back.
            let transaction = self.store.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        })();
        done.map_err(|failure| match failure {
            Failure::Sqlite(source) => self.store.error(source),
            Failure::Log(error) => error,
        })
    }

    /// Makes a step happen. The step is empty afterwards, whether it did or not.
    pub(super) fn commit(
        &mut self,
        group: &str,
        topic: &str,
        step: &mut Step,
        commit: Commit<'_>,
    ) -> Result<(), LogError> {
        let added = self.transaction(|transaction| {
            let added = step.take().map(|(topic, partition, batches)| add(transaction, topic, partition, batches));
            let added = added.collect::<Result<Vec<Added>, Failure>>()?;
            set_positions(transaction, group, topic, &commit)?;
            set_states(transaction, group, commit.states)?;
            for rows in commit.rows {
                let mut refused = Vec::new();
                sqlite::write(transaction, rows, &mut refused).map_err(|error| Failure::Log(error.into()))?;
                if !refused.is_empty() {
                    let table = rows.table.name.clone();
                    return Err(Failure::Log(TableError::Refused { table, refused }.into()));
                }
            }
            Ok(added)
        });
        step.clear();
        self.publish(added?);
        Ok(())
    }

    /// Creates a topic and tells its id.
    pub(super) fn create_topic(&mut self, topic: &NewTopic) -> Result<i64, LogError> {
        let NewTopic { name, partitions, retention } = topic;
        self.transaction(|transaction| {
            let sql = "INSERT INTO bespoke_topics (name, retention_age_ms, retention_bytes) VALUES (?1, ?2, ?3)";
            transaction.execute(sql, params![name, retention.age_ms, retention.bytes])?;
            let id = transaction.last_insert_rowid();
            let sql = "INSERT INTO bespoke_partitions VALUES (?1, ?2, 0, 0, 0)";
            let mut statement = transaction.prepare(sql)?;
            for partition in 0..*partitions {
                statement.execute(params![id, partition])?;
            }
            Ok(id)
        })
    }

    pub(super) fn set_retention(&mut self, topic: i64, retention: Retention) -> Result<(), LogError> {
        self.transaction(|transaction| {
            let sql = "UPDATE bespoke_topics SET retention_age_ms = ?2, retention_bytes = ?3 WHERE id = ?1";
            transaction.execute(sql, params![topic, retention.age_ms, retention.bytes])?;
            Ok(())
        })
    }

    /// Removes what retention lets go, if it is time to look.
    pub(super) fn sweep<'t>(&mut self, topics: impl Iterator<Item = &'t Arc<Topic>>) {
        if retention::is_due(self.swept) {
            let is_more = retention::sweep(self, topics);
            self.swept = (!is_more).then(Instant::now);
        }
    }

    /// Lets readers see what was committed.
    fn publish(&mut self, added: Vec<Added>) {
        for Added { topic, partition, end, bytes, batches } in added {
            for stored in batches {
                self.tail.push(&topic, partition, stored);
            }
            let p = &topic.partitions[partition as usize];
            p.set(p.start(), end, bytes);
            topic.notify();
        }
    }
}

/// Why a transaction was rolled back.
pub(super) enum Failure {
    Sqlite(rusqlite::Error),
    Log(LogError),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

fn add(
    transaction: &Transaction<'_>,
    topic: &Arc<Topic>,
    partition: u32,
    batches: Vec<bespoke_record::v2::Encoded>,
) -> Result<Added, Failure> {
    let p = &topic.partitions[partition as usize];
    let before = p.end();
    let mut added = Added { topic: topic.clone(), partition, end: before, bytes: p.bytes(), batches: Vec::new() };
    let sql = "INSERT INTO bespoke_batches (topic, partition, base_offset, last_offset, max_timestamp_ms, bytes)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let mut statement = transaction.prepare_cached(sql)?;
    for mut batch in batches {
        let base_offset = added.end;
        let last_offset = base_offset + i64::from(batch.records()) - 1;
        batch.set_base_offset(base_offset);
        let max_timestamp_ms = batch.max_timestamp_ms();
        statement.execute(params![topic.id, partition, base_offset, last_offset, max_timestamp_ms, batch.bytes()])?;
        added.end = last_offset + 1;
        added.bytes += batch.bytes().len() as i64;
        added.batches.push(Stored { base_offset, last_offset, bytes: batch.into_bytes() });
    }
    let sql = "UPDATE bespoke_partitions SET end_offset = ?4, bytes = ?5
               WHERE topic = ?1 AND partition = ?2 AND end_offset = ?3";
    let mut statement = transaction.prepare_cached(sql)?;
    let changed = statement.execute(params![topic.id, partition, before, added.end, added.bytes])?;
    if changed != 1 {
        let what = format!("partition {partition} of topic `{}` does not end at {before}", topic.name);
        let path = transaction.path().unwrap_or_default().to_owned();
        return Err(Failure::Log(LogError::Damaged { path, what }));
    }
    Ok(added)
}

fn set_positions(transaction: &Transaction<'_>, group: &str, topic: &str, commit: &Commit<'_>) -> rusqlite::Result<()> {
    let sql = "INSERT INTO bespoke_positions VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset, note = excluded.note";
    let mut statement = transaction.prepare_cached(sql)?;
    for (partition, position) in commit.positions {
        statement.execute(params![group, topic, partition, position, commit.note(*partition)])?;
    }
    Ok(())
}

fn set_states(transaction: &Transaction<'_>, group: &str, states: &[(u32, Bytes)]) -> rusqlite::Result<()> {
    let sql = "INSERT INTO bespoke_states VALUES (?1, ?2, ?3) ON CONFLICT DO UPDATE SET state = excluded.state";
    let mut statement = transaction.prepare_cached(sql)?;
    for (partition, state) in states {
        statement.execute(params![group, partition, state.as_ref()])?;
    }
    Ok(())
}
