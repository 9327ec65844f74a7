//! The loop of every worker: poll a batch, handle it, commit the step when it is due.
//!
//! One thread, one loop, no channels. What is done with a batch is a [`Task`]'s affair (a stage or a sink); when it
//! counts is decided here. A step is due by time and never by number, so that a commit costs the same share at any load.
//!
//! Why nothing is lost or doubled: a batch's outputs are appended and its position is noted in the same step, and a step
//! happens whole or not at all (see [`crate::log`]). Whatever fails in between leads to an abort, after which the log
//! hands out the same records again and the task starts again from the state of the last commit.
//!
//! Rows of a table outside of the log are written before the commit. However long that takes, the worker stays a member of
//! its group, and hands its partitions over if they are asked for: then the step is thrown away.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bespoke_record::{Batch, Entry};
use bytes::Bytes;

use crate::log::{Commit, Event, LogError, Session};
use crate::metrics::Counters;
use crate::table::{Refused, Rows, TableError};

/// What a worker does with records.
pub trait Task {
    /// The partition is this worker's, with the state that was committed last, and what was noted beside the position.
    ///
    /// # Errors
    /// If the task cannot start from it.
    fn assigned(&mut self, partition: u32, state: Option<Bytes>, note: Option<&str>) -> Result<(), Stop>;

    /// The partition is no longer this worker's.
    fn revoked(&mut self, partition: u32);

    /// Handles a batch; what comes out is appended to the session.
    ///
    /// # Errors
    /// If the worker cannot go on.
    fn records(&mut self, session: &mut dyn Session, partition: u32, batch: &Batch) -> Result<Flow, Stop>;

    /// The states that belong to the step.
    ///
    /// # Errors
    /// If a module cannot tell its state.
    fn states(&mut self) -> Result<Vec<(u32, Bytes)>, Stop>;

    /// What is to be noted beside the position of a partition.
    fn note(&self, _partition: u32) -> Option<String> {
        None
    }

    /// Writes the rows of the step that are not part of the log, for `patience` at most. Called again until they are written,
    /// or the step is thrown away.
    ///
    /// # Errors
    /// If they cannot be written, and waiting does not help.
    fn write(&mut self, _session: &mut dyn Session, _patience: Duration) -> Result<Outside, Stop> {
        Ok(Outside::Written)
    }

    /// The rows that belong to the step, of tables in the log.
    ///
    /// # Errors
    /// If there can be none.
    fn rows(&mut self) -> Result<Vec<Rows>, Stop>;

    /// The log's table has refused these of the rows that were told last. The step is thrown away, to be done again without
    /// their records.
    fn refused(&mut self, _refused: Vec<Refused>) {}

    /// Between two steps: nothing is open. `standing` has the position of each partition, from which reading goes on.
    ///
    /// # Errors
    /// If the worker cannot go on.
    fn between(&mut self, _session: &mut dyn Session, _standing: &BTreeMap<u32, i64>) -> Result<Between, Stop> {
        Ok(Between::Go)
    }

    /// The step has happened, with these states.
    fn committed(&mut self, states: Vec<(u32, Bytes)>);

    /// The step was thrown away; partitions will be assigned again.
    fn aborted(&mut self);
}

/// How a batch ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It is handled.
    Done,
    /// It is handled, and took so much to get there that it should be committed now.
    Commit,
    /// The step must be thrown away and done again.
    Abort,
    /// The same, but not at once: something that is needed cannot be had at the moment.
    Wait,
    /// Its records before an offset are handled and must be committed; the worker ends then.
    Halt {
        /// The offset.
        next: i64,
        /// Why it ends.
        why: String,
    },
}

/// How it goes on between two steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Between {
    /// With the next records.
    Go,
    /// The next step has begun: something was appended. It has these positions, also if no records come.
    Begun(Vec<(u32, i64)>),
    /// Records have to wait for a moment.
    Hold,
}

/// How far the writing of rows is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outside {
    /// All are written.
    Written,
    /// Not yet. If their store has trouble, what it is.
    Pending(Option<String>),
}

