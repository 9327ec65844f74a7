//! A host that copies a topic and counts, as a process of its own: this test binary again, told to run one test of this
//! file by its exact name. It prints a line after each step.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use bespoke_record::{Batch, BatchBuilder};
use bytes::Bytes;
use host::log::kafka::Guarantee;
use host::log::{Log as _, Member, Session};
use host::metrics::Counters;
use host::table::Rows;
use host::worker::{Flow, Pace, Stop, Task, run};

use crate::contract::kafka::open;

/// What the process is to do; without it the test that plays the process does nothing.
const ORDERS: &str = "BESPOKE_TEST_KAFKA_HOST";
/// The exact name of that test.
const PROCESS: &str = "kafka::hosts::the_process";
/// What the process prints after each step.
const COMMITTED: &str = "committed";

/// What a host does.
#[derive(Clone)]
pub struct Orders {
    pub brokers: String,
    /// Before the names of its topics, `in` and `out`, and of its group, `copy`.
    pub prefix: String,
    pub guarantee: Guarantee,
    /// Whether each step has more than is held back until its end, in a topic `ballast`: its transaction is open all the time.
    pub is_large: bool,
    pub properties: Vec<(String, String)>,
}

/// A process that is killed when it is dropped.
pub struct Host {
    child: Child,
    steps: Arc<(Mutex<u64>, Condvar)>,
}

/// Copies each record, and counts those of each partition in its state.
pub struct Copy {
    out: String,
    /// Where each step has something large, and what.
    ballast: Option<(String, Batch)>,
    counts: BTreeMap<u32, u64>,
    touched: BTreeMap<u32, bool>,
    committed: BTreeMap<u32, u64>,
    pub steps: Arc<AtomicU64>,
    talks: bool,
}

// === impl Orders ===

impl Orders {
    pub fn new(brokers: &str, prefix: &str, guarantee: Guarantee) -> Self {
        // As short as brokers take them by default, so that nobody waits long for who is gone.
        let properties = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "500")];
        let properties = properties.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        Self { brokers: brokers.to_owned(), prefix: prefix.to_owned(), guarantee, is_large: false, properties }
    }

    /// With a setting, in place of what it was before.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.properties.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn topic(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub fn group(&self) -> String {
        format!("{}copy", self.prefix)
    }

    pub fn log(&self) -> host::log::kafka::KafkaLog {
        let properties: Vec<(&str, &str)> = self.properties.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        open(&self.brokers, self.guarantee, &properties)
    }

    /// A worker of the group, and what it does.
    pub fn worker(&self, worker: u32) -> (Box<dyn Session>, Copy) {
        let (group, topic) = (self.group(), Some(self.topic("in")));
        let session = self.log().join(Member { group, topic, worker, workers: 1 }).expect("a session");
        let ballast = self.is_large.then(|| (self.topic(BALLAST), ballast()));
        (session, Copy::new(self.topic("out"), ballast))
    }

    fn write(&self) -> String {
        let guarantee = if self.guarantee == Guarantee::ExactlyOnce { "exact" } else { "least" };
        let properties = self.properties.iter().flat_map(|(name, value)| [name.as_str(), value]);
        let size = if self.is_large { "large" } else { "small" };
        [self.brokers.as_str(), &self.prefix, guarantee, size]
            .into_iter()
            .chain(properties)
            .collect::<Vec<_>>()
            .join("\n")
    }

    fn read(text: &str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let guarantee = if lines[2] == "exact" { Guarantee::ExactlyOnce } else { Guarantee::AtLeastOnce };
        let properties = lines[4..].chunks(2).map(|pair| (pair[0].to_owned(), pair[1].to_owned())).collect();
        let is_large = lines[3] == "large";
        Self { brokers: lines[0].to_owned(), prefix: lines[1].to_owned(), guarantee, is_large, properties }
    }
}

/// The pace of all hosts here: batches that are small, so that there are many of them.
pub const PACE: Pace = Pace { batch_records: 50, commit_interval: Duration::from_millis(100) };
/// That of hosts whose transactions are open most of the time.
const LONG: Pace = Pace { batch_records: 50, commit_interval: Duration::from_secs(1) };
/// The topic of what makes steps large.
pub const BALLAST: &str = "ballast";

