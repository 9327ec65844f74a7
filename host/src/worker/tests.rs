//! When a step is due.

use std::sync::Arc;

use bespoke_record::BatchBuilder;

use super::*;
use crate::log::forgetful::Forgetful;

/// A task that passes its records on.
struct Through;

impl Task for Through {
    fn assigned(&mut self, _: u32, _: Option<Bytes>, _: Option<&str>) -> Result<(), Stop> {
        Ok(())
    }

    fn revoked(&mut self, _: u32) {}

    fn records(&mut self, session: &mut dyn Session, _: u32, batch: &Batch) -> Result<Flow, Stop> {
        session.append("t", batch)?;
        Ok(Flow::Done)
    }

    fn states(&mut self) -> Result<Vec<(u32, Bytes)>, Stop> {
        Ok(Vec::new())
    }

    fn rows(&mut self) -> Result<Vec<Rows>, Stop> {
        Ok(Vec::new())
    }

    fn committed(&mut self, _: Vec<(u32, Bytes)>) {}

    fn aborted(&mut self) {}
}

/// Runs until so many batches were read, after each of which a step holds much. How many commits were tried.
fn run_until(enough: usize, set: impl FnOnce(&mut Forgetful)) -> (Result<(), Stop>, usize) {
    let (stop, mut batches) = (Arc::new(AtomicBool::new(false)), 0);
    let told = stop.clone();
    let mut session = Forgetful::new(move || {
        batches += 1;
        told.store(batches == enough, Ordering::Relaxed);
        let mut builder = BatchBuilder::new();
        builder.push(None, None, [], 0).expect("room");
        Event::Records { partition: 0, batch: builder.finish() }
    });
    session.held = MAX_STEP_BYTES;
    set(&mut session);
    let pace = Pace { batch_records: 1, commit_interval: Duration::from_secs(3600) };
    let ended = run(&mut session, &mut Through, pace, &stop, &Counters::default());
    let commits = session.steps.lock().expect("no panic").len();
    (ended, commits)
}

#[test]
fn a_step_is_due_by_what_it_appended_too() {
    let (ended, commits) = run_until(3, |_| {});
    ended.expect("until the stop");
    assert_eq!(commits, 3);
}

#[test]
fn a_disk_that_stays_full_ends_the_worker() {
    let (ended, commits) = run_until(usize::MAX, |session| session.is_full = true);
    assert!(matches!(ended, Err(Stop::Log(LogError::Store { .. }))), "{ended:?}");
    assert_eq!(commits, 1 + MAX_FAILED_COMMITS as usize);
}

#[test]
fn a_record_that_is_not_taken_spoils_the_step_only() {
    let (ended, commits) = run_until(3, |session| session.refusals = 1);
    ended.expect("until the stop");
    assert_eq!(commits, 2);
    let (ended, commits) = run_until(usize::MAX, |session| session.refusals = usize::MAX);
    assert!(matches!(ended, Err(Stop::Log(LogError::Store { .. }))), "{ended:?}");
    assert_eq!(commits, 0);
}

#[test]
fn all_parts_of_a_record_count() {
    let mut builder = BatchBuilder::new();
    builder.push(Some(b"key"), Some(b"value"), [("name", Some(&b"header"[..])), ("n", None)], 0).expect("room");
    builder.push(None, None, [], 0).expect("room");
    assert_eq!(bytes_of(&builder.finish()), 3 + 5 + 4 + 6 + 1);
}
