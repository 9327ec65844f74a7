//! `host dead-letters replay`: records go back to where they came from.
//!
//! Positions are kept under the group `<topic>.replay` and are committed in the same step as the records, so each letter
//! is sent again once, however often this is run and whatever interrupts it. What never was a record of a topic stays
//! where it is. The letters themselves stay too: a topic is a history.
//!
//! A record keeps its timestamp, unless retention would take it before anyone has read it: then it has the time of now.

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use bespoke_record::{Batch, BatchBuilder};

use super::dead_letters::Where;
use crate::dead_letter::DeadLetter;
use crate::log::{Commit, Event, Log, LogError, Member, Session};

/// Letters of a step.
const BATCH_RECORDS: usize = 1024;
/// How long to wait for letters that are there.
const WAIT: Duration = Duration::from_secs(1);
/// Waits in a row after which letters that are there are taken not to come.
const MAX_IDLE: u32 = 60;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  host dead-letters replay
  host dead-letters replay --to products.corrected

Each dead letter is sent again once: running this twice sends those that came in between. Stop the pipeline first,
as one host at a time can write an embedded log.")]
pub(super) struct Arguments {
    /// Send all records to this topic instead of those that they came from
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,

    #[command(flatten)]
    place: Where,
}

/// What was done.
#[derive(Debug, Default, PartialEq, Eq)]
struct Done {
    sent: u64,
    kept: u64,
}

pub(super) fn run(arguments: &Arguments, out: &mut dyn Write) -> anyhow::Result<()> {
    let place = arguments.place.place.find()?;
    let log = place.writable()?;
    let topic = arguments.place.topic(&*log, &place)?;
    let done = replay(&*log, &topic, arguments.to.as_deref())?;
    writeln!(out, "sent again: {}", done.sent)?;
    if done.kept > 0 {
        let raw = "`host dead-letters show --kind feed,key,too-large --raw` writes them as they were, to be corrected and fed again";
        writeln!(out, "not sent: {}, which never were records of a topic; {raw}", done.kept)?;
    }
    Ok(())
}

/// The consumer group whose positions tell what was sent again.
pub(super) fn group(topic: &str) -> String {
    format!("{topic}.replay")
}

fn replay(log: &dyn Log, topic: &str, to: Option<&str>) -> anyhow::Result<Done> {
    let info = log.topic(topic)?.ok_or_else(|| LogError::NoTopic(topic.to_owned()))?;
    let mut open: Vec<(u32, i64)> = info.partitions.iter().map(|p| (p.partition, p.end)).collect();
    let group = group(topic);
    let positions = log.committed(&group, topic)?;
    // What is behind the end of now may come of the records that are sent now.
    open.retain(|(partition, end)| positions.iter().all(|(p, position)| p != partition || position < end));
    let mut idle = 0;
    let mut session =
        log.join(Member { group: group.clone(), topic: Some(topic.to_owned()), worker: 0, workers: 1 })?;
    let mut done = Done::default();
    while !open.is_empty() {
        match session.poll(BATCH_RECORDS, WAIT)? {
            Event::Records { partition, batch } => {
                let Some(at) = open.iter().position(|(p, _)| *p == partition) else { continue };
                let end = open[at].1;
                let wanted = batch.entries().partition_point(|entry| entry.offset < end);
                let batch = batch.slice(0..wanted);
                let position = step(log, &mut *session, (partition, &batch), to, &mut done)?;
                if position.is_none_or(|position| position >= end) {
                    open.swap_remove(at);
                }
            }
            // Nothing may be left, or a broker needs time to begin.
            Event::Idle if idle < MAX_IDLE => {
                idle += 1;
                open = left(log, &group, topic, open)?;
            }
            Event::Idle => anyhow::bail!("the letters do not come; is another `dead-letters replay` running?"),
            Event::Assigned { .. } | Event::Revoked { .. } | Event::Skipped { .. } => {}
        }
    }
    Ok(done)
}

/// The partitions of which letters are left before the end: between a position and an end there may be no record.
fn left(log: &dyn Log, group: &str, topic: &str, open: Vec<(u32, i64)>) -> Result<Vec<(u32, i64)>, LogError> {
    let positions = log.committed(group, topic)?;
    let mut left = Vec::new();
    for (partition, end) in open {
        let position = positions.iter().find(|(p, _)| *p == partition).map_or(0, |(_, position)| *position);
        let next = log.read(topic, partition, position, 1)?;
        if next.entries().first().is_some_and(|entry| entry.offset < end) {
            left.push((partition, end));
        }
    }
    Ok(left)
}

/// Sends a batch and commits behind it. Where the batch ends, unless it is empty.
fn step(
    log: &dyn Log,
    session: &mut dyn Session,
    (partition, batch): (u32, &Batch),
    to: Option<&str>,
    done: &mut Done,
) -> anyhow::Result<Option<i64>> {
    let Some(position) = batch.next_offset() else { return Ok(None) };
    // Records of one topic go together, in the order in which they stand.
    let mut topics: Vec<(String, i64, BatchBuilder)> = Vec::new();
    let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64);
    let (mut sent, mut kept) = (0, 0);
    for record in batch.iter() {
        let letter = DeadLetter::of(record);
        let Some((letter, origin)) = letter.and_then(|mut letter| letter.origin.take().map(|origin| (letter, origin)))
        else {
            kept += 1;
            continue;
        };
        let topic = to.unwrap_or(&origin.topic);
        let index = match topics.iter().position(|(name, ..)| name == topic) {
            Some(index) => index,
            None => {
                topics.push((topic.to_owned(), oldest_ms(log, topic, now_ms)?, BatchBuilder::new()));
                topics.len() - 1
            }
        };
        let (_, oldest_ms, builder) = &mut topics[index];
        let timestamp_ms = if origin.timestamp_ms < *oldest_ms { now_ms } else { origin.timestamp_ms };
        builder.push(record.key(), record.value(), letter.headers, timestamp_ms)?;
        sent += 1;
    }
    for (topic, _, builder) in topics {
        session.append(&topic, &builder.finish()).with_context(|| format!("records for `{topic}` cannot be sent"))?;
    }
    session.commit(Commit { positions: &[(partition, position)], ..Commit::default() })?;
    done.sent += sent;
    done.kept += kept;
    Ok(Some(position))
}

