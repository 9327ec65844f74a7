//! A host that is killed around its swaps: each number still once, and each by the version that the ledger names.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use host::log::embedded::EmbeddedLog;

use super::load::swaps;
use super::{LOG, PIPELINE, Version, finish, flows, folder, has_some, put};
use crate::support::{LIMIT, until};

#[test]
fn kills_around_swaps_lose_double_and_reorder_nothing() {
    let kills = swaps().div_ceil(2);
    let versions: Vec<Version> = (1..=kills * 2 + 1).map(Version::of).collect();
    let folder = folder(20_000, "trial_batches = 4\ntrial_time_ms = 60000");
    let mut random = ChaCha8Rng::seed_from_u64(11);
    for (kill, pair) in versions[1..].chunks(2).enumerate() {
        let mut running = folder.start(&["run"]);
        flows(&folder, &mut running, 100);
        put(&folder, &pair[0].bytes());
        if kill % 2 == 1 {
            // In the midst of it: some partition has it, and another perhaps not.
            until("some partition has the version", LIMIT, || {
                let log = EmbeddedLog::open_read_only(folder.path(LOG)).expect("a log");
                has_some(&log, PIPELINE, &pair[0])
            });
            running.kill();
            continue;
        }
        // Before, in and after the trial and the swap: a swap takes some hundred milliseconds.
        std::thread::sleep(Duration::from_micros(u64::from(random.next_u32() % 600_000)));
        put(&folder, &pair[1].bytes());
        std::thread::sleep(Duration::from_micros(u64::from(random.next_u32() % 400_000)));
        running.kill();
    }
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    until("the host runs", LIMIT, || running.is_running());
    let outcome = finish(&folder, running);
    let made = outcome.must_be_exact(&versions);
    outcome.must_only_grow();
    assert!(made.len() > 2, "hardly any version was met: {made:?}");
    assert!(outcome.swaps() > 0, "no swap was met");
}
