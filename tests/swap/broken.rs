//! Candidates that are broken in every way: the live version goes on, with its state, and the numbers stay exact.

use std::time::Duration;

use host::swap::Event;

use super::{PIPELINE, REJECT, STAGE, Version, fed, finish, finish_saying, flows, folder, put, swapped, time_between};

/// A swap back takes less. Where it does not come about, workers go on without it after 5 s.
const AT_ONCE: Duration = Duration::from_secs(4);

const KEYS: &str = "trial_batches = 8\ntrial_time_ms = 60000\nlimits = { time_ms = 300, memory_mb = 16 }";

/// Each is told of in words, and is written down as `event`.
fn broken() -> Vec<(Vec<u8>, &'static str, Event)> {
    let good = Version::of(90);
    let trap_at_call = |calls| format!("(if (i32.gt_u (global.get $calls) (i32.const {calls})) (then unreachable))");
    let refused = |version: Version, why| (version.bytes(), why, Event::Refused);
    let dropped = |version: Version, why| (version.bytes(), why, Event::Dropped);
    let on_restore = |number, code: &str| Version { on_restore: code.to_owned(), ..Version::of(number) };
    vec![
        (b"no module".to_vec(), "it does not start as WebAssembly does", Event::Refused),
        (Vec::new(), "the file is empty", Event::Refused),
        (good.bytes()[..good.bytes().len() / 2].to_vec(), "is not a WebAssembly component", Event::Refused),
        (wat::parse_str("(module)").expect("a module"), "it is a core module", Event::Refused),
        (wat::parse_str("(component)").expect("a module"), "neither `process` nor `analyze`", Event::Refused),
        refused(Version { field: "elsewhere", ..Version::of(11) }, "field `elsewhere`"),
        refused(Version { ty: "f32", ..Version::of(12) }, "field `version`"),
        refused(Version::doing(13, "unreachable"), "fails at records that the live one has handled"),
        refused(Version::doing(14, "(loop $ever (br $ever))"), "took longer than 300 ms"),
        refused(Version::doing(15, "(loop $more (drop (memory.grow (i32.const 64))) (br $more))"), "bytes of memory"),
        refused(on_restore(16, "(loop $ever (br $ever))"), "restore: took longer than 300 ms"),
        refused(on_restore(17, "unreachable"), "restore: panicked or aborted"),
        // The state is of another format.
        refused(
            on_restore(
                18,
                "(i32.store (i32.const 48) (i32.const 1)) (i32.store (i32.const 52) (i32.const 80)) (i32.store (i32.const 56) (i32.const 3))",
            ),
            "restore: refused: old",
        ),
        dropped(Version::doing(19, &trap_at_call(1)), "process: panicked or aborted"),
        dropped(
            Version::doing(20, "(if (i32.gt_u (global.get $calls) (i32.const 1)) (then (loop $ever (br $ever))))"),
            "took longer than 300 ms",
        ),
        dropped(
            Version::doing(
                21,
                "(local.set $number (i64.const 300000))
                 (loop $slow (local.set $number (i64.sub (local.get $number) (i64.const 1)))
                   (br_if $slow (i64.gt_s (local.get $number) (i64.const 0))))",
            ),
            "ns for a record at best, and the one before it",
        ),
        dropped(
            Version::doing(22, &format!("(if (i32.eqz (i32.and (local.get $i) (i32.const 3))) (then {REJECT}))")),
            "% of the records, and the one before it at 0.00 %",
        ),
    ]
}

#[test]
fn broken_candidates_leave_the_live_one_as_it_is() {
    let first = Version::of(1);
    let folder = folder(5_000, KEYS);
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 500);
    for (bytes, why, _) in broken() {
        put(&folder, &bytes);
        let digest = host::module::digest_of(&bytes);
        running.await_said(&format!("module=\"{}\" why=", &digest[..12]));
        assert!(running.said().contains(why), "not told: {why}\n{}", running.said());
        flows(&folder, &mut running, 200);
    }
    // The next good one is taken.
    let last = Version::of(2);
    put(&folder, &last.bytes());
    swapped(&mut running, &last);
    flows(&folder, &mut running, 200);
    let (outcome, said) = finish_saying(&folder, running);
    outcome.must_be_exact(&[first, last]);
    outcome.must_only_grow();
    assert!(folder.letters(&format!("{PIPELINE}.dead-letters")).is_empty());
    let counted = said.lines().rfind(|line| line.contains("progress role=\"stage")).expect("the last numbers");
    assert!(counted.contains(&format!("swaps=1 modules_refused={} ", broken().len())), "{counted}");
    let list = folder.host(&["modules", "list", "--format", "json"]);
    list.must_end(0);
    for (bytes, why, event) in broken() {
        let digest = host::module::digest_of(&bytes);
        let entry = outcome.ledger.verdict(STAGE, &digest).unwrap_or_else(|| panic!("not written down: {why}"));
        assert_eq!(entry.event, event, "{why}");
        assert!(entry.reason.as_ref().is_some_and(|reason| reason.contains(why)), "{entry:?}");
        let state = if event == Event::Refused { "\"refused\"" } else { "\"dropped\"" };
        let listed = list.stdout.lines().find(|line| line.contains(&digest)).expect("it is listed");
        assert!(listed.contains(state), "{why}: {listed}");
    }
}

