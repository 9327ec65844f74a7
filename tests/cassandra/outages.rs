//! Hosts are killed, nodes are killed, and the table ends as its topic says.

use std::time::{Duration, Instant};

use host::log::kafka::{Guarantee, KafkaLog};
use host::log::{Commit, Log as _};

use super::keyspace::Keyspace;
use super::shop::{Change, LETTERS, PRICES, Shop, TIME_MS, batch, model, random, set};
use crate::contract::kafka::{brokers, open, prefix};
use crate::contract::records::producer;
use crate::support::{LIMIT, services, until};

const CHANGES: usize = 30_000;
/// How often a host is killed at least, and at most.
const KILLS: (usize, usize) = (5, 20);

/// The topic of a shop on Kafka.
struct Topic {
    log: KafkaLog,
    prefix: String,
}

impl Topic {
    fn append(&self, changes: &[Change]) {
        let mut session = producer(&self.log);
        session.append(&self.name(), &batch(changes, |_| TIME_MS)).expect("appended");
        session.commit(Commit::default()).expect("committed");
    }

    fn name(&self) -> String {
        format!("{}{PRICES}", self.prefix)
    }

    /// Whether the sink has committed all of it.
    fn is_done(&self) -> bool {
        let ends = self.log.topic(&self.name()).expect("readable").expect("a topic").partitions;
        let positions = self.log.committed(&format!("{}shop.sink", self.prefix), &self.name()).expect("readable");
        ends.iter().zip(positions).all(|(end, (_, position))| position >= end.end)
    }
}

/// A shop on Kafka and its topic.
fn on_kafka(keyspace: Keyspace, properties: &str) -> (Shop, Topic) {
    let prefix = prefix();
    let shop = Shop::on_kafka(keyspace, &prefix, properties);
    (shop, Topic { log: open(brokers(), Guarantee::AtLeastOnce, &[]), prefix })
}

/// Kills a host again and again, each time while it writes, and lets the last one come to the end.
fn kill_while_it_writes(shop: &Shop) {
    let mut kills = 0;
    while kills < KILLS.1 {
        let before = shop.stamped();
        let mut running = shop.start();
        until("rows are written", LIMIT, || shop.stamped() != before || !running.is_running());
        std::thread::sleep(Duration::from_millis(13 * kills as u64));
        if !running.is_running() {
            break;
        }
        running.kill();
        kills += 1;
    }
    assert!(kills >= KILLS.0, "only {kills} kills came in time");
    shop.run().must_end(0);
}

#[test]
fn a_host_that_is_killed_while_it_writes_leaves_the_table_of_its_topic() {
    let shop = Shop::opened(Keyspace::new(services::cassandra().address(), 1), "");
    let changes = random(7, CHANGES, 2_000);
    shop.append(&changes);
    kill_while_it_writes(&shop);
    assert_eq!(shop.table(), model(&changes));
    // Every row has the stamp of its record, as if nothing had happened.
    assert_eq!(shop.stamps(), shop.stamps_of_topic());
}

#[test]
fn the_same_on_kafka_with_either_guarantee() {
    for guarantee in ["at-least-once", "exactly-once"] {
        // So that the next host need not wait until the group misses the one before.
        let properties = "\"group.instance.id\" = \"the-one\"";
        let (mut shop, topic) = on_kafka(Keyspace::new(services::cassandra().address(), 1), properties);
        shop.set(&format!("log.guarantee={guarantee}"));
        let changes = random(11, CHANGES, 2_000);
        topic.append(&changes);
        kill_while_it_writes(&shop);
        assert_eq!(shop.table(), model(&changes), "{guarantee}");
    }
}

#[test]
fn one_node_of_three_may_die_at_quorum() {
    let nodes = services::own_cassandra(3);
    let shop = Shop::opened(Keyspace::new(nodes.address(), 3), "");
    let changes = random(8, CHANGES, 5_000);
    shop.append(&changes);
    let mut running = shop.start();
    until("rows are written", LIMIT, || !shop.table().is_empty());
    nodes.kill(2);
    assert!(running.is_running(), "it was done before");
    let begin = Instant::now();
    let ended = running.end();
    ended.must_end(0);
    assert!(begin.elapsed() < Duration::from_secs(30), "it took {:?}", begin.elapsed());
    assert!(!ended.stderr.contains("waiting to write rows"), "{}", ended.stderr);
    assert_eq!(shop.table(), model(&changes));
    assert!(shop.folder.letters(LETTERS).is_empty());
    nodes.start_again(2);
    shop.append(&[set("after", 1, None)]);
    shop.run().must_end(0);
    assert!(shop.table().contains(&"'after' | - | 1".to_owned()));
}

#[test]
fn nodes_that_are_all_away_for_a_minute_are_waited_for() {
    let nodes = services::own_cassandra(3);
    let mut shop = Shop::opened(Keyspace::new(nodes.address(), 3), "");
    let changes = random(9, CHANGES, 5_000);
    shop.append(&changes);
    shop.set("cassandra.timeout_ms=2000");
    let mut running = shop.start();
    until("rows are written", LIMIT, || !shop.table().is_empty());
    for node in 1..=3 {
        nodes.kill(node);
    }
    running.await_said("waiting to write rows");
    std::thread::sleep(Duration::from_secs(60));
    assert!(running.is_running());
    nodes.start_all_again();
    running.await_said("going on");
    running.end().must_end(0);
    assert_eq!(shop.table(), model(&changes));
    assert!(shop.folder.letters(LETTERS).is_empty());
}

/// Longer than the group lets a member be that does not poll.
#[test]
fn a_sink_that_waits_keeps_its_place_in_its_group() {
    let nodes = services::own_cassandra(1);
    let properties = "\"max.poll.interval.ms\" = 8000, \"session.timeout.ms\" = 6000, \"heartbeat.interval.ms\" = 500";
    let (mut shop, topic) = on_kafka(Keyspace::new(nodes.address(), 1), properties);
    let changes = random(10, 4_000, 500);
    topic.append(&changes[..2_000]);
    shop.set("cassandra.timeout_ms=1000");
    let mut running = shop.start_for_ever();
    until("rows are written", LIMIT, || !shop.table().is_empty());
    nodes.kill(1);
    topic.append(&changes[2_000..]);
    running.await_said("waiting to write rows");
    std::thread::sleep(Duration::from_secs(25));
    nodes.start_again(1);
    running.await_said("going on");
    until("all is committed", LIMIT, || topic.is_done());
    running.interrupt();
    let ended = running.end();
    ended.must_end(0);
    assert!(!ended.stderr.contains("change hands"), "{}", ended.stderr);
    assert_eq!(shop.table(), model(&changes));
}
