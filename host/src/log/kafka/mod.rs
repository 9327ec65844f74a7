//! The log of a Kafka cluster, through librdkafka.
//!
//! ```text
//! KafkaLog ── Cluster: what is known of topics; admin, metadata, reading from anywhere
//!    │ join
//! KafkaSession ── Input:  the consumer and its partitions      native::Queue    many records a call
//!             └── Output: the producer and the open step       native::Producer transactions
//! ```
//!
//! # Why a record counts exactly once
//!
//! With `guarantee = "exactly-once"` a step is one Kafka transaction. It holds the records of all topics, the states (in
//! the group's changelog, `state.rs`) and the positions, which the group's coordinator keeps.
//!
//! 1. *Whole.* Kafka makes all of a transaction visible to readers of committed records, or nothing of it. All readers
//!    here are such readers: `isolation.level` cannot be set otherwise (`properties.rs`).
//! 2. *Begins where the last one ended.* A partition is handed out from its committed position on, together with its
//!    committed state. Positions are asked for only when no transaction that holds positions of the group is open (the
//!    broker answers "unstable" until then, and `input.rs` asks again), and the state is read after that, up to an end that
//!    counts open transactions too. So both are those of the same, last, step.
//! 3. *One owner.* Positions are sent with the group's metadata as they are at that moment. A member that the group has
//!    given up, because it was stopped, cut off or slow, has an old generation: the coordinator refuses its positions, the
//!    transaction is aborted, and nothing of it is seen. That fences it whatever its transactional id is. A feed is in no
//!    group; it has one transactional id, and whoever takes it over fences the one before.
//! 4. *Thrown away means done again.* After an abort the consumer seeks back to the committed positions, and what was
//!    fetched before is sorted out by librdkafka's versions. If it is not known how a transaction ended (a timeout, a fatal
//!    error), the producer is given up: making the next one ends what was left open before positions are asked for.
//! 5. *Rebalance.* A partition is given up in this order: nothing more is handed out, the worker commits the open step
//!    (or throws it away, if others may have the partition), librdkafka is told, and from then on positions of that
//!    partition are refused here too.
//!
//! With `guarantee = "at-least-once"` (the default) records are delivered to all replicas first, then states, of which that
//! of a feed is its position, and positions are committed after that. A failure in between repeats records: nothing is lost,
//! some may be there twice. The first records of an open step are held back (`output.rs`), so that a small step that is
//! thrown away leaves nothing behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bespoke_record::Batch;

mod admin;
mod client;
mod cluster;
mod context;
mod cursor;
mod describe;
mod input;
mod log_dirs;
mod membership;
mod native;
mod order;
mod output;
mod positions;
mod properties;
mod session;
mod state;

pub use admin::{GroupState, PartitionState, TopicState};
use cluster::Cluster;
use session::KafkaSession;

use crate::shutdown::Shutdown;

use super::{Created, Log, LogError, Member, NewTopic, Retention, Session, TopicInfo};

/// Bytes of the largest record, as long as the topic takes it. Topics that are made here do.
const MAX_RECORD_BYTES: usize = 16 * 1024 * 1024;
/// How much larger a dead letter may be than the record that it keeps.
const LETTER_BYTES: usize = 64 * 1024;
/// More partitions than any broker holds.
const MAX_PARTITIONS: u32 = 100_000;
/// How long to wait for records that are known to be there.
const READ: Duration = Duration::from_secs(30);

/// How a log is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses of some brokers, separated by commas.
    pub bootstrap: String,
    /// What is promised of a step.
    pub guarantee: Guarantee,
    /// Settings of librdkafka.
    pub properties: BTreeMap<String, String>,
    /// Whether topics for states are made where they are missing.
    pub creates_states: bool,
    /// How long a step takes at most, from its first record to its commit.
    pub step: Duration,
    /// How long to wait for brokers that are away before giving up.
    pub patience: Duration,
    /// Ends that wait.
    pub stop: Shutdown,
}

/// What is promised of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// It happens, and after a failure perhaps in part again.
    AtLeastOnce,
    /// It happens whole, once.
    ExactlyOnce,
}

/// The topics of a Kafka cluster.
pub struct KafkaLog {
    cluster: Arc<Cluster>,
    /// Tells sessions of this process from all others.
    instance: String,
    sessions: AtomicU64,
}

// === impl Options ===

