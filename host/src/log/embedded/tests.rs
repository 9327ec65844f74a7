//! What only this log promises: what happens on a full disk, in files that are not as they were written, to sessions
//! that take over from each other. What every log promises is checked by the contract suite.

use std::time::Duration;

use bespoke_record::BatchBuilder;
use bytes::Bytes;
use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::log::{Event, Retention};

const WAIT: Duration = Duration::from_secs(20);

struct Case {
    folder: TempDir,
}

impl Case {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a folder") }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("log.db")
    }

    fn open(&self, options: Options) -> EmbeddedLog {
        EmbeddedLog::open(self.path(), options).expect("a log")
    }

    /// Changes the file as another program would.
    fn tamper(&self, sql: &str) {
        Connection::open(self.path()).and_then(|conn| conn.execute_batch(sql)).expect("changed");
    }
}

fn topic(log: &EmbeddedLog, name: &str, partitions: u32) {
    let topic = NewTopic { name: name.to_owned(), partitions, retention: Retention::default() };
    log.create_topic(&topic).expect("a topic");
}

fn member(group: &str, topic: Option<&str>) -> Member {
    Member { group: group.to_owned(), topic: topic.map(str::to_owned), worker: 0, workers: 1 }
}

fn session(log: &EmbeddedLog, group: &str, topic: &str) -> Box<dyn Session> {
    log.join(member(group, Some(topic))).expect("a session")
}

fn numbered(range: std::ops::Range<u32>, bytes: usize) -> Batch {
    let mut batch = BatchBuilder::new();
    for n in range {
        let mut value = n.to_be_bytes().to_vec();
        value.resize(bytes.max(4), 0);
        batch.push(None, Some(&value), [], i64::from(n)).expect("room");
    }
    batch.finish()
}

fn commit(session: &mut dyn Session, topic: &str, batch: &Batch) -> Result<(), LogError> {
    session.append(topic, batch).expect("appended");
    session.commit(Commit::default())
}

fn numbers(batch: &Batch) -> Vec<u32> {
    batch.iter().map(|r| u32::from_be_bytes(r.value().expect("a value")[..4].try_into().expect("4 bytes"))).collect()
}

/// Reads until `count` records have come.
fn take(session: &mut dyn Session, count: usize, max_records: usize) -> Vec<u32> {
    let mut taken = Vec::new();
    while taken.len() < count {
        match session.poll(max_records, WAIT).expect("an event") {
            Event::Records { batch, .. } => taken.extend(numbers(&batch)),
            Event::Assigned { .. } | Event::Skipped { .. } => {}
            other => panic!("{other:?} after {} records", taken.len()),
        }
    }
    taken
}

#[test]
fn a_full_disk_undoes_the_step_and_the_session_goes_on() {
    let case = Case::new();
    let log = case.open(Options::default());
    topic(&log, "t", 1);
    let mut producer = log.join(member("feed", None)).expect("a session");
    commit(&mut *producer, "t", &numbered(0..3, 10)).expect("committed");
    let limit = |pages: i64| {
        let writer = log.shared.writer().expect("a writer");
        let set: i64 =
            writer.store().conn.pragma_update_and_check(None, "max_page_count", pages, |r| r.get(0)).expect("set");
        set
    };
    let pages = limit(1);
    producer.append("t", &numbered(3..3_000, 1_000)).expect("appended");
    let states = [(0, Bytes::from_static(b"never"))];
    let full = producer.commit(Commit { states: &states, ..Commit::default() }).expect_err("full");
    assert!(matches!(&full, LogError::Store { path, .. } if path.ends_with("log.db")), "{full}");
    let said = "database or disk is full; make room there, and it goes on where it stopped";
    assert!(full.to_string().ends_with(said), "{full}");
    producer.abort().expect("aborted");

    limit(pages + 10_000);
    commit(&mut *producer, "t", &numbered(3..5, 10)).expect("committed");
    assert_eq!(take(&mut *session(&log, "g", "t"), 5, 100), [0, 1, 2, 3, 4]);
    match log.join(member("other feed", None)).expect("a session").poll(1, WAIT).expect("an event") {
        Event::Assigned { partition: 0, state: None, .. } => {}
        other => panic!("{other:?}"),
    }
}

#[test]
fn consumers_behind_the_tail_read_from_the_file() {
    for tail_bytes in [0, 3 * 1024 * 1024, usize::MAX] {
        let case = Case::new();
        let log = case.open(Options { tail_bytes, ..Options::default() });
        topic(&log, "t", 1);
        let mut producer = log.join(member("feed", None)).expect("a session");
        let mut reader = session(&log, "g", "t");
        for step in 0..8 {
            commit(&mut *producer, "t", &numbered(step * 1_000..(step + 1) * 1_000, 1_500)).expect("committed");
            if step == 0 {
                assert_eq!(take(&mut *reader, 300, 300), (0..300).collect::<Vec<_>>());
            }
        }
        assert_eq!(take(&mut *reader, 7_700, 700), (300..8_000).collect::<Vec<_>>(), "tail of {tail_bytes}");
    }
}