/// The timestamp from which on a record may be sent to a topic as it is: half of the time that the topic keeps it is left
/// to read it.
fn oldest_ms(log: &dyn Log, topic: &str, now_ms: i64) -> Result<i64, LogError> {
    let age_ms = log.topic(topic)?.and_then(|info| info.retention.age_ms);
    Ok(age_ms.map_or(i64::MIN, |age_ms| now_ms.saturating_sub(age_ms / 2)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dead_letter::{DeadLetters, Kind};
    use crate::log::embedded::{EmbeddedLog, Options};
    use crate::log::{NewTopic, Retention};

    const LETTERS: &str = "p.dead-letters";

    fn log() -> (tempfile::TempDir, EmbeddedLog) {
        let dir = tempfile::tempdir().expect("a folder");
        let log = EmbeddedLog::open(dir.path().join("log.db"), Options::default()).expect("a log");
        for name in ["in", "other", LETTERS] {
            let topic = NewTopic { name: name.to_owned(), partitions: 1, retention: Retention::default() };
            log.create_topic(&topic).expect("a topic");
        }
        (dir, log)
    }

    fn write(log: &EmbeddedLog, topic: &str, batch: &Batch) {
        let member = Member { group: "test".to_owned(), topic: None, worker: 0, workers: 1 };
        let mut session = log.join(member).expect("a session");
        session.append(topic, batch).expect("a topic");
        session.commit(Commit::default()).expect("a commit");
    }

    fn fail(log: &EmbeddedLog, values: &[&str]) {
        let mut builder = BatchBuilder::new();
        for value in values {
            builder.push(Some(b"k"), Some(value.as_bytes()), [("h", Some(&b"1"[..]))], 42).expect("room");
        }
        let records = builder.finish();
        let mut letters = DeadLetters::new("stage", None);
        for record in records.iter() {
            letters.push(record, "in", 0, Kind::Trap, "broke").expect("room");
        }
        letters.push_unread(b"{", "feed.jsonl:1", Kind::Feed, "not JSON").expect("room");
        write(log, LETTERS, &letters.finish());
    }

    fn values(log: &EmbeddedLog, topic: &str) -> Vec<String> {
        let batch = log.read(topic, 0, 0, 100).expect("readable");
        batch.iter().map(|r| String::from_utf8_lossy(r.value().unwrap_or_default()).into_owned()).collect()
    }

    #[test]
    fn records_come_back_as_they_were_and_once() {
        let (_dir, log) = log();
        fail(&log, &["a", "b"]);
        assert_eq!(replay(&log, LETTERS, None).expect("replayed"), Done { sent: 2, kept: 1 });
        assert_eq!(replay(&log, LETTERS, None).expect("replayed"), Done::default());
        assert_eq!(values(&log, "in"), ["a", "b"]);
        let batch = log.read("in", 0, 0, 10).expect("readable");
        let record = batch.get(0);
        assert_eq!((record.key(), record.timestamp_ms()), (Some(&b"k"[..]), 42));
        assert_eq!(record.headers().collect::<Vec<_>>(), [("h", Some(&b"1"[..]))]);
    }

    #[test]
    fn what_retention_would_take_has_the_time_of_now() {
        let (_dir, log) = log();
        fail(&log, &["a"]);
        let kept = Retention { age_ms: Some(3_600_000), bytes: None };
        log.create_topic(&NewTopic { name: "in".to_owned(), partitions: 1, retention: kept }).expect("taken on");
        assert_eq!(replay(&log, LETTERS, None).expect("replayed"), Done { sent: 1, kept: 1 });
        // Retention has had its chance by then.
        write(&log, "other", &BatchBuilder::new().finish());
        assert_eq!(values(&log, "in"), ["a"]);
        assert!(log.read("in", 0, 0, 1).expect("readable").get(0).timestamp_ms() > 42);
    }

    #[test]
    fn only_what_came_since_is_sent_the_next_time() {
        let (_dir, log) = log();
        fail(&log, &["a"]);
        replay(&log, LETTERS, None).expect("replayed");
        fail(&log, &["b"]);
        assert_eq!(replay(&log, LETTERS, Some("other")).expect("replayed"), Done { sent: 1, kept: 1 });
        assert_eq!((values(&log, "in"), values(&log, "other")), (vec!["a".to_owned()], vec!["b".to_owned()]));
    }

    #[test]
    fn nothing_is_sent_or_marked_if_a_topic_is_missing() {
        let (_dir, log) = log();
        fail(&log, &["a"]);
        let error = replay(&log, LETTERS, Some("nowhere")).expect_err("no such topic");
        assert!(format!("{error:#}").contains("nowhere"), "{error:#}");
        assert_eq!(replay(&log, LETTERS, None).expect("replayed"), Done { sent: 1, kept: 1 });
    }
}
