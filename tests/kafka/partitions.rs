//! Partitions that others add to a topic that a log knows.

use std::time::Duration;

use host::log::kafka::{Guarantee, KafkaLog, Options};
use host::log::{Created, Log as _, NewTopic, Retention};

use crate::contract::kafka::{brokers, open, prefix};

#[test]
fn partitions_that_others_add_are_seen() {
    let name = format!("{}grows", prefix());
    // Less than it takes librdkafka to forget what it has heard.
    let patience = Duration::from_secs(20);
    let log = KafkaLog::open(Options { patience, ..Options::new(brokers(), Guarantee::AtLeastOnce) }).unwrap();
    let topic = NewTopic { name: name.clone(), partitions: 2, retention: Retention::default() };
    assert_eq!(log.create_topic(&topic).unwrap(), Created::New);
    let partitions = || log.topic(&name).unwrap().map(|topic| topic.partitions.len());
    assert_eq!(partitions(), Some(2));
    open(brokers(), Guarantee::AtLeastOnce, &[]).add_partitions(&name, 5).unwrap();
    crate::support::until("all brokers have heard of them", patience, || partitions() == Some(5));
    assert!(log.read(&name, 4, 0, 1).unwrap().is_empty());
}
