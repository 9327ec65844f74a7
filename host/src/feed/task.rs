//! The loop of a feed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bespoke_record::{BatchBuilder, v2};
use bytes::Bytes;

use super::source::{Next, Source};
use crate::dead_letter::{DeadLetters, Kind};
use crate::log::{Commit, Event, LogError, Session};
use crate::metrics::Counters;
use crate::schema::framing::Frame;
use crate::stage::KeyPlan;
use crate::worker::{MAX_FAILED_COMMITS, MAX_STEP_BYTES, Stop, after_failed_commits, pause};

/// Records that are appended at once.
const BATCH_RECORDS: usize = 4096;
/// Bytes that are appended at once, and of dead letters as many again.
const BATCH_BYTES: usize = 4 << 20;
/// How long to wait when a source has nothing now.
const WAIT: Duration = Duration::from_millis(20);

/// A feed that is ready to run.
pub struct FeedTask {
    /// Its name.
    pub name: String,
    /// The topic that it writes.
    pub topic: String,
    /// How values name the topic's schema.
    pub frame: Frame,
    /// How to make keys; none for records without.
    pub key: Option<KeyPlan>,
    /// Opens the source at a position.
    pub open: super::Open,
    /// Where dead letters go.
    pub dead_letters: String,
    /// Time between commits.
    pub commit_interval: Duration,
    /// What it counts.
    pub counters: Arc<Counters>,
}

/// The states that this feed knows of, to see from those that come back whether another host feeds the same.
#[derive(Default)]
struct Own {
    /// That of the last commit, once there is one.
    last: Option<Option<Bytes>>,
    /// That of a commit of which it is not known whether it has happened.
    tried: Option<Bytes>,
}

// === impl Own ===

impl Own {
    fn may_be(&self, state: Option<&Bytes>) -> bool {
        self.last.as_ref().is_none_or(|last| last.as_ref() == state)
            || self.tried.as_ref().is_some_and(|t| Some(t) == state)
    }
}

/// Runs until the source ends or `stop` is set; what was read by then is committed, also if the source breaks.
///
/// # Errors
/// If the source or the log cannot go on.
pub fn run_feed(mut session: Box<dyn Session>, mut task: FeedTask, stop: &AtomicBool) -> Result<(), Stop> {
    let mut failed = 0;
    let mut own = Own::default();
    loop {
        let Some(state) = place(&mut *session, stop)? else { return Ok(()) };
        let name = task.name.clone();
        if !own.may_be(state.as_ref()) {
            return Err(Stop::Policy(format!("another host has taken over the feed `{name}`")));
        }
        own.last = Some(state.clone());
        let mut source = (task.open)(state.as_deref()).map_err(broken(&name))?;
        let commits = task.counters.commits.get();
        let carried = task.carry(&mut *session, &mut *source, &mut own, stop);
        if task.counters.commits.get() > commits {
            failed = 0;
        }
        match carried {
            Ok(()) => return Ok(()),
            Err(Stop::Log(error)) if !source.can_reopen() => {
                return Err(Stop::Policy(format!(
                    "feed `{name}`: {error}; what was read since the last commit is lost, as standard input cannot be \
                     read again"
                )));
            }
            Err(Stop::Log(LogError::Store { path, source })) if failed < MAX_FAILED_COMMITS => {
                // The step was thrown away; the source is opened again where the last commit left it.
                failed += 1;
                session.abort()?;
                let wait = after_failed_commits(failed);
                tracing::error!(path, error = %source, attempt = failed, "commit failed, trying again");
                pause(wait, stop);
            }
            Err(error) => return Err(error),
        }
        if stop.load(Ordering::Relaxed) {
            return Ok(());
        }
    }
}

/// Waits until the feed is this session's, and tells the state that it was left in. None if it is to stop before.
fn place(session: &mut dyn Session, stop: &AtomicBool) -> Result<Option<Option<Bytes>>, Stop> {
    while !stop.load(Ordering::Relaxed) {
        if let Event::Assigned { state, .. } = session.poll(1, WAIT)? {
            return Ok(Some(state));
        }
    }
    Ok(None)
}