#[test]
fn a_session_takes_over_when_the_one_before_it_ends() {
    let case = Case::new();
    let log = case.open(Options::default());
    topic(&log, "t", 1);
    let mut before = session(&log, "g", "t");
    assert!(matches!(before.poll(1, WAIT), Ok(Event::Assigned { .. })));
    let mut after = session(&log, "g", "t");
    assert!(matches!(after.poll(1, Duration::ZERO), Ok(Event::Idle)), "both have the partition");
    commit(&mut *before, "t", &numbered(0..1, 4)).expect("committed");
    assert!(matches!(after.poll(1, Duration::ZERO), Ok(Event::Idle)), "both have the partition");
    std::thread::scope(|scope| {
        let assigned = scope.spawn(|| after.poll(1, WAIT));
        drop(before);
        assert!(matches!(assigned.join().expect("no panic"), Ok(Event::Assigned { .. })), "was not woken");
    });
    assert_eq!(take(&mut *after, 1, 1), [0]);
}

#[test]
fn files_of_others_are_refused_and_left_alone() {
    let case = Case::new();
    case.tamper("CREATE TABLE mine (a); PRAGMA journal_mode = DELETE;");
    let before = std::fs::read(case.path()).expect("readable");
    let opened = [EmbeddedLog::open(case.path(), Options::default()), EmbeddedLog::open_read_only(case.path())];
    for opened in opened {
        let error = opened.err().expect("refused");
        assert!(matches!(&error, LogError::Foreign { what, .. } if what.contains("another program")), "{error}");
    }
    assert!(std::fs::read(case.path()).expect("readable") == before, "the file was changed");
}

#[test]
fn a_log_that_is_being_made_is_not_there_yet() {
    let case = Case::new();
    std::fs::write(case.path(), "").expect("written");
    let error = EmbeddedLog::open_read_only(case.path()).err().expect("nothing to read");
    assert!(matches!(error, LogError::Missing { .. }), "{error}");

    let done = std::sync::atomic::AtomicBool::new(false);
    let path = |n: u32| case.folder.path().join(format!("{n}.db"));
    const MADE: u32 = 50;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (0..MADE).for_each(|n| drop(EmbeddedLog::open(path(n), Options::default()).expect("a log")));
            done.store(true, std::sync::atomic::Ordering::Release);
        });
        let mut at = 0;
        while at < MADE {
            let is_over = done.load(std::sync::atomic::Ordering::Acquire);
            match EmbeddedLog::open_read_only(path(at)) {
                Ok(_) => at += 1,
                Err(LogError::Missing { .. }) if !is_over => {}
                Err(error) => panic!("{error}"),
            }
        }
    });
}

#[test]
fn another_format_is_refused() {
    let case = Case::new();
    drop(case.open(Options::default()));
    case.tamper("PRAGMA user_version = 99");
    let error = EmbeddedLog::open(case.path(), Options::default()).err().expect("refused");
    assert!(matches!(&error, LogError::Foreign { what, .. } if what.contains("99")), "{error}");
}

#[test]
fn a_file_of_the_format_before_goes_on_with_its_positions() {
    let case = Case::new();
    drop(case.open(Options::default()));
    case.tamper("ALTER TABLE bespoke_positions DROP COLUMN note; INSERT INTO bespoke_positions VALUES ('g', 't', 0, 7); PRAGMA user_version = 1");
    // Who only looks leaves it as it is.
    let looked = EmbeddedLog::open_read_only(case.path()).expect("readable");
    drop(looked);
    let store = Store::open_writer(&case.path(), Durability::Full).expect("a log");
    assert_eq!(store.position("g", "t", 0).expect("readable"), Some((7, None)));
}

