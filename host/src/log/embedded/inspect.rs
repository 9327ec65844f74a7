//! Looking at the file from outside of any group.

use bespoke_record::Batch;

use super::session::{committed as committed_at, fetch};
use super::store::{Store, Topic};
use crate::log::{LogError, PartitionInfo, TopicInfo};

pub(super) fn topics(store: &Store) -> Result<Vec<TopicInfo>, LogError> {
    store.all_topics()?.iter().map(|topic| info(store, topic)).collect()
}

pub(super) fn topic(store: &Store, name: &str) -> Result<Option<TopicInfo>, LogError> {
    match store.topic(name) {
        Ok(topic) => info(store, &topic).map(Some),
        Err(LogError::NoTopic(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn info(store: &Store, topic: &Topic) -> Result<TopicInfo, LogError> {
    let reader = store.reader();
    let sql = "SELECT partition, start, next, bytes FROM partitions WHERE topic = ?1 ORDER BY partition";
    let failed = |e| store.error(e);
    let mut statement = reader.prepare_cached(sql).map_err(failed)?;
    let rows = statement
        .query_map([topic.id], |row| {
            Ok(PartitionInfo { partition: row.get(0)?, start: row.get(1)?, end: row.get(2)?, bytes: row.get(3)? })
        })
        .map_err(failed)?;
    let partitions = rows.collect::<Result<_, _>>().map_err(failed)?;
    Ok(TopicInfo { name: topic.name.clone(), partitions, retention: topic.retention })
}

pub(super) fn committed(store: &Store, group: &str, topic: &str) -> Result<Vec<(u32, i64)>, LogError> {
    let topic = store.topic(topic)?;
    let reader = store.reader();
    let at = |p: u32| committed_at(&reader, group, topic.id, p).map(|next| (p, next)).map_err(|e| store.error(e));
    (0..topic.partitions).map(at).collect()
}

pub(super) fn read(
    store: &Store,
    topic: &str,
    partition: u32,
    offset: i64,
    max_records: usize,
) -> Result<Batch, LogError> {
    let topic = store.topic(topic)?;
    let reader = store.reader();
    let found = fetch(&reader, store, &topic, partition, offset)?;
    Ok(found.map_or_else(Batch::default, |(batch, before)| {
        batch.slice(before..(before.saturating_add(max_records)).min(batch.len()))
    }))
}
