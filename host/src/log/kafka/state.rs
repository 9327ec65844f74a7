//! The changelog of a group's states: a compacted topic, in which the number of a partition is the key of its state.
//!
//! A state of partition `p` goes to partition `p` of the changelog, modulo how many that has. It is written in the step
//! that it belongs to, and read back up to the end that the partition had when the group's positions were known to be
//! settled. That end counts records of open transactions too: a transaction whose positions are settled may not have its
//! marker in the changelog yet, and stopping before it would miss the state that belongs to those positions.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bespoke_record::{Batch, BatchBuilder, Full};
use bytes::Bytes;

use super::cluster::Cluster;
use super::{MAX_RECORD_BYTES, properties};
use crate::log::LogError;

/// How long nothing may come of a changelog, because a transaction of somebody else is open or brokers are away, before the
/// caller is asked to try again: it has a group to attend meanwhile.
const STALLED: Duration = Duration::from_secs(10);
const TAKE_RECORDS: usize = 1_000;

/// The name of a group's changelog.
pub(super) fn topic_of(group: &str) -> String {
    format!("{group}.state")
}

/// Makes the changelog of a group, if it is not there and not for others to make. A group that has read before then begins
/// without states, which is right only if it never had any.
pub(super) fn ensure(cluster: &Cluster, group: &str, partitions: u32) -> Result<(), LogError> {
    let topic = topic_of(group);
    match cluster.writable(&topic) {
        Err(LogError::NoTopic(_)) if cluster.options.creates_states => {}
        other => return other.map(drop),
    }
    if cluster.is_group(group)? {
        tracing::warn!(
            group,
            topic,
            "this group has read records and has no topic of states: it begins without a state where it was left; if it had \
             one, the topic was deleted"
        );
    }
    let largest = (MAX_RECORD_BYTES + properties::OVERHEAD_BYTES).to_string();
    // Compacted early and in small segments, so that little has to be read back.
    let settings = [
        ("cleanup.policy", "compact"),
        ("min.cleanable.dirty.ratio", "0.1"),
        ("segment.bytes", "67108864"),
        ("max.message.bytes", &largest),
    ];
    cluster.create(&topic, partitions, None, &settings).map(drop)
}

/// The state of a partition that was committed last. Asks once; what is [passing](super::client::has_passing_cause) may be
/// otherwise the next time.
pub(super) fn read(cluster: &Cluster, group: &str, partition: u32) -> Result<Option<Bytes>, LogError> {
    let topic = topic_of(group);
    let Some(partitions) = cluster.partitions_now(&topic)?.filter(|count| *count > 0) else { return Ok(None) };
    let (key, home) = (key_of(partition), partition % partitions);
    let (start, end) = cluster.ends(&topic, home).map_err(|error| cluster.failed(error))?;
    if start >= end {
        return Ok(None);
    }
    let mut cursor = cluster.cursor(&topic, home, start)?;
    let mut state = None;
    loop {
        let deadline = Instant::now() + STALLED;
        let batch = cursor.next(TAKE_RECORDS, end, deadline).map_err(|what| cluster.failed(what))?;
        if batch.is_empty() {
            return Ok(state);
        }
        for record in batch.iter().filter(|record| record.key() == Some(key.as_bytes())) {
            state = record.value().map(Bytes::copy_from_slice);
        }
    }
}

/// The states as records of the changelog, each with the partition of the changelog that it goes to.
pub(super) fn records(states: &[(u32, Bytes)], partitions: u32) -> Result<(Batch, Vec<u32>), Full> {
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_millis() as i64);
    let mut records = BatchBuilder::new();
    for (partition, state) in states {
        records.push(Some(key_of(*partition).as_bytes()), Some(state), [], now_ms)?;
    }
    let homes = states.iter().map(|(partition, _)| partition.checked_rem(partitions).unwrap_or(0)).collect();
    Ok((records.finish(), homes))
}

fn key_of(partition: u32) -> String {
    partition.to_string()
}
