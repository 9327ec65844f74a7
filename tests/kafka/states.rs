//! A state that nobody can tell at the moment is waited for, however long that takes, and the group is attended meanwhile.

use std::time::{Duration, Instant};

use host::log::kafka::Guarantee;
use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

use crate::contract::kafka::{brokers, open, prefix};
use crate::contract::records::{Reader, new_topic, numbered, produce};
use crate::support::until;

const DEADLINE: Duration = Duration::from_secs(60);
/// What the brokers take for one question, and more than they take to give a partition to a member.
const LONG: Duration = Duration::from_secs(5);
const MOMENT: Duration = Duration::from_millis(20);

#[test]
fn a_state_behind_an_open_transaction_is_waited_for() {
    let (topic, group) = (format!("{}t", prefix()), format!("{}g", prefix()));
    let log = open(brokers(), Guarantee::ExactlyOnce, &[]);
    new_topic(&log, &topic, 1);
    produce(&log, &topic, &numbered(0..3));
    let mut reader = Reader::of(&log, &group, &topic);
    reader.take(1);
    reader.commit(&[(0, "one".into())]);
    drop(reader);

    // Somebody else writes to the changelog, and does not say how it ends.
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers())
        .set("transactional.id", &group)
        .set("transaction.timeout.ms", "600000")
        .create()
        .unwrap();
    producer.init_transactions(DEADLINE).unwrap();
    producer.begin_transaction().unwrap();
    let changelog = format!("{group}.state");
    producer.send(BaseRecord::to(&changelog).partition(0).key("0").payload("two")).map_err(|(error, _)| error).unwrap();
    producer.flush(DEADLINE).unwrap();

    let mut reader = Reader::of(&log, &group, &topic);
    until("the state was waited for", DEADLINE, || {
        let begin = Instant::now();
        assert!(!reader.poll(1, MOMENT), "the partition is handed out without its state");
        begin.elapsed() > LONG
    });
    producer.abort_transaction(DEADLINE).unwrap();
    reader.settle(1);
    assert_eq!(reader.assigned[&0].1.as_deref(), Some(&b"one"[..]));
    assert_eq!(reader.take(2).len(), 2);
}
