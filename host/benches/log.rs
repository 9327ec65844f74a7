//! What the embedded log costs: records of 100 bytes appended and committed, and read again by a consumer group.
//!
//! `cargo bench --package host --bench log`. Steps are of 50,000 records, which is what a worker commits at 500,000
//! records a second.

use std::time::{Duration, Instant};

use bespoke_record::{Batch, BatchBuilder};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use host::log::embedded::{Durability, EmbeddedLog, Options};
use host::log::{Commit, Event, Log, Member, NewTopic, Retention, Session};
use tempfile::TempDir;

const BATCH: u64 = 1_000;
const STEP: u64 = 50 * BATCH;

fn batch() -> Batch {
    let mut batch = BatchBuilder::new();
    for n in 0..BATCH {
        batch.push(Some(&n.to_be_bytes()), Some(&[7; 92]), [], 1_700_000_000_000 + n as i64).expect("room");
    }
    batch.finish()
}

/// A log whose topic keeps little, so that a long bench does not fill the disk.
fn log(tail_bytes: usize) -> (EmbeddedLog, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { durability: Durability::Normal, tail_bytes, ..Options::default() };
    let log = EmbeddedLog::open(folder.path().join("log.db"), options).expect("a log");
    let retention = Retention { age_ms: None, bytes: Some(256 * 1024 * 1024) };
    log.create_topic(&NewTopic { name: "t".to_owned(), partitions: 2, retention }).expect("a topic");
    (log, folder)
}

fn join(log: &EmbeddedLog, topic: Option<&str>) -> Box<dyn Session> {
    let topic = topic.map(str::to_owned);
    log.join(Member { group: "bench".to_owned(), topic, worker: 0, workers: 1 }).expect("a session")
}

fn step(session: &mut dyn Session, batch: &Batch) {
    for _ in 0..STEP / BATCH {
        session.append("t", batch).expect("appended");
    }
    session.commit(Commit::default()).expect("committed");
}

fn read_all(session: &mut dyn Session) -> u64 {
    let mut records = 0;
    loop {
        match session.poll(1_024, Duration::ZERO).expect("an event") {
            Event::Records { batch, .. } => records += batch.len() as u64,
            Event::Idle => return records,
            Event::Assigned { .. } | Event::Revoked { .. } | Event::Skipped { .. } => {}
        }
    }
}

fn benches(criterion: &mut Criterion) {
    let batch = batch();
    let mut group = criterion.benchmark_group("embedded log");
    group.throughput(Throughput::Elements(STEP));
    group.sample_size(10);

    group.bench_function("append and commit", |bencher| {
        let (log, _folder) = log(Options::default().tail_bytes);
        let mut session = join(&log, None);
        bencher.iter(|| step(&mut *session, &batch));
    });
    for (name, tail_bytes) in [("poll from memory", Options::default().tail_bytes), ("poll from the file", 0)] {
        group.bench_function(name, |bencher| {
            let (log, _folder) = log(tail_bytes);
            let (mut producer, mut consumer) = (join(&log, None), join(&log, Some("t")));
            bencher.iter_custom(|iterations| {
                let mut spent = Duration::ZERO;
                for _ in 0..iterations {
                    step(&mut *producer, &batch);
                    let begin = Instant::now();
                    assert_eq!(read_all(&mut *consumer), STEP);
                    spent += begin.elapsed();
                }
                spent
            });
        });
    }
    group.finish();
}

criterion_group!(all, benches);
criterion_main!(all);
