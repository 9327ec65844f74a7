//! The log of a Kafka cluster keeps the promises of every log, with either guarantee and either protocol of groups, and
//! some of its own.
//!
//! A cluster is shared by all tests, so each has topics and groups of its own, behind names that the promises do not see.

use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bespoke_record::Batch;
use host::log::kafka::{Guarantee, KafkaLog, Options};
use host::log::{Commit, Created, Event, Log, LogError, Member, NewTopic, Session, TopicInfo};

use super::log_keeps_its_promises;
use super::records::{
    DEADLINE, Reader, Rec, all_kept, batch, kept, keyed, member, new_topic, produce, producer, unkeyed, values,
};
use crate::support::{Folder, services, top, until};

/// Waiting less for something to come than a broker takes to bring it would be waiting for nothing.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// The brokers of this test program.
pub fn brokers() -> &'static str {
    services::kafka().address()
}

/// A prefix that nobody else has.
pub fn prefix() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
    format!("{:x}-{now:x}-{}.", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Opens a log.
pub fn open(brokers: &str, guarantee: Guarantee, properties: &[(&str, &str)]) -> KafkaLog {
    let properties = properties.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    KafkaLog::open(Options { properties, patience: Duration::from_secs(120), ..Options::new(brokers, guarantee) })
        .expect("a log")
}

/// A part of a cluster: topics and groups whose names begin with the prefix, which is not seen outside.
struct Named {
    log: KafkaLog,
    prefix: String,
}

struct NamedSession {
    session: Box<dyn Session>,
    prefix: String,
}

/// The name within the cluster. Names that no topic can have stay as they are, and the longest do not get longer.
fn inside(prefix: &str, name: &str) -> String {
    match name {
        "" | "." | ".." => name.to_owned(),
        long if long.len() >= 249 => format!("{prefix}{}", &long[prefix.len()..]),
        name => format!("{prefix}{name}"),
    }
}

fn outside(prefix: &str, error: LogError) -> LogError {
    let strip = |name: String| name.strip_prefix(prefix).map(str::to_owned).unwrap_or(name);
    match error {
        LogError::NoTopic(name) => LogError::NoTopic(strip(name)),
        LogError::TooLarge { topic, bytes, limit } => LogError::TooLarge { topic: strip(topic), bytes, limit },
        other => other,
    }
}

impl Log for Named {
    fn create_topic(&self, topic: &NewTopic) -> Result<Created, LogError> {
        self.log.create_topic(&NewTopic { name: inside(&self.prefix, &topic.name), ..topic.clone() })
    }

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        let own = self.log.topics()?.into_iter().filter_map(|topic| {
            let name = topic.name.strip_prefix(&self.prefix)?.to_owned();
            Some(TopicInfo { name, ..topic })
        });
        Ok(own.collect())
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        self.log.topic(&inside(&self.prefix, name))
    }

    fn committed(&self, group: &str, topic: &str) -> Result<Vec<(u32, i64)>, LogError> {
        let committed = self.log.committed(&inside(&self.prefix, group), &inside(&self.prefix, topic));
        committed.map_err(|error| outside(&self.prefix, error))
    }

    fn read(&self, topic: &str, partition: u32, offset: i64, max_records: usize) -> Result<Batch, LogError> {
        let read = self.log.read(&inside(&self.prefix, topic), partition, offset, max_records);
        read.map_err(|error| outside(&self.prefix, error))
    }

    fn join(&self, member: Member) -> Result<Box<dyn Session>, LogError> {
        let group = inside(&self.prefix, &member.group);
        let topic = member.topic.as_ref().map(|topic| inside(&self.prefix, topic));
        let session = self.log.join(Member { group, topic, ..member }).map_err(|error| outside(&self.prefix, error))?;
        Ok(Box::new(NamedSession { session, prefix: self.prefix.clone() }))
    }
}

