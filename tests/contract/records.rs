//! Records as the tests of a log write and compare them, and a reader that checks the order of all it is handed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bespoke_record::{Batch, BatchBuilder};
use bytes::Bytes;
use host::log::{Commit, Created, Event, Log, LogError, Member, NewTopic, Retention, Session};
use host::table::{Cell, Column, ColumnType, Mark, Rows, TableSpec};

/// A test that waits longer than this has failed.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// How long nothing must come for a log to count as read to its end.
const QUIET: Duration = Duration::from_millis(20);

/// A record on its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rec {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    pub timestamp_ms: i64,
}

/// A record and where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Got {
    pub partition: u32,
    pub offset: i64,
    pub record: Rec,
}

pub fn keyed(key: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Rec {
    Rec { key: Some(key.as_ref().to_vec()), ..unkeyed(value) }
}

pub fn unkeyed(value: impl AsRef<[u8]>) -> Rec {
    Rec { value: Some(value.as_ref().to_vec()), timestamp_ms: 1_700_000_000_000, ..Rec::default() }
}

/// Records without a key, with these numbers as values.
pub fn numbered(numbers: std::ops::Range<u64>) -> Vec<Rec> {
    numbers.map(|n| unkeyed(n.to_string())).collect()
}

pub fn batch(records: &[Rec]) -> Batch {
    let mut builder = BatchBuilder::new();
    for record in records {
        let headers = record.headers.iter().map(|(name, value)| (name.as_str(), value.as_deref()));
        builder.push(record.key.as_deref(), record.value.as_deref(), headers, record.timestamp_ms).expect("room");
    }
    builder.finish()
}

pub fn got(partition: u32, batch: &Batch) -> Vec<Got> {
    let owned = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
    let each = |record: bespoke_record::Record<'_>| Got {
        partition,
        offset: record.offset(),
        record: Rec {
            key: owned(record.key()),
            value: owned(record.value()),
            headers: record.headers().map(|(name, value)| (name.to_owned(), owned(value))).collect(),
            timestamp_ms: record.timestamp_ms(),
        },
    };
    batch.iter().map(each).collect()
}

/// The values, as text.
pub fn values(got: &[Got]) -> Vec<String> {
    got.iter().map(|g| String::from_utf8_lossy(g.record.value.as_deref().expect("a value")).into_owned()).collect()
}

pub fn new_topic(log: &dyn Log, name: &str, partitions: u32) {
    let topic = NewTopic { name: name.to_owned(), partitions, retention: Retention::default() };
    assert_eq!(log.create_topic(&topic).expect("a topic"), Created::New);
}

pub fn member(group: &str, topic: Option<&str>) -> Member {
    Member { group: group.to_owned(), topic: topic.map(str::to_owned), worker: 0, workers: 1 }
}

/// A session that only appends.
pub fn producer(log: &dyn Log) -> Box<dyn Session> {
    log.join(member("producer", None)).expect("a session")
}

/// Appends the records as one batch and commits them.
pub fn produce(log: &dyn Log, topic: &str, records: &[Rec]) {
    let mut session = producer(log);
    session.append(topic, &batch(records)).expect("appended");
    session.commit(Commit::default()).expect("committed");
}

/// A table of the columns `id` (the key) and `count`.
pub fn counts(name: &str) -> TableSpec {
    let column = |name: &str, nullable| Column { name: name.to_owned(), ty: ColumnType::Long, nullable };
    let columns = vec![column("id", false), column("count", true)];
    TableSpec {
        name: name.to_owned(),
        columns,
        partition_key: vec![0],
        clustering_key: vec![],
        nulls: Default::default(),
        fine_times: Default::default(),
    }
}

/// One row of such a table.
pub fn row(table: &TableSpec, id: i64, count: i64) -> Rows {
    let upserts = vec![Cell::Integer(id), Cell::Integer(count)];
    Rows { upserts, marks: vec![Mark::default()], ..Rows::new(Arc::new(table.clone())) }
}

/// What is committed in a partition, read outside of any group by three records at a time.
pub fn kept(log: &dyn Log, topic: &str, partition: u32) -> Vec<Got> {
    let (mut all, mut offset) = (Vec::new(), 0);
    loop {
        let batch = log.read(topic, partition, offset, 3).expect("readable");
        assert!(batch.len() <= 3);
        let Some(next) = batch.next_offset() else { return all };
        assert!(batch.get(0).offset() >= offset, "reads backwards");
        all.extend(got(partition, &batch));
        offset = next;
    }
}

/// What is committed in all partitions.
pub fn all_kept(log: &dyn Log, topic: &str) -> Vec<Got> {
    let info = log.topic(topic).expect("readable").expect("the topic");
    info.partitions.iter().flat_map(|p| kept(log, topic, p.partition)).collect()
}

