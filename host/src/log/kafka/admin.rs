//! What only a cluster has: replicas, settings, groups; and changing topics.

use std::collections::BTreeMap;
use std::panic::resume_unwind;

use rdkafka::admin::{AdminOptions, NewPartitions, ResourceSpecifier};
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;

use super::cluster::{REQUEST, wait_for};
use super::native::alter_settings;
use super::{KafkaLog, MAX_PARTITIONS, describe, state};
use crate::log::{Created, Log as _, LogError, NewTopic, PartitionInfo, Retention};

/// So many offsets at most are looked at one by one, to tell a group that has read all from one that has not.
const FEW: i64 = 100;
/// How many groups are asked about at a time.
const AT_ONCE: usize = 8;

/// A topic as its cluster has it.
#[derive(Clone, Debug)]
pub struct TopicState {
    /// Its partitions, by number.
    pub partitions: Vec<PartitionState>,
    /// What is kept for how long.
    pub retention: Retention,
    /// The settings that are not the brokers' default.
    pub settings: BTreeMap<String, String>,
}

/// A partition as its cluster has it.
#[derive(Clone, Debug)]
pub struct PartitionState {
    /// The number.
    pub partition: u32,
    /// Offsets and size, which only a leader can tell.
    pub info: Option<PartitionInfo>,
    /// The broker that it is written to and read from, if there is any.
    pub leader: Option<i32>,
    /// The brokers that are to have it.
    pub replicas: Vec<i32>,
    /// Those of them that have all of it.
    pub in_sync: Vec<i32>,
}

/// How far a group has read a topic.
#[derive(Clone, Debug)]
pub struct GroupState {
    /// Its name.
    pub group: String,
    /// How it is, in Kafka's words.
    pub state: String,
    /// How many offsets are before it, per partition; none where it has no position, or nobody can tell.
    pub lag: Vec<Option<i64>>,
}

impl KafkaLog {
    /// How many brokers there are.
    ///
    /// # Errors
    /// If they do not answer.
    pub fn brokers(&self) -> Result<usize, LogError> {
        Ok(self.cluster.metadata(None)?.brokers().len())
    }

