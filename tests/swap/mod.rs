//! Modules are swapped while the stream flows, judged by what is in the topics and in the ledger.
//!
//! Records are numbered (`updated` of the load generator). A module answers each with its version and with the count that
//! it keeps as its state, so that one record that is lost, doubled, out of order, handled by two versions or with another
//! state than it should shows.

mod broken;
mod budgets;
mod kafka;
mod kept;
mod kills;
mod load;
pub mod stand;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use bespoke_boundary::Schema;
use host::format::json::{JsonStyle, write_json};
use host::log::Log;
use host::log::embedded::EmbeddedLog;
use host::schema::{Compatibility, FileRegistry, Registry as _, framing};
use host::swap::{Cause, Entry, Event, Ledger};

use crate::support::{Folder, LOG, Running, top, until};

/// The stage and its topics.
pub const STAGE: &str = "numbers";
const PIPELINE: &str = "swap";
pub const MODULE: &str = "modules/numbers.wasm";

/// A module of a version, with faults.
#[derive(Clone, Debug)]
pub struct Version {
    pub number: u32,
    pub per_record: String,
    pub on_snapshot: String,
    pub on_restore: String,
    pub field: &'static str,
    pub ty: &'static str,
    pub is_stateful: bool,
}

/// Rejects a record, which then does not count.
pub const REJECT: &str = "(global.set $count (i64.sub (global.get $count) (i64.const 1)))
    (i32.store8 (local.get $answer) (i32.const 1))
    (i32.store offset=8 (local.get $answer) (i32.const 96))
    (i32.store offset=12 (local.get $answer) (i32.const 2))";

/// What is in the topics.
pub struct Outcome {
    /// By number: the partition, the place in it from 0, and the offset.
    pub given: BTreeMap<i64, (u32, i64, i64)>,
    /// A number that was fed more than once, as at-least-once may after a kill.
    pub fed_twice: Option<i64>,
    /// By partition of the output, in order: number, version, count.
    pub made: Vec<(i64, i64, i64)>,
    pub ledger: Ledger,
}

// === impl Version ===

impl Version {
    pub fn of(number: u32) -> Self {
        let none = String::new;
        let [per_record, on_snapshot, on_restore] = [none(), none(), none()];
        Self { number, per_record, on_snapshot, on_restore, field: "updated", ty: "s32", is_stateful: true }
    }

    /// With code that runs for each record.
    pub fn doing(number: u32, code: &str) -> Self {
        Self { per_record: code.to_owned(), ..Self::of(number) }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let text = fs::read_to_string(top().join("tests/swap/numbers.wat")).expect("the module");
        // The words stand in the comment too, where code does no harm on one line.
        let (_, text) = text.split_once("(component").expect("a component");
        let text = format!("(component{text}")
            .replace("VERSION", &self.number.to_string())
            .replace("PER_RECORD", &self.per_record)
            .replace("ON_SNAPSHOT", &self.on_snapshot)
            .replace("ON_RESTORE", &self.on_restore)
            .replace("FIELD", self.field)
            .replace("TYPE", self.ty);
        let of_state = ["(export \"snapshot\" (func $snapshot))", "(export \"restore\" (func $restore))"];
        let text = of_state.iter().fold(text, |text, export| match self.is_stateful {
            true => text,
            false => text.replace(export, ""),
        });
        wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"))
    }

    pub fn digest(&self) -> String {
        host::module::digest_of(&self.bytes())
    }

    /// As much of it as is told.
    pub fn short(&self) -> String {
        self.digest()[..12].to_owned()
    }
}

/// A pipeline of one stage, with a generated feed of so many records a second, and keys of the stage.
pub fn folder(rate: u64, keys: &str) -> Folder {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    let text = format!(
        r#"
name = "{PIPELINE}"

[log]
path = "{LOG}"
sync = "normal"
commit_interval_ms = 20

[schemas]
dir = "schemas"
ids = "log.schemas.json"

[topics]
"in" = {{ schema = "product", partitions = 4 }}

[[feed]]
name = "generated"
topic = "in"
key = ["id"]
generate = {{ rate = {rate}, start_ms = 0, interval_ms = 1 }}

[[stage]]
name = "{STAGE}"
module = "{MODULE}"
from = "in"
to = "out"
workers = 2
batch_records = 100
{keys}
"#
    );
    fs::write(folder.path("pipeline.toml"), text).expect("written");
    put(&folder, &Version::of(1).bytes());
    folder
}

/// Replaces the module's file by another one.
pub fn put(folder: &Folder, bytes: &[u8]) {
    put_at(folder, MODULE, bytes);
}

/// The same with a file that is named.
pub fn put_at(folder: &Folder, file: &str, bytes: &[u8]) {
    let new = folder.path("modules/new");
    fs::write(&new, bytes).expect("written");
    fs::rename(&new, folder.path(file)).expect("renamed");
}

