//! What is left of a swap for those who look at it later: modules by digest, and the ledger.

use std::fs;

use host::swap::{Cause, Event, Kept};

use super::{Version, finish, flows, folder, kept, put, swapped};

#[test]
fn modules_are_kept_and_swaps_are_written_down() {
    let versions: Vec<Version> = (1..=3).map(Version::of).collect();
    let folder = folder(5_000, "trial_batches = 2");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    for version in &versions[1..] {
        put(&folder, &version.bytes());
        swapped(&mut running, version);
        flows(&folder, &mut running, 200);
    }
    let outcome = finish(&folder, running);
    outcome.must_be_exact(&versions);
    let modules = Kept::new(kept(&folder));
    for version in &versions {
        assert_eq!(modules.get(&version.digest()).expect("kept"), version.bytes());
    }
    let live = |version: &Version| {
        let digest = version.digest();
        let entries = outcome.ledger.of_stage(super::STAGE);
        entries.filter(|e| e.module == digest && e.event == Event::Live).cloned().collect::<Vec<_>>()
    };
    assert!(live(&versions[0]).iter().all(|entry| entry.cause == Cause::Start && entry.from.is_none()));
    let swaps = live(&versions[1]);
    assert!(!swaps.is_empty());
    for entry in swaps {
        assert_eq!((entry.cause, entry.from), (Cause::File, Some(versions[0].digest())));
        assert!(entry.pause_us.is_some() && entry.file == "numbers.wasm" && entry.at_ms > 0);
    }
    assert_eq!(outcome.ledger.live(super::STAGE).expect("one is live").module, versions[2].digest());
}

/// The folder cannot be written: this is said, and the swap happens all the same.
#[test]
fn a_swap_does_not_need_the_folder() {
    let versions: Vec<Version> = (1..=2).map(Version::of).collect();
    let folder = folder(5_000, "trial_batches = 2");
    fs::write(kept(&folder), b"in the way").expect("written");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    put(&folder, &versions[1].bytes());
    swapped(&mut running, &versions[1]);
    assert!(running.said().contains("cannot be kept"), "{}", running.said());
    finish(&folder, running).must_be_exact(&versions);
}