impl Session for NamedSession {
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Event, LogError> {
        self.session.poll(max_records, timeout.max(PATIENCE))
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<(), LogError> {
        self.session.append(&inside(&self.prefix, topic), records).map_err(|error| outside(&self.prefix, error))
    }

    fn divert(&mut self, topic: &str, letters: &Batch) -> Result<(), LogError> {
        self.session.divert(&inside(&self.prefix, topic), letters).map_err(|error| outside(&self.prefix, error))
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), LogError> {
        self.session.commit(commit)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.session.abort()
    }

    fn attend(&mut self) -> Result<bool, LogError> {
        self.session.attend()
    }

    fn max_record_bytes(&self, topic: &str) -> usize {
        self.session.max_record_bytes(&inside(&self.prefix, topic))
    }
}

fn fresh(guarantee: Guarantee, properties: &'static [(&'static str, &'static str)]) -> super::Fresh {
    let prefix = prefix();
    let open = move || {
        let log = open(brokers(), guarantee, properties);
        Box::new(Named { log, prefix: prefix.clone() }) as Box<dyn Log>
    };
    (Box::new(open), Box::new(()))
}

fn at_least_once() -> super::Fresh {
    fresh(Guarantee::AtLeastOnce, &[])
}

fn exactly_once() -> super::Fresh {
    fresh(Guarantee::ExactlyOnce, &[])
}

fn new_protocol() -> super::Fresh {
    fresh(Guarantee::ExactlyOnce, &[("group.protocol", "consumer")])
}

log_keeps_its_promises!(at_least_once_log, super::at_least_once, as in kafka);
log_keeps_its_promises!(exactly_once_log, super::exactly_once, as in kafka);
log_keeps_its_promises!(new_protocol_log, super::new_protocol, as in kafka);

/// Its producer has not met a broker before, so that the step waits for one as long as the log has patience.
#[test]
fn a_first_step_waits_for_brokers_that_are_away() {
    // Longer than one question may take.
    const AWAY: Duration = Duration::from_secs(7);
    let own = services::own_kafka(1, &[]);
    let log = open(own.address(), Guarantee::ExactlyOnce, &[]);
    new_topic(&log, "t", 1);
    produce(&log, "t", &[unkeyed("before")]);
    // A broker that is killed before it has written the marker of a transaction may not write it when it is back.
    until("it is seen", DEADLINE, || values(&kept(&log, "t", 0)) == ["before"]);
    own.kill(1);
    let since = Instant::now();
    std::thread::scope(|scope| {
        let step = scope.spawn(|| produce(&log, "t", &[unkeyed("meanwhile")]));
        until("the brokers are away for long", DEADLINE, || since.elapsed() > AWAY);
        own.start_again(1);
        step.join().unwrap();
    });
    until("both are seen", DEADLINE, || values(&kept(&log, "t", 0)) == ["before", "meanwhile"]);
}

/// The state of a feed is its position. Were it there before the records that it counts, a feed that is killed then would go on
/// behind them.
#[test]
fn a_state_waits_for_the_records_of_its_step() {
    let own = services::own_kafka(3, &[]);
    // More than a broker that was killed takes to be given up, so that what is on the others is taken.
    let log = open(own.address(), Guarantee::AtLeastOnce, &[("message.timeout.ms", "25000")]);
    let create = ["topics", "create", "t", "--partitions", "6", "--replication", "1", "--brokers", own.address()];
    Folder::of(&top().join("tests/scenarios/empty-feed")).host(&create).must_end(0);
    let records: Vec<Rec> = (0..100).map(|n: u32| keyed(n.to_string(), "")).collect();
    let state_of = |session: &mut dyn Session| match session.poll(1, DEADLINE).unwrap() {
        Event::Assigned { state, .. } => state,
        other => panic!("{other:?}"),
    };
    let step = |session: &mut dyn Session, state: &'static str| {
        session.append("t", &batch(&records)).unwrap();
        session.commit(Commit { states: &[(0, state.into())], ..Commit::default() })
    };
    let mut session = log.join(member("feed", None)).unwrap();
    assert_eq!(state_of(&mut *session), None);
    step(&mut *session, "one").unwrap();
    // Of six partitions with one replica each some are on every broker.
    own.kill(1);
    let failed = step(&mut *session, "two").expect_err("some of its records have nowhere to go");
    assert!(failed.to_string().contains("timed out"), "{failed}");
    drop(session);
    let mut session = log.join(member("feed", None)).unwrap();
    assert_eq!(state_of(&mut *session), Some("one".into()));
}

