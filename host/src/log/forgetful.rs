//! A session for unit tests: it gives what it is told to give, and keeps nothing.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bespoke_record::Batch;

use super::{Commit, Event, LogError, Session};

/// A session that forgets.
pub(crate) struct Forgetful {
    /// What polling gives.
    pub poll: Box<dyn FnMut() -> Event + Send>,
    /// Bytes that steps are said to hold beside what was appended.
    pub held: usize,
    /// Whether commits fail, as on a full disk.
    pub is_full: bool,
    /// How many records are not taken before the first one that is.
    pub refusals: usize,
    /// Bytes of each step that was to be committed.
    pub steps: Arc<Mutex<Vec<usize>>>,
    /// Steps that were thrown away.
    pub aborts: Arc<AtomicUsize>,
    open: usize,
}

// === impl Forgetful ===

impl Forgetful {
    /// What polling gives is up to `poll`; all commits succeed.
    pub(crate) fn new(poll: impl FnMut() -> Event + Send + 'static) -> Self {
        Self {
            poll: Box::new(poll),
            held: 0,
            is_full: false,
            refusals: 0,
            steps: Arc::default(),
            aborts: Arc::default(),
            open: 0,
        }
    }
}

fn full() -> LogError {
    LogError::Store { path: "log".to_owned(), source: "disk full".into() }
}

impl Session for Forgetful {
    fn poll(&mut self, _: usize, _: Duration) -> Result<Event, LogError> {
        Ok((self.poll)())
    }

    fn append(&mut self, _: &str, records: &Batch) -> Result<(), LogError> {
        if self.refusals > 0 {
            self.refusals -= 1;
            return Err(full());
        }
        self.open += records.arena().len();
        Ok(())
    }

    fn divert(&mut self, topic: &str, letters: &Batch) -> Result<(), LogError> {
        self.append(topic, letters)
    }

    fn commit(&mut self, _: Commit<'_>) -> Result<(), LogError> {
        self.steps.lock().expect("no panic").push(std::mem::take(&mut self.open));
        match self.is_full {
            true => Err(full()),
            false => Ok(()),
        }
    }

    fn abort(&mut self) -> Result<(), LogError> {
        self.open = 0;
        self.aborts.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn attend(&mut self) -> Result<bool, LogError> {
        Ok(true)
    }

    fn max_record_bytes(&self, _: &str) -> usize {
        usize::MAX
    }

    fn open_bytes(&self) -> usize {
        self.held + self.open
    }
}
