//! When a step is due.

use bespoke_record::BatchBuilder;

use super::*;

/// A session whose step holds much after each batch, and a task that does nothing with them.
struct Much {
    batches: usize,
    commits: usize,
    stop: std::sync::Arc<AtomicBool>,
}

struct Nothing;

impl Session for Much {
    fn poll(&mut self, _: usize, _: Duration) -> Result<Event, LogError> {
        self.batches += 1;
        self.stop.store(self.batches == 3, Ordering::Relaxed);
        let mut builder = BatchBuilder::new();
        builder.push(None, None, [], 0).expect("room");
        Ok(Event::Records { partition: 0, batch: builder.finish() })
    }

    fn append(&mut self, _: &str, _: &Batch) -> Result<(), LogError> {
        Ok(())
    }

    fn divert(&mut self, _: &str, _: &Batch) -> Result<(), LogError> {
        Ok(())
    }

    fn commit(&mut self, _: Commit<'_>) -> Result<(), LogError> {
        self.commits += 1;
        Ok(())
    }

    fn abort(&mut self) -> Result<(), LogError> {
        Ok(())
    }

    fn attend(&mut self) -> Result<bool, LogError> {
        Ok(true)
    }

    fn max_record_bytes(&self, _: &str) -> usize {
        usize::MAX
    }

    fn open_bytes(&self) -> usize {
        MAX_STEP_BYTES
    }
}

impl Task for Nothing {
    fn assigned(&mut self, _: u32, _: Option<Bytes>, _: Option<&str>) -> Result<(), Stop> {
        Ok(())
    }

    fn revoked(&mut self, _: u32) {}

    fn records(&mut self, _: &mut dyn Session, _: u32, _: &Batch) -> Result<Flow, Stop> {
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

#[test]
fn a_step_is_due_by_what_it_appended_too() {
    let stop = std::sync::Arc::new(AtomicBool::new(false));
    let mut session = Much { batches: 0, commits: 0, stop: stop.clone() };
    let pace = Pace { batch_records: 1, commit_interval: Duration::from_secs(3600) };
    run(&mut session, &mut Nothing, pace, &stop, &Counters::default()).expect("until the stop");
    assert_eq!((session.batches, session.commits), (3, 3));
}

#[test]
fn all_parts_of_a_record_count() {
    let mut builder = BatchBuilder::new();
    builder.push(Some(b"key"), Some(b"value"), [("name", Some(&b"header"[..])), ("n", None)], 0).expect("room");
    builder.push(None, None, [], 0).expect("room");
    assert_eq!(bytes_of(&builder.finish()), 3 + 5 + 4 + 6 + 1);
}
