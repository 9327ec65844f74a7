//! Workers come and go while records flow.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use bespoke_record::Batch;
use bytes::Bytes;
use host::log::Session;
use host::log::kafka::Guarantee;
use host::metrics::Counters;
use host::table::Rows;
use host::worker::{Flow, Stop, Task, run};

use super::hosts::{Copy, Orders, PACE};
use super::judge::{self, Feed};
use crate::contract::kafka::{brokers, prefix};
use crate::support::until;

const DEADLINE: Duration = Duration::from_secs(120);

struct Worker {
    stop: Arc<AtomicBool>,
    steps: Arc<AtomicU64>,
    thread: JoinHandle<Result<(), Stop>>,
}

fn start(orders: &Orders, number: u32) -> Worker {
    let (session, copy) = orders.worker(number);
    let steps = copy.steps.clone();
    start_task(session, copy, steps)
}

fn start_task(mut session: Box<dyn Session>, mut task: impl Task + Send + 'static, steps: Arc<AtomicU64>) -> Worker {
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let thread = std::thread::spawn(move || run(&mut *session, &mut task, PACE, &stopped, &Counters::default()));
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

/// Copies, but handles one batch for as long as it takes others to have its partitions.
struct Slow {
    copy: Copy,
    /// The steps of the others; none any more when it was slow once.
    others: Option<Arc<AtomicU64>>,
    /// Whether it has begun to be slow.
    is_slow: Arc<AtomicBool>,
    /// What became of its steps since then.
    fates: Arc<Mutex<Vec<Fate>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Committed,
    Aborted,
}

impl Slow {
    fn has(&self, fate: Fate) {
        if self.others.is_none() {
            self.fates.lock().unwrap().push(fate);
        }
    }
}

impl Task for Slow {
    fn assigned(&mut self, partition: u32, state: Option<Bytes>, note: Option<&str>) -> Result<(), Stop> {
        self.copy.assigned(partition, state, note)
    }

    fn revoked(&mut self, partition: u32) {
        self.copy.revoked(partition);
    }

    fn records(&mut self, session: &mut dyn Session, partition: u32, batch: &Batch) -> Result<Flow, Stop> {
        let flow = self.copy.records(session, partition, batch)?;
        if self.copy.steps.load(Ordering::Relaxed) > 2
            && let Some(others) = self.others.take()
        {
            self.is_slow.store(true, Ordering::Relaxed);
            until("others have its partitions", DEADLINE, || others.load(Ordering::Relaxed) > 2);
        }
        Ok(flow)
    }

    fn states(&mut self) -> Result<Vec<(u32, Bytes)>, Stop> {
        self.copy.states()
    }

    fn rows(&mut self) -> Result<Vec<Rows>, Stop> {
        self.copy.rows()
    }

    fn committed(&mut self, states: Vec<(u32, Bytes)>) {
        self.has(Fate::Committed);
        self.copy.committed(states);
    }

    fn aborted(&mut self) {
        self.has(Fate::Aborted);
        self.copy.aborted();
    }
}

/// A worker that takes longer than it may between two polls. Others have its partitions when it commits.
fn comes_too_late(guarantee: Guarantee) {
    let orders = Orders::new(brokers(), &prefix(), guarantee).set("max.poll.interval.ms", "6000");
    let feed = Feed::start(&orders, 2);
    let (session, copy) = orders.worker(1);
    let (steps, others, fates) = (copy.steps.clone(), Arc::<AtomicU64>::default(), Arc::<Mutex<Vec<Fate>>>::default());
    let is_slow = Arc::new(AtomicBool::new(false));
    let task = Slow { copy, others: Some(others.clone()), is_slow: is_slow.clone(), fates: fates.clone() };
    let slow = start_task(session, task, steps);
    // Who comes before that gets a partition that the slow one has given up in time.
    until("it begins to be slow", DEADLINE, || is_slow.load(Ordering::Relaxed));
    let (session, mut copy) = orders.worker(2);
    copy.steps = others.clone();
    let other = start_task(session, copy, others);
    until("the slow one is through with its step", DEADLINE, || !fates.lock().unwrap().is_empty());
    assert_eq!(fates.lock().unwrap()[0], Fate::Aborted, "{guarantee:?}: it has committed what is not its own");
    slow.works();
    let records = feed.end();
    until("all is copied", DEADLINE, || judge::is_through(&orders));
    [slow, other].into_iter().for_each(Worker::end);
    match guarantee {
        Guarantee::ExactlyOnce => judge::exactly_once(&orders, records),
        // What it had delivered stays.
        Guarantee::AtLeastOnce => judge::at_least_once(&orders, records),
    }
}

#[test]
fn a_worker_that_is_too_slow_commits_nothing() {
    comes_too_late(Guarantee::ExactlyOnce);
}

#[test]
fn a_worker_that_is_too_slow_commits_nothing_without_transactions() {
    comes_too_late(Guarantee::AtLeastOnce);
}
