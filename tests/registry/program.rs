//! The program and a registry: what `check` says, what `run` registers, and what it does while nobody answers.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use host::schema::Registry as _;
use serde_json::{Value, json};

use super::real;
use crate::support::front::{Front, Reply};
use crate::support::{Folder, LIMIT, services, top, until};

pub const RUN: [&str; 2] = ["run", "--until-end"];

/// Some products.
pub fn products() -> Vec<Value> {
    let product = |number: i64| {
        json!({
            "id": format!("sku-{number}"), "name": "Smart Box", "category": "shoes", "price": 119.5, "quantity": number,
            "updated": 1_767_225_600_000_i64 + number, "in_stock": true, "rating": null
        })
    };
    (1..=3).map(product).collect()
}

/// A folder with a pipeline called `name` and a registry at `url`: a feed of products into the topic `NAME.raw`, from there
/// through the processor into `NAME.out`. `more` are keys of `[schemas]`.
pub fn pipeline(name: &str, url: &str, more: &str) -> Folder {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    let text = format!(
        r#"
name = "{name}"

[log]
path = "log.db"

[schemas]
dir = "schemas"
registry = "{url}"
{more}

[topics]
"{name}.raw" = {{ schema = "product" }}

[[feed]]
topic = "{name}.raw"
file = "feed.jsonl"
key = ["id"]

[[stage]]
name = "processor"
module = "modules/processor.wasm"
from = "{name}.raw"
to = "{name}.out"
"#
    );
    fs::write(folder.path("pipeline.toml"), text).expect("written");
    let lines: String = products().iter().map(|product| format!("{product}\n")).collect();
    fs::write(folder.path("feed.jsonl"), lines).expect("written");
    folder
}

fn registry() -> &'static str {
    services::registry().address()
}

#[test]
fn a_check_registers_nothing_and_says_what_is_missing() {
    let folder = pipeline("checked-only", registry(), "");
    let check = folder.host(&["check"]);
    let check = check.must_end(64);
    assert!(
        check.stderr.contains("subject `checked-only.raw-value` of the registry has no schemas"),
        "{}",
        check.stderr
    );
    assert!(check.stderr.contains("register = true"), "{}", check.stderr);
    folder.host(&RUN).must_end(64);
    let allowed = folder.host(&["check", "--set", "schemas.register=true"]);
    assert!(allowed.must_end(0).stdout.contains("checked-only.raw (record"), "{}", allowed.stdout);
    for topic in ["raw", "out"] {
        assert_eq!(real().latest(&format!("checked-only.{topic}-value")).expect("an answer"), None);
    }
    folder.host(&["run", "--until-end", "--set", "schemas.register=true"]).must_end(0);
    // From now on all is there, and nobody needs leave any more.
    folder.host(&RUN).must_end(0);
    let known = real().latest("checked-only.raw-value").expect("an answer").expect("registered").0;
    let check = folder.host(&["check"]);
    let says = format!("checked-only.raw (schema {})", known.id);
    assert!(check.must_end(0).stdout.contains(&says), "{}", check.stdout);
}

#[test]
fn an_incompatible_schema_is_found_before_anything_runs() {
    let registered =
        r#"{"type":"record","name":"Product","namespace":"bespoke.avro","fields":[{"name":"id","type":"long"}]}"#;
    real().register("incompatible.raw-value", registered).expect("registered");
    let folder = pipeline("incompatible", registry(), "register = true");
    for command in [&["check"][..], &RUN] {
        let ended = folder.host(command);
        let told = &ended.must_end(64).stderr;
        assert!(
            told.contains("does not take the schema as a new version of subject `incompatible.raw-value`"),
            "{told}"
        );
    }
    assert_eq!(folder.so_far("incompatible.raw"), 0);
}

