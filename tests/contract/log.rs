//! What every log promises of topics, records, assignments and threads; see `host/src/log/mod.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use bytes::Bytes;
use host::log::{Commit, Created, LogError, MAX_NOTE_BYTES, Member, NewTopic, PartitionInfo, Retention};

use super::Open;
use super::records::{
    DEADLINE, Reader, Rec, all_kept, batch, kept, keyed, member, new_topic, numbered, produce, producer, unkeyed,
    values,
};

// === Topics ===

pub fn a_topic_is_made_once(open: Open<'_>) {
    let log = open();
    let mut topic = NewTopic { name: "t".to_owned(), partitions: 3, retention: Retention::default() };
    assert_eq!(log.create_topic(&topic).unwrap(), Created::New);
    produce(&*log, "t", &[unkeyed("kept")]);
    assert_eq!(log.create_topic(&topic).unwrap(), Created::Existing);
    assert_eq!(all_kept(&*log, "t").len(), 1);
    topic.partitions = 2;
    match log.create_topic(&topic) {
        Err(LogError::Partitions { existing: 3, wanted: 2, .. }) => {}
        other => panic!("{other:?}"),
    }
}

pub fn a_topic_has_a_name_that_kafka_takes(open: Open<'_>) {
    let log = open();
    let longest = "n".repeat(249);
    for name in ["a", "A-b_c.9", longest.as_str()] {
        new_topic(&*log, name, 1);
    }
    for name in ["", ".", "..", "a b", "a/b", "ü", "a\0", "a'b", &"n".repeat(250)] {
        let topic = NewTopic { name: name.to_owned(), partitions: 1, retention: Retention::default() };
        assert!(matches!(log.create_topic(&topic), Err(LogError::BadName(_))), "takes `{name}`");
    }
}

pub fn topics_are_listed_by_name(open: Open<'_>) {
    let log = open();
    let retention = Retention { age_ms: Some(100 * 365 * 24 * 3_600_000), bytes: Some(1 << 30) };
    log.create_topic(&NewTopic { name: "b".to_owned(), partitions: 2, retention }).unwrap();
    new_topic(&*log, "a", 1);
    produce(&*log, "b", &numbered(0..5));
    let topics = log.topics().unwrap();
    let names: Vec<&str> = topics.iter().map(|t| t.name.as_str()).collect();
    assert_eq!(names, ["a", "b"]);
    assert_eq!((topics[0].retention, topics[1].retention), (Retention::default(), retention));
    let partitions: Vec<u32> = topics[1].partitions.iter().map(|p| p.partition).collect();
    assert_eq!(partitions, [0, 1]);
    let (full, empty): (Vec<PartitionInfo>, Vec<_>) = topics[1].partitions.iter().partition(|p| p.end > 0);
    assert_eq!((full.len(), empty.len()), (1, 1));
    assert!(full[0].start == 0 && full[0].end >= 5 && full[0].bytes > Some(0), "{full:?}");
    assert!(empty[0].start == 0 && empty[0].bytes == Some(0), "{empty:?}");
}

pub fn what_is_not_there_is_no_topic(open: Open<'_>) {
    let log = open();
    assert!(log.topic("none").unwrap().is_none());
    assert!(matches!(log.committed("g", "none"), Err(LogError::NoTopic(name)) if name == "none"));
    assert!(matches!(log.read("none", 0, 0, 1), Err(LogError::NoTopic(_))));
    assert!(matches!(log.join(member("g", Some("none"))).err(), Some(LogError::NoTopic(_))));
    assert!(matches!(producer(&*log).append("none", &batch(&[unkeyed("x")])), Err(LogError::NoTopic(_))));
}

// === Records ===

