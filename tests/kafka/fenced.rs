//! A member that another one of the same `group.instance.id` has shut out hears of it once, in whatever it does then, and
//! comes back.

use std::time::Duration;

use host::log::kafka::{Guarantee, KafkaLog};
use host::log::{Commit, Log as _};

use crate::contract::kafka::{brokers, open, prefix};
use crate::contract::records::{Reader, new_topic, numbered, produce};
use crate::support::until;

const DEADLINE: Duration = Duration::from_secs(40);
const RECORDS: usize = 10;
/// More often than anything is told to who waits.
const OFTEN: usize = 100;
const MOMENT: Duration = Duration::from_millis(20);

fn member() -> KafkaLog {
    let properties = [("group.instance.id", "same"), ("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];
    open(brokers(), Guarantee::AtLeastOnce, &properties)
}

/// A member that has committed four records and taken two more, and that another one has shut out since, before it has heard
/// of it.
fn shut_out(log: &KafkaLog, group: &str, topic: &str) -> Reader {
    new_topic(log, topic, 1);
    produce(log, topic, &numbered(0..RECORDS as u64));
    let mut first = Reader::of(log, group, topic);
    first.take(4);
    first.commit(&[]);
    first.take(2);
    let other = member();
    Reader::of(&other, group, topic).settle(1);
    first
}

/// It goes on from its last commit, and commits again.
fn must_go_on(mut member: Reader, log: &KafkaLog, group: &str, topic: &str) {
    member.settle(1);
    let offsets: Vec<i64> = member.take(RECORDS - 4).iter().map(|got| got.offset).collect();
    assert_eq!(offsets, (4..RECORDS as i64).collect::<Vec<_>>());
    member.commit(&[]);
    assert_eq!(log.committed(group, topic).unwrap(), [(0, RECORDS as i64)]);
}

#[test]
fn a_member_that_was_shut_out_loses_its_partitions_and_comes_back() {
    let (topic, group, log) = (format!("{}t", prefix()), format!("{}g", prefix()), member());
    let mut first = shut_out(&log, &group, &topic);
    until("the partition is lost", DEADLINE, || {
        first.poll(1, MOMENT);
        first.assigned.is_empty()
    });
    must_go_on(first, &log, &group, &topic);
}

/// A step that waits for something else hears of it, or a commit, before anybody polls.
#[test]
fn it_comes_back_whoever_has_heard_of_it() {
    let (topic, group, log) = (format!("{}t", prefix()), format!("{}g", prefix()), member());
    let mut first = shut_out(&log, &group, &topic);
    until("it is told that it must not wait", DEADLINE, || !first.session.attend().unwrap());
    assert!((0..OFTEN).all(|_| !first.session.attend().unwrap()), "it may wait again, though nobody has polled");
    let positions = first.positions();
    first.fail(Commit { positions: &positions, ..Commit::default() });
    must_go_on(first, &log, &group, &topic);
}
