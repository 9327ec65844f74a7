//! What a version may do worse than the one before it: the same errors are none of its own, more of them or more time are.

use std::collections::BTreeSet;
use std::fs;

use host::swap::Event;

use super::{Outcome, PIPELINE, REJECT, STAGE, Version, finish, flows, folder, put, swapped};
use crate::support::Folder;

/// What was answered, with the records left out that were rejected. Each of them is a dead letter.
fn of_answered(outcome: Outcome, folder: &Folder) -> Outcome {
    let answered: BTreeSet<i64> = outcome.made.iter().map(|(number, ..)| *number).collect();
    let rejected = outcome.given.len() - answered.len();
    let letters = folder.letters(&format!("{PIPELINE}.dead-letters"));
    assert!(letters.iter().all(|letter| letter.kind == "rejected" && letter.reason.contains("no")), "{letters:?}");
    assert!(rejected > 0 && letters.len() == rejected, "{} letters of {rejected} records", letters.len());
    outcome.without(|number| !answered.contains(&number))
}

/// Both reject the same records, also those that the candidate missed while it was made ready: it takes its time, and is ready
/// in one partition before it is in another.
#[test]
fn a_candidate_may_reject_what_the_live_one_rejects() {
    let slow = "(local.set $len (i32.const 400000000))
                (loop $slow (br_if $slow (local.tee $len (i32.sub (local.get $len) (i32.const 1)))))";
    let is_rejected = "(i64.eqz (i64.rem_u (local.get $number) (i64.const 20)))";
    let code = format!("(if {is_rejected} (then {REJECT}))");
    let versions = [Version::doing(1, &code), Version { on_restore: slow.to_owned(), ..Version::doing(2, &code) }];
    let folder = folder(20_000, "trial_batches = 4\ntrial_time_ms = 60000\nlimits = { time_ms = 60000 }");
    put(&folder, &versions[0].bytes());
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 1000);
    put(&folder, &versions[1].bytes());
    swapped(&mut running, &versions[1]);
    flows(&folder, &mut running, 200);
    let outcome = of_answered(finish(&folder, running), &folder);
    assert_eq!(outcome.must_be_exact(&versions).len(), 2);
    assert_eq!(outcome.events(&versions[1]), [Event::Live]);
}

/// It rejects nothing on trial, and every other record later.
#[test]
fn a_version_that_rejects_more_soon_after_its_swap_goes_back() {
    let late = "(i32.and (i32.gt_u (global.get $calls) (i32.const 40)) (i32.and (local.get $i) (i32.const 1)))";
    let (first, last) = (Version::of(1), Version::of(3));
    let bad = Version::doing(2, &format!("(if {late} (then {REJECT}))"));
    let folder = folder(5_000, "trial_batches = 8\ntrial_time_ms = 60000");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 500);
    put(&folder, &bad.bytes());
    swapped(&mut running, &bad);
    swapped(&mut running, &first);
    assert!(running.said().contains("% of the records, and the one before it at 0.00 %"), "{}", running.said());
    flows(&folder, &mut running, 200);
    put(&folder, &last.bytes());
    swapped(&mut running, &last);
    flows(&folder, &mut running, 200);
    let outcome = of_answered(finish(&folder, running), &folder);
    assert_eq!(outcome.must_be_exact(&[first, bad.clone(), last]).len(), 3);
    assert_eq!(outcome.events(&bad), [Event::Live, Event::Dropped]);
}

/// A shadow may be slow. That it was promoted all the same does not save it.
#[test]
fn a_version_that_is_slow_after_its_swap_goes_back() {
    let code = "(local.set $number (i64.const 100000))
                (loop $slow (local.set $number (i64.sub (local.get $number) (i64.const 1)))
                  (br_if $slow (i64.gt_s (local.get $number) (i64.const 0))))";
    let (first, slow) = (Version::of(1), Version::doing(2, code));
    let folder = folder(2_000, "shadow = \"modules/shadow.wasm\"");
    fs::write(folder.path("modules/shadow.wasm"), slow.bytes()).expect("written");
    let mut running = folder.start(&["run"]);
    running.await_said(&format!("on trial stage=\"{STAGE}\" module=\"{}\"", slow.short()));
    flows(&folder, &mut running, 300);
    folder.host(&["modules", "promote", STAGE]).must_end(0);
    swapped(&mut running, &slow);
    swapped(&mut running, &first);
    assert!(running.said().contains("ns for a record at best, and the one before it"), "{}", running.said());
    flows(&folder, &mut running, 200);
    let outcome = finish(&folder, running);
    outcome.must_be_exact(&[first, slow.clone()]);
    let events = outcome.events(&slow);
    assert!(events.contains(&Event::Live) && events.contains(&Event::Dropped), "{events:?}");
}
