//! Hosts are killed again and again, whatever they are doing, and started again.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::time::Duration;

use host::log::kafka::Guarantee;

use super::hosts::{Host, Orders};
use super::judge::{self, Feed};
use crate::contract::kafka::{brokers, prefix};
use crate::support::until;

const KILLS: u32 = 12;
const DEADLINE: Duration = Duration::from_secs(120);

/// Kills two hosts in turn, each some steps after it began, and lets them finish then. How many records there are.
fn kill_again_and_again(orders: &Orders) -> u64 {
    let feed = Feed::start(orders, 3);
    let names = ["a", "b"].map(|name| orders.clone().set("group.instance.id", name));
    let mut hosts = names.each_ref().map(Host::start);
    for kill in 0..KILLS {
        let turn = kill as usize % 2;
        let steps = 1 + RandomState::new().hash_one(kill) % 5;
        until("a host goes on", DEADLINE, || {
            keep_up(&mut hosts, &names);
            hosts[turn].commits(steps, Duration::from_millis(100))
        });
        hosts[turn].kill();
        hosts[turn] = Host::start(&names[turn]);
    }
    let records = feed.end();
    until("all is copied", DEADLINE, || {
        keep_up(&mut hosts, &names);
        judge::is_through(orders)
    });
    records
}

/// Starts again who has ended, as whoever runs hosts does.
fn keep_up(hosts: &mut [Host; 2], orders: &[Orders; 2]) {
    for (host, orders) in hosts.iter_mut().zip(orders) {
        if host.has_ended() {
            *host = Host::start(orders);
        }
    }
}

#[test]
fn killed_hosts_copy_each_record_once() {
    let orders = Orders::new(brokers(), &prefix(), Guarantee::ExactlyOnce);
    let records = kill_again_and_again(&orders);
    judge::exactly_once(&orders, records);
}

#[test]
fn killed_hosts_lose_nothing() {
    let orders = Orders::new(brokers(), &prefix(), Guarantee::AtLeastOnce);
    let records = kill_again_and_again(&orders);
    judge::at_least_once(&orders, records);
}