impl FeedTask {
    fn carry(
        &mut self,
        session: &mut dyn Session,
        source: &mut dyn Source,
        own: &mut Own,
        stop: &AtomicBool,
    ) -> Result<(), Stop> {
        let mut value = Vec::new();
        let mut key = Vec::new();
        let limit = session.max_record_bytes(&self.topic).saturating_sub(v2::AROUND_RECORD_BYTES);
        let mut open_since: Option<Instant> = None;
        // Of the open step: a step that is thrown away was not written.
        let (mut records_open, mut letters_open, mut bytes_open) = (0, 0, 0);
        loop {
            let mut batch = BatchBuilder::new();
            let name = self.name.clone();
            let mut letters = DeadLetters::new(&name, None);
            let now_ms = now_ms();
            let mut ended = false;
            let mut waiting = false;
            let mut broke = None;
            while batch.len() < BATCH_RECORDS && batch.bytes() < BATCH_BYTES {
                value.clear();
                value.extend_from_slice(self.frame.prefix());
                let next = match source.next(&mut value) {
                    Ok(next) => next,
                    // What came before it counts.
                    Err(error) => {
                        broke = Some(broken(&self.name)(error));
                        break;
                    }
                };
                match next {
                    Next::Datum => {
                        key.clear();
                        let header = self.frame.header().map(|(name, value)| (name, Some(value)));
                        let keyed =
                            self.key.as_ref().map(|plan| plan.write(&value[self.frame.prefix().len()..], &mut key));
                        let fault = match keyed.transpose() {
                            Ok(keyed) if key.len() + value.len() <= limit => {
                                let key = keyed.map(|()| key.as_slice());
                                batch.push(key, Some(&value), header, now_ms).map_err(too_many)?;
                                None
                            }
                            Ok(_) => {
                                let bytes = key.len() + value.len();
                                let why = format!("a record of {bytes} bytes is larger than the limit of {limit}");
                                Some((Kind::TooLarge, why))
                            }
                            Err(why) => Some((Kind::Key, why.to_string())),
                        };
                        if let Some((kind, why)) = fault {
                            let line = source.line(&value[self.frame.prefix().len()..]);
                            letters.push_unread(&line, &source.place(), kind, &why).map_err(too_many)?;
                        }
                    }
                    Next::Rejected { raw, reason, place } => {
                        letters.push_unread(&raw, &place, Kind::Feed, &reason).map_err(too_many)?;
                    }
                    Next::Wait => {
                        waiting = true;
                        break;
                    }
                    Next::End => {
                        ended = true;
                        break;
                    }
                }
                if letters.len() >= BATCH_RECORDS || letters.bytes() >= BATCH_BYTES || stop.load(Ordering::Relaxed) {
                    break;
                }
            }
            let (records, diverted) = (batch.len() as u64, letters.len() as u64);
            bytes_open += batch.bytes() + letters.bytes();
            if records > 0 {
                session.append(&self.topic, &batch.finish())?;
            }
            if diverted > 0 {
                session.divert(&self.dead_letters, &letters.finish())?;
            }
            records_open += records;
            letters_open += diverted;
            if records + diverted > 0 {
                open_since.get_or_insert_with(Instant::now);
            }
            let stopping = stop.load(Ordering::Relaxed);
            let due = open_since.is_some_and(|since| since.elapsed() >= self.commit_interval);
            if due || ended || stopping || broke.is_some() || bytes_open >= MAX_STEP_BYTES {
                bytes_open = 0;
                if open_since.take().is_some() {
                    let position = match source.position() {
                        Ok(position) => position,
                        Err(error) => return Err(broke.unwrap_or_else(|| broken(&self.name)(error))),
                    };
                    let states = [(0, Bytes::from(position))];
                    own.tried = Some(states[0].1.clone());
                    session.commit(Commit { states: &states, ..Commit::default() })?;
                    own.last = Some(own.tried.take());
                    self.counters.commits.add(1);
                    self.counters.records_in.add(records_open + letters_open);
                    self.counters.records_out.add(std::mem::take(&mut records_open));
                    self.counters.dead_letters.add(std::mem::take(&mut letters_open));
                }
                if let Some(error) = broke {
                    return Err(error);
                }
                if ended || stopping {
                    return Ok(());
                }
            }
            if waiting {
                // A feed's session has no records: this lets the log do what it does when nothing else happens.
                session.poll(1, WAIT)?;
            }
        }
    }
}

