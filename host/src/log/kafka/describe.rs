//! What there is to tell of topics: offsets, sizes, retention.

use std::collections::{BTreeMap, HashMap};

use rdkafka::metadata::{Metadata, MetadataTopic};

use super::cluster::{Cluster, TopicSettings};
use super::log_dirs;
use crate::log::{LogError, PartitionInfo, Retention, TopicInfo};

/// Kafka's own topics begin like this.
const INTERNAL: &str = "__";

/// Bytes by topic and partition.
type Sizes = HashMap<(String, u32), i64>;

/// One topic, if it is there.
pub(super) fn topic(cluster: &Cluster, name: &str) -> Result<Option<TopicInfo>, LogError> {
    if cluster.partitions(name)?.is_none() {
        return Ok(None);
    }
    let metadata = cluster.metadata(Some(name))?;
    let topics: Vec<&MetadataTopic> = metadata.topics().iter().filter(|topic| topic.error().is_none()).collect();
    Ok(describe(cluster, &metadata, &topics, Leaderless::Waited)?.pop())
}

/// All topics but Kafka's own, by name. Of a partition without a leader nobody knows anything: it counts as empty, and its
/// size is unknown.
pub(super) fn topics(cluster: &Cluster) -> Result<Vec<TopicInfo>, LogError> {
    let metadata = cluster.metadata(None)?;
    let is_ours = |topic: &&MetadataTopic| !topic.name().starts_with(INTERNAL) && topic.error().is_none();
    let mut topics: Vec<&MetadataTopic> = metadata.topics().iter().filter(is_ours).collect();
    topics.sort_unstable_by_key(|topic| topic.name());
    describe(cluster, &metadata, &topics, Leaderless::Empty)
}

/// What becomes of partitions that no broker leads at the moment.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leaderless {
    /// Who goes by offsets waits for a leader, and fails without.
    Waited,
    /// Who lists topics is not held up.
    Empty,
}

fn describe(
    cluster: &Cluster,
    metadata: &Metadata,
    topics: &[&MetadataTopic],
    leaderless: Leaderless,
) -> Result<Vec<TopicInfo>, LogError> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
    let settings = cluster.settings(&names)?;
    let sizes = sizes(cluster, metadata, topics);
    let mut infos = Vec::with_capacity(topics.len());
    for topic in topics {
        let name = topic.name();
        let has_leader = |number: u32| {
            let told = topic.partitions().iter().find(|partition| partition.id() as u32 == number);
            told.is_some_and(|partition| partition.leader() >= 0)
        };
        let of_partition = |number: u32| match leaderless {
            Leaderless::Empty if !has_leader(number) => {
                Ok(PartitionInfo { partition: number, start: 0, end: 0, decided: 0, bytes: None })
            }
            _ => partition(cluster, name, number, &sizes),
        };
        let partitions = (0..topic.partitions().len() as u32).map(of_partition).collect::<Result<_, LogError>>()?;
        let retention = retention(&settings, name);
        infos.push(TopicInfo { name: name.to_owned(), partitions, retention });
    }
    Ok(infos)
}

/// The offsets of a partition, which its leader tells, and the size that is known of it.
pub(super) fn partition(
    cluster: &Cluster,
    topic: &str,
    partition: u32,
    sizes: &Sizes,
) -> Result<PartitionInfo, LogError> {
    let (start, decided) = cluster.range(topic, partition)?;
    let end = cluster.head(topic, partition)?.max(decided);
    let bytes = sizes.get(&(topic.to_owned(), partition)).copied();
    Ok(PartitionInfo { partition, start, end, decided, bytes })
}

/// What a topic keeps for how long, if its settings are told.
pub(super) fn retention(settings: &HashMap<String, TopicSettings>, topic: &str) -> Retention {
    let of_topic = settings.get(topic).copied().unwrap_or_default();
    if of_topic.is_compacted {
        return Retention::default();
    }
    Retention { age_ms: of_topic.retention_ms, bytes: of_topic.retention_bytes }
}

/// The bytes of each partition, as its leader has them. Who cannot be asked knows nothing.
pub(super) fn sizes(cluster: &Cluster, metadata: &Metadata, topics: &[&MetadataTopic]) -> Sizes {
    let security = cluster.options.properties.get("security.protocol");
    if security.is_some_and(|protocol| !protocol.eq_ignore_ascii_case("plaintext")) {
        return HashMap::new();
    }
    let mut by_leader: BTreeMap<i32, Vec<(&str, Vec<u32>)>> = BTreeMap::new();
    for topic in topics {
        for partition in topic.partitions() {
            let of_leader = by_leader.entry(partition.leader()).or_default();
            match of_leader.last_mut() {
                Some((name, partitions)) if *name == topic.name() => partitions.push(partition.id() as u32),
                _ => of_leader.push((topic.name(), vec![partition.id() as u32])),
            }
        }
    }
    let mut sizes = HashMap::new();
    for (leader, partitions) in by_leader {
        let Some(broker) = metadata.brokers().iter().find(|broker| broker.id() == leader) else { continue };
        match log_dirs::sizes(broker.host(), broker.port() as u16, &partitions) {
            Ok(told) => sizes.extend(told),
            Err(error) => tracing::debug!(%error, broker = leader, "sizes are not told"),
        }
    }
    sizes
}
