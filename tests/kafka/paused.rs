//! A host is stopped for longer than its group and its transaction wait for it, and wakes up.

use std::time::Duration;

use host::log::Log as _;
use host::log::kafka::Guarantee;

use super::hosts::{BALLAST, Host, Orders};
use super::judge::{self, Feed};
use crate::contract::kafka::{brokers, prefix};
use crate::contract::records::new_topic;
use crate::support::until;

const DEADLINE: Duration = Duration::from_secs(120);

fn orders() -> Orders {
    Orders::new(brokers(), &prefix(), Guarantee::ExactlyOnce)
        .set("transaction.timeout.ms", "5000")
        .set("message.timeout.ms", "4000")
}

/// Another host has taken over from the paused one, which wakes up now.
fn must_write_nothing_twice(orders: &Orders, paused: Host, other: Host, feed: Feed) {
    paused.signal("CONT");
    // It is a member again when it commits again.
    assert!(paused.commits(paused.committed() + 2, DEADLINE), "the host does not come back");
    let records = feed.end();
    until("all is copied", DEADLINE, || judge::is_through(orders));
    drop((paused, other));
    judge::exactly_once(orders, records);
}

#[test]
fn a_paused_host_writes_nothing_twice() {
    let orders = orders();
    let feed = Feed::start(&orders, 2);
    let paused = Host::start(&orders);
    assert!(paused.commits(2, DEADLINE), "the host does not begin");
    paused.signal("STOP");
    // Its partitions are given to the other when the group has waited long enough.
    let other = Host::start(&orders);
    assert!(other.commits(3, DEADLINE), "nobody takes over");
    must_write_nothing_twice(&orders, paused, other, feed);
}

/// It is stopped with a transaction open, and longer than that may be open, and than it may be between two polls.
#[test]
fn a_host_that_is_paused_within_a_transaction_writes_nothing_twice() {
    let orders = Orders { is_large: true, ..orders() }.set("max.poll.interval.ms", "6000");
    let log = orders.log();
    new_topic(&log, &orders.topic(BALLAST), 1);
    let feed = Feed::start(&orders, 2);
    let paused = Host::start(&orders);
    assert!(paused.commits(2, DEADLINE), "the host does not begin");
    let is_open = || {
        let ballast = log.topic(&orders.topic(BALLAST)).unwrap().unwrap();
        ballast.partitions[0].decided < ballast.partitions[0].end
    };
    until("it is stopped within a transaction", DEADLINE, || {
        paused.signal("STOP");
        let is_open = is_open();
        if !is_open {
            paused.signal("CONT");
        }
        is_open
    });
    until("the brokers have aborted its transaction", DEADLINE, || !is_open());
    let other = Host::start(&orders);
    assert!(other.commits(3, DEADLINE), "nobody takes over");
    must_write_nothing_twice(&orders, paused, other, feed);
}