/// How long it took from one thing that was said to the next one after it, by the clock of whoever said it.
#[track_caller]
pub fn time_between(said: &str, first: &str, second: &str) -> Duration {
    let mut lines = said.lines();
    let mut when = |text: &str| {
        let line = lines.find(|line| line.contains(text)).unwrap_or_else(|| panic!("no `{text}` in\n{said}"));
        let time = line.split_whitespace().next().expect("a time");
        time.parse::<jiff::Timestamp>().unwrap_or_else(|error| panic!("{line}: {error}"))
    };
    let (begin, end) = (when(first), when(second));
    end.duration_since(begin).unsigned_abs()
}

/// Waits until a version is live.
pub fn swapped(running: &mut Running, version: &Version) {
    running.await_said(&format!("swapped stage=\"{STAGE}\" module=\"{}\"", version.short()));
}

/// Stops the feed and the host, and lets what was fed come through, with the module that is there.
pub fn finish(folder: &Folder, running: Running) -> Outcome {
    finish_saying(folder, running).0
}

/// The same, with all that the host said.
pub fn finish_saying(folder: &Folder, running: Running) -> (Outcome, String) {
    running.interrupt();
    let ended = running.end();
    ended.must_end(0);
    let file = fs::read_to_string(folder.path("pipeline.toml")).expect("the pipeline");
    let (before, feed) = file.split_once("[[feed]]").expect("a feed");
    let (_, stage) = feed.split_once("[[stage]]").expect("a stage");
    fs::write(folder.path("pipeline.toml"), format!("{before}[[stage]]{stage}")).expect("written");
    folder.host(&["run", "--until-end"]).must_end(0);
    (Outcome::of(folder), ended.stderr)
}

/// The folder in which modules are kept.
pub fn kept(folder: &Folder) -> PathBuf {
    folder.path(LOG).with_extension("modules")
}

// === impl Outcome ===

impl Outcome {
    pub fn of(folder: &Folder) -> Self {
        let log = EmbeddedLog::open_read_only(folder.path(LOG)).expect("a log");
        let registry = FileRegistry::open(&folder.path("log.schemas.json"), Compatibility::default()).expect("ids");
        Self::read(&log, &|id| registry.by_id(id).expect("readable").expect("known"), ["in", "out"], PIPELINE)
    }

    pub fn read(
        log: &dyn Log,
        schema: &dyn Fn(framing::SchemaId) -> String,
        [from, to]: [&str; 2],
        pipeline: &str,
    ) -> Self {
        let (mut given, mut fed_twice) = (BTreeMap::new(), None);
        each(log, schema, from, |partition, place, offset, value| {
            let number = value["updated"].as_i64().expect("a number");
            if given.insert(number, (partition, place, offset)).is_some() {
                fed_twice = Some(number);
            }
        });
        let mut made = Vec::new();
        each(log, schema, to, |_, _, _, value| {
            let number = |name: &str| value[name].as_i64().expect("a number");
            made.push((number("updated"), number("version"), number("count")));
        });
        let ledger = Ledger::read(log, &Ledger::topic(pipeline)).expect("readable");
        Self { given, fed_twice, made, ledger }
    }

    /// As if some numbers had never been.
    pub fn without(mut self, is_meant: impl Fn(i64) -> bool) -> Self {
        self.given.retain(|number, _| !is_meant(*number));
        let mut in_order: Vec<_> = self.given.values_mut().collect();
        in_order.sort_unstable();
        let mut next: BTreeMap<u32, i64> = BTreeMap::new();
        for (partition, place, _) in in_order {
            let next = next.entry(*partition).or_default();
            *place = *next;
            *next += 1;
        }
        self
    }

    /// Each number once, in order per partition of the input, with the state that it should have, by the one version that
    /// the ledger names. How many records each version made.
    #[track_caller]
    pub fn must_be_exact(&self, versions: &[Version]) -> BTreeMap<i64, usize> {
        assert_eq!(self.fed_twice, None, "fed twice");
        assert_eq!(self.made.len(), self.given.len(), "records are lost or doubled");
        let digests: BTreeMap<i64, String> = versions.iter().map(|v| (i64::from(v.number), v.digest())).collect();
        let mut last: BTreeMap<u32, i64> = BTreeMap::new();
        let mut by_version = BTreeMap::new();
        for (number, version, count) in &self.made {
            let (partition, place, offset) = self.given[number];
            let before = last.insert(partition, place).unwrap_or(-1);
            assert_eq!(before + 1, place, "partition {partition}: {number} is out of order, lost or doubled");
            let is_stateful = versions.iter().all(|version| version.is_stateful);
            assert!(*count == place + 1 || !is_stateful, "partition {partition}: {number} was made with another state");
            let who = self.ledger.who(STAGE, partition, offset).expect("somebody had it");
            assert_eq!(who.module, digests[version], "partition {partition}, offset {offset}: the ledger is wrong");
            *by_version.entry(*version).or_insert(0) += 1;
        }
        by_version
    }

