//! Members that end after the group has asked something of them, and before they have heard of it.
//!
//! The moment at which librdkafka drops an answer is a short one. So many members end here, and each takes a little longer
//! than the one before to answer.

use std::io;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use host::log::kafka::Guarantee;
use host::log::{Created, Log as _, NewTopic, Retention};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};

use super::hosts::Orders;
use super::returned::Member;
use crate::contract::kafka::{brokers, prefix};
use crate::support::until;

const PARTITIONS: u32 = 6;
/// In every other one, members have heard of the first half.
const GROUPS: u32 = 8;
/// How many members of each group end.
const MEMBERS: u32 = 10;
/// How much longer than the one before each takes.
const STEP: Duration = Duration::from_micros(10);
const DEADLINE: Duration = Duration::from_secs(60);

/// Where a log is written to that takes this long for each line.
struct Slow(Duration);

impl io::Write for Slow {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let begun = Instant::now();
        while begun.elapsed() < self.0 {
            std::hint::spin_loop();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Ends a member whose log is slow, and waits for its end.
fn end(member: Member, pause: Duration) {
    let (told, ended) = mpsc::channel();
    std::thread::spawn(move || {
        let log = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(move || Slow(pause));
        tracing::subscriber::with_default(log.finish(), || drop(member));
        let _ = told.send(());
    });
    ended.recv_timeout(DEADLINE).unwrap_or_else(|_| panic!("a member that answers after {pause:?} does not end"));
}

/// One member after the other joins a group, and the one before ends as soon as it is told to give partitions up to it.
fn take_turns(group: u32) {
    // It is told in a heartbeat.
    let orders = Orders::new(brokers(), &prefix(), Guarantee::AtLeastOnce).set("heartbeat.interval.ms", "100");
    let topic = NewTopic { name: orders.topic("in"), partitions: PARTITIONS, retention: Retention::default() };
    assert_eq!(orders.log().create_topic(&topic).unwrap(), Created::New);
    let onlooker: BaseConsumer = ClientConfig::new().set("bootstrap.servers", brokers()).create().unwrap();
    let are_both_told = || {
        let groups = onlooker.fetch_group_list(Some(&orders.group()), DEADLINE).unwrap();
        groups.groups().iter().any(|group| group.state() == "Stable" && group.members().len() == 2)
    };
    let mut member = Member::new(&orders);
    for nth in 0..MEMBERS {
        until("it has all partitions", DEADLINE, || {
            member.hears();
            member.has.len() == PARTITIONS as usize
        });
        let mut next = Member::new(&orders);
        until("they are shared out", DEADLINE, || {
            next.hears();
            are_both_told()
        });
        if group % 2 == 1 {
            // It answers that as it ends, and then does not hear of the rest of the rebalance.
            until("it is told", DEADLINE, || member.hears());
        }
        end(std::mem::replace(&mut member, next), STEP * (group * MEMBERS + nth));
    }
}

#[test]
fn members_end_with_a_change_that_they_have_not_heard_of() {
    std::thread::scope(|scope| {
        (0..GROUPS).for_each(|group| {
            scope.spawn(move || take_turns(group));
        });
    });
}
