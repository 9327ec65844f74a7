//! A reader that knows nothing of ours: rdkafka's own consumer, which sees what is committed. It decides whether each
//! record was copied once and in order.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bespoke_record::BatchBuilder;
use bytes::Bytes;
use host::log::{Commit, Created, Event, Log as _, Member, NewTopic, Retention, Session};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::{ClientConfig, Message as _, Offset, TopicPartitionList};

use super::hosts::Orders;

/// How many keys the records have.
const KEYS: u64 = 37;
/// Records at once, and the pause after them.
const BATCH: u64 = 200;
const PAUSE: Duration = Duration::from_millis(20);

/// A thread that appends numbered records, some thousand a second, until it is told to end.
pub struct Feed {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Feed {
    /// Makes the topics, and begins.
    pub fn start(orders: &Orders, partitions: u32) -> Self {
        let log = orders.log();
        for name in ["in", "out"] {
            let topic = NewTopic { name: orders.topic(name), partitions, retention: Retention::default() };
            assert_eq!(log.create_topic(&topic).unwrap(), Created::New);
        }
        let stop = Arc::new(AtomicBool::new(false));
        let (orders, stopped) = (orders.clone(), stop.clone());
        let thread = std::thread::spawn(move || {
            let group = format!("{}feed", orders.prefix);
            let mut session = log.join(Member { group, topic: None, worker: 0, workers: 1 }).unwrap();
            let mut number = place(&mut *session);
            while !stopped.load(Ordering::Relaxed) {
                let mut batch = BatchBuilder::new();
                for number in number..number + BATCH {
                    let key = (number % KEYS).to_string();
                    batch
                        .push(Some(key.as_bytes()), Some(number.to_string().as_bytes()), [], 1_700_000_000_000)
                        .unwrap();
                }
                session.append(&orders.topic("in"), &batch.finish()).unwrap();
                let next = number + BATCH;
                let states = [(0, Bytes::copy_from_slice(&next.to_be_bytes()))];
                number = match session.commit(Commit { states: &states, ..Commit::default() }) {
                    Ok(()) => next,
                    // Whether it happened is in the state.
                    Err(_) => place(&mut *session),
                };
                session.poll(1, PAUSE).unwrap();
            }
            number
        });
        Self { stop, thread }
    }

    /// How many records there are, once it has ended.
    pub fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic")
    }
}

/// The number that a feed goes on with.
fn place(session: &mut dyn Session) -> u64 {
    loop {
        if let Event::Assigned { state, .. } = session.poll(1, PAUSE).unwrap() {
            return state.map_or(0, |state| u64::from_be_bytes(state[..].try_into().unwrap()));
        }
    }
}

/// All committed records of a topic, by key, as keys and numbers.
pub fn read(orders: &Orders, topic: &str) -> BTreeMap<String, Vec<u64>> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &orders.brokers)
        .set("group.id", "judge")
        .set("enable.auto.commit", "false")
        .set("isolation.level", "read_committed")
        .set("enable.partition.eof", "true")
        .create()
        .unwrap();
    let topic = orders.topic(topic);
    let metadata = consumer.fetch_metadata(Some(&topic), Duration::from_secs(10)).unwrap();
    let mut open = metadata.topics()[0].partitions().len();
    let mut list = TopicPartitionList::new();
    for partition in 0..open {
        list.add_partition_offset(&topic, partition as i32, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    while open > 0 {
        match consumer.poll(Duration::from_secs(40)).expect("records or the end") {
            Ok(message) => {
                let text = |bytes: Option<&[u8]>| String::from_utf8(bytes.unwrap().to_vec()).unwrap();
                found.entry(text(message.key())).or_default().push(text(message.payload()).parse().unwrap());
            }
            Err(KafkaError::PartitionEOF(_)) => open -= 1,
            Err(error) => panic!("{error}"),
        }
    }
    found
}

/// Whether the group has read all of its topic.
pub fn is_through(orders: &Orders) -> bool {
    let log = orders.log();
    let topic = orders.topic("in");
    let ends = log.topic(&topic).unwrap().unwrap().partitions;
    let positions = log.committed(&orders.group(), &topic).unwrap();
    positions.iter().zip(ends).all(|((partition, position), end)| {
        let is_decided = || end.decided >= end.end;
        *position >= end.end || is_decided() && log.read(&topic, *partition, *position, 1).unwrap().is_empty()
    })
}

/// Checks that each number is there once, those of a key in order, and that the states count all of them.
pub fn exactly_once(orders: &Orders, records: u64) {
    for (key, numbers) in read(orders, "out") {
        let wanted: Vec<u64> = (key.parse().unwrap()..records).step_by(KEYS as usize).collect();
        let first = numbers.iter().zip(&wanted).position(|(found, wanted)| found != wanted);
        assert!(numbers == wanted, "key {key}: {} of {}, {first:?} differs", numbers.len(), wanted.len());
    }
    assert_eq!(counted(orders), records, "the states do not count what was copied");
}

/// Checks that no number is missing.
pub fn at_least_once(orders: &Orders, records: u64) {
    let mut found: Vec<u64> = read(orders, "out").into_values().flatten().collect();
    found.sort_unstable();
    found.dedup();
    assert_eq!(found.len() as u64, records);
}

/// The sum of the last states.
fn counted(orders: &Orders) -> u64 {
    let log = orders.log();
    let changelog = format!("{}.state", orders.group());
    let partitions = log.topic(&changelog).unwrap().unwrap().partitions;
    let mut last: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for partition in partitions {
        let mut offset = partition.start;
        loop {
            let batch = log.read(&changelog, partition.partition, offset, 1_000).unwrap();
            let Some(next) = batch.next_offset() else { break };
            for record in batch.iter() {
                let count = u64::from_be_bytes(record.value().unwrap().try_into().unwrap());
                last.insert(record.key().unwrap().to_vec(), count);
            }
            offset = next;
        }
    }
    last.values().sum()
}
