//! Workers come and go while records flow.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use host::log::kafka::Guarantee;
use host::metrics::Counters;
use host::worker::{Stop, run};

use super::hosts::{Orders, PACE};
use super::judge::{self, Feed};
use crate::contract::kafka::{brokers, prefix};
use crate::support::until;

const DEADLINE: Duration = Duration::from_secs(120);

struct Worker {
    stop: Arc<AtomicBool>,
    steps: Arc<std::sync::atomic::AtomicU64>,
    thread: JoinHandle<Result<(), Stop>>,
}

fn start(orders: &Orders, number: u32) -> Worker {
    let (mut session, mut copy) = orders.worker(number);
    let (stop, steps) = (Arc::new(AtomicBool::new(false)), copy.steps.clone());
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || run(&mut *session, &mut copy, PACE, &stopped, &Counters::default()));
    Worker { stop, steps, thread }
}

impl Worker {
    fn works(&self) {
        let before = self.steps.load(Ordering::Relaxed);
        until("a worker commits", DEADLINE, || self.steps.load(Ordering::Relaxed) > before);
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no panic").expect("no error");
    }
}

/// How many records there are.
fn come_and_go(orders: &Orders) -> u64 {
    let feed = Feed::start(orders, 6);
    let one = start(orders, 1);
    one.works();
    let others: Vec<Worker> = (2..4).map(|number| start(orders, number)).collect();
    others.iter().for_each(Worker::works);
    one.end();
    others.iter().for_each(Worker::works);
    let last = start(orders, 4);
    last.works();
    others.into_iter().for_each(Worker::end);
    let records = feed.end();
    until("all is copied", DEADLINE, || judge::is_through(orders));
    last.end();
    records
}

#[test]
fn workers_that_come_and_go_copy_each_record_once() {
    let orders = Orders::new(brokers(), &prefix(), Guarantee::ExactlyOnce);
    let records = come_and_go(&orders);
    judge::exactly_once(&orders, records);
}

/// Every partition is given up after its step is committed, so that even without transactions nothing comes twice.
#[test]
fn a_rebalance_repeats_nothing_without_transactions() {
    let orders = Orders::new(brokers(), &prefix(), Guarantee::AtLeastOnce);
    let records = come_and_go(&orders);
    judge::exactly_once(&orders, records);
}

#[test]
fn workers_of_the_new_protocol_come_and_go() {
    let mut orders = Orders::new(brokers(), &prefix(), Guarantee::ExactlyOnce).set("group.protocol", "consumer");
    // These are the broker's to set now.
    orders.properties.retain(|(name, _)| name != "session.timeout.ms" && name != "heartbeat.interval.ms");
    let records = come_and_go(&orders);
    judge::exactly_once(&orders, records);
}