impl Options {
    /// The usual ones.
    #[must_use]
    pub fn new(bootstrap: &str, guarantee: Guarantee) -> Self {
        Self {
            bootstrap: bootstrap.to_owned(),
            guarantee,
            properties: BTreeMap::new(),
            creates_states: true,
            step: Duration::ZERO,
            patience: Duration::from_secs(10),
            stop: Shutdown::new(),
        }
    }
}

// === impl KafkaLog ===

impl KafkaLog {
    /// Makes the clients. Brokers are asked only when something is wanted of them.
    ///
    /// # Errors
    /// [`LogError::Setting`] for a property that cannot be, or that would break a promise.
    pub fn open(options: Options) -> Result<Self, LogError> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let instance = format!("{:x}-{now:x}", std::process::id());
        Ok(Self { cluster: Arc::new(Cluster::new(options)?), instance, sessions: AtomicU64::new(0) })
    }
}

impl Log for KafkaLog {
    /// A topic that is there already keeps its settings, unless a retention is asked for.
    fn create_topic(&self, topic: &NewTopic) -> Result<Created, LogError> {
        topic.check(MAX_PARTITIONS)?;
        let exists = |existing: u32| {
            topic.fits(existing)?;
            self.take_on(&topic.name, topic.retention)?;
            Ok(Created::Existing)
        };
        if let Some(existing) = self.cluster.partitions(&topic.name)? {
            return exists(existing);
        }
        let settings = settings_of(topic.retention);
        let settings: Vec<(&str, &str)> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
        if self.cluster.create(&topic.name, topic.partitions, None, &settings)? {
            return Ok(Created::New);
        }
        exists(self.cluster.partitions(&topic.name)?.unwrap_or_default())
    }

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        describe::topics(&self.cluster)
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        describe::topic(&self.cluster, name)
    }

    fn committed(&self, group: &str, topic: &str) -> Result<Vec<(u32, i64)>, LogError> {
        let partitions = self.cluster.partitions(topic)?.ok_or_else(|| LogError::NoTopic(topic.to_owned()))?;
        let positions = self.cluster.positions(group, topic, partitions)?;
        let position = |(partition, position): (u32, Option<i64>)| {
            let (start, _) = self.cluster.range(topic, partition)?;
            Ok((partition, position.map_or(start, |position| position.max(start))))
        };
        (0..).zip(positions).map(position).collect()
    }

    fn read(&self, topic: &str, partition: u32, offset: i64, max_records: usize) -> Result<Batch, LogError> {
        let partitions = self.cluster.partitions(topic)?.ok_or_else(|| LogError::NoTopic(topic.to_owned()))?;
        if partition >= partitions {
            let last = partitions.saturating_sub(1);
            return Err(LogError::NoPartition { topic: topic.to_owned(), partition, last });
        }
        let Some((offset, end)) = self.cluster.readable(topic, partition, offset)? else { return Ok(Batch::default()) };
        let mut cursor = self.cluster.cursor(topic, partition, offset)?;
        let batch = cursor.next(max_records, end, Instant::now() + READ).map_err(|what| self.cluster.failed(what))?;
        self.cluster.keep(cursor);
        Ok(batch)
    }

    fn state_topic(&self, group: &str) -> Option<String> {
        (!self.cluster.options.creates_states).then(|| state::topic_of(group))
    }

    fn ensure_states(&self, group: &str, partitions: u32) -> Result<(), LogError> {
        state::ensure(&self.cluster, group, partitions)
    }

    fn join(&self, member: Member) -> Result<Box<dyn Session>, LogError> {
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        let fixed = self.cluster.options.properties.get("group.instance.id").filter(|_| member.topic.is_some());
        let instance = fixed.cloned().unwrap_or_else(|| format!("{}-{number}", self.instance));
        Ok(Box::new(KafkaSession::new(self.cluster.clone(), &member, &instance)?))
    }
}

/// The settings of topics that are made here.
fn settings_of(retention: Retention) -> [(&'static str, String); 4] {
    let number = |limit: Option<i64>| limit.unwrap_or(-1).to_string();
    [
        ("retention.ms", number(retention.age_ms)),
        ("retention.bytes", number(retention.bytes)),
        ("max.message.bytes", (MAX_RECORD_BYTES + LETTER_BYTES + properties::OVERHEAD_BYTES).to_string()),
        // Records keep the time of what they were made of, which may be anything.
        ("message.timestamp.after.max.ms", i64::MAX.to_string()),
    ]
}
