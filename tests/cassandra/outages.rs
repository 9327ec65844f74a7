//! Hosts are killed, nodes are killed, and the table ends as its topic says.

use std::time::{Duration, Instant};

use host::log::kafka::Guarantee;
use host::log::{Commit, Log as _};

use super::keyspace::Keyspace;
use super::shop::{PRICES, Shop, batch, model, random, set};
use crate::contract::kafka::{brokers, open, prefix};
use crate::support::{LIMIT, services, until};

const CHANGES: usize = 30_000;

/// Kills a host again and again while it writes.
#[test]
fn a_host_that_is_killed_while_it_writes_leaves_the_table_of_its_topic() {
    let shop = Shop::opened(Keyspace::new(services::cassandra().address(), 1), "");
    let changes = random(7, CHANGES, 2_000);
    shop.append(&changes);
    let mut kills = 0;
    for pause in (0..20).map(|kill| Duration::from_millis(150 + 37 * kill)) {
        let mut running = shop.start();
        std::thread::sleep(pause);
        if !running.is_running() {
            break;
        }
        running.kill();
        kills += 1;
    }
    assert!(kills >= 3, "only {kills} kills came in time");
    shop.run().must_end(0);
    assert_eq!(shop.table(), model(&changes));
}

#[test]
fn one_node_of_three_may_die_at_quorum() {
    let nodes = services::own_cassandra(3);
    let shop = Shop::opened(Keyspace::new(nodes.address(), 3), "");
    let changes = random(8, CHANGES, 5_000);
    shop.append(&changes);
    let running = shop.start();
    until("rows are written", LIMIT, || !shop.table().is_empty());
    nodes.kill(2);
    let begin = Instant::now();
    running.end().must_end(0);
    assert!(begin.elapsed() < Duration::from_secs(50), "it took {:?}", begin.elapsed());
    assert_eq!(shop.table(), model(&changes));
    assert!(shop.folder.letters(super::shop::LETTERS).is_empty());
    nodes.start_again(2);
    shop.append(&[set("after", 1, None)]);
    shop.run().must_end(0);
    assert!(shop.table().contains(&"'after' | - | 1".to_owned()));
}

#[test]
fn a_cluster_that_is_away_for_a_minute_is_waited_for() {
    let nodes = services::own_cassandra(1);
    let shop = Shop::opened(Keyspace::new(nodes.address(), 1), "");
    let changes = random(9, CHANGES, 5_000);
    shop.append(&changes[..CHANGES / 2]);
    let mut running = shop.folder.start(&["run", "pipeline.toml", "--set", "cassandra.timeout_ms=2000"]);
    until("rows are written", LIMIT, || !shop.table().is_empty());
    nodes.kill(1);
    running.await_said("waiting to write rows");
    std::thread::sleep(Duration::from_secs(60));
    assert!(running.is_running());
    nodes.start_again(1);
    running.await_said("going on");
    running.interrupt();
    running.end().must_end(0);
    shop.append(&changes[CHANGES / 2..]);
    shop.run().must_end(0);
    assert_eq!(shop.table(), model(&changes));
    assert!(shop.folder.letters(super::shop::LETTERS).is_empty());
}

/// Longer than the group lets a member be that does not poll.
#[test]
fn a_sink_that_waits_keeps_its_place_in_its_group() {
    let nodes = services::own_cassandra(1);
    let prefix = prefix();
    let properties = "\"max.poll.interval.ms\" = 8000, \"session.timeout.ms\" = 6000, \"heartbeat.interval.ms\" = 500";
    let shop = Shop::on_kafka(Keyspace::new(nodes.address(), 1), &prefix, properties);
    let log = open(brokers(), Guarantee::AtLeastOnce, &[]);
    let append = |changes: &[super::shop::Change]| {
        let mut session = crate::contract::records::producer(&log);
        session.append(&format!("{prefix}{PRICES}"), &batch(changes, |_| super::shop::TIME_MS)).unwrap();
        session.commit(Commit::default()).unwrap();
    };
    let changes = random(10, 4_000, 500);
    append(&changes[..2_000]);
    let mut running = shop.folder.start(&["run", "pipeline.toml", "--set", "cassandra.timeout_ms=1000"]);
    until("rows are written", LIMIT, || !shop.table().is_empty());
    nodes.kill(1);
    append(&changes[2_000..]);
    running.await_said("waiting to write rows");
    std::thread::sleep(Duration::from_secs(25));
    nodes.start_again(1);
    running.await_said("going on");
    let group = format!("{prefix}shop.sink");
    let topic = format!("{prefix}{PRICES}");
    until("all is committed", LIMIT, || {
        let ends = log.topic(&topic).unwrap().unwrap().partitions;
        let positions = log.committed(&group, &topic).unwrap();
        ends.iter().zip(positions).all(|(end, (_, position))| position >= end.end)
    });
    running.interrupt();
    let ended = running.end();
    ended.must_end(0);
    assert!(!ended.stderr.contains("change hands"), "{}", ended.stderr);
    assert_eq!(shop.table(), model(&changes));
}
