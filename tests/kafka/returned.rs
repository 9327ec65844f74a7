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
pub struct Member {
    session: Box<dyn Session>,
    pub has: BTreeSet<u32>,
}

impl Member {
    pub fn new(orders: &Orders) -> Self {
        let (session, _) = orders.worker(0);
        Self { session, has: BTreeSet::new() }
    }

    fn named(orders: &Orders, name: &str) -> Self {
        Self::new(&orders.clone().set("group.instance.id", name))
    }

    /// Whether a partition was taken from it.
    pub fn hears(&mut self) -> bool {
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
    // The group does not miss a member while this lasts, and so does not share the partitions out for that.
    let orders = Orders::new(brokers(), &prefix(), guarantee).set("session.timeout.ms", "300000");
    let topic = NewTopic { name: orders.topic("in"), partitions: PARTITIONS, retention: Retention::default() };
    assert_eq!(orders.log().create_topic(&topic).unwrap(), Created::New);
    let mut first = Member::named(&orders, "a");
    until("it has all", DEADLINE, || {
        first.hears();
        first.has.len() == PARTITIONS as usize
    });
    let mut second = Member::named(&orders, "b");
    until("one is taken from it", DEADLINE, || {
        second.hears();
        first.hears()
    });
    drop(first);
    let mut first = Member::named(&orders, "a");
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