/// A member of a group. It checks of all it is handed that the partition was assigned before, that offsets only grow,
/// and that no batch is empty or larger than asked for.
pub struct Reader {
    pub session: Box<dyn Session>,
    /// Position and state of each partition as they were assigned.
    pub assigned: BTreeMap<u32, (i64, Option<Bytes>)>,
    /// Those that were assigned and not revoked, the last step thrown away or not.
    known: BTreeSet<u32>,
    /// What was noted beside the position of each.
    pub notes: BTreeMap<u32, Option<String>>,
    /// Where to read on, of the partitions of which records were taken since the last commit.
    positions: BTreeMap<u32, i64>,
    expected: BTreeMap<u32, i64>,
    waiting: VecDeque<Got>,
    /// What retention took before it was read: partition, from, to.
    pub skipped: Vec<(u32, i64, i64)>,
}

impl Reader {
    pub fn join(log: &dyn Log, member: Member) -> Self {
        Self::new(log.join(member).expect("a session"))
    }

    pub fn of(log: &dyn Log, group: &str, topic: &str) -> Self {
        Self::join(log, member(group, Some(topic)))
    }

    fn new(session: Box<dyn Session>) -> Self {
        let (assigned, positions, expected) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (notes, waiting) = (BTreeMap::new(), VecDeque::new());
        let (known, skipped) = (BTreeSet::new(), Vec::new());
        Self { session, assigned, known, notes, positions, expected, waiting, skipped }
    }

    /// Polls once. False if nothing came.
    pub fn poll(&mut self, max_records: usize, timeout: Duration) -> bool {
        match self.session.poll(max_records, timeout).expect("polled") {
            Event::Idle => return false,
            Event::Assigned { partition, position, note, state } => {
                self.notes.insert(partition, note);
                assert!(self.assigned.insert(partition, (position, state)).is_none(), "assigned twice");
                self.known.insert(partition);
                self.expected.insert(partition, position);
            }
            Event::Revoked { partition, .. } => {
                assert!(self.known.remove(&partition), "revoked, but never assigned");
                self.assigned.remove(&partition);
                // What was not committed is for the next member.
                self.waiting.retain(|got| got.partition != partition);
                self.positions.remove(&partition);
            }
            Event::Skipped { partition, from, to } => {
                let expected = self.expected.insert(partition, to);
                assert!(expected <= Some(from) && from < to, "skips from {from} to {to}, not from {expected:?}");
                self.skipped.push((partition, from, to));
            }
            Event::Records { partition, batch } => {
                assert!(self.assigned.contains_key(&partition), "records before the partition was assigned");
                assert!((1..=max_records).contains(&batch.len()), "{} of {max_records} records", batch.len());
                for got in got(partition, &batch) {
                    assert!(got.offset >= self.expected[&partition], "offset {} comes too late", got.offset);
                    self.expected.insert(partition, got.offset + 1);
                    self.waiting.push_back(got);
                }
            }
        }
        true
    }

    /// Polls until so many partitions are assigned.
    pub fn settle(&mut self, partitions: usize) {
        let until = Instant::now() + DEADLINE;
        while self.assigned.len() < partitions {
            assert!(Instant::now() < until, "only {} partitions were assigned", self.assigned.len());
            self.poll(1, QUIET);
        }
    }

    /// The next records, exactly so many.
    pub fn take(&mut self, count: usize) -> Vec<Got> {
        let until = Instant::now() + DEADLINE;
        while self.waiting.len() < count {
            assert!(Instant::now() < until, "only {} of {count} records came", self.waiting.len());
            self.poll(count - self.waiting.len(), QUIET);
        }
        let taken: Vec<Got> = self.waiting.drain(..count).collect();
        for got in &taken {
            self.positions.insert(got.partition, got.offset + 1);
        }
        taken
    }

    /// All further records.
    pub fn rest(&mut self) -> Vec<Got> {
        while self.poll(1_000, QUIET) {}
        self.take(self.waiting.len())
    }

    pub fn append(&mut self, topic: &str, records: &[Rec]) {
        self.session.append(topic, &batch(records)).expect("appended");
    }

    /// The positions after all that was taken since the last commit.
    pub fn positions(&self) -> Vec<(u32, i64)> {
        self.positions.iter().map(|(partition, position)| (*partition, *position)).collect()
    }

    /// Commits what was taken and appended, with these states.
    pub fn commit(&mut self, states: &[(u32, Bytes)]) {
        let positions = self.positions();
        self.session.commit(Commit { positions: &positions, states, ..Commit::default() }).expect("committed");
        self.positions.clear();
    }

    pub fn abort(&mut self) {
        self.session.abort().expect("aborted");
        self.forget();
    }

    /// Commits what must fail, which is an abort too.
    pub fn fail(&mut self, commit: Commit<'_>) -> LogError {
        let error = self.session.commit(commit).expect_err("a commit that must fail");
        self.forget();
        error
    }

    fn forget(&mut self) {
        self.assigned.clear();
        self.positions.clear();
        self.expected.clear();
        self.waiting.clear();
    }
}
