//! What is left of a swap for those who look at it later: modules by digest, and the ledger.

use std::fs;

use host::swap::{Cause, Event, Kept};

use super::{PIPELINE, STAGE, Version, finish, flows, folder, kept, put, swapped};

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
        let entries = outcome.ledger.of_stage(STAGE);
        entries.filter(|e| e.module == digest && e.event == Event::Live).cloned().collect::<Vec<_>>()
    };
    assert!(live(&versions[0]).iter().all(|entry| entry.cause == Cause::Start && entry.from.is_none()));
    let swaps = live(&versions[1]);
    assert!(!swaps.is_empty());
    for entry in swaps {
        assert_eq!((entry.cause, entry.from), (Cause::File, Some(versions[0].digest())));
        assert!(entry.pause_us.is_some() && entry.file == "numbers.wasm" && entry.at_ms > 0);
    }
    assert_eq!(outcome.ledger.live(STAGE).expect("one is live").module, versions[2].digest());
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

/// A host that is started again does not fall over the file that it has refused while it ran.
#[test]
fn a_refused_file_does_not_stop_the_next_start() {
    let first = Version::of(1);
    let folder = folder(5_000, "");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    put(&folder, b"no module");
    running.await_said("module refused");
    // It is written down by the step that comes.
    flows(&folder, &mut running, 1_000);
    running.kill();
    let mut running = folder.start(&["run"]);
    running.await_said("its file does not do, starting with the module that was live last");
    flows(&folder, &mut running, 100);
    let last = Version::of(2);
    put(&folder, &last.bytes());
    swapped(&mut running, &last);
    flows(&folder, &mut running, 100);
    let outcome = finish(&folder, running);
    let made = outcome.must_be_exact(&[first, last]);
    assert_eq!(made.len(), 2);
}

/// What was gone back from stays so, also over a restart, until the file changes.
#[test]
fn a_restart_does_not_undo_a_swap_back() {
    let first = Version::of(1);
    let bad = Version::doing(2, "(if (i32.gt_u (global.get $calls) (i32.const 40)) (then unreachable))");
    let folder = folder(5_000, "trial_batches = 8");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    put(&folder, &bad.bytes());
    swapped(&mut running, &bad);
    swapped(&mut running, &first);
    flows(&folder, &mut running, 1_000);
    running.kill();
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 5_000);
    let said = running.said();
    assert!(said.contains("starts with the module that was live last") && !said.contains("on trial"), "{said}");
    let last = Version::of(3);
    put(&folder, &last.bytes());
    swapped(&mut running, &last);
    flows(&folder, &mut running, 100);
    let outcome = finish(&folder, running);
    let made = outcome.must_be_exact(&[first, bad, last]);
    assert_eq!(made.len(), 3);
}

/// Its trial was ended because something else was to run: nobody has judged it, and a start with it is a start like any other.
#[test]
fn a_module_whose_trial_was_ended_is_not_passed_over() {
    let versions: Vec<Version> = (1..=3).map(Version::of).collect();
    let folder = folder(5_000, "trial_batches = 1000000\ntrial_time_ms = 3600000");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    put(&folder, &versions[1].bytes());
    running.await_said(&format!("on trial stage=\"{STAGE}\" module=\"{}\"", versions[1].short()));
    put(&folder, &versions[2].bytes());
    running.await_said(&format!("another version came: {}", versions[2].short()));
    put(&folder, &versions[0].bytes());
    running.await_said("its file is the live module again");
    // It is written down by the step that comes.
    flows(&folder, &mut running, 1_000);
    running.interrupt();
    let ended = running.end();
    ended.must_end(0);
    assert!(ended.stderr.contains("modules_refused=0"), "{}", ended.stderr);
    put(&folder, &versions[1].bytes());
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 500);
    let outcome = finish(&folder, running);
    let made = outcome.must_be_exact(&versions);
    assert_eq!(made.keys().copied().collect::<Vec<_>>(), [1, 2]);
    assert_eq!(outcome.events(&versions[1]), [Event::Withdrawn, Event::Live]);
    assert_eq!(outcome.events(&versions[2]), [Event::Withdrawn]);
}

/// It was refused because it fails at records. A start with it does not let it fail at them after all.
#[test]
fn a_file_that_was_refused_for_what_it_does_stays_passed_over() {
    let (first, bad) = (Version::of(1), Version::doing(2, "unreachable"));
    let folder = folder(5_000, "");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    put(&folder, &bad.bytes());
    running.await_said("module refused");
    flows(&folder, &mut running, 1_000);
    running.kill();
    let mut running = folder.start(&["run"]);
    running.await_said("starts with the module that was live last");
    flows(&folder, &mut running, 500);
    let outcome = finish(&folder, running);
    assert_eq!(outcome.must_be_exact(&[first]).len(), 1);
    assert!(folder.letters(&format!("{PIPELINE}.dead-letters")).is_empty());
}
