//! Static members that end while the group takes partitions from them, and come back before it misses them.

use std::collections::BTreeSet;
use std::time::Duration;

use host::log::kafka::Guarantee;
use host::log::{Created, Event, Log as _, NewTopic, Retention, Session};

use super::hosts::Orders;
use crate::contract::kafka::{brokers, prefix};
use crate::support::until;

const PARTITIONS: u32 = 3;
const DEADLINE: Duration = Duration::from_secs(60);
const SLICE: Duration = Duration::from_millis(100);

/// A member, and the partitions that it has.
struct Member {
    session: Box<dyn Session>,
    has: BTreeSet<u32>,
}

impl Member {
    fn new(orders: &Orders, name: &str) -> Self {
        let (session, _) = orders.clone().set("group.instance.id", name).worker(0);
        Self { session, has: BTreeSet::new() }
    }

    /// Whether a partition was taken from it.
    fn hears(&mut self) -> bool {
        match self.session.poll(1, SLICE).unwrap() {
            Event::Assigned { partition, .. } => assert!(self.has.insert(partition), "{partition} twice"),
            Event::Revoked { partition, .. } => return self.has.remove(&partition),
            _ => {}
        }
        false
    }
}

/// Nobody else has what was taken from the one that ended: it has not said that it has given it up.
fn ends_while_partitions_are_taken(guarantee: Guarantee) {
    let mut orders = Orders::new(brokers(), &prefix(), guarantee);
    // The group does not miss a member while this lasts, and so does not share the partitions out for that.
    orders.properties.retain(|(name, _)| name != "session.timeout.ms");
    let orders = orders.set("session.timeout.ms", "300000");
    let topic = NewTopic { name: orders.topic("in"), partitions: PARTITIONS, retention: Retention::default() };
    assert_eq!(orders.log().create_topic(&topic).unwrap(), Created::New);
    let mut first = Member::new(&orders, "a");
    until("it has all", DEADLINE, || {
        first.hears();
        first.has.len() == PARTITIONS as usize
    });
    let mut second = Member::new(&orders, "b");
    until("one is taken from it", DEADLINE, || {
        second.hears();
        first.hears()
    });
    drop(first);
    let mut first = Member::new(&orders, "a");
    until("each partition has a member", DEADLINE, || {
        first.hears();
        second.hears();
        assert!(first.has.is_disjoint(&second.has), "{:?} {:?}", first.has, second.has);
        first.has.len() + second.has.len() == PARTITIONS as usize
    });
}

#[test]
fn no_partition_is_forgotten_exactly_once() {
    ends_while_partitions_are_taken(Guarantee::ExactlyOnce);
}

#[test]
fn no_partition_is_forgotten_at_least_once() {
    ends_while_partitions_are_taken(Guarantee::AtLeastOnce);
}
