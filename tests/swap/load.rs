//! Swaps under load: each number once, by one version, and one fence per partition.

use std::time::{Duration, Instant};

use host::log::embedded::EmbeddedLog;

use super::{LOG, PIPELINE, STAGE, Version, finish, flows, folder, has_all, put, swapped};
use crate::support::{LIMIT, until};

/// How many swaps; more make a longer test.
const SWAPS: &str = "BESPOKE_TEST_SWAPS";

pub fn swaps() -> u32 {
    std::env::var(SWAPS).map_or(8, |swaps| swaps.parse().expect("a number"))
}

#[test]
fn swaps_under_load_lose_double_and_reorder_nothing() {
    let versions: Vec<Version> = (1..=swaps() + 1).map(Version::of).collect();
    let folder = folder(20_000, "trial_batches = 4\ntrial_time_ms = 60000");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    for version in &versions[1..] {
        put(&folder, &version.bytes());
        swapped(&mut running, version);
        until("each partition has the version", LIMIT, || {
            let log = EmbeddedLog::open_read_only(folder.path(LOG)).expect("a log");
            has_all(&log, PIPELINE, version)
        });
        flows(&folder, &mut running, 100);
    }
    let outcome = finish(&folder, running);
    let made = outcome.must_be_exact(&versions);
    outcome.must_only_grow();
    assert_eq!(made.len(), versions.len(), "a version made nothing: {made:?}");
    for version in &versions[1..] {
        // The last one has them again, from the start of the last run on.
        let is_last = version.number as usize == versions.len();
        let fences = outcome.fences(version);
        assert_eq!(fences.len(), 4, "{version:?}: {fences:?}");
        assert!(is_last || fences.values().all(|fences| fences.len() == 1), "{version:?}: {fences:?}");
    }
}

#[test]
fn a_swap_at_once_is_exact_too() {
    let versions: Vec<Version> = (1..=5).map(Version::of).collect();
    let folder = folder(10_000, "trial_batches = 0");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    for version in &versions[1..] {
        put(&folder, &version.bytes());
        swapped(&mut running, version);
    }
    let outcome = finish(&folder, running);
    outcome.must_be_exact(&versions);
    outcome.must_only_grow();
}

/// It takes its time to read the state, and what comes meanwhile is handled by the one before, and then by it too.
#[test]
fn a_version_that_is_slow_to_take_the_state_does_not_hold_the_stream_up() {
    let slow = "(local.set $len (i32.const 800000000))
                (loop $slow (br_if $slow (local.tee $len (i32.sub (local.get $len) (i32.const 1)))))";
    let versions = [Version::of(1), Version { on_restore: slow.to_owned(), ..Version::of(2) }];
    let folder = folder(20_000, "trial_batches = 4\ntrial_time_ms = 60000\nlimits = { time_ms = 60000 }");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 1000);
    put(&folder, &versions[1].bytes());
    running.await_said("on trial");
    let begun = Instant::now();
    swapped(&mut running, &versions[1]);
    let took = begun.elapsed();
    flows(&folder, &mut running, 100);
    let outcome = finish(&folder, running);
    let made = outcome.must_be_exact(&versions);
    outcome.must_only_grow();
    assert_eq!(made.len(), 2, "{made:?}");
    let live = outcome.ledger.of_stage(STAGE).filter(|entry| entry.module == versions[1].digest());
    let pauses: Vec<_> = live.filter_map(|entry| entry.pause_us).map(Duration::from_micros).collect();
    // Each worker had two instances made, one after the other.
    assert!(took > Duration::from_millis(200), "not slow: {took:?}");
    assert!(!pauses.is_empty() && pauses.iter().all(|pause| *pause < took / 4), "{pauses:?} of {took:?}");
}

/// Records come that no version handles, each of which has steps thrown away, also while a version is made ready: it begins
/// again with the state of the last commit.
#[test]
fn steps_that_are_thrown_away_under_a_candidate_are_no_harm() {
    const POISON: i64 = 16_000;
    let slow = "(local.set $len (i32.const 20000000))
                (loop $slow (br_if $slow (local.tee $len (i32.sub (local.get $len) (i32.const 1)))))";
    let code = format!(
        "(if (i64.eqz (i64.rem_s (i64.add (local.get $number) (i64.const 1)) (i64.const {POISON}))) (then unreachable))"
    );
    let version = |number| Version { on_restore: slow.to_owned(), ..Version::doing(number, &code) };
    let versions: Vec<Version> = (1..=6).map(version).collect();
    let folder = folder(20_000, "trial_batches = 4\ntrial_time_ms = 60000\nlimits = { time_ms = 60000 }");
    put(&folder, &versions[0].bytes());
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, POISON);
    for version in &versions[1..] {
        put(&folder, &version.bytes());
        swapped(&mut running, version);
        flows(&folder, &mut running, POISON / 2);
    }
    let all = finish(&folder, running);
    let is_poison = |number: i64| (number + 1) % POISON == 0;
    let poisoned = all.given.keys().filter(|number| is_poison(**number)).count();
    assert_eq!(folder.letters(&format!("{PIPELINE}.dead-letters")).len(), poisoned);
    let outcome = all.without(is_poison);
    assert!(poisoned >= versions.len() / 2, "{poisoned} steps were thrown away");
    assert_eq!(outcome.must_be_exact(&versions).len(), versions.len());
    outcome.must_only_grow();
}

/// Nothing comes, and still the version is another, with the state.
#[test]
fn a_stream_that_stands_still_does_not_hold_a_swap_up() {
    let versions: Vec<Version> = (1..=3).map(Version::of).collect();
    let folder = folder(1_000, "trial_time_ms = 50");
    let mut running = folder.start(&["run", "--set", "feed.generated.generate.count=500"]);
    until("all is through", LIMIT, || folder.so_far("out") > 0);
    for version in &versions[1..] {
        put(&folder, &version.bytes());
        swapped(&mut running, version);
    }
    running.interrupt();
    running.end().must_end(0);
    // Also where no record has come since the start: what is written down, and the state, are those of the last one then.
    let last = Version::of(4);
    let mut running = folder.start(&["run", "--set", "feed.generated.generate.count=500"]);
    running.await_said("running");
    put(&folder, &last.bytes());
    swapped(&mut running, &last);
    until("each partition has it", LIMIT, || {
        let log = EmbeddedLog::open_read_only(folder.path(LOG)).expect("a log");
        has_all(&log, PIPELINE, &last)
    });
    running.interrupt();
    running.end().must_end(0);
    // What comes later is handled by the last one.
    let versions = [versions, vec![last]].concat();
    let mut running = folder.start(&["run", "--set", "feed.generated.generate.count=1000"]);
    flows(&folder, &mut running, 1);
    let outcome = finish(&folder, running);
    let made = outcome.must_be_exact(&versions);
    assert_eq!(made.keys().copied().max(), Some(4));
}
