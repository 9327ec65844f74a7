//! Modules that break, in every way there is: the one record that does it becomes a dead letter with its bytes and the
//! reason, all others go through, and nothing is lost.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use bespoke_boundary::wire::{write_bytes, write_long};
use bespoke_record::{Batch, BatchBuilder, v2};
use host::config::Pipeline;
use host::log::embedded::{EmbeddedLog, Options};
use host::log::{Commit, Created, Event, Log, LogError, Member, NewTopic, Session, TopicInfo};
use host::module::Sandbox;
use host::pipeline::{Location, Naming, Purpose, SchemaStore, TableStores, Until, build, prepare, run};
use host::schema::{Compatibility, FileRegistry, SchemaDir, framing};
use host::shutdown::Shutdown;

use crate::support::{Folder, LOG, Letter, top};

const LETTERS: &str = "case.dead-letters";
/// No fault: every record passes.
const NONE: &str = "(nop)";

/// What a module does wrong on one record: the name, the kind of its dead letter, the reason, and the code.
const FAULTS: [(&str, &str, &str, &str); 11] = [
    ("trap", "trap", "process: panicked or aborted", "unreachable"),
    ("divide", "trap", "process: wasm trap: integer divide by zero", "(drop (i32.div_u (local.get $i) (i32.const 0)))"),
    (
        "loop",
        "timeout",
        "process: took longer than 50 ms; raise `limits.time_ms` if it needs more",
        "(loop $ever (br $ever))",
    ),
    // For a year, within the host.
    (
        "sleep",
        "timeout",
        "process: took longer than 50 ms; raise `limits.time_ms` if it needs more",
        "(call $block (call $subscribe (i64.const 31536000000000000)))",
    ),
    (
        "hog",
        "memory",
        "process: the module wanted 17039360 bytes of memory, and its limit is 16777216; raise `limits.memory_mb` if it needs \
         them",
        "(loop $more (drop (memory.grow (i32.const 64))) (br $more))",
    ),
    (
        "few",
        "answer",
        "process: the module answered 0 for 1 records",
        "(global.set $answers (i32.sub (local.get $len) (i32.const 1)))",
    ),
    (
        "many",
        "answer",
        "process: the module answered 2 for 1 records",
        "(global.set $answers (i32.add (local.get $len) (i32.const 1)))",
    ),
    // 12 bytes each, so a list of 1 GiB.
    (
        "giant",
        "answer",
        "process: a pointer in the answer is outside of the module's memory or not aligned",
        "(global.set $answers (i32.const 89478485))",
    ),
    // 2 MiB, all of it there.
    (
        "large",
        "answer",
        "process: the answer is larger than the limit of 1048576 bytes; raise `limits.answer_mb` if it needs to be",
        "(drop (memory.grow (i32.const 32)))
         (i32.store (local.get $answer) (i32.const 1)) (i32.store offset=4 (local.get $answer) (i32.const 262144))
         (i32.store offset=8 (local.get $answer) (i32.const 2097152))",
    ),
    (
        "text",
        "answer",
        "process: a string in the answer is not UTF-8",
        "(i32.store (local.get $answer) (i32.const 1)) (i32.store offset=4 (local.get $answer) (i32.const 8))
         (i32.store offset=8 (local.get $answer) (i32.const 2)) (i32.store (i32.const 8) (i32.const 0xffff))",
    ),
    (
        "beyond",
        "answer",
        "process: a pointer in the answer is outside of the module's memory or not aligned",
        "(i32.store (local.get $answer) (i32.const 1)) (i32.store offset=4 (local.get $answer) (i32.const -8))
         (i32.store offset=8 (local.get $answer) (i32.const 0x40000000))",
    ),
];

const RUN: [&str; 8] = [
    "run",
    "--until-end",
    "--set",
    "stage.processor.module=modules/faulty.wasm",
    "--set",
    "stage.processor.limits.time_ms=50",
    "--set",
    "stage.processor.limits.memory_mb=16",
];