/// Values of this size are part of a request as they lie, unless they are compressed: so they must still be there when it is
/// sent. What the caller has of them is gone by then.
#[test]
fn values_are_kept_until_they_are_delivered() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let log = Named { log: open(brokers(), guarantee, &[("compression.type", "none")]), prefix: prefix() };
        new_topic(&log, "t", 1);
        let mut session = producer(&log);
        // Together they are more than is lent at a time.
        for first in (0..300).step_by(100) {
            let records: Vec<Rec> = (first..first + 100).map(|n| unkeyed(noise(n))).collect();
            session.append("t", &batch(&records)).unwrap();
        }
        session.commit(Commit::default()).unwrap();
        let got = Reader::of(&log, "g", "t").take(300);
        let changed = got.iter().zip(0..).position(|(got, n)| got.record != unkeyed(noise(n)));
        assert_eq!(changed, None, "{guarantee:?}");
    }
}

/// Bytes that no other number has and that do not compress (xorshift64, Marsaglia 2003).
fn noise(number: u64) -> Vec<u8> {
    const BYTES: usize = 120 << 10;
    let mut state = number + 1;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(BYTES / 8).flatten().collect()
}

/// Batches are filled for as long as the client likes, but neither a commit nor a full queue waits for that.
#[test]
fn a_step_does_not_wait_for_full_batches() {
    const LINGER: Duration = Duration::from_secs(100);
    let properties = [("linger.ms", "100000"), ("queue.buffering.max.messages", "10")];
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        // Transactions have less time than the others have for their records.
        let longer = [("message.timeout.ms", "200000"), ("transaction.timeout.ms", "300000")];
        let log = Named { log: open(brokers(), guarantee, &[properties, longer].concat()), prefix: prefix() };
        new_topic(&log, "t", 2);
        let begin = Instant::now();
        produce(&log, "t", &[unkeyed("alone")]);
        // More than is held back, and more than the queue takes.
        let mut session = producer(&log);
        for _ in 0..40 {
            session.append("t", &batch(&[unkeyed([b'x'; 100_000])])).unwrap();
        }
        session.commit(Commit::default()).unwrap();
        assert!(begin.elapsed() < LINGER, "{guarantee:?} took {:?}", begin.elapsed());
        assert_eq!(all_kept(&log, "t").len(), 41);
    }
}

/// One batch of the usual size would be more than the topic takes, and is not divided by anyone.
#[test]
fn a_topic_may_take_smaller_batches_than_others() {
    for guarantee in [Guarantee::AtLeastOnce, Guarantee::ExactlyOnce] {
        let log = Named { log: open(brokers(), guarantee, &[]), prefix: prefix() };
        let small = inside(&log.prefix, "small");
        let create = ["topics", "create", &small, "--config", "max.message.bytes=3000", "--brokers", brokers()];
        Folder::of(&top().join("tests/scenarios/empty-feed")).host(&create).must_end(0);
        new_topic(&log, "usual", 1);
        let records: Vec<Rec> = (0..100).map(|n| unkeyed(&noise(n)[..1_000])).collect();
        produce(&log, "small", &records);
        assert_eq!(kept(&log, "small", 0).len(), 100);
        // In the middle of a step that is under way already, of which some was sent.
        let mut session = producer(&log);
        let step = |session: &mut dyn Session| {
            (0..20).try_for_each(|n| session.append("usual", &batch(&[unkeyed(noise(n))])))?;
            session.append("small", &batch(&records))?;
            session.commit(Commit::default())
        };
        let failed = step(&mut *session).expect_err("batches are smaller from now on");
        assert!(failed.to_string().contains("takes smaller batches"), "{failed}");
        step(&mut *session).unwrap();
        let got = kept(&log, "small", 0);
        assert!(got.iter().map(|got| &got.record).eq(records.iter().chain(&records)), "{guarantee:?}");
    }
}