/// Why a worker ends before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum Stop {
    /// The log failed.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The table cannot take rows as long as it is as it is.
    #[error(transparent)]
    Table(TableError),
    /// The module cannot be used.
    #[error("{0}")]
    Module(String),
    /// `on_error = "stop"`, or too many dead letters in a row.
    #[error("{0}")]
    Policy(String),
}

/// When a worker commits, and how much it takes at once.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Records of a batch at most.
    pub batch_records: usize,
    /// Time between commits.
    pub commit_interval: Duration,
}

/// How long to wait for records at once. A worker that is told to stop sees it after that.
const IDLE: Duration = Duration::from_millis(100);
/// Commits that may fail in a row, for instance because the disk is full, before a worker or a feed gives up.
pub(crate) const MAX_FAILED_COMMITS: u32 = 12;
/// Steps that may be thrown away in a row for one partition before the worker gives up. Each narrows the search for a bad
/// record, which takes one abort; more mean that the module fails at random.
const MAX_ABORTS: u32 = 20;
/// How long to wait for what cannot be had at the moment: twice as long each time, up to eight times. Short enough for a log
/// that wants to be polled.
const WAIT: Duration = Duration::from_secs(1);
/// How long records wait at once where they have to.
const HOLD: Duration = Duration::from_millis(2);
/// How long rows are waited for at once: as often the group is attended.
const SLICE: Duration = Duration::from_millis(200);
/// How long rows are waited for when the worker is told to stop, or to give a partition up.
const LAST_WAIT: Duration = Duration::from_secs(10);
/// How often the same trouble is told.
const TELL: Duration = Duration::from_secs(30);
/// Bytes of records, read and appended, after which a step is due, whatever the time: tasks keep what they made of them until
/// the commit, and so do logs.
pub(crate) const MAX_STEP_BYTES: usize = 256 << 20;

/// What has happened since the last commit.
#[derive(Default)]
struct Step {
    positions: BTreeMap<u32, i64>,
    since: Option<Instant>,
    /// Of the records that were read.
    bytes: usize,
    /// Whether it is due, whatever the time.
    is_urgent: bool,
}