#[test]
fn a_topic_that_is_only_read_needs_no_id_and_must_be_readable() {
    let folder = pipeline("only-read", registry(), "register = true");
    folder.host(&RUN).must_end(0);
    // Another pipeline reads what this one wrote, by the newest schema or by one of its own.
    let text = fs::read_to_string(folder.path("pipeline.toml")).expect("text");
    let (head, stage) =
        (text.split("[topics]").next().expect("a head"), text.split("[[stage]]").nth(1).expect("a stage"));
    let stage = stage.replace("processor\"\n", "reader\"\n").replace("only-read.out", "only-read.again");
    let reader = |topic: &str| {
        let text = format!("{head}\n[topics]\n\"only-read.raw\" = {topic}\n[[stage]]{stage}");
        fs::write(folder.path("reader.toml"), text).expect("written");
        folder.host(&["run", "--until-end", "reader.toml"])
    };
    reader("{}").must_end(0);
    assert_eq!(folder.so_far("only-read.again"), 3);
    fs::remove_file(folder.path("schemas")).expect("a link");
    fs::create_dir(folder.path("schemas")).expect("a folder");
    let product = fs::read_to_string(top().join("schemas/product.avsc")).expect("text");
    let own = product.replace(r#""name": "quantity", "type": "int""#, r#""name": "quantity", "type": "string""#);
    assert_ne!(own, product);
    fs::write(folder.path("schemas/own.avsc"), own).expect("written");
    let ended = reader("{ schema = \"own\" }");
    let told = &ended.must_end(64).stderr;
    assert!(told.contains("cannot be read with the topic's schema") && told.contains("quantity"), "{told}");
}

#[test]
fn a_registry_that_is_down_at_start_is_waited_for() {
    let own = services::own_registry();
    let folder = pipeline("waits", own.address(), "register = true");
    own.kill(1);
    // Who checks is told at once.
    let check = folder.host(&["check"]);
    assert!(check.must_end(1).stderr.contains("the schema registry cannot be used"), "{}", check.stderr);
    let mut running = folder.start(&RUN);
    running.wait_for("waiting for the schema registry");
    assert!(running.is_running());
    own.start_again(1);
    running.end().must_end(0);
    assert_eq!(folder.so_far("waits.out"), 3);
}

#[test]
fn who_waits_for_a_registry_can_be_stopped() {
    let folder = pipeline("stopped", "http://127.0.0.1:1", "");
    let running = folder.start(&RUN);
    running.wait_for("waiting for the schema registry");
    running.interrupt();
    running.end().must_end(1);
}

/// The registry fails after the start: known schemas go on, and a record of a new one waits for it, with all behind it.
#[test]
fn a_registry_that_fails_later_holds_up_only_who_needs_it() {
    let works = Arc::new(AtomicBool::new(true));
    let flag = works.clone();
    let front = Front::start(move |asked| {
        let is_by_id = asked.path.starts_with("/schemas/ids/");
        if is_by_id && !flag.load(Ordering::Relaxed) { Reply::Answer(503, String::new()) } else { Reply::Pass }
    });
    let folder = pipeline("later", &front.url(), "register = true");
    folder.host(&RUN).must_end(0);
    // Records that others wrote with a newer schema are behind the first three.
    let mut schema: Value =
        serde_json::from_str(&fs::read_to_string(top().join("schemas/product.avsc")).expect("text")).expect("JSON");
    schema["fields"].as_array_mut().expect("a list").push(json!({"name": "more", "type": "int", "default": 0}));
    let newer = real().register("later.raw-value", &schema.to_string()).expect("registered");
    let mut old = Vec::new();
    folder.each("later.raw", |_, record| old.push(record.value().expect("a value").to_vec()));
    let mut batch = bespoke_record::BatchBuilder::new();
    for value in &old {
        let value = [&host::schema::framing::prefix(newer.id)[..], &value[5..], &[0]].concat();
        batch.push(Some(b"new"), Some(&value), [], 0).expect("room");
        batch.push(Some(b"unknown"), Some(&host::schema::framing::prefix(4_000_000)), [], 0).expect("room");
    }
    folder.append("later.raw", &batch.finish());
    works.store(false, Ordering::Relaxed);
    let running = folder.start(&["run"]);
    running.wait_for("waiting for the schema of a record");
    // Not the fault of any record.
    assert!(folder.letters("later.dead-letters").is_empty());
    assert_eq!(folder.so_far("later.out"), 3);
    works.store(true, Ordering::Relaxed);
    until("later.out has all", LIMIT, || folder.so_far("later.out") == 6);
    until("what nobody knows is a dead letter", LIMIT, || folder.so_far("later.dead-letters") == 3);
    running.interrupt();
    running.end().must_end(0);
    let reasons: Vec<_> = folder.letters("later.dead-letters").into_iter().map(|letter| letter.kind).collect();
    assert_eq!(reasons, ["schema", "schema", "schema"]);
}
