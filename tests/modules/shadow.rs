//! A shadow runs beside the live module without an end, and says what it does differently.

use std::fs;

use serde_json::Value;

use super::lines;
use crate::support::{Folder, LIMIT, until};
use crate::swap::{STAGE, Version, finish, flows, folder, put, put_at, swapped};

const SHADOW: &str = "modules/shadow.wasm";

fn shadowed(shadow: &Version, keys: &str) -> Folder {
    let folder = folder(2_000, &format!("shadow = \"{SHADOW}\"\ntrial_batches = 2\nguard_time_ms = 0\n{keys}"));
    fs::write(folder.path(SHADOW), shadow.bytes()).expect("written");
    folder
}

/// What the shadow did, once it has done something.
fn report(folder: &Folder, is_enough: impl Fn(&Value) -> bool) -> Value {
    let mut found = Value::Null;
    until("the shadow is reported", LIMIT, || {
        let status = lines(folder, &["modules", "status"]);
        found = status.first().map_or(Value::Null, |status| status["other"].clone());
        status.first().is_some_and(|status| status["phase"] == "shadow") && is_enough(&found)
    });
    found
}

/// What was said of the shadow last, when the host ended.
fn last_word(said: &str) -> &str {
    said.lines().rfind(|line| line.contains("shadow stage=")).expect("a word about the shadow")
}

#[test]
fn what_a_shadow_does_differently_is_told_and_changes_nothing() {
    let folder = shadowed(&Version::of(7), "");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    let report = report(&folder, |other| other["candidate"]["records"].as_u64().is_some_and(|records| records > 100));
    let (records, out) = (report["candidate"]["records"].as_u64().unwrap(), &report["differences"]["outputs"]["out"]);
    // The version differs in each answer, and the count, which is the state, in none.
    assert_eq!(out["fields"], serde_json::json!({ "version": records }), "{report}");
    assert_eq!((&out["different"], &out["same"]), (&records.into(), &0.into()), "{report}");
    assert!(report["live"]["time_ns"].as_u64().is_some_and(|time| time > 0), "{report}");
    let examples = report["differences"]["examples"].as_array().unwrap();
    assert_eq!(examples.len(), 2, "{report}");
    assert_eq!((&examples[0]["live"]["version"], &examples[0]["candidate"]["version"]), (&1.into(), &7.into()));
    assert_eq!(examples[0]["live"]["count"], examples[0]["candidate"]["count"]);
    running.interrupt();
    let ended = running.end();
    ended.must_end(0);
    let word = last_word(&ended.stderr).to_owned();
    assert!(word.contains("out: ") && word.contains("version ") && word.contains("errors=0"), "{word}");
}

#[test]
fn a_shadow_that_fails_goes_on_and_is_told_of() {
    let live = Version::of(1);
    // Each instance breaks after some batches, however large they are.
    let code = "(if (i32.gt_u (global.get $calls) (i32.const 5)) (then unreachable))";
    let folder = shadowed(&Version::doing(1, code), "");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 300);
    let report = report(&folder, |other| {
        let failed = other["differences"]["verdicts"]["answered -> batch failed"].as_u64().unwrap_or(0);
        failed > 0 && other["differences"]["outputs"]["out"]["same"].as_u64().is_some_and(|same| same > 0)
    });
    assert!(report["candidate"]["errors"].as_u64().is_some_and(|errors| errors > 0), "{report}");
    assert_eq!(report["live"]["errors"], 0, "{report}");
    // After a fault it goes on from the state of the live one, so that its counts are the same.
    assert_eq!(report["differences"]["outputs"]["out"]["different"].as_u64().unwrap_or(0), 0, "{report}");
    assert!(report["differences"]["examples"].to_string().contains("panicked or aborted"), "{report}");
    finish(&folder, running).must_be_exact(&[live]);
}

/// One that hangs would hold the stream up each time. It is tried again when its file changes.
#[test]
fn a_shadow_that_hangs_is_dropped_until_its_file_changes() {
    let (live, good) = (Version::of(1), Version::of(7));
    let hangs = "(if (i32.gt_u (global.get $calls) (i32.const 3)) (then (loop $ever (br $ever))))";
    let folder = shadowed(&Version::doing(5, hangs), "limits = { time_ms = 300 }");
    let mut running = folder.start(&["run"]);
    running.await_said("dropped from its trial, the live one goes on");
    assert!(running.said().contains("took longer than 300 ms"), "{}", running.said());
    flows(&folder, &mut running, 300);
    put_at(&folder, SHADOW, &good.bytes());
    report(&folder, |other| other["module"] == good.digest().as_str() && other["batches"].as_u64() > Some(10));
    finish(&folder, running).must_be_exact(&[live]);
}

/// It cannot begin where the live one is.
#[test]
fn a_shadow_that_does_not_take_the_state_is_dropped_until_its_file_changes() {
    let (live, good) = (Version::of(1), Version::of(7));
    let refuses = Version { on_restore: "unreachable".to_owned(), ..Version::of(5) };
    let folder = shadowed(&refuses, "");
    let mut running = folder.start(&["run"]);
    running.await_said(&format!("module=\"{}\" why=", refuses.short()));
    assert!(running.said().contains("restore: panicked or aborted"), "{}", running.said());
    flows(&folder, &mut running, 300);
    let status = lines(&folder, &["modules", "status"]);
    assert_eq!((&status[0]["phase"], &status[0]["other"]), (&"steady".into(), &Value::Null), "{status:?}");
    put_at(&folder, SHADOW, &good.bytes());
    report(&folder, |other| other["module"] == good.digest().as_str() && other["batches"].as_u64() > Some(10));
    finish(&folder, running).must_be_exact(&[live]);
}

#[test]
fn a_shadow_is_promoted_by_hand_and_not_by_itself() {
    let versions = [1, 2, 3].map(Version::of);
    let folder = shadowed(&versions[2], "");
    let mut running = folder.start(&["run"]);
    flows(&folder, &mut running, 100);
    running.await_said(&format!("on trial stage=\"{STAGE}\" module=\"{}\"", versions[2].short()));
    // It makes room for a swap, and comes back.
    put(&folder, &versions[1].bytes());
    swapped(&mut running, &versions[1]);
    report(&folder, |other| other["module"] == versions[2].digest().as_str());
    folder.host(&["modules", "promote", STAGE]).must_end(0);
    swapped(&mut running, &versions[2]);
    flows(&folder, &mut running, 100);
    let outcome = finish(&folder, running);
    outcome.must_be_exact(&versions);
    outcome.must_only_grow();
    let history = lines(&folder, &["modules", "history"]);
    let promoted = history.iter().filter(|entry| entry["cause"] == "promote" && entry["event"] == "live");
    assert!(promoted.clone().count() > 0, "{history:?}");
    assert!(promoted.into_iter().all(|entry| entry["module"] == versions[2].digest().as_str()));
}
