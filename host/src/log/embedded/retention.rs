//! What is too old or too much goes, whole batches at a time, in the transaction of a step.

use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rusqlite::{OptionalExtension, Transaction};

use super::store::{Store, Topic};

/// How often a topic is looked at.
const EVERY: Duration = Duration::from_secs(1);

/// Removes what the topic's retention does not keep, if it was not looked at just now.
pub(super) fn sweep(store: &Store, transaction: &Transaction<'_>, topic: &Topic) -> rusqlite::Result<()> {
    let (age_ms, bytes) = (topic.retention.age_ms, topic.retention.bytes);
    if age_ms.is_none() && bytes.is_none() {
        return Ok(());
    }
    {
        let mut swept = store.swept.lock().unwrap_or_else(PoisonError::into_inner);
        if swept.get(&topic.id).is_some_and(|when| when.elapsed() < EVERY) {
            return Ok(());
        }
        swept.insert(topic.id, Instant::now());
    }
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    for partition in 0..topic.partitions {
        remove(transaction, topic, partition, age_ms.map(|age| now_ms - age), bytes)?;
    }
    Ok(())
}

fn remove(
    transaction: &Transaction<'_>,
    topic: &Topic,
    partition: u32,
    older_than_ms: Option<i64>,
    most_bytes: Option<i64>,
) -> rusqlite::Result<()> {
    let sql = "SELECT start, bytes FROM partitions WHERE topic = ?1 AND partition = ?2";
    let (mut start, mut bytes): (i64, i64) =
        transaction.prepare_cached(sql)?.query_row((topic.id, partition), |row| Ok((row.get(0)?, row.get(1)?)))?;
    let before = start;
    let sql = "SELECT id, next, max_timestamp_ms, length(batch) FROM batches WHERE topic = ?1 AND partition = ?2
               ORDER BY next LIMIT 1";
    let mut oldest = transaction.prepare_cached(sql)?;
    let mut delete = transaction.prepare_cached("DELETE FROM batches WHERE id = ?1")?;
    loop {
        let found: Option<(i64, i64, i64, i64)> = oldest
            .query_row((topic.id, partition), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .optional()?;
        let Some((id, next, newest_ms, length)) = found else { break };
        let too_old = older_than_ms.is_some_and(|limit| newest_ms < limit);
        let too_much = most_bytes.is_some_and(|limit| bytes > limit);
        if !too_old && !too_much {
            break;
        }
        delete.execute([id])?;
        start = next;
        bytes -= length;
    }
    if start != before {
        let sql = "UPDATE partitions SET start = ?3, bytes = ?4 WHERE topic = ?1 AND partition = ?2";
        transaction.prepare_cached(sql)?.execute((topic.id, partition, start, bytes))?;
        tracing::debug!(topic = topic.name, partition, start, "retention removed the oldest records");
    }
    Ok(())
}