#[test]
fn a_batch_that_has_changed_is_damage_and_not_the_end() {
    let damages = [
        // A byte of a record, which the checksum covers, and the base offset, which it leaves out.
        "UPDATE bespoke_batches SET bytes = CAST(substr(bytes, 1, 70) || x'77' || substr(bytes, 72) AS BLOB)",
        "UPDATE bespoke_batches SET bytes = CAST(x'0000000000000000' || substr(bytes, 9) AS BLOB) WHERE base_offset > 0",
        "UPDATE bespoke_batches SET bytes = x''",
        "DELETE FROM bespoke_batches",
        "DELETE FROM bespoke_batches WHERE base_offset = 5",
    ];
    for damage in damages {
        let case = Case::new();
        {
            let log = case.open(Options::default());
            topic(&log, "t", 1);
            let mut producer = log.join(member("feed", None)).expect("a session");
            (0..3).for_each(|n| commit(&mut *producer, "t", &numbered(n * 5..n * 5 + 5, 4)).expect("committed"));
        }
        case.tamper(damage);
        let log = case.open(Options::default());
        let mut reader = session(&log, "g", "t");
        let error = loop {
            match reader.poll(100, Duration::ZERO) {
                Ok(Event::Assigned { .. } | Event::Records { .. }) => {}
                Ok(other) => panic!("{other:?} after {damage}"),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, LogError::Damaged { .. }), "{error} after {damage}");
    }
}

#[test]
fn a_topic_that_cannot_be_right_is_damage() {
    let damages = [
        "UPDATE bespoke_partitions SET start_offset = 9",
        "UPDATE bespoke_partitions SET start_offset = -1",
        "UPDATE bespoke_partitions SET partition = 7 WHERE partition = 1",
        // Would overflow when the next batch is added.
        "UPDATE bespoke_partitions SET end_offset = 9223372036854775807",
        "UPDATE bespoke_partitions SET bytes = 9223372036854775807",
        "UPDATE bespoke_partitions SET bytes = -1",
    ];
    for damage in damages {
        let case = Case::new();
        topic(&case.open(Options::default()), "t", 2);
        case.tamper(damage);
        let error = EmbeddedLog::open(case.path(), Options::default()).err().expect("refused");
        assert!(matches!(error, LogError::Damaged { .. }), "{error} after {damage}");
    }
}

#[test]
fn retention_that_is_asked_for_later_counts() {
    let case = Case::new();
    let retention = Retention { age_ms: Some(1_000), bytes: Some(1) };
    {
        let log = case.open(Options::default());
        topic(&log, "t", 1);
        let again = NewTopic { name: "t".to_owned(), partitions: 1, retention };
        assert_eq!(log.create_topic(&again).expect("there"), Created::Existing);
        let mut producer = log.join(member("feed", None)).expect("a session");
        commit(&mut *producer, "t", &numbered(0..3, 4)).expect("committed");
        let left = log.topic("t").expect("readable").expect("there").partitions[0];
        assert_eq!((left.start, left.end, left.bytes), (3, 3, Some(0)));
    }
    let log = case.open(Options::default());
    assert_eq!(log.topic("t").expect("readable").expect("there").retention, retention);
}

#[test]
fn who_waits_or_is_held_up_lets_retention_go_on() {
    let is_idle: [fn(&mut dyn Session) -> bool; 2] = [
        |session| matches!(session.poll(1, Duration::ZERO), Ok(Event::Idle)),
        |session| session.attend().expect("a member"),
    ];
    for (retention, left) in [
        (Retention { age_ms: Some(1_000), bytes: None }, (9, 9)),
        // Never the newest batch.
        (Retention { age_ms: None, bytes: Some(1) }, (6, 9)),
    ] {
        for is_idle in is_idle {
            let case = Case::new();
            let log = case.open(Options::default());
            topic(&log, "t", 1);
            let mut session = log.join(member("feed", None)).expect("a session");
            (0..3).for_each(|n| commit(&mut *session, "t", &numbered(n * 3..n * 3 + 3, 4)).expect("committed"));
            assert!(matches!(session.poll(1, WAIT), Ok(Event::Assigned { .. })));
            let again = NewTopic { name: "t".to_owned(), partitions: 1, retention };
            log.create_topic(&again).expect("there");
            log.shared.writer().expect("a writer").swept = None;
            assert!(is_idle(&mut *session));
            let p = log.topic("t").expect("readable").expect("there").partitions[0];
            assert_eq!((p.start, p.end), left, "{retention:?}");
        }
    }
}

#[test]
fn retention_goes_on_at_once_where_more_may_go() {
    const BATCHES: u32 = 600;
    let case = Case::new();
    let log = case.open(Options { durability: Durability::Normal, ..Options::default() });
    topic(&log, "t", 1);
    let mut session = log.join(member("feed", None)).expect("a session");
    assert!(matches!(session.poll(1, WAIT), Ok(Event::Assigned { .. })));
    (0..BATCHES).for_each(|n| commit(&mut *session, "t", &numbered(n..n + 1, 4)).expect("committed"));
    let retention = Retention { age_ms: Some(1_000), bytes: None };
    log.create_topic(&NewTopic { name: "t".to_owned(), partitions: 1, retention }).expect("there");
    log.shared.writer().expect("a writer").swept = None;
    // As many times as it takes to remove all.
    (0..3).for_each(|_| assert!(session.attend().expect("a member")));
    let p = log.topic("t").expect("readable").expect("there").partitions[0];
    assert_eq!((p.start, p.end), (i64::from(BATCHES), i64::from(BATCHES)));
}

