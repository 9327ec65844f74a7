//! What all sessions of a log share: what is known of topics, and clients that are in no group.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic as NewKafkaTopic, ResourceSpecifier, TopicReplication};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::metadata::Metadata;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};

use super::client::{Client, is_passing};
use super::context::{Context, Refusal};
use super::cursor::Cursor;
use super::native::{groups, refusal};
use super::{Options, properties};
use crate::log::LogError;

/// How long one request may take before it is tried again.
pub(super) const REQUEST: Duration = Duration::from_secs(5);
/// How long what is known of a topic is taken to be so. Partitions may be added at any time.
const FRESH: Duration = Duration::from_secs(30);
/// How long to go on when brokers refuse this host: they may not know its credentials or rights yet.
pub(super) const REFUSED: Duration = Duration::from_secs(10);
/// How long to listen to a client that got no answer.
const SERVE: Duration = Duration::from_millis(50);
/// Pause between attempts.
const PAUSE: Duration = Duration::from_millis(200);
/// The most that a topic takes if it does not tell: Kafka's default.
const DEFAULT_MESSAGE_BYTES: usize = 1_048_588;
/// How long a reader waits for steps that are open at the end, and as a marker may come late.
const SETTLE: Duration = Duration::from_secs(2);
/// Cursors that are kept for who reads on.
const IDLE_CURSORS: usize = 2;

/// The clients of a log that are in no group.
pub(super) struct Cluster {
    pub(super) options: Options,
    refusal: Arc<Refusal>,
    admin: Client<AdminClient<Context>>,
    /// Sees what is committed.
    plain: Client<BaseConsumer<Context>>,
    /// Sees all.
    uncommitted: Client<BaseConsumer<Context>>,
    topics: Mutex<HashMap<String, (Instant, Arc<Topic>)>>,
    groups: Mutex<HashMap<String, Arc<BaseConsumer<Context>>>>,
    cursors: Mutex<Vec<Cursor>>,
    /// Topics that are known to be there, though not yet to all brokers.
    new: Mutex<HashMap<String, Instant>>,
}

/// What has to be known of a topic to write to it.
#[derive(Debug)]
pub(super) struct Topic {
    pub name: String,
    pub partitions: u32,
    /// Bytes of the largest record, counting all of its parts.
    pub max_record_bytes: usize,
    /// The same of a dead letter.
    pub max_letter_bytes: usize,
    /// Bytes of the largest batch.
    pub max_batch_bytes: usize,
}

// === impl Cluster ===

impl Cluster {
    pub(super) fn new(options: Options) -> Result<Self, LogError> {
        properties::check(&options)?;
        let failed = |error| store(&options, error);
        let plain = properties::plain(&options);
        let mut all = plain.clone();
        all.set("isolation.level", "read_uncommitted");
        let refusal = Arc::default();
        let serve = |client: &BaseConsumer<Context>| {
            let deadline = Instant::now() + SERVE;
            // It has no records; what comes are errors.
            while client.poll(deadline.saturating_duration_since(Instant::now())).is_some() {}
        };
        Ok(Self {
            // It keeps what it has to say to itself; the others ask the same brokers.
            admin: Client::new(plain.clone(), &refusal, |_| {}).map_err(failed)?,
            plain: Client::new(plain, &refusal, serve).map_err(failed)?,
            uncommitted: Client::new(all, &refusal, serve).map_err(failed)?,
            refusal,
            topics: Mutex::default(),
            groups: Mutex::default(),
            cursors: Mutex::default(),
            new: Mutex::default(),
            options,
        })
    }

