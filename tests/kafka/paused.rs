//! A host is stopped for longer than its group and its transaction wait for it, and wakes up.

use std::time::Duration;

use host::log::kafka::Guarantee;

use super::hosts::{Host, Orders};
use super::judge::{self, Feed};
use crate::contract::kafka::{brokers, prefix};
use crate::support::until;

const DEADLINE: Duration = Duration::from_secs(120);

#[test]
fn a_paused_host_writes_nothing_twice() {
    let orders = Orders::new(brokers(), &prefix(), Guarantee::ExactlyOnce)
        .set("transaction.timeout.ms", "5000")
        .set("message.timeout.ms", "4000");
    let feed = Feed::start(&orders, 2);
    let paused = Host::start(&orders);
    assert!(paused.commits(2, DEADLINE), "the host does not begin");
    paused.signal("STOP");
    // Its partitions are given to the other when the group has waited long enough.
    let other = Host::start(&orders);
    assert!(other.commits(3, DEADLINE), "nobody takes over");
    paused.signal("CONT");
    // It is a member again when it commits again.
    assert!(paused.commits(paused.committed() + 2, DEADLINE), "the host does not come back");
    let records = feed.end();
    until("all is copied", DEADLINE, || judge::is_through(&orders));
    drop((paused, other));
    judge::exactly_once(&orders, records);
}