/// Runs until `stop` is set, and commits what was done by then.
///
/// # Errors
/// What made going on impossible. The open step is aborted.
pub fn run(
    session: &mut dyn Session,
    task: &mut dyn Task,
    pace: Pace,
    stop: &AtomicBool,
    counters: &Counters,
) -> Result<(), Stop> {
    let mut step = Step::default();
    // Where reading goes on, of the partitions that are this worker's.
    let mut standing = BTreeMap::<u32, i64>::new();
    let (mut failed, mut waits) = (0, 0_u32);
    let mut aborts = BTreeMap::<u32, u32>::new();
    loop {
        let stopping = stop.load(Ordering::Relaxed);
        let is_due = |since: Instant| stopping || step.is_urgent || since.elapsed() >= pace.commit_interval;
        let due = step.since.is_some_and(is_due);
        if due {
            match commit(session, task, &mut step, (stop, Asked::No), counters) {
                Ok(true) => {
                    (failed, waits) = (0, 0);
                    aborts.clear();
                }
                Ok(false) => abort(session, task, &mut step, &mut standing)?,
                Err(Stop::Log(error)) if failed < MAX_FAILED_COMMITS && !stopping => {
                    redo(&error, &mut failed, stop, || abort(session, task, &mut step, &mut standing))?;
                }
                // The next run does it again.
                Err(Stop::Log(error)) if stopping => {
                    tracing::warn!(%error, "the last step before the stop is thrown away");
                    abort(session, task, &mut step, &mut standing)?;
                }
                Err(error) => return Err(error),
            }
        }
        if stopping {
            return Ok(());
        }
        if step.since.is_none() {
            match task.between(session, &standing)? {
                Between::Go => {}
                Between::Begun(positions) => {
                    step.since = Some(Instant::now());
                    step.positions.extend(positions);
                }
                Between::Hold if session.attend()? => {
                    pause(HOLD, stop);
                    continue;
                }
                // Partitions come or go, which cannot wait.
                Between::Hold => {}
            }
        }
        let wait = step.since.map_or(IDLE, |since| pace.commit_interval.saturating_sub(since.elapsed()).min(IDLE));
        match session.poll(pace.batch_records, wait)? {
            Event::Idle => {}
            Event::Skipped { partition, from, to } => {
                counters.skipped.add(to.abs_diff(from));
                // Committed too, so that it is told once, and nobody waits for what is gone.
                step.since.get_or_insert_with(Instant::now);
                step.positions.insert(partition, to);
                standing.insert(partition, to);
            }
            Event::Assigned { partition, state, position, note } => {
                tracing::debug!(partition, position, state_bytes = state.as_ref().map(Bytes::len), note, "assigned");
                task.assigned(partition, state, note.as_deref())?;
                standing.insert(partition, position);
            }
            Event::Revoked { partition, lost } => {
                tracing::debug!(partition, lost, "revoked");
                if lost {
                    abort(session, task, &mut step, &mut standing)?;
                } else if step.since.is_some() {
                    match commit(session, task, &mut step, (stop, Asked::ToLeave), counters) {
                        Ok(true) => {}
                        Ok(false) => abort(session, task, &mut step, &mut standing)?,
                        // Done again, by whoever has the partition then.
                        Err(Stop::Log(error)) => {
                            tracing::warn!(%error, partition, "the last step before giving up a partition is thrown away");
                            abort(session, task, &mut step, &mut standing)?;
                        }
                        Err(error) => return Err(error),
                    }
                }
                step.positions.remove(&partition);
                standing.remove(&partition);
                task.revoked(partition);
            }
            Event::Records { partition, batch } => {
                counters.records_in.add(batch.len() as u64);
                step.since.get_or_insert_with(Instant::now);
                step.bytes += bytes_of(&batch);
                let flow = match task.records(session, partition, &batch) {
                    // What was made of them cannot be appended now, so that the step could not be committed.
                    Err(Stop::Log(error @ LogError::Store { .. })) if failed < MAX_FAILED_COMMITS => {
                        redo(&error, &mut failed, stop, || abort(session, task, &mut step, &mut standing))?;
                        continue;
                    }
                    flow => flow?,
                };
                match flow {
                    flow @ (Flow::Done | Flow::Commit) => {
                        if let Some(next) = batch.next_offset() {
                            step.positions.insert(partition, next);
                            standing.insert(partition, next);
                        }
                        let bytes = step.bytes.saturating_add(session.open_bytes());
                        step.is_urgent |= flow == Flow::Commit || bytes >= MAX_STEP_BYTES;
                    }
                    Flow::Halt { next, why } => {
                        step.positions.insert(partition, next);
                        commit(session, task, &mut step, (stop, Asked::No), counters)?;
                        return Err(Stop::Policy(why));
                    }
                    Flow::Abort => {
                        let aborts = aborts.entry(partition).or_default();
                        *aborts += 1;
                        if *aborts > MAX_ABORTS {
                            let what = "the module fails at other records each time it is given the same ones; stopped";
                            return Err(Stop::Module(what.to_owned()));
                        }
                        abort(session, task, &mut step, &mut standing)?;
                    }
                    Flow::Wait => {
                        abort(session, task, &mut step, &mut standing)?;
                        pause(WAIT * (1 << waits.min(3)), stop);
                        waits += 1;
                    }
                }
            }
        }
    }
}

/// Has a step thrown away that could not be written, and waits before it is done again.
fn redo(
    error: &LogError,
    failed: &mut u32,
    stop: &AtomicBool,
    abort: impl FnOnce() -> Result<(), Stop>,
) -> Result<(), Stop> {
    *failed += 1;
    let wait = after_failed_commits(*failed);
    tracing::error!(%error, attempt = *failed, wait_ms = wait.as_millis() as u64, "commit failed, trying again");
    abort()?;
    pause(wait, stop);
    Ok(())
}

/// Whether the group wants a partition back that is in the step.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    No,
    ToLeave,
}