/// The exports of a module with state.
pub const STATE: &str = r#"
  (type $state (list u8))
  (func $snapshot (result $state) (canon lift (core func $running "snapshot") (memory (core memory $running "memory"))))
  (export "snapshot" (func $snapshot))
  (func $restore (param "state" $state) (result $answer)
    (canon lift (core func $running "restore") (memory (core memory $running "memory"))
      (realloc (core func $running "cabi_realloc"))))
  (export "restore" (func $restore))"#;

/// Puts a module in place that does `code` on a record of quantity 13.
fn module(folder: &Folder, code: &str, state: &str) {
    let text = fs::read_to_string(top().join("tests/scenarios/faulty.wat")).expect("the module");
    let text = text.replace("(then FAULT)", &format!("(then {code})")).replace(";; STATE", state);
    folder.module("faulty", &text);
}

fn record(n: usize, name: &str, quantity: u32) -> String {
    format!(
        r#"{{"id":"p-{n:04}","name":"{name}","category":"c","price":1,"quantity":{quantity},"updated":{n},"in_stock":true}}"#
    )
}

/// A folder whose feed has `records`, of which those in `bad` make the module fail.
fn folder(records: usize, bad: impl Fn(usize) -> bool) -> Folder {
    let folder = Folder::of(&top().join("tests/scenarios/empty-feed"));
    let mut feed = String::new();
    for n in 0..records {
        let _ = writeln!(feed, "{}", record(n, "n", if bad(n) { 13 } else { 1 }));
    }
    fs::write(folder.path("feed.jsonl"), feed).expect("written");
    folder
}