    /// A topic with all that its cluster tells of it, if it is there.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub fn state(&self, name: &str) -> Result<Option<TopicState>, LogError> {
        if self.cluster.partitions(name)?.is_none() {
            return Ok(None);
        }
        let metadata = self.cluster.metadata(Some(name))?;
        let topics: Vec<&MetadataTopic> = metadata.topics().iter().filter(|topic| topic.error().is_none()).collect();
        let sizes = describe::sizes(&self.cluster, &metadata, &topics);
        let mut partitions = Vec::new();
        for told in topics.first().map_or(&[][..], |topic| topic.partitions()) {
            let partition = told.id() as u32;
            let leader = Some(told.leader()).filter(|leader| *leader >= 0);
            let info = leader.map(|_| describe::partition(&self.cluster, name, partition, &sizes)).transpose()?;
            let (replicas, in_sync) = (told.replicas().to_vec(), told.isr().to_vec());
            partitions.push(PartitionState { partition, info, leader, replicas, in_sync });
        }
        partitions.sort_unstable_by_key(|partition| partition.partition);
        let retention = describe::retention(&self.cluster.settings(&[name])?, name);
        let options = AdminOptions::new().request_timeout(Some(REQUEST));
        let patience = self.cluster.options.patience;
        let told = self.cluster.asked(patience, "asking for settings", |admin| {
            wait_for(admin.describe_configs([&ResourceSpecifier::Topic(name)], &options))
        })?;
        let entries = told.into_iter().filter_map(Result::ok).flat_map(|resource| resource.entries);
        let set = entries.filter(|entry| !entry.is_default);
        let settings = set.filter_map(|entry| Some((entry.name, entry.value?))).collect();
        Ok(Some(TopicState { partitions, retention, settings }))
    }

    /// The groups that have positions in a topic, or one of them.
    ///
    /// # Errors
    /// If the brokers do not answer.
    pub fn groups(&self, topic: &str, state: &TopicState, only: Option<&str>) -> Result<Vec<GroupState>, LogError> {
        let partitions = state.partitions.len() as u32;
        let mut groups = Vec::new();
        let all = self.cluster.groups(only)?;
        let positions = self.positions(topic, partitions, &all)?;
        for ((group, is), positions) in all.into_iter().zip(positions) {
            if positions.iter().any(Option::is_some) {
                let lag = |(partition, position): (&PartitionState, Option<i64>)| {
                    let end = partition.info.map(|info| info.decided);
                    let known = position.zip(end);
                    known.map(|(position, end)| self.lag(topic, partition.partition, position, end)).transpose()
                };
                let lag = state.partitions.iter().zip(positions).map(lag).collect::<Result<_, _>>()?;
                groups.push(GroupState { group, state: is, lag });
            }
        }
        Ok(groups)
    }

    /// The positions of each group. Each is asked for by a client of its own, so that some are at a time.
    fn positions(
        &self,
        topic: &str,
        partitions: u32,
        groups: &[(String, String)],
    ) -> Result<Vec<Vec<Option<i64>>>, LogError> {
        let of = |group: &str| {
            let positions = self.cluster.positions(group, topic, partitions);
            self.cluster.forget_group(group);
            positions
        };
        let of_some = |some: &[(String, String)]| {
            std::thread::scope(|scope| {
                let asked: Vec<_> = some.iter().map(|(group, _)| scope.spawn(|| of(group))).collect();
                asked
                    .into_iter()
                    .map(|asked| asked.join().unwrap_or_else(|panic| resume_unwind(panic)))
                    .collect::<Vec<_>>()
            })
        };
        groups.chunks(AT_ONCE).flat_map(of_some).collect()
    }

    /// How much is before a position. Few offsets may be none of records, but the ends of transactions.
    fn lag(&self, topic: &str, partition: u32, position: i64, end: i64) -> Result<i64, LogError> {
        let lag = (end - position).max(0);
        let is_nothing = (1..=FEW).contains(&lag) && self.read(topic, partition, position, 1)?.is_empty();
        Ok(if is_nothing { 0 } else { lag })
    }

    /// Creates a topic with these settings beside those that all topics of ours get. One that is there stays as it is.
    ///
    /// # Errors
    /// [`LogError::Partitions`] if it is there with another number of them; what the brokers say.
    pub fn create(
        &self,
        topic: &NewTopic,
        replication: Option<i32>,
        settings: &[(String, String)],
    ) -> Result<Created, LogError> {
        topic.check(MAX_PARTITIONS)?;
        let own = super::settings_of(topic.retention);
        let own = own.iter().filter(|(name, _)| settings.iter().all(|(given, _)| given != name));
        let own = own.map(|(name, value)| (*name, value.as_str()));
        let given = settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let settings: Vec<(&str, &str)> = own.chain(given).collect();
        if self.cluster.create(&topic.name, topic.partitions, replication, &settings)? {
            return Ok(Created::New);
        }
        topic.fits(self.cluster.partitions(&topic.name)?.unwrap_or_default())?;
        Ok(Created::Existing)
    }

    /// Makes a topic of one partition in which the last record of each key stays, unless it is there.
    ///
    /// # Errors
    /// What the brokers say.
    pub fn ensure_compacted(&self, topic: &str) -> Result<(), LogError> {
        if self.cluster.partitions(topic)?.is_some() {
            return Ok(());
        }
        // Early and in small segments, so that little has to be read.
        let settings =
            [("cleanup.policy", "compact"), ("min.cleanable.dirty.ratio", "0.1"), ("segment.bytes", "67108864")];
        self.cluster.create(topic, 1, None, &settings).map(drop)
    }

    /// Adds partitions up to this number.
    ///
    /// # Errors
    /// What the brokers say.
    pub fn add_partitions(&self, topic: &str, partitions: u32) -> Result<(), LogError> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST));
        let wanted = NewPartitions::new(topic, partitions as usize);
        let done = wait_for(self.cluster.admin().create_partitions([&wanted], &options));
        self.outcome(done)
    }

    /// Changes settings; those without a value go back to the brokers' default.
    ///
    /// # Errors
    /// What the brokers say.
    pub fn alter(&self, topic: &str, settings: &[(String, Option<String>)]) -> Result<(), LogError> {
        alter_settings(self.cluster.admin().inner(), topic, settings, REQUEST).map_err(|what| self.cluster.failed(what))
    }

    /// Deletes a topic with all that is in it.
    ///
    /// # Errors
    /// What the brokers say.
    pub fn delete(&self, topic: &str) -> Result<(), LogError> {
        let options = AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST));
        let done = wait_for(self.cluster.admin().delete_topics(&[topic], &options));
        self.cluster.forget(topic);
        self.outcome(done)
    }

    /// Forgets the states of a group that nobody is in, or will be.
    ///
    /// # Errors
    /// What the brokers say.
    pub fn forget(&self, group: &str) -> Result<(), LogError> {
        self.delete(&state::topic_of(group))
    }

    /// Has a topic that is there take on a retention, if one is asked for.
    pub(super) fn take_on(&self, topic: &str, wanted: Retention) -> Result<(), LogError> {
        let Some(info) = describe::topic(&self.cluster, topic)? else { return Ok(()) };
        let changes = [
            ("retention.ms", wanted.age_ms, info.retention.age_ms),
            ("retention.bytes", wanted.bytes, info.retention.bytes),
        ];
        let changes = changes.into_iter().filter(|(_, wanted, found)| wanted.is_some() && wanted != found);
        let changes: Vec<(String, Option<String>)> =
            changes.map(|(name, wanted, _)| (name.to_owned(), wanted.map(|number| number.to_string()))).collect();
        if changes.is_empty() { Ok(()) } else { self.alter(topic, &changes) }
    }

    fn outcome(&self, done: Result<Vec<rdkafka::admin::TopicResult>, KafkaError>) -> Result<(), LogError> {
        let results = done.map_err(|error| self.cluster.failed(error))?;
        results.into_iter().try_for_each(|result| match result {
            Ok(_) => Ok(()),
            Err((_, code)) => Err(self.cluster.failed(KafkaError::AdminOp(code))),
        })
    }
}
