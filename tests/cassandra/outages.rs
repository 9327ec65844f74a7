//! Hosts are killed, nodes are killed, and the table ends as its topic says.

use std::time::{Duration, Instant};

use super::keyspace::Keyspace;
use super::shop::{Shop, model, random, set};
use crate::support::services;

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
    shop.folder.until("rows are written", |_| !shop.table().is_empty());
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
    shop.folder.until("rows are written", |_| !shop.table().is_empty());
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