/// Where the stage goes on, and its state.
fn committed(folder: &Folder) -> (i64, Option<u32>) {
    let log = EmbeddedLog::open(folder.path(LOG), Options::default()).expect("a log");
    let member = Member { group: "case.processor".to_owned(), topic: Some("in".to_owned()), worker: 0, workers: 1 };
    let mut session = log.join(member).expect("a session");
    match session.poll(1, Duration::ZERO).expect("an event") {
        Event::Assigned { position, state, .. } => {
            (position, state.map(|bytes| u32::from_le_bytes(bytes[..].try_into().expect("four bytes"))))
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_record_that_breaks_a_module_is_one_dead_letter_and_all_others_pass() {
    const RECORDS: usize = 1500;
    const BAD: usize = 777;
    let run = [&RUN[..], &["--set", "stage.processor.limits.answer_mb=1"]].concat();
    for (name, kind, reason, code) in FAULTS {
        let folder = folder(RECORDS, |n| n == BAD);
        module(&folder, code, "");
        folder.host(&run).must_end(0);
        let letters = folder.letters(LETTERS);
        let [letter] = &letters[..] else { panic!("{name}: not one dead letter: {letters:#?}") };
        assert_eq!((&*letter.kind, &*letter.stage, &*letter.place), (kind, "processor", "in-0:777"), "{letter:?}");
        assert_eq!(letter.reason, reason, "{name}");
        assert_eq!(
            (letter.key.as_deref(), &letter.value),
            (Some(&b"p-0777"[..]), &Some(folder.values("in")[BAD].clone()))
        );
        let out = folder.topic("out");
        assert_eq!(out.lines().count(), RECORDS - 1, "{name}");
        assert!(!out.contains("p-0777") && out.contains("p-0776") && out.contains("p-0778"), "{name}");

        // With a module that does not break, it goes the way of the others.
        module(&folder, NONE, "");
        folder.host(&["dead-letters", "replay"]).must_end(0);
        folder.host(&run).must_end(0);
        let out = folder.topic("out");
        assert_eq!((out.lines().count(), out.matches("p-0777").count()), (RECORDS, 1), "{name}");
        assert_eq!(folder.letters(LETTERS).len(), 1, "{name}");
    }
}

#[test]
fn a_module_that_fails_on_everything_stops_its_stage_and_nothing_is_lost() {
    let folder = folder(5000, |_| true);
    module(&folder, "unreachable", "");
    for run in 1..=2 {
        let ended = folder.host(&RUN);
        ended.must_end(1);
        let told = "100 dead letters in a row, so the module is taken to be broken; the last one (trap): \
                    process: panicked or aborted";
        assert!(ended.stderr.contains(told), "{}", ended.stderr);
        // Each run commits its dead letters and goes on behind them.
        let letters = folder.letters(LETTERS);
        let places: Vec<_> = letters.iter().map(|letter| letter.place.clone()).collect();
        let expected: Vec<_> = (0..100 * run).map(|offset| format!("in-0:{offset}")).collect();
        assert_eq!((places, committed(&folder).0), (expected, 100 * run));
    }
    let given = folder.values("in");
    let kept: Vec<_> = folder.letters(LETTERS).into_iter().filter_map(|letter| letter.value).collect();
    assert!(kept[..] == given[..200], "dead letters are not the records as they were");
    assert_eq!(folder.topic("out"), "");

    module(&folder, NONE, "");
    folder.host(&["dead-letters", "replay"]).must_end(0);
    folder.host(&RUN).must_end(0);
    assert_eq!((folder.topic("out").lines().count(), folder.letters(LETTERS).len()), (5000, 200));
}

#[test]
fn a_stage_may_stop_at_a_bad_record_or_drop_it() {
    let folder = folder(1000, |n| n == 777);
    module(&folder, "unreachable", "");
    let run = |on_error: &str| {
        let on_error = format!("stage.processor.on_error={on_error}");
        folder.host(&[&RUN[..], &["--log-format", "json", "--set", &on_error]].concat())
    };
    let stopped = run("stop");
    stopped.must_end(1);
    assert!(stopped.stderr.contains("stopped at record in-0 offset 777 (trap)"), "{}", stopped.stderr);
    assert!(committed(&folder).0 <= 777 && !folder.topic("out").contains("p-0777"));
    let dropped = run("drop");
    dropped.must_end(0);
    let counted = dropped.stderr.lines().filter(|line| line.contains("stage processor")).any(|line| {
        let line: serde_json::Value = serde_json::from_str(line).expect("JSON");
        line["dropped"] == 1 && line["dead_letters"] == 0
    });
    assert!(counted, "{}", dropped.stderr);
    assert_eq!((folder.topic("out").lines().count(), folder.letters(LETTERS).len()), (999, 0));
}

#[test]
fn records_that_fail_between_others_do_not_stop_a_stage() {
    // Every second record is refused: many in one call, and never two in a row.
    let refuse = "(i32.store (local.get $answer) (i32.const 1)) (i32.store offset=4 (local.get $answer) (i32.const 0))
                  (i32.store offset=8 (local.get $answer) (i32.const 0))";
    let folder = folder(3000, |n| n % 2 == 1);
    module(&folder, refuse, "");
    folder.host(&RUN).must_end(0);
    assert_eq!((folder.topic("out").lines().count(), folder.letters(LETTERS).len()), (1500, 1500));
}

#[test]
fn a_module_with_state_counts_every_record_but_those_that_break_it() {
    const RECORDS: usize = 5000;
    let bad = [100, 101, 1500, 3000, 3001, 4999];
    let folder = folder(RECORDS, |n| bad.contains(&n));
    module(&folder, "unreachable", STATE);
    folder.host(&RUN).must_end(0);
    let places: Vec<_> = folder.letters(LETTERS).into_iter().map(|letter| letter.place).collect();
    assert_eq!(places, bad.map(|n| format!("in-0:{n}")));
    let passed = RECORDS - bad.len();
    assert_eq!(folder.topic("out").lines().count(), passed);
    assert_eq!(committed(&folder), (RECORDS as i64, Some(passed as u32)));
}

/// A log that cuts the first batch of each member shorter than later ones, as Kafka may when it hands out records again.
struct Recut(Arc<dyn Log>);

struct RecutSession {
    session: Box<dyn Session>,
    batches: u32,
}

impl Log for Recut {
    fn create_topic(&self, topic: &NewTopic) -> Result<Created, LogError> {
        self.0.create_topic(topic)
    }

    fn topics(&self) -> Result<Vec<TopicInfo>, LogError> {
        self.0.topics()
    }

    fn topic(&self, name: &str) -> Result<Option<TopicInfo>, LogError> {
        self.0.topic(name)
    }

    fn committed(&self, group: &str, topic: &str) -> Result<Vec<(u32, i64)>, LogError> {
        self.0.committed(group, topic)
    }

    fn read(&self, topic: &str, partition: u32, offset: i64, max_records: usize) -> Result<Batch, LogError> {
        self.0.read(topic, partition, offset, max_records)
    }

    fn join(&self, member: Member) -> Result<Box<dyn Session>, LogError> {
        Ok(Box::new(RecutSession { session: self.0.join(member)?, batches: 0 }))
    }
}

impl Session for RecutSession {
    fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Event, LogError> {
        let event = self.session.poll(if self.batches == 0 { 1000 } else { max_records }, timeout)?;
        self.batches += u32::from(matches!(event, Event::Records { .. }));
        Ok(event)
    }

    fn append(&mut self, topic: &str, records: &Batch) -> Result<(), LogError> {
        self.session.append(topic, records)
    }

    fn divert(&mut self, topic: &str, letters: &Batch) -> Result<(), LogError> {
        self.session.divert(topic, letters)
    }

    fn commit(&mut self, commit: Commit<'_>) -> Result<(), LogError> {
        self.session.commit(commit)
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.session.abort()
    }

    fn attend(&mut self) -> Result<bool, LogError> {
        self.session.attend()
    }

    fn max_record_bytes(&self, topic: &str) -> usize {
        self.session.max_record_bytes(topic)
    }
}

/// The search for the first bad record ends in the middle of a batch that has the others: what fails there must not undo
/// what was found.
#[test]
fn a_module_with_state_finds_every_bad_record_however_batches_are_cut() {
    const RECORDS: usize = 5000;
    let bad = [500, 3000, 4000];
    let folder = folder(RECORDS, |n| bad.contains(&n));
    module(&folder, "unreachable", STATE);
    folder.host(&["feed", "feed.jsonl", "--to", "in"]).must_end(0);

    let overrides = [
        format!("stage.processor.module={}", folder.path("modules/faulty.wasm").display()),
        format!("stage.processor.batch_records={RECORDS}"),
    ];
    let config = Pipeline::load(&folder.path("pipeline.toml"), &overrides).expect("a pipeline");
    let dir = SchemaDir::read(&config.schemas.dir).expect("schemas");
    let registry = FileRegistry::open(&folder.path("log.schemas.json"), Compatibility::Backward).expect("a registry");
    let schemas = SchemaStore::new(Arc::new(registry), Naming::default(), Purpose::Run(Shutdown::new()));
    let sandbox = Sandbox::new(None).expect("an engine");
    let mut built = build(&config, &sandbox, &dir, Arc::new(schemas), &TableStores::to_run(&config, &Shutdown::new()))
        .expect("a pipeline");
    built.feeds.clear();
    let open = Location::of(&config).open(&Shutdown::new()).expect("a log");
    prepare(&built, &config, &open).expect("topics");
    let log = Arc::new(Recut(open.log())) as Arc<dyn Log>;
    let ended = run(built, &log, config.log.commit_interval, Until::Drained, &Shutdown::new(), |_| {}).expect("a run");
    assert!(ended.failed.is_empty(), "{ended:?}");
    drop((log, open));

    let places: Vec<_> = folder.letters(LETTERS).into_iter().map(|letter| letter.place).collect();
    assert_eq!(places, bad.map(|n| format!("in-0:{n}")));
    let passed = RECORDS - bad.len();
    assert_eq!(folder.topic("out").lines().count(), passed);
    assert_eq!(committed(&folder), (RECORDS as i64, Some(passed as u32)));
}

#[test]
fn a_module_with_state_that_fails_on_everything_from_a_record_on_keeps_what_it_knew() {
    let folder = folder(5000, |n| n >= 1000);
    module(&folder, "unreachable", STATE);
    folder.host(&RUN).must_end(1);
    assert_eq!(folder.letters(LETTERS).len(), 100);
    assert_eq!(committed(&folder), (1100, Some(1000)));
    assert_eq!(folder.topic("out").lines().count(), 1000);
}

/// A record of the largest size that the log takes, to the byte, so that there is no room for what a dead letter tells.
fn largest(quantity: i64) -> Batch {
    let limit = Options::default().max_record_bytes;
    let of_name = |bytes: usize| {
        let mut value = framing::prefix(1).to_vec();
        write_bytes(&mut value, b"p-0");
        write_bytes(&mut value, &vec![b'x'; bytes]);
        write_bytes(&mut value, b"c");
        value.extend_from_slice(&1f64.to_le_bytes());
        write_long(&mut value, quantity);
        write_long(&mut value, 0);
        value.extend_from_slice(&[1, 0]);
        let mut batch = BatchBuilder::new();
        batch.push(Some(b"p-0"), Some(&value), [("trace", Some(&b"7"[..]))], 42).expect("room");
        batch.finish()
    };
    let around = v2::record_bytes(&of_name(limit), 0) as usize - limit;
    let batch = of_name(limit - around);
    assert_eq!(v2::record_bytes(&batch, 0) as usize, limit);
    batch
}

#[test]
fn a_record_as_large_as_the_log_takes_passes_or_has_a_dead_letter() {
    let folder = folder(1, |_| false);
    module(&folder, "unreachable", "");
    folder.host(&RUN).must_end(0);
    folder.append("in", &largest(13));
    folder.append("in", &largest(1));
    folder.host(&RUN).must_end(0);
    let letters = folder.letters(LETTERS);
    assert_eq!(letters.len(), 1, "{letters:?}");
    assert_eq!(letters[0].line(), "trap | processor | in-0:1 | process: panicked or aborted");
    folder.must_keep_originals(LETTERS);
    assert_eq!(folder.values("out").len(), 2);

    module(&folder, NONE, "");
    folder.host(&["dead-letters", "replay"]).must_end(0);
    folder.host(&RUN).must_end(0);
    assert_eq!(folder.values("out").len(), 3);
    assert!(folder.values("out")[2] == folder.values("in")[1], "the record has changed");
}

#[test]
fn an_answer_of_a_gib_is_refused_before_it_is_read() {
    // All of it is there, as an error text.
    let giant = "(drop (memory.grow (i32.const 16384)))
         (i32.store (local.get $answer) (i32.const 1)) (i32.store offset=4 (local.get $answer) (i32.const 262144))
         (i32.store offset=8 (local.get $answer) (i32.const 1073741824))";
    let folder = folder(100, |n| n == 77);
    module(&folder, giant, "");
    folder.host(&[&RUN[..], &["--set", "stage.processor.limits.memory_mb=2048"]].concat()).must_end(0);
    let letters: Vec<_> = folder.letters(LETTERS).iter().map(Letter::line).collect();
    let reason =
        "process: the answer is larger than the limit of 67108864 bytes; raise `limits.answer_mb` if it needs to be";
    assert_eq!(letters, [format!("answer | processor | in-0:77 | {reason}")]);
    folder.must_keep_originals(LETTERS);
    assert_eq!(folder.topic("out").lines().count(), 99);
}
