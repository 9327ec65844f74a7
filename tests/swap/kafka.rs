//! The same on Kafka: exactly once as on an embedded log, and at least once without loss.

use std::collections::BTreeSet;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::load::swaps;
use super::stand::{DEADLINE, Stand};
use super::{Outcome, Version, has_all, has_some, put, swapped};
use crate::support::{Running, until};

const NAME: &str = "swap";

/// A stand with its pipeline.
fn stand(guarantee: &str) -> Stand {
    let stand = Stand::new();
    write(&stand, guarantee, &stand.feed(5000));
    stand
}

fn write(stand: &Stand, guarantee: &str, feed: &str) {
    let stage = stand.stage("workers = 2\ntrial_batches = 4\ntrial_time_ms = 60000");
    stand.write("pipeline.toml", NAME, guarantee, "\"group.instance.id\" = \"host\"", &[feed, &stage]);
}

/// Stops the feed, and lets what was fed come through.
fn finish(stand: &Stand, guarantee: &str, running: Running) -> Outcome {
    running.interrupt();
    running.end().must_end(0);
    write(stand, guarantee, "");
    stand.finish(NAME)
}

/// Swaps again and again while records come, and has them come through.
fn swap_again_and_again(guarantee: &str) -> (Vec<Version>, Outcome) {
    let versions: Vec<Version> = (1..=swaps() + 1).map(Version::of).collect();
    let stand = stand(guarantee);
    let mut running = stand.folder.start(&["run"]);
    stand.flows(std::slice::from_mut(&mut running), 100);
    for version in &versions[1..] {
        put(&stand.folder, &version.bytes());
        swapped(&mut running, version);
        let pipeline = format!("{}{NAME}", stand.prefix);
        until("each partition has the version", DEADLINE, || has_all(&stand.log, &pipeline, version));
        stand.flows(std::slice::from_mut(&mut running), 50);
    }
    let outcome = finish(&stand, guarantee, running);
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
    outcome.must_have_all();
    let used: BTreeSet<i64> = outcome.made.iter().map(|(_, version, _)| *version).collect();
    assert_eq!(used.len(), versions.len(), "a version made nothing: {used:?}");
}

/// Kills the host around swaps, and has what was fed come through.
fn kill_around_swaps(guarantee: &str) -> (Vec<Version>, Outcome) {
    let kills = swaps().div_ceil(4);
    let versions: Vec<Version> = (1..=kills + 1).map(Version::of).collect();
    let stand = stand(guarantee);
    let mut random = ChaCha8Rng::seed_from_u64(13);
    for (kill, version) in versions[1..].iter().enumerate() {
        let mut running = stand.folder.start(&["run"]);
        stand.flows(std::slice::from_mut(&mut running), 50);
        put(&stand.folder, &version.bytes());
        if kill % 2 == 0 {
            // In the midst of it: some partition has it, and another perhaps not.
            let pipeline = format!("{}{NAME}", stand.prefix);
            until("some partition has the version", DEADLINE, || has_some(&stand.log, &pipeline, version));
        } else {
            // Before, in and after the trial and the swap.
            std::thread::sleep(Duration::from_micros(u64::from(random.next_u32() % 900_000)));
        }
        running.kill();
    }
    let mut running = stand.folder.start(&["run"]);
    stand.flows(std::slice::from_mut(&mut running), 50);
    let outcome = finish(&stand, guarantee, running);
    assert!(outcome.swaps() > 0, "no swap was met");
    (versions, outcome)
}

#[test]
fn kills_around_swaps_on_kafka_lose_double_and_reorder_nothing() {
    let (versions, outcome) = kill_around_swaps("exactly-once");
    outcome.must_be_exact(&versions);
    outcome.must_only_grow();
}

#[test]
fn kills_around_at_least_once_swaps_lose_nothing() {
    let (_, outcome) = kill_around_swaps("at-least-once");
    outcome.must_have_all();
}