/// More than is held back.
fn ballast() -> Batch {
    let mut batch = BatchBuilder::new();
    for _ in 0..12 {
        batch.push(None, Some(&[b'x'; 100_000]), [], 1).expect("room");
    }
    batch.finish()
}

/// Copies until it is killed.
#[test]
fn the_process() {
    let Ok(orders) = std::env::var(ORDERS) else { return };
    let orders = Orders::read(&orders);
    let (mut session, mut copy) = orders.worker(0);
    copy.talks = true;
    let pace = if orders.is_large { LONG } else { PACE };
    run(&mut *session, &mut copy, pace, &AtomicBool::new(false), &Counters::default()).unwrap();
}

// === impl Host ===

impl Host {
    pub fn start(orders: &Orders) -> Self {
        let mut child = Command::new(std::env::current_exe().expect("this binary"))
            .args(["--exact", PROCESS, "--nocapture", "--test-threads=1"])
            .env(ORDERS, orders.write())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a process");
        let steps = Arc::new((Mutex::new(0), Condvar::new()));
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let seen = steps.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if line.ends_with(COMMITTED) {
                    *seen.0.lock().unwrap() += 1;
                    seen.1.notify_all();
                }
            }
        });
        Self { child, steps }
    }

    /// Waits until it has committed so many steps since it was started. False if it did not in time.
    pub fn commits(&self, steps: u64, timeout: Duration) -> bool {
        let seen = self.steps.0.lock().unwrap();
        let (seen, _) = self.steps.1.wait_timeout_while(seen, timeout, |seen| *seen < steps).unwrap();
        *seen >= steps
    }

    /// Whether it has ended by itself, for instance because the brokers were away for too long.
    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("a child").is_some()
    }

    /// How many steps it has committed since it was started.
    pub fn committed(&self) -> u64 {
        *self.steps.0.lock().unwrap()
    }

    /// Kills it as it stands.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([format!("-{name}"), self.child.id().to_string()]).status();
        assert!(sent.expect("kill").success());
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.kill();
    }
}

// === impl Copy ===

impl Copy {
    fn new(out: String, ballast: Option<(String, Batch)>) -> Self {
        let (counts, touched, committed) = Default::default();
        Self { out, ballast, counts, touched, committed, steps: Arc::default(), talks: false }
    }
}

impl Task for Copy {
    fn assigned(&mut self, partition: u32, state: Option<Bytes>, _: Option<&str>) -> Result<(), Stop> {
        let count = state.map_or(0, |state| u64::from_be_bytes(state[..].try_into().expect("eight bytes")));
        self.counts.insert(partition, count);
        self.committed.insert(partition, count);
        Ok(())
    }

    fn revoked(&mut self, partition: u32) {
        self.counts.remove(&partition);
        self.touched.remove(&partition);
    }

    fn records(&mut self, session: &mut dyn Session, partition: u32, batch: &Batch) -> Result<Flow, Stop> {
        if let (Some((topic, ballast)), true) = (&self.ballast, self.touched.is_empty()) {
            session.append(topic, ballast)?;
        }
        *self.counts.get_mut(&partition).expect("assigned") += batch.len() as u64;
        self.touched.insert(partition, true);
        session.append(&self.out, batch)?;
        Ok(Flow::Done)
    }

    fn states(&mut self) -> Result<Vec<(u32, Bytes)>, Stop> {
        let state = |partition: &u32| (*partition, Bytes::copy_from_slice(&self.counts[partition].to_be_bytes()));
        Ok(self.touched.keys().map(state).collect())
    }

    fn rows(&mut self) -> Result<Vec<Rows>, Stop> {
        Ok(Vec::new())
    }

    fn committed(&mut self, _: Vec<(u32, Bytes)>) {
        self.committed.extend(&self.counts);
        self.touched.clear();
        self.steps.fetch_add(1, Ordering::Relaxed);
        if self.talks {
            // Read by the test that has started this process.
            let _ = writeln!(std::io::stdout(), "{COMMITTED}");
        }
    }

    fn aborted(&mut self) {
        self.counts.clone_from(&self.committed);
        self.touched.clear();
    }
}