#[test]
fn a_session_knows_how_much_its_step_holds() {
    let case = Case::new();
    let log = case.open(Options::default());
    topic(&log, "t", 2);
    let mut session = log.join(member("feed", None)).expect("a session");
    assert_eq!(session.open_bytes(), 0);
    session.append("t", &numbered(0..10, 1000)).expect("appended");
    session.divert("t", &numbered(0..10, 1000)).expect("appended");
    assert!((20_000..22_000).contains(&session.open_bytes()), "{}", session.open_bytes());
    session.abort().expect("aborted");
    assert_eq!(session.open_bytes(), 0);
    session.append("t", &numbered(0..10, 1000)).expect("appended");
    session.commit(Commit::default()).expect("committed");
    assert_eq!(session.open_bytes(), 0);
}

#[test]
fn retention_passes_by_offsets_that_cannot_be_right() {
    for offset in ["9223372036854775807", "-9223372036854775807"] {
        let case = Case::new();
        let log = case.open(Options::default());
        let retention = Retention { age_ms: Some(1_000), bytes: Some(1) };
        log.create_topic(&NewTopic { name: "t".to_owned(), partitions: 1, retention }).expect("a topic");
        let mut producer = log.join(member("feed", None)).expect("a session");
        commit(&mut *producer, "t", &numbered(0..3, 4)).expect("committed");
        // What was committed is gone; the next sweep finds a batch of another place.
        let sql = "INSERT INTO bespoke_batches (topic, partition, base_offset, last_offset, max_timestamp_ms, bytes)";
        case.tamper(&format!("{sql} VALUES (1, 0, 0, {offset}, 0, x'00')"));
        log.shared.writer().expect("a writer").swept = None;
        commit(&mut *producer, "t", &numbered(3..6, 4)).expect("committed");
        let left = log.topic("t").expect("readable").expect("there").partitions[0];
        assert_eq!((left.start, left.end), (6, 6), "with a batch that ends at {offset}");
    }
}

#[test]
fn a_removal_that_only_the_file_shows_yet_is_no_damage() {
    // Retention removes in the file first and tells memory afterwards; a reader may come between.
    let cases = [
        ("DELETE FROM bespoke_batches; UPDATE bespoke_partitions SET start_offset = 15", vec![15, 16, 17, 18, 19]),
        (
            "DELETE FROM bespoke_batches WHERE base_offset < 10; UPDATE bespoke_partitions SET start_offset = 10",
            (10..20).collect(),
        ),
    ];
    for (removal, left) in cases {
        let case = Case::new();
        let log = case.open(Options { tail_bytes: 0, ..Options::default() });
        topic(&log, "t", 1);
        let mut producer = log.join(member("feed", None)).expect("a session");
        (0..3).for_each(|n| commit(&mut *producer, "t", &numbered(n * 5..n * 5 + 5, 4)).expect("committed"));
        let mut reader = session(&log, "g", "t");
        assert!(matches!(reader.poll(100, WAIT), Ok(Event::Assigned { .. })));
        case.tamper(removal);
        if left[0] == 15 {
            let skipped = reader.poll(100, Duration::ZERO);
            assert!(matches!(skipped, Ok(Event::Skipped { partition: 0, from: 0, to: 15 })), "{skipped:?}");
            assert!(matches!(reader.poll(100, Duration::ZERO), Ok(Event::Idle)), "after {removal}");
        }
        commit(&mut *producer, "t", &numbered(15..20, 4)).expect("committed");
        assert_eq!(take(&mut *reader, left.len(), 100), left, "after {removal}");
    }
}

#[test]
fn a_long_path_is_made_and_a_table_of_the_log_is_not() {
    let case = Case::new();
    let path = case.folder.path().join("a/b/log.db");
    let log =
        EmbeddedLog::open(&path, Options { durability: Durability::Normal, ..Options::default() }).expect("a log");
    assert!(path.exists());
    let column = crate::table::Column { name: "id".into(), ty: crate::table::ColumnType::Long, nullable: false };
    let mut spec = TableSpec {
        name: "Bespoke_topics".into(),
        columns: vec![column],
        partition_key: vec![0],
        clustering_key: vec![],
        nulls: Default::default(),
        fine_times: Default::default(),
    };
    let error = log.ensure_table(&spec).expect_err("refused");
    assert!(matches!(error, LogError::Table(TableError::Spec { .. })), "{error}");
    spec.name = "topics".into();
    log.ensure_table(&spec).expect("created");
}
