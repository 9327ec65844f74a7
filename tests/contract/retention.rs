//! What every log promises of retention: what may go goes some time after a commit, in whole batches from the oldest on.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use host::log::{Commit, Created, Log, NewTopic, PartitionInfo, Retention};

use super::Open;
use super::records::{DEADLINE, Reader, Rec, all_kept, batch, kept, producer, unkeyed, values};

const HOUR_MS: i64 = 3_600_000;

fn new_topic(log: &dyn Log, retention: Retention) {
    let topic = NewTopic { name: "t".to_owned(), partitions: 1, retention };
    assert_eq!(log.create_topic(&topic).unwrap(), Created::New);
}

fn by_age(age_ms: i64) -> Retention {
    Retention { age_ms: Some(age_ms), bytes: None }
}

fn by_bytes(bytes: i64) -> Retention {
    Retention { age_ms: None, bytes: Some(bytes) }
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as i64
}

fn at(timestamp_ms: i64, value: impl AsRef<[u8]>) -> Rec {
    Rec { timestamp_ms, ..unkeyed(value) }
}

fn partition(log: &dyn Log) -> PartitionInfo {
    log.topic("t").unwrap().unwrap().partitions[0]
}

/// Commits the record again and again, at least once, until the partition is as it must become.
fn commit_until(log: &dyn Log, record: impl Fn() -> Rec, is_so: impl Fn(PartitionInfo) -> bool) -> PartitionInfo {
    let mut session = producer(log);
    let until = Instant::now() + DEADLINE;
    loop {
        session.append("t", &batch(&[record()])).unwrap();
        session.commit(Commit::default()).unwrap();
        let partition = partition(log);
        if is_so(partition) {
            return partition;
        }
        assert!(Instant::now() < until, "stays {partition:?}");
        // Paced by the poll, which waits because a producer has nothing to read.
        session.poll(1, Duration::from_millis(20)).unwrap();
    }
}

fn produce(log: &dyn Log, records: &[Rec]) {
    super::records::produce(log, "t", records);
}

pub fn old_records_go(open: Open<'_>) {
    let log = open();
    new_topic(&*log, by_age(HOUR_MS));
    let old = now_ms() - 2 * HOUR_MS;
    for n in 0..10 {
        produce(&*log, &[at(old + n, "old")]);
    }
    let old_end = partition(&*log).end;
    let left = commit_until(&*log, || at(now_ms(), "new"), |p| p.start >= old_end);
    assert!(left.start < left.end);
    assert!(values(&all_kept(&*log, "t")).iter().all(|value| value == "new"));
}

pub fn large_partitions_shrink(open: Open<'_>) {
    let log = open();
    let limit = 64 << 10;
    new_topic(&*log, by_bytes(limit));
    for n in 0..40u8 {
        produce(&*log, &[unkeyed(vec![n; 8 << 10])]);
    }
    let left = commit_until(&*log, || unkeyed("new"), |p| p.start > 0 && p.bytes <= Some(limit));
    let records = kept(&*log, "t", 0);
    assert!(records.len() > 4 && records[0].offset >= left.start, "{} records are left", records.len());
    assert!(records.iter().any(|got| got.record.value.as_deref() == Some(&[39; 8 << 10])), "the newest went");
}

pub fn what_may_stay_stays(open: Open<'_>) {
    let log = open();
    new_topic(&*log, Retention { age_ms: Some(HOUR_MS), bytes: Some(1 << 20) });
    // A batch goes as a whole, so that an old record stays as long as a new one of its batch.
    produce(&*log, &[at(now_ms(), "new"), at(0, "with a new one")]);
    let begin = Instant::now();
    let left = commit_until(&*log, || at(now_ms(), "tick"), |_| begin.elapsed() > Duration::from_millis(1_500));
    assert_eq!(left.start, 0);
    assert_eq!(values(&kept(&*log, "t", 0)[..2]), ["new", "with a new one"]);
}

pub fn an_offset_is_never_given_twice(open: Open<'_>) {
    let end = {
        let log = open();
        new_topic(&*log, by_age(HOUR_MS));
        // All of it is old, so that all of it may go.
        commit_until(&*log, || at(0, "old"), |p| p.start > 0).end
    };
    let log = open();
    assert!(partition(&*log).end >= end, "the end went back");
    produce(&*log, &[at(now_ms(), "new")]);
    let new = kept(&*log, "t", 0).pop().unwrap();
    assert!(new.offset >= end, "offset {} was given twice", new.offset);
    assert_eq!(values(&[new]), ["new"]);
}

pub fn a_reader_that_lags_goes_on_at_the_first_record_kept(open: Open<'_>) {
    let log = open();
    new_topic(&*log, by_age(HOUR_MS));
    for n in 0..10 {
        produce(&*log, &[at(n, "old")]);
    }
    let mut reader = Reader::of(&*log, "g", "t");
    reader.take(2);
    let (_, position) = reader.positions()[0];
    reader.commit(&[(0, Bytes::from_static(b"two"))]);
    let old_end = partition(&*log).end;
    commit_until(&*log, || at(now_ms(), "new"), |p| p.start >= old_end);
    let lagging = reader.rest();
    let new: Vec<_> = lagging.iter().filter(|got| got.offset >= old_end).cloned().collect();
    assert_eq!(new, all_kept(&*log, "t"));
    drop(reader);

    let mut later = Reader::of(&*log, "g", "t");
    assert_eq!(later.rest(), all_kept(&*log, "t"));
    assert_eq!(later.skipped, [(0, position, partition(&*log).start)]);
    assert_eq!(later.assigned[&0].1.as_deref(), Some(&b"two"[..]));
}

pub fn old_records_go_while_nothing_is_committed(open: Open<'_>) {
    let log = open();
    new_topic(&*log, by_age(200));
    let mut session = producer(&*log);
    session.append("t", &batch(&[at(now_ms(), "soon old")])).unwrap();
    session.commit(Commit::default()).unwrap();
    assert_eq!((partition(&*log).start, partition(&*log).end), (0, 1));
    let until = Instant::now() + DEADLINE;
    while partition(&*log).start == 0 {
        assert!(Instant::now() < until, "stays {:?}", partition(&*log));
        session.poll(1, Duration::from_millis(20)).unwrap();
    }
}