    /// Each number at least once.
    #[track_caller]
    pub fn must_have_all(&self) {
        let numbers: BTreeSet<i64> = self.made.iter().map(|(number, ..)| *number).collect();
        assert!(numbers.iter().eq(self.given.keys()), "records are lost");
    }

    /// No version comes after a later one, in any partition.
    #[track_caller]
    pub fn must_only_grow(&self) {
        let mut last: BTreeMap<u32, i64> = BTreeMap::new();
        for (number, version, _) in &self.made {
            let partition = self.given[number].0;
            let earlier = last.insert(partition, *version).unwrap_or(0);
            assert!(earlier <= *version, "partition {partition}: {number} by {version} after {earlier}");
        }
    }

    /// How often a file became live while records came, by partition.
    pub fn swaps(&self) -> usize {
        let is_swap = |entry: &&Entry| entry.event == Event::Live && entry.cause == Cause::File;
        self.ledger.of_stage(STAGE).filter(is_swap).map(|entry| entry.fences.len()).sum()
    }

    /// What happened to a module, in order.
    pub fn events(&self, version: &Version) -> Vec<Event> {
        let digest = version.digest();
        let mut events: Vec<_> =
            self.ledger.of_stage(STAGE).filter(|entry| entry.module == digest).map(|entry| entry.event).collect();
        events.dedup();
        events
    }

    /// By partition the offsets from which a module has it.
    pub fn fences(&self, version: &Version) -> BTreeMap<u32, Vec<i64>> {
        fences(&self.ledger, version)
    }
}

fn fences(ledger: &Ledger, version: &Version) -> BTreeMap<u32, Vec<i64>> {
    let digest = version.digest();
    let mut fences: BTreeMap<u32, Vec<i64>> = BTreeMap::new();
    let live = ledger.of_stage(STAGE).filter(|entry| entry.module == digest && entry.event == Event::Live);
    for (partition, offset) in live.flat_map(|entry| &entry.fences) {
        fences.entry(*partition).or_default().push(*offset);
    }
    fences
}

/// Whether a version has some partition.
pub fn has_some(log: &dyn Log, pipeline: &str, version: &Version) -> bool {
    let ledger = Ledger::read(log, &Ledger::topic(pipeline)).expect("readable");
    !fences(&ledger, version).is_empty()
}

/// Whether a version has all four partitions. A worker that comes late may leave one out, and go on with the one after it.
pub fn has_all(log: &dyn Log, pipeline: &str, version: &Version) -> bool {
    let ledger = Ledger::read(log, &Ledger::topic(pipeline)).expect("readable");
    fences(&ledger, version).len() == 4
}

/// Hands every record of a topic to `look`: partition, place in it, offset, value.
fn each(
    log: &dyn Log,
    schema: &dyn Fn(framing::SchemaId) -> String,
    topic: &str,
    mut look: impl FnMut(u32, i64, i64, serde_json::Value),
) {
    let mut known: BTreeMap<String, Schema> = BTreeMap::new();
    for partition in log.topic(topic).expect("readable").expect("the topic").partitions {
        let (mut at, mut place) = (partition.start, 0);
        loop {
            let batch = log.read(topic, partition.partition, at, 10_000).expect("readable");
            let Some(next) = batch.next_offset() else { break };
            for record in batch.iter() {
                let (id, datum) = framing::split(record.value().expect("a value")).expect("framed");
                let schema =
                    known.entry(id.to_string()).or_insert_with(|| Schema::parse(&schema(id)).expect("a schema"));
                let mut line = Vec::new();
                write_json(schema, datum, JsonStyle::Plain, &mut line).expect("a datum");
                look(partition.partition, place, record.offset(), serde_json::from_slice(&line).expect("JSON"));
                place += 1;
            }
            at = next;
        }
    }
}

/// How many records were fed so far.
pub fn fed(folder: &Folder) -> i64 {
    let log = EmbeddedLog::open_read_only(folder.path(LOG)).expect("a log");
    let topic = log.topic("in").expect("readable").expect("the topic");
    topic.partitions.iter().map(|partition| partition.end).sum()
}

/// Waits until more records have come through.
pub fn flows(folder: &Folder, running: &mut Running, more: i64) {
    let goal = folder.so_far("out") + more;
    until("records come through", crate::support::LIMIT, || {
        assert!(running.is_running(), "the host has ended:\n{}", running.said());
        folder.so_far("out") >= goal
    });
}