/// Another reason than that they are away, which does not pass.
#[test]
fn brokers_that_refuse_transactions_end_a_session() {
    let log = open(brokers(), Guarantee::ExactlyOnce, &[("transaction.timeout.ms", "3600000")]);
    let name = format!("{}t", prefix());
    new_topic(&log, &name, 1);
    let mut session = log.join(member(&name, Some(&name))).unwrap();
    let begin = Instant::now();
    let refused = loop {
        match session.poll(1, Duration::ZERO) {
            Ok(event) => assert!(matches!(event, Event::Idle), "{event:?}"),
            Err(error) => break error.to_string(),
        }
        assert!(begin.elapsed() < DEADLINE, "nobody is told");
    };
    assert!(
        refused.contains("Transaction timeout is larger") && refused.contains("`transaction.timeout.ms`"),
        "{refused}"
    );
}

/// Has the brokers forget what comes before an offset of partition 0, as retention does.
fn take_away(topic: &str, before: i64) {
    let script = top().join("tests/services/clients/delete_records.py");
    let done = Command::new(services::python()).arg(script).args([brokers(), topic, "0", &before.to_string()]).output();
    let done = done.expect("Python runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn what_retention_takes_before_it_is_read_is_told() {
    const RECORDS: i64 = 60;
    let prefix = prefix();
    // Fetches one record at a time, so that most are on the broker when they are taken.
    let properties = [("max.partition.fetch.bytes", "1000"), ("queued.min.messages", "1"), ("fetch.max.bytes", "1000")];
    let properties = [&properties[..], &[("message.max.bytes", "1000")]].concat();
    let named = |properties: &[(&str, &str)]| Named {
        log: open(brokers(), Guarantee::AtLeastOnce, properties),
        prefix: prefix.clone(),
    };
    let log = named(&[]);
    new_topic(&log, "t", 1);
    let mut session = producer(&log);
    for _ in 0..RECORDS {
        session.append("t", &batch(&[unkeyed([b'x'; 900])])).unwrap();
        session.commit(Commit::default()).unwrap();
    }
    let slow = named(&properties);
    let mut reader = Reader::of(&slow, "g", "t");
    let mut seen: Vec<i64> = reader.take(2).iter().map(|got| got.offset).collect();
    reader.commit(&[]);
    take_away(&inside(&prefix, "t"), RECORDS - 5);
    seen.extend(reader.rest().iter().map(|got| got.offset));
    let [(0, from, to)] = reader.skipped[..] else { panic!("{:?}", reader.skipped) };
    assert!(from < to && to == RECORDS - 5, "{from} to {to}");
    assert_eq!(seen, (0..from).chain(to..RECORDS).collect::<Vec<_>>());
    drop(reader);
    // The same for who comes back to a position that is gone.
    let mut later = Reader::of(&log, "g", "t");
    assert_eq!(later.rest().len(), 5);
    assert_eq!(later.skipped, [(0, 2, RECORDS - 5)]);
}

/// Whoever polls knows of the partition, though it was not assigned again, and must learn that it is gone.
#[test]
fn a_partition_that_goes_when_a_step_was_thrown_away_is_told() {
    let (open, _kept) = at_least_once();
    let log = open();
    new_topic(&*log, "t", 2);
    let join = |worker| Reader::join(&*log, Member { worker, workers: 2, ..member("g", Some("t")) });
    let mut first = join(0);
    first.settle(2);
    let mut second = join(1);
    let until = Instant::now() + Duration::from_secs(60);
    // The group asks for one of them, and it is not answered yet.
    while first.session.attend().unwrap() {
        assert!(Instant::now() < until, "the second is not let in");
        second.poll(1, Duration::ZERO);
    }
    first.abort();
    let event = first.session.poll(1, Duration::from_secs(10)).unwrap();
    assert!(matches!(event, Event::Revoked { lost: false, .. }), "{event:?}");
}

#[test]
fn a_record_of_the_epoch_comes_a_millisecond_later() {
    let (open, _kept) = at_least_once();
    let log = open();
    new_topic(&*log, "t", 1);
    produce(&*log, "t", &[Rec::default()]);
    assert_eq!(kept(&*log, "t", 0)[0].record, Rec { timestamp_ms: 1, ..Rec::default() });
}