    /// An error of the brokers or of the client.
    pub(super) fn failed(&self, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LogError {
        store(&self.options, error)
    }

    /// What is known of a topic that is written to.
    pub(super) fn writable(&self, name: &str) -> Result<Arc<Topic>, LogError> {
        let known = self.topics.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some((since, topic)) = &known
            && since.elapsed() < FRESH
        {
            return Ok(topic.clone());
        }
        // Who knows the topic does not wait for brokers that are away to hear the same.
        let patience = if known.is_some() { Duration::ZERO } else { self.options.patience };
        let found = self.partitions_within(name, patience).and_then(|partitions| {
            let partitions = partitions.ok_or_else(|| LogError::NoTopic(name.to_owned()))?;
            // A broker that has not heard of a new topic does not know its limit.
            let unheard = KafkaError::AdminOp(RDKafkaErrorCode::UnknownTopicOrPartition);
            let settings = self.asked(patience, "asking for settings", |admin| {
                settings_of(admin, &[name])?.remove(name).ok_or_else(|| unheard.clone())
            })?;
            let max_batch_bytes = settings.max_message_bytes.unwrap_or(DEFAULT_MESSAGE_BYTES);
            let of_topic = max_batch_bytes.saturating_sub(properties::OVERHEAD_BYTES);
            let properties = &self.options.properties;
            let max_record_bytes = of_topic.min(properties::max_record_bytes(properties));
            let max_letter_bytes = of_topic.min(properties::max_letter_bytes(properties));
            let name = name.to_owned();
            Ok(Arc::new(Topic { name, partitions, max_record_bytes, max_letter_bytes, max_batch_bytes }))
        });
        let topic = match (found, known) {
            (Ok(found), _) => found,
            (Err(error @ LogError::NoTopic(_)), _) | (Err(error), None) => return Err(error),
            // What was so is better than nothing while the brokers are away.
            (Err(error), Some((_, topic))) => {
                tracing::warn!(%error, topic = name, "going on with what was known of the topic");
                topic
            }
        };
        let mut topics = self.topics.lock().unwrap_or_else(PoisonError::into_inner);
        topics.insert(name.to_owned(), (Instant::now(), topic.clone()));
        Ok(topic)
    }

    /// How many partitions a topic has, as one broker knows it.
    fn heard_of(&self, name: &str, patience: Duration) -> Result<Option<u32>, LogError> {
        self.within(patience, "asking for a topic", || {
            let metadata = self.plain.ask(|plain| plain.fetch_metadata(Some(name), REQUEST))?;
            let Some(topic) = metadata.topics().first() else { return Ok(None) };
            match topic.error() {
                None => Ok(Some(topic.partitions().len() as u32)),
                Some(
                    RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                    | RDKafkaRespErr::RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC
                    | RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
                ) if !self.is_new(name) => Ok(None),
                Some(error) => Err(KafkaError::MetadataFetch(error.into())),
            }
        })
    }

    /// How many partitions a topic has, if there is one. That there is none is asked twice: a broker may not have heard of
    /// a new one yet, but the controller has, and says so when it is asked whether the topic could be made.
    pub(super) fn partitions(&self, name: &str) -> Result<Option<u32>, LogError> {
        self.partitions_within(name, self.options.patience)
    }

    /// The same, asked once.
    pub(super) fn partitions_now(&self, name: &str) -> Result<Option<u32>, LogError> {
        self.partitions_within(name, Duration::ZERO)
    }

    fn partitions_within(&self, name: &str, patience: Duration) -> Result<Option<u32>, LogError> {
        let told = self.heard_of(name, patience)?;
        if told.is_some() {
            return Ok(told);
        }
        let topic = NewKafkaTopic::new(name, 1, TopicReplication::Fixed(1));
        let options = AdminOptions::new().request_timeout(Some(REQUEST)).validate_only(true);
        let answer =
            self.asked(patience, "asking the controller", |admin| wait_for(admin.create_topics([&topic], &options)))?;
        if !matches!(answer.first(), Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists)))) {
            return Ok(None);
        }
        self.remember(name);
        self.heard_of(name, patience)
    }

    fn remember(&self, name: &str) {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Instant::now());
    }

    fn is_new(&self, name: &str) -> bool {
        let new = self.new.lock().unwrap_or_else(PoisonError::into_inner);
        new.get(name).is_some_and(|since| since.elapsed() < FRESH)
    }

    /// Deleted topics are not there, however new they are.
    pub(super) fn forget(&self, name: &str) {
        self.new.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
    }

    /// The brokers, and one topic or all.
    pub(super) fn metadata(&self, topic: Option<&str>) -> Result<Metadata, LogError> {
        self.patiently("asking for topics", || self.plain.ask(|plain| plain.fetch_metadata(topic, REQUEST)))
    }

    /// The first offset that is kept and the one after the last record that is committed.
    pub(super) fn range(&self, topic: &str, partition: u32) -> Result<(i64, i64), LogError> {
        let ask = || self.plain.ask(|plain| plain.fetch_watermarks(topic, partition as i32, REQUEST));
        self.patiently("asking for offsets", ask)
    }

    /// From where to where committed records can be read, if there may be any from this offset on. A step whose commit has
    /// returned is to be seen, though its marker may come to this partition a moment later: it is waited for.
    pub(super) fn readable(&self, topic: &str, partition: u32, offset: i64) -> Result<Option<(i64, i64)>, LogError> {
        let begin = Instant::now();
        let mut head = None;
        loop {
            let (start, end) = self.range(topic, partition)?;
            let offset = offset.max(start);
            if offset < end {
                return Ok(Some((offset, end)));
            }
            let head = match head {
                Some(head) => head,
                None => *head.insert(self.head(topic, partition)?),
            };
            if offset >= head || end >= head || begin.elapsed() > SETTLE {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The first offset, asked once.
    pub(super) fn start(&self, topic: &str, partition: u32) -> Result<i64, KafkaError> {
        Ok(self.plain.ask(|plain| plain.fetch_watermarks(topic, partition as i32, REQUEST))?.0)
    }

    /// The first offset and the one after the last record, committed or not, asked once.
    pub(super) fn ends(&self, topic: &str, partition: u32) -> Result<(i64, i64), KafkaError> {
        self.uncommitted.ask(|all| all.fetch_watermarks(topic, partition as i32, REQUEST))
    }

    /// The offset after the last record, committed or not.
    pub(super) fn head(&self, topic: &str, partition: u32) -> Result<i64, LogError> {
        Ok(self.patiently("asking for offsets", || self.ends(topic, partition))?.1)
    }

    /// The positions of a group, where it has any.
    pub(super) fn positions(&self, group: &str, topic: &str, partitions: u32) -> Result<Vec<Option<i64>>, LogError> {
        let client = {
            let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
            match groups.get(group) {
                Some(client) => client.clone(),
                None => {
                    let config = properties::positions(&self.options, group);
                    let client = config.create_with_context(Context::default()).map_err(|error| self.failed(error))?;
                    groups.entry(group.to_owned()).or_insert(Arc::new(client)).clone()
                }
            }
        };
        let mut asked = TopicPartitionList::with_capacity(partitions as usize);
        (0..partitions).for_each(|partition| _ = asked.add_partition(topic, partition as i32));
        self.patiently("asking for positions", || {
            let _ = client.poll(Duration::ZERO);
            let told = client.committed_offsets(asked.clone(), REQUEST)?;
            let position = |partition: u32| {
                let found = told.find_partition(topic, partition as i32);
                match found.map(|found| (found.error(), found.offset())) {
                    Some((Err(error), _)) => Err(error),
                    Some((Ok(()), Offset::Offset(offset))) => Ok(Some(offset)),
                    _ => Ok(None),
                }
            };
            (0..partitions).map(position).collect()
        })
    }

    /// Whether there is a consumer group of this name: it has members or positions.
    pub(super) fn is_group(&self, group: &str) -> Result<bool, LogError> {
        Ok(!self.groups(Some(group))?.is_empty())
    }

    /// All consumer groups of the cluster, or one, with how they are.
    pub(super) fn groups(&self, only: Option<&str>) -> Result<Vec<(String, String)>, LogError> {
        let patience = self.options.patience;
        let mut told = self.asked(patience, "asking for groups", |admin| groups(admin.inner(), REQUEST))?;
        told.retain(|(group, _)| only.is_none_or(|only| group == only));
        told.sort_unstable();
        Ok(told)
    }

    /// Drops the client that asks for the positions of a group.
    pub(super) fn forget_group(&self, group: &str) {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner).remove(group);
    }

    /// Creates a topic. False if it is there.
    /// Replicas are as many as the brokers' default if none are named.
    pub(super) fn create(
        &self,
        name: &str,
        partitions: u32,
        replication: Option<i32>,
        settings: &[(&str, &str)],
    ) -> Result<bool, LogError> {
        let fixed = TopicReplication::Fixed(replication.unwrap_or(-1));
        let mut topic = NewKafkaTopic::new(name, partitions as i32, fixed);
        topic.config.extend_from_slice(settings);
        let options = AdminOptions::new().request_timeout(Some(REQUEST)).operation_timeout(Some(REQUEST));
        let mut refused = false;
        let is_new = self.asked(self.options.patience, "creating a topic", |admin| {
            match wait_for(admin.create_topics([&topic], &options))?.pop() {
                Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
                Some(Err((_, code))) => {
                    refused = true;
                    Err(KafkaError::AdminOp(code))
                }
                _ => Ok(true),
            }
        });
        let is_new = is_new.map_err(|error| {
            // The code says which kind of refusal it is, and the brokers' words which setting or number it is about.
            let size = (partitions as i32, replication.unwrap_or(-1));
            let why = || refusal(self.admin().inner(), name, size, settings, REQUEST);
            refused.then(why).flatten().map_or(error, |why| self.failed(why))
        })?;
        self.remember(name);
        self.patiently("waiting for a new topic", || {
            let metadata = self.plain.ask(|plain| plain.fetch_metadata(Some(name), REQUEST))?;
            let is_ready = metadata.topics().first().is_some_and(|topic| {
                topic.partitions().len() >= partitions as usize && topic.partitions().iter().all(|p| p.leader() >= 0)
            });
            if is_ready || !is_new {
                Ok(())
            } else {
                Err(KafkaError::MetadataFetch(RDKafkaErrorCode::LeaderNotAvailable))
            }
        })?;
        Ok(is_new)
    }

    /// The settings of topics, but for those that are not there. Who may not see them gets none.
    pub(super) fn settings(&self, topics: &[&str]) -> Result<HashMap<String, TopicSettings>, LogError> {
        self.asked(self.options.patience, "asking for settings", |admin| settings_of(admin, topics))
    }

    /// A cursor at the offset, if one was left there, or a new one.
    pub(super) fn cursor(&self, topic: &str, partition: u32, offset: i64) -> Result<Cursor, LogError> {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = cursors.iter().position(|cursor| cursor.is_at(topic, partition, offset)) {
            return Ok(cursors.swap_remove(at));
        }
        let free = if cursors.len() >= IDLE_CURSORS { Some(cursors.swap_remove(0)) } else { None };
        drop(cursors);
        let client = match free {
            Some(cursor) => cursor.into_client(),
            None => {
                let config = properties::plain(&self.options);
                Arc::new(config.create_with_context(Context::default()).map_err(|error| self.failed(error))?)
            }
        };
        Cursor::start(client, topic, partition, offset).ok_or_else(|| self.failed("reading does not start"))
    }

    /// Keeps a cursor for who reads on.
    pub(super) fn keep(&self, cursor: Cursor) {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        if cursors.len() < IDLE_CURSORS {
            cursors.push(cursor);
        }
    }

    /// Tries until it works, it cannot, patience is at its end, or the host is to stop.
    fn patiently<T>(&self, doing: &str, attempt: impl FnMut() -> Result<T, KafkaError>) -> Result<T, LogError> {
        self.within(self.options.patience, doing, attempt)
    }

    /// The same with the admin client.
    pub(super) fn asked<T>(
        &self,
        patience: Duration,
        doing: &str,
        mut attempt: impl FnMut(&AdminClient<Context>) -> Result<T, KafkaError>,
    ) -> Result<T, LogError> {
        self.within(patience, doing, || self.admin.ask(&mut attempt))
    }

    /// The admin client.
    pub(super) fn admin(&self) -> Arc<AdminClient<Context>> {
        self.admin.get()
    }

    fn within<T>(
        &self,
        patience: Duration,
        doing: &str,
        mut attempt: impl FnMut() -> Result<T, KafkaError>,
    ) -> Result<T, LogError> {
        let begin = Instant::now();
        let mut told = false;
        loop {
            // Serves the clients' logs.
            let _ = self.plain.get().poll(Duration::ZERO);
            let _ = self.uncommitted.get().poll(Duration::ZERO);
            let answer = attempt();
            let refusal = self.refusal.get();
            let patience = if refusal.is_some() { patience.min(REFUSED) } else { patience };
            match answer {
                Ok(done) => {
                    self.refusal.is_over();
                    return Ok(done);
                }
                Err(error) if is_passing(&error) && begin.elapsed() < patience && !self.options.stop.is_requested() => {
                    if !told && begin.elapsed() > Duration::from_secs(2) {
                        told = true;
                        let at_most_s = patience.as_secs();
                        tracing::warn!(%error, brokers = self.options.bootstrap, at_most_s, "{doing}: waiting for the brokers");
                    }
                    self.options.stop.wait(PAUSE);
                }
                Err(error) => {
                    let refused = refusal.map(|why| format!("the brokers refuse this host, or are not trusted: {why}"));
                    return Err(refused.map_or_else(|| self.failed(error), |why| self.failed(why)));
                }
            }
        }
    }
}

/// What a topic says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TopicSettings {
    pub retention_ms: Option<i64>,
    pub retention_bytes: Option<i64>,
    pub max_message_bytes: Option<usize>,
    /// Whether the last record of each key stays, whatever the retention.
    pub is_compacted: bool,
}