fn broken(name: &str) -> impl Fn(super::FeedError) -> Stop {
    move |error| Stop::Policy(format!("feed `{name}`: {error}"))
}

fn too_many(error: bespoke_record::Full) -> Stop {
    Stop::Policy(error.to_string())
}

fn now_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::feed::FeedError;
    use crate::log::forgetful::Forgetful;

    const RECORD_BYTES: usize = 4 << 20;
    const RECORDS: usize = 2 * MAX_STEP_BYTES / RECORD_BYTES;

    /// Records of zeros.
    struct Zeros(usize);

    impl Source for Zeros {
        fn next(&mut self, datum: &mut Vec<u8>) -> Result<Next, FeedError> {
            if self.0 == RECORDS {
                return Ok(Next::End);
            }
            self.0 += 1;
            datum.resize(datum.len() + RECORD_BYTES, 0);
            Ok(Next::Datum)
        }

        fn position(&mut self) -> Result<Vec<u8>, FeedError> {
            Ok(Vec::new())
        }

        fn place(&self) -> String {
            String::new()
        }

        fn line(&self, _: &[u8]) -> Vec<u8> {
            Vec::new()
        }
    }

    fn session() -> Forgetful {
        Forgetful::new(|| Event::Assigned { partition: 0, position: 0, note: None, state: None })
    }

    /// A feed of all but so many of the zeros.
    fn feed(without: usize) -> FeedTask {
        FeedTask {
            name: "feed".to_owned(),
            topic: "t".to_owned(),
            frame: Frame::Prefix([0; 5]),
            key: None,
            open: Box::new(move |_| Ok(Box::new(Zeros(without)))),
            dead_letters: "letters".to_owned(),
            commit_interval: Duration::from_secs(3600),
            counters: Arc::default(),
        }
    }

    #[test]
    fn a_step_is_due_by_its_bytes_too() {
        let session = session();
        let sizes = session.steps.clone();
        run_feed(Box::new(session), feed(0), &AtomicBool::new(false)).expect("through");
        let sizes = sizes.lock().expect("no panic");
        assert!(sizes.len() >= 2 && sizes.iter().all(|bytes| *bytes < MAX_STEP_BYTES + 2 * BATCH_BYTES), "{sizes:?}");
        assert!(sizes.iter().sum::<usize>() >= RECORDS * RECORD_BYTES);
    }

    /// A log that is in the middle of a step does not give the feed its place again before it was told that it is over.
    #[test]
    fn a_step_that_is_not_taken_is_thrown_away() {
        let mut session = session();
        session.refusals = 1;
        let (sizes, aborts) = (session.steps.clone(), session.aborts.clone());
        run_feed(Box::new(session), feed(RECORDS - 1), &AtomicBool::new(false)).expect("through");
        assert_eq!((sizes.lock().expect("no panic").len(), aborts.load(Ordering::Relaxed)), (1, 1));
    }

    #[test]
    fn a_disk_that_stays_full_ends_the_feed() {
        let mut session = session();
        session.is_full = true;
        let tries = session.steps.clone();
        let ended = run_feed(Box::new(session), feed(RECORDS - 1), &AtomicBool::new(false));
        assert!(matches!(ended, Err(Stop::Log(LogError::Store { .. }))), "{ended:?}");
        assert_eq!(tries.lock().expect("no panic").len(), 1 + MAX_FAILED_COMMITS as usize);
    }
}