pub fn a_record_is_kept_as_it_is(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    let header = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
    let records = [
        keyed("key", "value"),
        unkeyed("no key"),
        keyed("", ""),
        Rec { value: None, ..keyed("tombstone", "") },
        Rec { value: None, ..unkeyed("") },
        keyed([0, 255, 128], [0; 300]),
        Rec {
            headers: vec![
                header("a", Some(b"1")),
                header("a", Some(b"2")),
                header("none", None),
                header("empty", Some(b"")),
                header("", Some(&[0, 255])),
            ],
            ..keyed("with headers", "x")
        },
        Rec { timestamp_ms: i64::MAX, ..unkeyed("late") },
        Rec { timestamp_ms: -1, ..unkeyed("before") },
        Rec { timestamp_ms: i64::MIN, ..unkeyed("early") },
    ];
    produce(&*log, "t", &records);
    let handed_out: Vec<Rec> = Reader::of(&*log, "g", "t").take(records.len()).into_iter().map(|g| g.record).collect();
    assert_eq!(handed_out, records);
    assert_eq!(kept(&*log, "t", 0).into_iter().map(|g| g.record).collect::<Vec<_>>(), records);
}

pub fn the_epoch_is_a_time_like_any_other(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    produce(&*log, "t", &[Rec::default()]);
    assert_eq!(kept(&*log, "t", 0)[0].record, Rec::default());
}

pub fn records_come_in_order(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 3);
    let records: Vec<Rec> = (0..200u32).map(|n| keyed((n % 11).to_string(), n.to_string())).collect();
    for some in records.chunks(7) {
        produce(&*log, "t", some);
    }
    let mut by_key: BTreeMap<Vec<u8>, Vec<Rec>> = BTreeMap::new();
    for got in Reader::of(&*log, "g", "t").take(records.len()) {
        by_key.entry(got.record.key.clone().unwrap()).or_default().push(got.record);
    }
    for (key, handed_out) in by_key {
        let sent: Vec<Rec> = records.iter().filter(|r| r.key.as_ref() == Some(&key)).cloned().collect();
        assert_eq!(handed_out, sent);
    }
}

pub fn reading_begins_anywhere(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    produce(&*log, "t", &numbered(0..10));
    produce(&*log, "t", &numbered(10..20));
    let all = kept(&*log, "t", 0);
    assert_eq!(all.len(), 20);
    for (index, got) in all.iter().enumerate() {
        let batch = log.read("t", 0, got.offset, 100).unwrap();
        assert_eq!(batch.get(0).offset(), got.offset);
        assert_eq!(batch.get(0).value(), all[index].record.value.as_deref());
    }
    let end = log.topic("t").unwrap().unwrap().partitions[0].end;
    assert!(log.read("t", 0, end, 10).unwrap().is_empty());
    assert!(log.read("t", 0, i64::MAX, 10).unwrap().is_empty());
    assert_eq!(log.read("t", 0, -5, 1).unwrap().get(0).offset(), all[0].offset);
}

pub fn a_batch_has_no_more_records_than_asked_for(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 2);
    produce(&*log, "t", &(0..50).map(|n: u32| keyed(n.to_string(), "x")).collect::<Vec<_>>());
    let mut reader = Reader::of(&*log, "g", "t");
    // The reader refuses batches that are larger than what it asks for.
    let seen: usize = [1, 4, 2, 43].into_iter().map(|count| reader.take(count).len()).sum();
    assert_eq!((seen, reader.rest()), (50, vec![]));
}