/// It does well on trial and fails when it is live: the one before comes back with the state, and no record is lost to it.
#[test]
fn a_version_that_fails_soon_after_its_swap_goes_back() {
    for code in ["unreachable", "(loop $ever (br $ever))"] {
        let (first, bad) = (
            Version::of(1),
            Version::doing(2, &format!("(if (i32.gt_u (global.get $calls) (i32.const 40)) (then {code}))")),
        );
        let folder = folder(5_000, KEYS);
        let mut running = folder.start(&["run"]);
        flows(&folder, &mut running, 500);
        put(&folder, &bad.bytes());
        swapped(&mut running, &bad);
        swapped(&mut running, &first);
        must_be_back_at_once(&running.said(), &first);
        flows(&folder, &mut running, 500);
        // The file still has the bad one; a good one comes.
        let last = Version::of(3);
        put(&folder, &last.bytes());
        swapped(&mut running, &last);
        flows(&folder, &mut running, 200);
        let outcome = finish(&folder, running);
        let made = outcome.must_be_exact(&[first.clone(), bad.clone(), last]);
        assert_eq!(made.keys().copied().collect::<Vec<_>>(), [1, 2, 3]);
        assert!(folder.letters(&format!("{PIPELINE}.dead-letters")).is_empty(), "records became dead letters");
        assert_eq!(outcome.events(&bad), [Event::Live, Event::Dropped]);
    }
}

/// From a record on it fails at each: none of them becomes a dead letter, and they wait no longer than it takes to go back.
#[test]
fn a_version_without_state_goes_back_before_records_are_lost_to_it() {
    let stateless = |version| Version { is_stateful: false, ..version };
    let (first, last) = (stateless(Version::of(1)), stateless(Version::of(3)));
    let folder = folder(5_000, KEYS);
    put(&folder, &first.bytes());
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 500);
    // After its trial.
    let from = fed(&folder) + 15_000;
    let code = format!("(if (i64.gt_s (local.get $number) (i64.const {from})) (then unreachable))");
    let bad = stateless(Version::doing(2, &code));
    put(&folder, &bad.bytes());
    swapped(&mut running, &bad);
    swapped(&mut running, &first);
    must_be_back_at_once(&running.said(), &first);
    flows(&folder, &mut running, 500);
    put(&folder, &last.bytes());
    swapped(&mut running, &last);
    flows(&folder, &mut running, 200);
    let outcome = finish(&folder, running);
    assert_eq!(outcome.must_be_exact(&[first, bad, last]).len(), 3);
    assert!(folder.letters(&format!("{PIPELINE}.dead-letters")).is_empty(), "records became dead letters");
}

#[track_caller]
fn must_be_back_at_once(said: &str, first: &Version) {
    let back = format!("swapped stage=\"{STAGE}\" module=\"{}\"", first.short());
    let took = time_between(said, "swapping back", &back);
    assert!(took < AT_ONCE, "{took:?}\n{said}");
}

/// The state is of a format that the one before does not know: this is said, the new one stays, and the record at which it
/// fails is a dead letter like any other.
#[test]
fn a_version_whose_state_cannot_go_back_stays() {
    let bad = Version {
        on_snapshot: "(i32.store (i32.const 3145728) (i32.const 8))".to_owned(),
        // It takes its own format as well.
        on_restore: "(i64.store (i32.const 48) (i64.const 0)) (i64.store (i32.const 56) (i64.const 0))".to_owned(),
        ..Version::doing(2, "(if (i64.eq (local.get $number) (i64.const 100000)) (then unreachable))")
    };
    let folder = folder(10_000, &format!("{KEYS}\nguard_time_ms = 3600000"));
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 500);
    put(&folder, &bad.bytes());
    swapped(&mut running, &bad);
    let letters = format!("{PIPELINE}.dead-letters");
    crate::support::until("a dead letter", crate::support::LIMIT, || folder.so_far(&letters) > 0);
    flows(&folder, &mut running, 500);
    running.await_said("it cannot be swapped back, and goes on");
    running.interrupt();
    running.end().must_end(0);
    let outcome = super::Outcome::of(&folder);
    let stays = outcome.ledger.of_stage(STAGE).find(|entry| entry.event == Event::Stays).expect("it is written down");
    assert!(stays.reason.as_ref().is_some_and(|reason| reason.contains("restore: refused: old")), "{stays:?}");
}
