//! `host test --capture` from a topic of brokers: the newest records that are there for everybody, as they are.

use std::fs;

use bespoke_record::BatchBuilder;
use host::log::kafka::Guarantee;
use host::log::{Commit, Log as _};

use crate::contract::kafka::{brokers, open, prefix};
use crate::contract::records::{member, producer};
use crate::support::{Folder, services, top};

const RECORDS: usize = 40;

fn read(folder: &Folder, file: &str) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(folder.path("cases").join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_case_is_captured_from_brokers() {
    let (folder, prefix) = (Folder::of(&top().join("tests/scenarios/empty-feed")), prefix());
    let (from, to) = (format!("{prefix}raw"), format!("{prefix}processed"));
    let pipeline = format!(
        r#"
name = "{prefix}pipeline"
create_topics = true
[log]
kind = "kafka"
bootstrap = "{brokers}"
guarantee = "exactly-once"
commit_interval_ms = 20
[schemas]
dir = "schemas"
registry = "{registry}"
register = true
[topics]
"{from}" = {{ schema = "product", partitions = 3 }}
[[feed]]
name = "generated"
topic = "{from}"
key = ["id"]
generate = {{ count = {RECORDS}, rate = 200, invalid = 0.0, start_ms = 1700000000000, interval_ms = 1000 }}
[[stage]]
name = "processor"
module = "modules/processor.wasm"
from = "{from}"
to = "{to}"
"#,
        brokers = brokers(),
        registry = services::registry().address(),
    );
    fs::write(folder.path("pipeline.toml"), pipeline).unwrap();
    folder.host(&["run", "--until-end"]).must_end(0);

    // Behind the records of many steps, each with the mark of its transaction after it: some that are no records of the schema,
    // a tombstone, and a step that never happened.
    let log = open(brokers(), Guarantee::ExactlyOnce, &[]);
    let appended = |values: &[Option<&[u8]>]| {
        let mut batch = BatchBuilder::new();
        for value in values {
            batch.push(Some(b"\xff\x00"), *value, [("h", Some(&b"\xfe"[..]))], 1_800_000_000_000).unwrap();
        }
        batch.finish()
    };
    let mut session = producer(&log);
    session.append(&from, &appended(&[Some(b"junk"), None])).unwrap();
    session.commit(Commit::default()).unwrap();
    drop(session);
    let mut session = log.join(member(&format!("{prefix}aborted"), None)).unwrap();
    session.append(&from, &appended(&[None, None, None])).unwrap();
    session.abort().unwrap();

    let place = ["--brokers", brokers(), "--registry", services::registry().address()];
    let run = ["test", "modules/processor.wasm", "--cases", "cases"];
    let capture = |name: &str, more: &[&str]| {
        let ended = folder.host(&[&run[..], &["--capture", &from, "--case", name, "--bless"], more].concat());
        ended.must_end(0);
        ended
    };
    // By the pipeline of the folder, and by the addresses alone: the same.
    let told = capture("by-pipeline", &["--last", "12"]);
    assert!(told.stdout.starts_with(&format!("11 records of {from} are in cases/by-pipeline\n")), "{}", told.stdout);
    assert!(told.stderr.contains("left out, as no module would see it"), "{}", told.stderr);
    capture("by-brokers", &[&["--last", "12"], &place[..]].concat());
    for file in ["input.jsonl", "meta.jsonl", "expected.jsonl", "schema.avsc", "case.toml"] {
        let bytes = |case: &str| fs::read(folder.path("cases").join(case).join(file)).unwrap();
        assert!(bytes("by-pipeline") == bytes("by-brokers"), "{file}");
    }

    // The newest last, with what came along.
    let (input, meta) = (read(&folder, "by-pipeline/input.jsonl"), read(&folder, "by-pipeline/meta.jsonl"));
    assert_eq!((input.len(), meta.len()), (11, 11));
    assert!(input[10].is_null(), "the tombstone is the newest: {input:?}");
    assert_eq!(meta[10]["headers"], serde_json::json!([["h", {"base64": "/g=="}]]));
    assert_eq!(meta[10]["key"], serde_json::json!({"base64": "/wA="}));
    let times: Vec<_> = meta.iter().map(|meta| meta["timestamp"].as_str().unwrap()).collect();
    assert!(times.is_sorted() && times[10].starts_with("2027-01-15T08:00:00"), "{times:?}");
    let partitions: std::collections::BTreeSet<_> =
        meta.iter().map(|meta| meta["partition"].as_u64().unwrap()).collect();
    assert!(partitions.len() > 1, "{meta:?}");

    // What the case expects is what the stage has made of the same records.
    capture("all", &["--last", "1000"]);
    folder.host(&run).must_end(0);
    assert_eq!(read(&folder, "all/input.jsonl").iter().filter(|value| !value.is_null()).count(), RECORDS);
    let made = folder.host(&["topics", "read", &to, "--until-end"]);
    let sorted = |text: &str| {
        let mut lines: Vec<_> = text.lines().filter(|line| *line != "null").map(str::to_owned).collect();
        lines.sort();
        lines
    };
    let expected = fs::read_to_string(folder.path("cases/all/expected.jsonl")).unwrap();
    assert_eq!(sorted(&expected), sorted(&made.must_end(0).stdout));

    // One partition alone; and what is missing is told.
    capture("one", &["--last", "5", "--partition", "1"]);
    assert!(read(&folder, "one/meta.jsonl").iter().all(|meta| meta["partition"] == 1));
    let refused = |more: &[&str], why: &str| {
        let ended = folder.host(&[&run[..], &["--capture"], more].concat());
        assert!(ended.code() != Some(0) && ended.stderr.contains(why), "{}", ended.stderr);
    };
    refused(&["nowhere"], "there is no topic `nowhere`");
    refused(&[&from, "--brokers", brokers()], "the registry with `--registry URL`");
    refused(&[&from, "--partition", "7"], "they are 0 to 2");
}