/// Makes the step happen. False if it is to be thrown away, because its rows take longer than they can be waited for.
fn commit(
    session: &mut dyn Session,
    task: &mut dyn Task,
    step: &mut Step,
    (stop, asked): (&AtomicBool, Asked),
    counters: &Counters,
) -> Result<bool, Stop> {
    let states = task.states()?;
    let is_written = outlast(session, task, (stop, asked), counters);
    counters.waiting.set(None);
    if !is_written? {
        return Ok(false);
    }
    let rows = task.rows()?;
    let positions: Vec<(u32, i64)> = step.positions.iter().map(|(p, o)| (*p, *o)).collect();
    let notes: Vec<(u32, String)> = step.positions.keys().filter_map(|p| Some((*p, task.note(*p)?))).collect();
    match session.commit(Commit { positions: &positions, notes: &notes, states: &states, rows: &rows }) {
        Ok(()) => {}
        Err(LogError::Table(TableError::Refused { refused, .. })) => {
            task.refused(refused);
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    }
    task.committed(states);
    *step = Step::default();
    counters.commits.add(1);
    Ok(true)
}

/// Has the rows of the step written, for as long as that takes. False if the step has no time for it: a partition is wanted
/// back, or the worker is to stop, and the store does not come back soon.
fn outlast(
    session: &mut dyn Session,
    task: &mut dyn Task,
    (stop, asked): (&AtomicBool, Asked),
    counters: &Counters,
) -> Result<bool, Stop> {
    let begin = Instant::now();
    let (mut told, mut hurried) = (None, None);
    loop {
        match task.write(session, SLICE)? {
            Outside::Written => {
                if told.is_some() {
                    tracing::info!(waited_s = begin.elapsed().as_secs(), "the rows are written, going on");
                }
                return Ok(true);
            }
            Outside::Pending(why) => {
                if let Some(why) = &why
                    && told.is_none_or(|told: Instant| told.elapsed() > TELL)
                {
                    told = Some(Instant::now());
                    tracing::warn!(why, waited_s = begin.elapsed().as_secs(), "waiting to write rows");
                }
                counters.waiting.set(why);
            }
        }
        let is_asked = asked == Asked::ToLeave || stop.load(Ordering::Relaxed);
        if is_asked && hurried.get_or_insert_with(Instant::now).elapsed() > LAST_WAIT {
            tracing::warn!("the rows of the last step are not written in time; it is thrown away, to be done again");
            return Ok(false);
        }
        if asked == Asked::No && !session.attend()? {
            tracing::info!(
                "partitions change hands while rows wait to be written; the step is thrown away, to be done again"
            );
            return Ok(false);
        }
    }
}

fn abort(
    session: &mut dyn Session,
    task: &mut dyn Task,
    step: &mut Step,
    standing: &mut BTreeMap<u32, i64>,
) -> Result<(), Stop> {
    *step = Step::default();
    // They are assigned again.
    standing.clear();
    task.aborted();
    Ok(session.abort()?)
}

/// Bytes of keys, values and headers.
fn bytes_of(batch: &Batch) -> usize {
    let len = |span: Option<bespoke_record::Span>| span.map_or(0, |span| span.len as usize);
    let of_entry = |entry: &Entry| {
        let headers = &batch.header_spans()[entry.first_header as usize..][..entry.headers as usize];
        let headers: usize = headers.iter().map(|(name, value)| len(Some(*name)) + len(*value)).sum();
        len(entry.key) + len(entry.value) + headers
    };
    batch.entries().iter().map(of_entry).sum()
}

/// How long to wait after so many commits that failed in a row: 45 seconds in all before it is given up.
pub(crate) fn after_failed_commits(failed: u32) -> Duration {
    let first_ms = if cfg!(test) { 1 } else { 50 };
    Duration::from_millis(first_ms << failed.min(7))
}

/// Waits, but not longer than until the stop.
pub(crate) fn pause(time: Duration, stop: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !stop.load(Ordering::Relaxed) {
        std::thread::sleep(time.min(Duration::from_millis(10)));
    }
}

#[cfg(test)]
mod tests;