pub fn keyed_records_go_where_kafka_sends_them(open: Open<'_>) {
    // Kafka's `Utils.murmur2`, with the vectors of its own tests and an empty key.
    let hashes: [(&[u8], i32); 7] = [
        (b"21", -973_932_308),
        (b"foobar", -790_332_482),
        (b"a-little-bit-long-string", -985_981_536),
        (b"a-little-bit-longer-string", -1_486_304_829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        (b"abc", 479_470_107),
        (b"", 275_646_681),
    ];
    let log = open();
    for partitions in [1, 2, 7, 12] {
        let topic = format!("t{partitions}");
        new_topic(&*log, &topic, partitions);
        produce(&*log, &topic, &hashes.map(|(key, _)| keyed(key, "x")));
        for got in all_kept(&*log, &topic) {
            let key = got.record.key.unwrap();
            let hash = hashes.iter().find(|(k, _)| *k == key).unwrap().1;
            assert_eq!(got.partition, (hash & 0x7fff_ffff) as u32 % partitions, "{key:?} of {partitions}");
        }
    }
}

pub fn records_without_a_key_go_to_changing_partitions(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 4);
    let mut session = producer(&*log);
    for n in 0..40 {
        session.append("t", &batch(&numbered(n * 3..n * 3 + 3))).unwrap();
        session.commit(Commit::default()).unwrap();
    }
    let mut partitions: BTreeMap<u64, BTreeSet<u32>> = BTreeMap::new();
    for got in all_kept(&*log, "t") {
        let number: u64 = values(std::slice::from_ref(&got))[0].parse().unwrap();
        partitions.entry(number / 3).or_default().insert(got.partition);
    }
    assert_eq!(partitions.len(), 40);
    assert!(partitions.values().all(|p| p.len() == 1), "a batch was torn: {partitions:?}");
    let used: BTreeSet<u32> = partitions.into_values().flatten().collect();
    assert_eq!(used.len(), 4, "some partitions get nothing");
}

pub fn a_large_record_passes(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    let large = keyed("large", vec![7; 5 << 20]);
    produce(&*log, "t", &[unkeyed("before"), large.clone(), unkeyed("after")]);
    let got = Reader::of(&*log, "g", "t").take(3);
    assert!(got[1].record == large, "the large record has changed");
    assert_eq!(values(&[got[0].clone(), got[2].clone()]), ["before", "after"]);
}

pub fn a_large_batch_passes(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    // More than the Kafka log lends, so that it is copied.
    let value = |n: u32| [&n.to_be_bytes()[..], &vec![n as u8; 100 << 10]].concat();
    let records: Vec<Rec> = (0..600).map(|n| keyed(n.to_string(), value(n))).collect();
    produce(&*log, "t", &records);
    let got = Reader::of(&*log, "g", "t").take(600);
    assert!(got.iter().zip(&records).all(|(got, sent)| got.record == *sent), "a record has changed");
}

// === Assignment ===

pub fn a_position_comes_back_with_the_assignment(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 2);
    let start: Vec<(u32, i64)> = vec![(0, 0), (1, 0)];
    assert_eq!(log.committed("g", "t").unwrap(), start);
    produce(&*log, "t", &(0..40).map(|n: u32| keyed(n.to_string(), n.to_string())).collect::<Vec<_>>());
    let mut reader = Reader::of(&*log, "g", "t");
    let mut seen = reader.take(13);
    let positions = reader.positions();
    reader.commit(&[]);
    let committed = log.committed("g", "t").unwrap();
    assert_eq!(committed.len(), 2);
    assert!(positions.iter().all(|position| committed.contains(position)), "{positions:?} {committed:?}");
    drop(reader);

    let mut next = Reader::of(&*log, "g", "t");
    next.settle(2);
    let assigned: Vec<(u32, i64)> = next.assigned.iter().map(|(p, (position, _))| (*p, *position)).collect();
    assert_eq!(assigned, committed);
    seen.extend(next.take(27));
    assert_eq!(next.rest(), []);
    seen.sort_by_key(|got| (got.partition, got.offset));
    assert_eq!(seen, all_kept(&*log, "t"));
}

