//! Removes old batches: those that are older than a topic's age, and the oldest of a partition that has too many bytes.
//!
//! Whole batches go, from the start of a partition on: by age when their newest record is too old, by bytes until no more
//! are left than may be, but never the newest batch. It is done after commits, and by sessions that wait for records or are held up,
//! once a second, or at once where there was more than goes at once: what fails here is logged and tried again, and never fails a step.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use rusqlite::{Transaction, params};

use super::topic::Topic;
use super::writer::{Failure, Writer};
use crate::log::Retention;

const INTERVAL: Duration = Duration::from_secs(1);
/// Batches of a partition that go at once at most; more go the next time, which is due at once. Keeps the writer's lock
/// short.
const MAX_BATCHES: usize = 256;

/// What is left of a partition.
struct Left {
    start: i64,
    bytes: i64,
}

/// Whether it is time to look again.
pub(super) fn is_due(swept: Option<Instant>) -> bool {
    swept.is_none_or(|at| at.elapsed() >= INTERVAL)
}

/// Removes what may go. Whether there may be more that may.
pub(super) fn sweep<'t>(writer: &mut Writer, topics: impl Iterator<Item = &'t Arc<Topic>>) -> bool {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let now_ms = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
    let mut is_more = false;
    for topic in topics {
        let retention = *topic.retention.read().unwrap_or_else(PoisonError::into_inner);
        if retention == Retention::default() {
            continue;
        }
        for partition in 0..topic.partitions.len() {
            match sweep_partition(writer, topic, partition, retention, now_ms) {
                Ok(removed) => is_more |= removed == MAX_BATCHES,
                Err(error) => {
                    tracing::warn!(topic = topic.name, partition, %error, "retention failed, will try again");
                }
            }
        }
    }
    is_more
}

/// How many batches were removed.
fn sweep_partition(
    writer: &mut Writer,
    topic: &Topic,
    partition: usize,
    retention: Retention,
    now_ms: i64,
) -> Result<usize, crate::log::LogError> {
    let p = &topic.partitions[partition];
    if p.start() == p.end() {
        return Ok(0);
    }
    let removed = expired(writer, topic, partition, retention, now_ms).map_err(|e| writer.store().error(e))?;
    let Some((ids, left)) = removed else { return Ok(0) };
    writer.transaction(|transaction| remove(transaction, topic.id, partition, &ids, &left))?;
    tracing::debug!(
        topic = topic.name,
        partition,
        batches = ids.len(),
        start = left.start,
        "retention removed batches"
    );
    p.set(left.start, p.end(), left.bytes);
    Ok(ids.len())
}

/// The batches that may go, and what is left then. None if none may.
fn expired(
    writer: &Writer,
    topic: &Topic,
    partition: usize,
    retention: Retention,
    now_ms: i64,
) -> rusqlite::Result<Option<(Vec<i64>, Left)>> {
    let p = &topic.partitions[partition];
    let oldest_ms = retention.age_ms.map(|age| now_ms.saturating_sub(age));
    let mut left = Left { start: p.start(), bytes: p.bytes() };
    let mut ids = Vec::new();
    let sql = "SELECT id, last_offset, max_timestamp_ms, length(bytes) FROM bespoke_batches
               WHERE topic = ?1 AND partition = ?2 AND last_offset >= ?3 AND last_offset < ?4
               ORDER BY last_offset LIMIT ?5";
    let mut statement = writer.store().conn.prepare_cached(sql)?;
    let mut rows = statement.query(params![topic.id, partition as i64, p.start(), p.end(), MAX_BATCHES as i64])?;
    while let Some(row) = rows.next()? {
        let (id, last_offset, timestamp_ms, bytes): (i64, i64, i64, i64) =
            (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
        let too_old = oldest_ms.is_some_and(|oldest| timestamp_ms < oldest);
        let too_much = retention.bytes.is_some_and(|limit| left.bytes > limit) && last_offset + 1 < p.end();
        if !too_old && !too_much {
            break;
        }
        ids.push(id);
        left = Left { start: last_offset + 1, bytes: left.bytes - bytes };
    }
    Ok((!ids.is_empty()).then_some((ids, left)))
}

fn remove(
    transaction: &Transaction<'_>,
    topic: i64,
    partition: usize,
    ids: &[i64],
    left: &Left,
) -> Result<(), Failure> {
    let mut statement = transaction.prepare_cached("DELETE FROM bespoke_batches WHERE id = ?1")?;
    for id in ids {
        statement.execute([id])?;
    }
    let sql = "UPDATE bespoke_partitions SET start_offset = ?3, bytes = ?4 WHERE topic = ?1 AND partition = ?2";
    transaction.prepare_cached(sql)?.execute(params![topic, partition as i64, left.start, left.bytes])?;
    Ok(())
}