/// The settings of topics, but for those that this broker does not know.
fn settings_of(admin: &AdminClient<Context>, topics: &[&str]) -> Result<HashMap<String, TopicSettings>, KafkaError> {
    let options = AdminOptions::new().request_timeout(Some(REQUEST));
    let resources: Vec<_> = topics.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let mut settings = HashMap::new();
    for (name, told) in topics.iter().zip(wait_for(admin.describe_configs(&resources, &options))?) {
        let known = match told {
            Ok(resource) => {
                let number = |name: &str| resource.get(name)?.value.as_deref()?.parse::<i64>().ok();
                TopicSettings {
                    retention_ms: number("retention.ms").filter(|ms| *ms >= 0),
                    retention_bytes: number("retention.bytes").filter(|bytes| *bytes >= 0),
                    is_compacted: resource
                        .get("cleanup.policy")
                        .is_some_and(|policy| policy.value.as_deref() == Some("compact")),
                    max_message_bytes: number("max.message.bytes").and_then(|bytes| usize::try_from(bytes).ok()),
                }
            }
            Err(RDKafkaErrorCode::UnknownTopicOrPartition) => continue,
            Err(code) => {
                tracing::debug!(topic = name, %code, "its settings are not told");
                TopicSettings::default()
            }
        };
        settings.insert((*name).to_owned(), known);
    }
    Ok(settings)
}

fn store(options: &Options, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> LogError {
    LogError::Store { path: options.bootstrap.clone(), source: error.into() }
}

/// Waits for an answer of the admin client, which comes from a thread of its own.
pub(super) fn wait_for<F: Future>(answer: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = std::task::Context::from_waker(&waker);
    let mut answer = pin!(answer);
    loop {
        match answer.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => std::thread::park(),
        }
    }
}
