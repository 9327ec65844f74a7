//! Positions and the notes beside them, which on Kafka are the metadata of an offset.

use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};

use crate::log::Commit;

/// The positions of a commit with their notes, as librdkafka has them.
pub(super) fn positions_of(commit: &Commit<'_>, topic: &str) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::with_capacity(commit.positions.len());
    for (partition, position) in commit.positions {
        let mut element = list.add_partition(topic, *partition as i32);
        element.set_offset(Offset::Offset(*position))?;
        if let Some(note) = commit.note(*partition) {
            element.set_metadata(note);
        }
    }
    Ok(list)
}
