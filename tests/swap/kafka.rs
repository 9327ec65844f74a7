//! The same on Kafka: exactly once as on an embedded log, and at least once without loss.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use host::log::Log as _;
use host::log::kafka::{Guarantee, KafkaLog};
use host::schema::{Compatibility, FileRegistry, Registry as _};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::load::swaps;
use super::{MODULE, Outcome, STAGE, Version, has_all, put, swapped};
use crate::contract::kafka::{brokers, open, prefix};
use crate::support::{Folder, Running, top, until};

const DEADLINE: Duration = Duration::from_secs(120);

/// A pipeline of one stage on the brokers of the tests.
struct Stand {
    folder: Folder,
    prefix: String,
    log: KafkaLog,
}

impl Stand {
    fn new(guarantee: &str) -> Self {
        let (folder, prefix) = (Folder::of(&top().join("tests/scenarios/empty-feed")), prefix());
        put(&folder, &Version::of(1).bytes());
        let stand = Self { folder, prefix, log: open(brokers(), Guarantee::ExactlyOnce, &[]) };
        stand.write(guarantee, true);
        stand
    }

    fn write(&self, guarantee: &str, feeds: bool) {
        let prefix = &self.prefix;
        let feed = format!(
            r#"[[feed]]
name = "generated"
topic = "{prefix}in"
key = ["id"]
generate = {{ rate = 5000, start_ms = 0, interval_ms = 1 }}"#
        );
        let text = format!(
            r#"
name = "{prefix}swap"
create_topics = true

[log]
kind = "kafka"
bootstrap = "{}"
guarantee = "{guarantee}"
commit_interval_ms = 100

[log.properties]
"group.instance.id" = "host"
"session.timeout.ms" = 6000
"heartbeat.interval.ms" = 500
"transaction.timeout.ms" = 12000
"message.timeout.ms" = 10000

[schemas]
dir = "schemas"
ids = "ids.json"

[topics]
"{prefix}in" = {{ schema = "product", partitions = 4 }}

{}

[[stage]]
name = "{STAGE}"
module = "{MODULE}"
from = "{prefix}in"
to = "{prefix}out"
workers = 2
batch_records = 100
trial_batches = 4
trial_time_ms = 60000
"#,
            brokers(),
            if feeds { &feed } else { "" }
        );
        fs::write(self.folder.path("pipeline.toml"), text).expect("written");
    }

    fn so_far(&self) -> i64 {
        let topic = self.log.topic(&format!("{}out", self.prefix)).expect("readable");
        topic.map_or(0, |topic| topic.partitions.iter().map(|p| p.decided).sum())
    }

    fn flows(&self, running: &mut Running, more: i64) {
        let goal = self.so_far() + more;
        until("records come through", DEADLINE, || {
            assert!(running.is_running(), "the host has ended:\n{}", running.said());
            self.so_far() >= goal
        });
    }

    /// Stops the feed, and lets what was fed come through.
    fn finish(&self, guarantee: &str, running: Running) -> Outcome {
        running.interrupt();
        running.end().must_end(0);
        self.write(guarantee, false);
        let mut last = self.folder.start(&["run", "--until-end"]);
        until("all is through", DEADLINE, || !last.is_running());
        last.end().must_end(0);
        let registry = FileRegistry::open(&self.folder.path("ids.json"), Compatibility::default()).expect("ids");
        let schema = |id| registry.by_id(id).expect("readable").expect("known");
        let topics = ["in", "out"].map(|name| format!("{}{name}", self.prefix));
        Outcome::read(&self.log, &schema, topics.each_ref().map(String::as_str), &format!("{}swap", self.prefix))
    }
}

/// Swaps again and again while records come, and has them come through.
fn swap_again_and_again(guarantee: &str) -> (Vec<Version>, Outcome) {
    let versions: Vec<Version> = (1..=swaps() + 1).map(Version::of).collect();
    let stand = Stand::new(guarantee);
    let mut running = stand.folder.start(&["run"]);
    stand.flows(&mut running, 100);
    for version in &versions[1..] {
        put(&stand.folder, &version.bytes());
        swapped(&mut running, version);
        let pipeline = format!("{}swap", stand.prefix);
        until("each partition has the version", DEADLINE, || has_all(&stand.log, &pipeline, version));
        stand.flows(&mut running, 50);
    }
    let outcome = stand.finish(guarantee, running);
    (versions, outcome)
}

#[test]
fn swaps_on_kafka_lose_double_and_reorder_nothing() {
    let (versions, outcome) = swap_again_and_again("exactly-once");
    let made = outcome.must_be_exact(&versions);
    outcome.must_only_grow();
    assert_eq!(made.len(), versions.len(), "a version made nothing: {made:?}");
    for version in &versions[1..versions.len() - 1] {
        let fences = outcome.fences(version);
        assert!(fences.len() == 4 && fences.values().all(|fences| fences.len() == 1), "{version:?}: {fences:?}");
    }
}

#[test]
fn at_least_once_swaps_lose_nothing() {
    let (versions, outcome) = swap_again_and_again("at-least-once");
    let numbers: BTreeSet<i64> = outcome.made.iter().map(|(number, ..)| *number).collect();
    assert!(numbers.iter().eq(outcome.given.keys()), "records are lost");
    let used: BTreeSet<i64> = outcome.made.iter().map(|(_, version, _)| *version).collect();
    assert_eq!(used.len(), versions.len(), "a version made nothing: {used:?}");
}

#[test]
fn kills_around_swaps_on_kafka_lose_double_and_reorder_nothing() {
    let kills = swaps().div_ceil(4);
    let versions: Vec<Version> = (1..=kills + 1).map(Version::of).collect();
    let stand = Stand::new("exactly-once");
    let mut random = ChaCha8Rng::seed_from_u64(13);
    for version in &versions[1..] {
        let mut running = stand.folder.start(&["run"]);
        stand.flows(&mut running, 50);
        put(&stand.folder, &version.bytes());
        // Before, in and after the trial and the swap.
        std::thread::sleep(Duration::from_micros(u64::from(random.next_u32() % 900_000)));
        running.kill();
    }
    let mut running = stand.folder.start(&["run"]);
    stand.flows(&mut running, 50);
    let outcome = stand.finish("exactly-once", running);
    outcome.must_be_exact(&versions);
    outcome.must_only_grow();
}