pub fn a_note_is_kept_with_its_position(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    produce(&*log, "t", &numbered(0..3));
    let noted = |note: &str| [(0, note.to_owned())];
    let mut reader = Reader::of(&*log, "g", "t");
    let first = reader.take(1);
    assert_eq!(reader.notes[&0], None);
    let (positions, notes) = (reader.positions(), noted("up to the first: ü\""));
    reader.session.commit(Commit { positions: &positions, notes: &notes, ..Commit::default() }).unwrap();
    // As long as it may be, and with a step that does not happen.
    reader.take(1);
    let (positions, long) = (reader.positions(), noted(&"x".repeat(MAX_NOTE_BYTES + 1)));
    let error = reader.fail(Commit { positions: &positions, notes: &long, ..Commit::default() });
    assert!(matches!(error, LogError::Note { partition: 0, .. }), "{error}");
    let second = reader.take(1);
    assert_eq!(second[0].record.value.as_deref(), Some(&b"1"[..]));
    assert_eq!((reader.assigned[&0].0, &reader.notes[&0]), (first[0].offset + 1, &Some(notes[0].1.clone())));
    let (positions, long) = (reader.positions(), noted(&"x".repeat(MAX_NOTE_BYTES)));
    reader.session.commit(Commit { positions: &positions, notes: &long, ..Commit::default() }).unwrap();
    drop(reader);
    let mut reader = Reader::of(&*log, "g", "t");
    reader.settle(1);
    assert_eq!(reader.notes[&0], Some(long[0].1.clone()));
    // A position without a note has none, whatever stood beside the one before.
    reader.take(1);
    reader.commit(&[]);
    drop(reader);
    let mut reader = Reader::of(&*log, "g", "t");
    reader.settle(1);
    assert_eq!(reader.notes[&0], None);
}

pub fn a_member_at_ease_may_wait(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    produce(&*log, "t", &numbered(0..3));
    let mut reader = Reader::of(&*log, "g", "t");
    reader.take(1);
    for _ in 0..3 {
        assert!(reader.session.attend().unwrap());
    }
    assert_eq!(reader.take(2).len(), 2, "records were taken while nobody polled");
}

pub fn a_state_comes_back_with_the_assignment(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 3);
    let mut reader = Reader::of(&*log, "g", "t");
    reader.settle(3);
    assert!(reader.assigned.values().all(|(_, state)| state.is_none()));
    let large = Bytes::from(vec![3; 3 << 20]);
    reader.commit(&[(0, Bytes::from_static(b"old")), (1, Bytes::new())]);
    reader.commit(&[(0, large.clone())]);
    drop(reader);
    let mut next = Reader::of(&*log, "g", "t");
    next.settle(3);
    let states: Vec<Option<Bytes>> = next.assigned.values().map(|(_, state)| state.clone()).collect();
    assert!(states == [Some(large), Some(Bytes::new()), None], "the states have changed");
}

pub fn a_feed_has_one_partition_with_a_state(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 2);
    produce(&*log, "t", &[unkeyed("not for the feed")]);
    let mut feed = Reader::join(&*log, member("feed", None));
    assert_eq!(feed.rest(), []);
    assert_eq!(feed.assigned.keys().collect::<Vec<_>>(), [&0]);
    assert_eq!(feed.assigned[&0].1, None);
    feed.append("t", &[unkeyed("of the feed")]);
    feed.commit(&[(0, Bytes::from_static(b"seed"))]);
    drop(feed);
    let mut again = Reader::join(&*log, member("feed", None));
    again.settle(1);
    assert_eq!(again.assigned[&0].1.as_deref(), Some(&b"seed"[..]));
    assert_eq!(all_kept(&*log, "t").len(), 2);
}

pub fn groups_do_not_know_each_other(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    produce(&*log, "t", &numbered(0..10));
    let (mut one, mut other) = (Reader::of(&*log, "one", "t"), Reader::of(&*log, "other", "t"));
    let seen = one.take(10);
    one.commit(&[(0, Bytes::from_static(b"one"))]);
    assert_eq!(other.take(4), seen[..4]);
    other.commit(&[]);
    assert_eq!(log.committed("one", "t").unwrap(), [(0, seen[9].offset + 1)]);
    assert_eq!(log.committed("other", "t").unwrap(), [(0, seen[3].offset + 1)]);
    drop(other);
    let mut other = Reader::of(&*log, "other", "t");
    assert_eq!(other.take(6), seen[4..]);
    assert_eq!(other.assigned[&0].1, None);
}

