//! A host that is stopped, or killed at any moment, goes on as if nothing had been.

use std::collections::HashSet;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use crate::support::{Folder, LIMIT, top, until};

const TABLE: &str = "product_analysis";
const PROCESSED: &str = "processed";
const LETTERS: &str = "restart.dead-letters";
const SIGKILL: i32 = 9;

/// A generated feed through both modules into the table. One partition, so that every run has one order and the numbers
/// of the analyzer are the same bit for bit. `interval` is the time between commits in milliseconds.
fn folder(records: u64, interval: u64) -> Folder {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    let text = format!(
        r#"
name = "restart"

[log]
path = "log.db"
sync = "normal"
commit_interval_ms = {interval}

[schemas]
dir = "schemas"
ids = "log.schemas.json"

[topics]
"raw" = {{ schema = "product" }}

[[feed]]
name = "generated"
topic = "raw"
key = ["id"]
generate = {{ count = {records}, products = 500, invalid = 0.0005 }}

[[stage]]
name = "processor"
module = "modules/processor.wasm"
from = "raw"
to = {{ topic = "processed", key = ["category"] }}

[[stage]]
name = "analyzer"
module = "modules/analyzer.wasm"
from = "processed"

[stage.to]
analysis = {{ topic = "analysis", key = ["id"] }}
alerts = {{ topic = "alerts", key = ["id"] }}

[[sink]]
from = "analysis"
table = "{TABLE}"

[tables.{TABLE}]
partition_key = ["category"]
clustering_key = ["id"]
"#
    );
    fs::write(folder.path("pipeline.toml"), text).expect("written");
    folder
}

const TO_THE_END: [&str; 2] = ["run", "--until-end"];

/// How many records have come to the last topic.
fn done(folder: &Folder) -> i64 {
    folder.so_far("analysis")
}

/// Every input is in the processed topic or a dead letter, once; and all is as in a run that nothing disturbed.
fn must_equal(found: &Folder, undisturbed: &Folder, records: u64) {
    let processed = found.values(PROCESSED);
    // No two generated records have the same time, so no two values are the same.
    let different: HashSet<&[u8]> = processed.iter().map(Vec::as_slice).collect();
    assert_eq!(different.len(), processed.len(), "records are doubled");
    let letters = found.letters(LETTERS).len();
    assert_eq!(processed.len() + letters, records as usize, "records are lost or doubled");
    for topic in [PROCESSED, "analysis", "alerts"] {
        assert!(found.values(topic) == undisturbed.values(topic), "topic {topic} differs");
    }
    similar_asserts::assert_eq!(found.table(TABLE), undisturbed.table(TABLE));
}

/// Stops a run in the middle by each of the signals, and goes on to the end.
#[test]
fn a_stop_in_the_middle_changes_no_number() {
    const RECORDS: u64 = 30_000;
    let undisturbed = folder(RECORDS, 20);
    undisturbed.host(&TO_THE_END).must_end(0);
    ["INT", "TERM"].into_iter().for_each(|signal| stop_in_the_middle(signal, RECORDS, &undisturbed));
}

fn stop_in_the_middle(signal: &str, records: u64, undisturbed: &Folder) {
    let stopped = folder(records, 20);
    // It would take 15 s to the end.
    let slowly = ["run", "--set", "feed.generated.generate.rate=2000"];
    let running = stopped.start(&slowly);
    until("the first records are through", LIMIT, || done(&stopped) > 500);
    running.signal(signal);
    running.end().must_end(0);
    let so_far = done(&stopped);
    assert!((500..records as i64).contains(&so_far), "{so_far} records: it was not stopped in the middle");
    stopped.host(&TO_THE_END).must_end(0);
    must_equal(&stopped, undisturbed, records);
}

/// The first signal waits for a call that never ends; the second one does not.
#[test]
fn a_second_signal_quits_at_once_and_loses_nothing() {
    for signal in ["INT", "TERM"] {
        let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
        let module = fs::read_to_string(top().join("tests/scenarios/endless.wat")).expect("the module");
        folder.module("endless", &module);
        let line = |quantity| {
            format!(
                r#"{{"id":"p","name":"n","category":"c","price":1,"quantity":{quantity},"updated":1,"in_stock":true}}"#
            )
        };
        fs::write(folder.path("feed.jsonl"), [line(1), line(13), line(1)].join("\n")).expect("written");
        let run = ["run", "--set", "stage.processor.module=modules/endless.wasm"];
        let limit = |limit| [&run[..], &["--set", limit]].concat();
        let mut running = folder.start(&limit("stage.processor.limits.time_ms=60000"));
        running.await_said("about to loop for ever");
        running.signal(signal);
        running.await_said("once more quits at once");
        assert!(running.is_running(), "it did not wait for the call");
        running.signal(signal);
        running.end().must_end(130);
        assert_eq!(folder.topic("in").lines().count(), 3);
        assert_eq!(folder.topic("out"), "", "the open step happened");

        folder.host(&[&limit("stage.processor.limits.time_ms=50")[..], &["--until-end"]].concat()).must_end(0);
        assert_eq!((folder.topic("out").lines().count(), folder.letters("case.dead-letters").len()), (2, 1));
    }
}

#[test]
fn kills_lose_nothing_and_double_nothing() {
    const RECORDS: u64 = 200_000;
    const KILLS: u64 = 8;
    /// So many must hit a host that is alive and at work; others may hit its start.
    const AT_WORK: u64 = 5;
    let undisturbed = folder(RECORDS, 5);
    undisturbed.host(&TO_THE_END).must_end(0);
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let killed = folder(RECORDS, 5);
    let mut at_work = 0;
    for _ in 0..KILLS {
        let before = done(&killed);
        let mut running = killed.start(&TO_THE_END);
        // Some kills hit the start of a host, most of them its work.
        let more = i64::from(random.next_u32() % (RECORDS / KILLS) as u32) - 2_000;
        until("the moment of the kill", LIMIT, || !running.is_running() || done(&killed) >= before + more);
        std::thread::sleep(Duration::from_micros(u64::from(random.next_u32() % 10_000)));
        let was_killed = running.kill().status.signal() == Some(SIGKILL);
        let now = done(&killed);
        // Its steps go on, and there is more to do.
        at_work += u64::from(was_killed && before < now && now < RECORDS as i64);
    }
    assert!(at_work >= AT_WORK, "only {at_work} of {KILLS} kills hit a host at work");
    killed.host(&TO_THE_END).must_end(0);
    must_equal(&killed, &undisturbed, RECORDS);
}