pub fn workers_split_the_partitions(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 5);
    produce(&*log, "t", &(0..100).map(|n: u32| keyed(n.to_string(), "x")).collect::<Vec<_>>());
    let worker = |worker| Reader::join(&*log, Member { worker, workers: 2, ..member("g", Some("t")) });
    let mut workers = [worker(0), worker(1)];
    let until = Instant::now() + DEADLINE;
    // The first to come may have all of them for a while.
    while workers.iter().map(|w| w.assigned.len()).sum::<usize>() < 5 || workers.iter().any(|w| w.assigned.len() < 2) {
        assert!(Instant::now() < until, "some partitions are nobody's, or all are one's");
        workers.iter_mut().for_each(|worker| _ = worker.poll(1, Duration::from_millis(20)));
    }
    let [one, other] = workers.each_mut().map(Reader::rest);
    let partitions = workers.each_ref().map(|worker| worker.assigned.keys().copied().collect::<BTreeSet<u32>>());
    assert!(partitions[0].is_disjoint(&partitions[1]) && partitions.iter().all(|p| p.len() >= 2), "{partitions:?}");
    assert!(one.iter().all(|got| partitions[0].contains(&got.partition)));
    let mut both = [one, other].concat();
    both.sort_by_key(|got| (got.partition, got.offset));
    assert_eq!(both, all_kept(&*log, "t"));
}

// === Threads and time ===

pub fn a_commit_wakes_who_waits(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 1);
    let mut reader = Reader::of(&*log, "g", "t");
    reader.settle(1);
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| reader.poll(1, 2 * DEADLINE));
        produce(&*log, "t", &[unkeyed("wake")]);
        assert!(waits.join().unwrap(), "waited in vain");
    });
    assert!(begin.elapsed() < DEADLINE, "was not woken");
    assert_eq!(values(&reader.take(1)), ["wake"]);
}

pub fn many_threads_lose_nothing(open: Open<'_>) {
    let log = open();
    new_topic(&*log, "t", 2);
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let log = &*log;
            scope.spawn(move || {
                let mut session = producer(log);
                for step in 0..25 {
                    let first = thread * 1_000 + step * 4;
                    session.append("t", &batch(&numbered(first..first + 4))).unwrap();
                    session.commit(Commit::default()).unwrap();
                }
            });
        }
        let mut numbers: Vec<u64> =
            values(&Reader::of(&*log, "g", "t").take(400)).iter().map(|v| v.parse().unwrap()).collect();
        numbers.sort_unstable();
        let sent: Vec<u64> = (0..4).flat_map(|thread| thread * 1_000..thread * 1_000 + 100).collect();
        assert_eq!(numbers, sent);
    });
}

pub fn opening_again_keeps_all(open: Open<'_>) {
    let before = {
        let log = open();
        new_topic(&*log, "t", 3);
        produce(&*log, "t", &(0..50).map(|n: u32| keyed(n.to_string(), n.to_string())).collect::<Vec<_>>());
        let mut reader = Reader::of(&*log, "g", "t");
        reader.take(20);
        reader.commit(&[(1, Bytes::from_static(b"state"))]);
        (all_kept(&*log, "t"), log.committed("g", "t").unwrap())
    };
    let log = open();
    assert_eq!((all_kept(&*log, "t"), log.committed("g", "t").unwrap()), before);
    let mut reader = Reader::of(&*log, "g", "t");
    assert_eq!(reader.take(30).len(), 30);
    assert_eq!(reader.assigned[&1].1.as_deref(), Some(&b"state"[..]));
    produce(&*log, "t", &[keyed("0", "after")]);
    assert_eq!(values(&reader.take(1)), ["after"]);
}
